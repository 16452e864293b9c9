import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.shells import MARKET, Shell, serving, shell_of

pytestmark = pytest.mark.long

REPORT = {"violation_type": "counterfeit_goods", "harm": "high", "source": "brand"}


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp("operators")
    with serving(shell_of(folder / "data"), folder) as address:
        found = shell_of(folder / "data", target=address, marketplace=MARKET)
        file = folder / "entries.jsonl"
        entry = {"entry_id": "v-1", "seller": "s", "occur_time": "2026-03-01T12:00:00Z", "violation": REPORT}
        file.write_text(json.dumps(entry) + "\n")
        found("ledger", "append", file)
        found("violation", "decide", "v-1", "confirm", "--actor", "court", "--reason", "a name in a text")
        yield found


def target_of(shell: Shell) -> str:
    return shell.environment["SELLERTRUST_TARGET"]


def test_a_server_erases_and_mends_while_it_serves(shell: Shell) -> None:
    said = ("--actor", "officer")
    assert "a server has" in shell("ledger", "erase", "s", *said, code=(2, 3, 4, 5, 6))[1]
    row = shell.json(
        "ledger", "erase", "s", *said, "--ground", "Art. 17", "--server", target_of(shell), "--entry-id", "e-1"
    )
    assert (row["seller"], row["entry_id"]) == ("s", "e-1")
    assert "a name in a text" not in shell("ledger", "list", "-o", "json")[0]
    row = shell.json("ledger", "mend-clock", *said, "--reason", "so", "--rested", "--server", target_of(shell))
    assert row["sequence"] == 4
    assert "SELLER_NOT_FOUND" in shell.error(3, "ledger", "erase", "nobody", *said, "--server", target_of(shell))


def test_the_audit_file_is_listed_and_verified(shell: Shell) -> None:
    listed = shell("access", "--audit", "-o", "json")[0].splitlines()
    path = Path(shell.environment["SELLERTRUST_DATA_DIR"]) / "audit.jsonl"
    assert listed == path.read_text().splitlines()[: len(listed)]
    assert "LedgerService/ConfirmViolation" in shell("access", "--audit", "--marketplace", MARKET)[0]
    there = shell.json("verify", "audit", "--server", target_of(shell))
    assert there == shell.json("verify", path) == shell.json("verify", "audit")
