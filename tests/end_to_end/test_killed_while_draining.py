import shutil
import time
from pathlib import Path

import pytest

from tests.bench._restarts import Restarted
from tests.helpers.filled import SELLERS, prepare
from tests.helpers.load import Plan, loading


@pytest.mark.long
def test_a_server_killed_while_draining_fails_no_call(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    prepare(first)
    shutil.copytree(first, second)
    servers = [Restarted(first), Restarted(second)]
    try:
        for server in servers:
            server.start()
        target = "ipv4:" + ",".join(server.address for server in servers)
        plan = Plan(target, 12, at_a_time=4, deadline_seconds=10, sellers=SELLERS, is_published=True)
        with loading([plan]) as found:
            time.sleep(6)
            servers[0].begin_to_stop()
            time.sleep(0.25)
            servers[0].kill()
    finally:
        for server in servers:
            server.kill()
    assert found[0].ok > 100
    assert found[0].codes.keys() == {"OK"}
