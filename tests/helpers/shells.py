import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.callers import Authority, write_grants
from tests.helpers.policies import TIERS
from tests.helpers.processes import COMMAND, run_forked
from tests.helpers.tls_folders import with_folders

ROOT = Path(__file__).parents[2]
MARKET = "acme"
SECONDS = 60


@dataclass
class Shell:
    environment: dict[str, str]
    run: Callable[[list[str], dict[str, str], str, float], tuple[int, str, str]] = run_forked

    def __call__(
        self, *arguments: object, stdin: str = "", code: int | tuple[int, ...] = 0, **changes: object
    ) -> tuple[str, str]:
        """Return (stdout, stderr) of a run that ends with `code`, or one of them; `changes` are settings by field."""
        environment = self.environment | _variables(changes)
        ended, stdout, stderr = self.run([*map(str, arguments)], environment, stdin, SECONDS)
        assert ended in (code if isinstance(code, tuple) else (code,)), (ended, stdout, stderr)
        assert "Traceback" not in stdout + stderr
        assert ("error: " in stderr.lower()) == (ended != 0) or arguments[0] == "doctor", stderr
        return stdout, stderr

    def trained(self, study: object, *options: object) -> Any:
        """Return a training's result as JSON. Its gates may fail, since a score's duration depends on the machine."""
        return json.loads(self("train", study, *options, "-o", "json", code=(0, 4))[0])

    def json(self, *arguments: object, **options: Any) -> Any:
        return json.loads(self(*arguments, "-o", "json", **options)[0])

    def error(self, code: int, *arguments: object, **options: Any) -> str:
        stdout, stderr = self(*arguments, code=code, **options)
        assert stdout == ""
        return stderr


def _variables(settings: dict[str, Any]) -> dict[str, str]:
    return {f"SELLERTRUST_{name.upper()}": str(value) for name, value in with_folders(settings).items()}


def shell_of(folder: Path, **settings: object) -> Shell:
    slow = "PYTHONDONTWRITEBYTECODE"
    base = {name: value for name, value in os.environ.items() if not name.startswith("SELLERTRUST_") and name != slow}
    base["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "proto")])
    values = {"data_dir": folder, "metrics_address": "", "marketplace": MARKET}
    return Shell(base | _variables(values | settings))


@contextmanager
def serving(
    shell: Shell, folder: Path, command: Sequence[object] = COMMAND, arguments: Sequence[str] = ()
) -> Iterator[str]:
    """Run `sellertrust serve` on a free port in its own session; yield its address. SIGTERM ends it all with 0.

    By default with the policy without measures: a server records measures as entries, at a time of its own.
    """
    ready, log = folder / "ready", folder / "server.log"
    ready.unlink(missing_ok=True)
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*map(str, command), "serve", "--ready-file", str(ready), *arguments],
            env=_variables({"policy": TIERS, "address": "127.0.0.1:0"}) | shell.environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + SECONDS
            while not ready.exists():
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.02)
            yield ready.read_text().strip()
            server.send_signal(signal.SIGTERM)
            assert server.wait(timeout=SECONDS) == 0
            with pytest.raises(ProcessLookupError):
                os.killpg(server.pid, 0)
            assert "Traceback" not in log.read_text()
        finally:
            if server.poll() is None:
                server.kill()
                server.wait()


@contextmanager
def shells_of_people(folder: Path, *tables: str, **settings: object) -> Iterator[Callable[[str], Shell]]:
    """Serve by these grants; yield what makes the command line of a person, by the person's certificate."""
    authority, grants = Authority(folder), folder / "grants.toml"
    write_grants(grants, *tables)
    server = shell_of(folder / "data", grants=grants, **authority.server_settings(), **settings)
    with serving(server, folder) as address:

        def connect(name: str) -> Shell:
            shown = authority.certificate(dns=[f"{name}.example"])
            files = {"target_ca": shown.tls, "target_certificate": shown.certificate, "target_key": shown.key}
            return shell_of(folder / "data", target=address, **files)

        yield connect


def days_ago(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


def lines_of(seller: str, *violations: str) -> str:
    identity = {"entry_id": f"i-{seller}", "occur_time": days_ago(400), "identity": {"level": "business"}}
    exposure = {"entry_id": f"x-{seller}", "exposure": {"day": days_ago(60)[:10], "settled_orders": 5000}}
    reported = [
        {
            "entry_id": violation,
            "occur_time": days_ago(30),
            "violation": {"violation_type": "counterfeit_goods", "harm": "high", "source": "brand"},
        }
        for violation in violations
    ]
    return "".join(json.dumps({"seller": seller} | entry) + "\n" for entry in (identity, exposure, *reported))


def bare_shell(folder: Path) -> Shell:
    with socket.socket() as taken_and_left:
        taken_and_left.bind(("127.0.0.1", 0))
        port = taken_and_left.getsockname()[1]
    return shell_of(folder / "data", target=f"127.0.0.1:{port}")


def in_terminal(shell: Shell, columns: int, *arguments: str) -> tuple[str, str]:
    """Run the command on a terminal of this width; return its text without styles, and stderr."""
    outer, inner = os.openpty()
    environment = shell.environment | {"COLUMNS": str(columns), "TERM": "xterm"}
    with subprocess.Popen([*COMMAND, *arguments], env=environment, stdout=inner, stderr=subprocess.PIPE) as process:
        os.close(inner)
        _, told = process.communicate(timeout=SECONDS)
    shown = b""
    with suppress(OSError):
        while piece := os.read(outer, 1 << 16):
            shown += piece
    os.close(outer)
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).replace("\r", ""), told.decode()
