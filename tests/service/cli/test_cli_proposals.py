import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.registry.registry import Registry
from tests.helpers.four_eyes import ALL, FOUR_EYES, PERSONS, persons
from tests.helpers.models import evaluated, publish
from tests.helpers.shells import Shell, shells_of_people

pytestmark = pytest.mark.long

Connect = Callable[[str], Shell]
SAID = ("--actor", "a-1", "--reason", "so")


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connect]:
    with shells_of_people(tmp_path_factory.mktemp("eyes"), ALL, persons(**PERSONS), FOUR_EYES) as connect:
        yield connect


def override(tmp_path: Path, entry_id: str) -> Path:
    soon = (datetime.now(UTC) + timedelta(days=9)).strftime("%Y-%m-%dT%H:%M:%SZ")
    stated = {"tier": "exemplary", "until": soon, "actor": "a-1", "reason": "a good one"}
    file = tmp_path / "override.jsonl"
    file.write_text(json.dumps({"entry_id": entry_id, "seller": "s-1", "override": stated}) + "\n")
    return file


def test_an_override_is_proposed_approved_and_carried_out(shell: Connect, tmp_path: Path) -> None:
    anna, bert = shell("anna"), shell("bert")
    file = override(tmp_path, "o-1")
    assert "APPROVAL_REQUIRED" in anna.error(4, "ledger", "append", file)
    stdout, hint = anna("ledger", "append", file, "--propose", "-o", "json")
    made = json.loads(stdout)
    assert "nothing was done; 1 person more to approve it: sellertrust proposal show" in hint
    name = made["proposal"]
    shown = bert.json("proposal", "show", name.rpartition("/")[2])
    assert shown["request"]["entries"][0]["override"]["reason"] == "a good one"
    assert [row["proposal"] for row in bert.json("proposal", "show")] == [name]
    assert "a good one" in bert("proposal", "show", name)[0]
    assert "PROPOSAL_CLOSED" in bert.error(4, "proposal", "decide", name, "approve", "--digest", "0" * 12, *SAID)
    assert "--digest" in bert.error(2, "proposal", "decide", name, "approve", "--digest", "abc", *SAID)
    assert "CALLER_NOT_GRANTED" in anna.error(
        4, "proposal", "decide", name, "approve", "--digest", made["digest"], *SAID
    )
    done = bert.json("proposal", "decide", name, "approve", "--digest", made["digest"][:12], *SAID)
    assert (done["state"], done["persons_missing"]) == ("approved", 0)
    for is_there in (False, True):  # another command carried out nothing
        [result] = anna.json("proposal", "carry-out", name)["results"]
        assert (result["entry_id"], result.get("already_present", False)) == ("o-1", is_there)
    assert "error" in bert.error(3, "proposal", "show", "none")


def test_an_approved_case_is_written_and_verified(
    shell: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    anna, bert = shell("anna"), shell("bert")
    anna("ledger", "append", "identity", "seller=s-9", "occur_time=2026-01-01", "level=business")
    case = ("--authority", "customs", "--legal-basis", "law 1", *SAID)
    written = []
    for _ in range(2):
        made = anna.json("network", "export", "s-9", *case)
        bert("proposal", "decide", made["proposal"], "approve", "--digest", made["digest"], *SAID)
        found = anna.json("proposal", "carry-out", made["proposal"])
        assert found["page"] == f"case-{made['proposal'].rpartition('/')[2]}.html"
        assert "customs" in (tmp_path / found["page"]).read_text()
        assert "each entry is proven" in anna("verify", found["case"], "--public-key", found["public_key"])[1]
        written += [found["case"], found["page"]]
    assert len({*written}) == 4


def test_a_promotion_is_proposed_to_a_server_alone(shell: Connect) -> None:
    anna, bert = shell("anna"), shell("bert")
    registry = Registry(Path(anna.environment["SELLERTRUST_DATA_DIR"]) / "registry")
    first, second = publish(registry, parts=evaluated(0, 0.7)), publish(registry, parts=evaluated(1, 0.7))
    target = ("--server", anna.environment["SELLERTRUST_TARGET"])
    promote = ("model", "promote", "challenger", *SAID, *target)
    assert "APPROVAL_REQUIRED" in anna.error(4, *promote)
    made = json.loads(anna(*promote, "--propose", "-o", "json")[0])
    assert (made["request"]["name"], made["basis"]["champion"]) == (f"models/{second}", first)
    assert [row["proposal"] for row in bert.json("proposal", "show", "--models")] == [made["proposal"]]
    bert("proposal", "decide", made["proposal"], "approve", "--digest", made["digest"], *SAID)
    assert bert.json("proposal", "carry-out", made["proposal"])["champion"] == f"models/{second}"
    moves = bert.json("model", "list", "--history", *target)
    assert (moves[-1]["digest"], moves[-1]["figures"]["proposal"]) == (second, made["proposal"])
    assert "--server" in shell("anna").error(2, "model", "promote", "challenger", "--reason", "so", "--propose")
