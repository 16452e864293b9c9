import os
import re
from pathlib import Path

import pytest

from service.registry.registry import Registry
from service.web.desk import governing
from tests.helpers.desk_sites import desk_site, person
from tests.helpers.limits import Limit
from tests.helpers.models import evaluated, gate, gates_json, publish
from tests.helpers.servers import running_server, served


@pytest.mark.long
def test_a_model_is_promoted_and_rolled_back_by_buttons(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    first = publish(registry, parts=evaluated(0, 0.7))
    beside = {"gates.json": gates_json(gate("size", ok=False)), "report.html": b"<script>alert(1)</script>"}
    failed = publish(registry, parts=evaluated(1, 0.8), attachments=beside)
    second = publish(registry, 2, attachments={"gates.json": gates_json(gate("size"))})
    with served(tmp_path, Path(registry.place)) as client, desk_site(client, tmp_path) as site:
        someone = person(site)
        shown = someone.get("/models").body.decode()
        assert all(digest[:12] in shown for digest in (first, failed, second))
        report = someone.get(f"/models/{failed}/report")
        assert "sandbox" in (report.header("content-security-policy") or "")
        someone.get(f"/models/{failed}")
        assert someone.post(f"/models/{failed}/promote", {"reason": "a test"}).status == 409
        assert someone.post(f"/models/{second}/promote", {"reason": ""}).status == 400
        assert someone.post(f"/models/{second}/promote", {"reason": "a test"}).status == 303
        assert client.get_model("champion").model.digest == second
        someone.get(f"/models/{second}")
        assert someone.post("/models/roll-back", {"reason": "a test", "champion": second}).status == 303
        assert client.get_model("champion").model.digest == first
        assert "reviewer-1" in someone.get("/models").body.decode()
        assert b"the champion" in someone.get("/operations").body


def test_previews_and_certificates_are_served_beside_the_policy(tmp_path: Path, limit: Limit) -> None:
    limit(governing, MAX_PAPER_BYTES=50)
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "preview of May.txt").write_text("12 sellers <b>move</b>")
    (tmp_path / "secret.txt").write_text("a secret")
    (tmp_path / "papers" / "link.txt").symlink_to("../secret.txt")
    os.mkfifo(tmp_path / "papers" / "pipe.txt")
    with running_server(tmp_path) as running, running.client() as client, desk_site(client, tmp_path) as site:
        someone = person(site)
        [link] = re.findall(r'href="(/policy/papers/[^"]+)"', someone.get("/policy").body.decode())
        shown = someone.get(link)
        assert (shown.status, b"12 sellers &lt;b&gt;move" in shown.body) == (200, True)
        for path in ("secret.txt", "..%2fsecret.txt", "%2e%2e%2fsecret.txt", "none.txt", "link.txt", "pipe.txt"):
            assert someone.get(f"/policy/papers/{path}").status == 404
        (tmp_path / "papers" / "long.txt").write_text("a" * 51)
        assert someone.get("/policy/papers/long.txt").status == 413
