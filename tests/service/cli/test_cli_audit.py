import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.servers import running_server
from tests.helpers.shells import Shell, bare_shell, days_ago, lines_of

pytestmark = pytest.mark.long

SELLERS = ("s-1", "s-2", "s-3")
SEED = "lottery of 3 May: 4 8 15 16 23 42"


@pytest.fixture
def market(tmp_path: Path) -> Iterator[tuple[Shell, Path]]:
    with running_server(tmp_path) as running:
        shell = bare_shell(tmp_path)
        shell.environment |= {"SELLERTRUST_TARGET": running.address}
        for seller in SELLERS:
            shell("ledger", "append", "-", stdin=lines_of(seller))
        listings = tmp_path / "listings.csv"
        rows = [f"l-{n:02},{SELLERS[n % 3]},{('toys', 'shoes')[n % 2]},{n},{n * 100}" for n in range(60)]
        listings.write_text("\n".join(["listing,seller,category,units,value_minor", *rows]) + "\n")
        yield shell, listings


def drawn_plan(shell: Shell, listings: Path, budget: int = 20) -> tuple[Path, list[dict[str, str]]]:
    shell("audit", "plan", listings, "--budget", budget)
    frame = listings.with_name("listings.frame.csv")
    return frame, shell.json("audit", "plan", frame, "--budget", budget, "--seed", SEED)


def inspection(one: dict[str, str], result: str, **changes: object) -> str:
    fields = {
        "result": result,
        "method": "test_buy",
        "source": "random_audit",
        "listing": one["listing"],
        "selection_probability_ppm": one["selection_probability_ppm"],
        "attributes": {"audit_plan": one["audit_plan"]},
    } | changes
    entry = {"entry_id": f"t-{fields['listing']}", "seller": one["seller"], "occur_time": days_ago(1)}
    return json.dumps(entry | {"inspection": fields}) + "\n"


def test_a_share_of_fakes_that_anybody_can_check(market: tuple[Shell, Path], tmp_path: Path) -> None:
    shell, listings = market
    frame, drawn = drawn_plan(shell, listings)
    assert len(drawn) == 20
    lines = [inspection(one, "failed" if n < 5 else "passed") for n, one in enumerate(drawn[:-1])]
    shell("ledger", "append", "-", stdin="".join(lines))
    shares = shell.json("audit", "estimate", frame)
    whole = next(share for share in shares if (share["category"], share["by"]) == ("all", "listings"))
    assert (whole["tested"], whole["fakes"]) == (19, 5)
    assert 0.1 < whole["low"] < whole["value"] < whole["high"] < 0.6

    estimate = tmp_path / "listings.frame.estimate.json"
    signed = json.loads(estimate.read_text())
    key = signed["public_key"]
    assert "the results give these shares" in shell("verify", estimate, "--public-key", key)[1]
    assert signed["document"]["missing"] == [drawn[-1]["listing"]]

    other = tmp_path / "other.csv"
    other.write_text(frame.read_text().replace("l-00", "l-99"))
    of_other = Path(shutil.copy(estimate, tmp_path / "other.estimate.json"))
    assert "the frame has the digest" in shell.error(4, "verify", of_other, "--public-key", key)
    alone = Path(shutil.copy(estimate, tmp_path / "alone.estimate.json"))
    assert "beside its frame" in shell.error(2, "verify", alone, "--public-key", key)

    for part in ("low", "fakes"):
        signed["document"]["shares"][0][part] -= 0.01 if part == "low" else 1
        estimate.write_text(json.dumps(signed))
        assert "damaged, or was not signed" in shell.error(4, "verify", estimate, "--public-key", key)
    assert "was not signed" in shell.error(4, "verify", estimate, "--public-key", "00" * 32)


def test_results_must_be_of_the_plan(market: tuple[Shell, Path]) -> None:
    shell, listings = market
    frame, drawn = drawn_plan(shell, listings)
    assert "no result on record" in shell.error(2, "audit", "estimate", frame)
    not_drawn = next(f"l-{n:02}" for n in range(60) if f"l-{n:02}" not in {one["listing"] for one in drawn})
    wrong = [
        inspection(drawn[0], "passed", selection_probability_ppm=5),
        inspection(drawn[1], "passed", listing=not_drawn),
        inspection(drawn[2], "failed"),
        inspection(drawn[2], "passed").replace("t-", "again-"),
        inspection(drawn[3], "failed", attributes={"audit_plan": "0" * 16}),
    ]
    shell("ledger", "append", "-", stdin="".join(wrong))
    said = shell.error(2, "audit", "estimate", frame)
    assert f"must state selection_probability_ppm {drawn[0]['selection_probability_ppm']}" in said
    assert f"listing '{not_drawn}'" in said
    assert f"contradicts another of listing '{drawn[2]['listing']}'" in said
    voids = [f"t-{drawn[0]['listing']}", f"t-{not_drawn}", f"again-{drawn[2]['listing']}"]
    for entry in voids:
        fields = (f"entry_id=v-{entry}", f"entry={entry}", "correction=void", "actor=a-1", "reason=wrong")
        shell("ledger", "append", "correction", *fields)
    (whole, *_) = shell.json("audit", "estimate", frame)
    assert (whole["tested"], whole["fakes"]) == (1, 1)
    assert whole["low"] < 0.3
    assert whole["high"] == 1


def test_a_wrong_frame_or_budget_is_refused(market: tuple[Shell, Path], tmp_path: Path) -> None:
    shell, listings = market
    frame, _ = drawn_plan(shell, listings)
    assert "from 1 to 60" in shell.error(2, "audit", "plan", frame, "--budget", 61, "--seed", "x")
    assert "without --seed first" in shell.error(2, "audit", "plan", listings, "--budget", 1, "--seed", "x")
    changed = tmp_path / "other.csv"
    changed.write_text(frame.read_text().replace("l-00", "l-99"))
    shutil.copy(tmp_path / "listings.frame.plan.json", tmp_path / "other.plan.json")
    assert "the plan was drawn from" in shell.error(2, "audit", "estimate", changed)
    for line, said in (
        ("listing,seller,price", "'price' is no column"),
        ("listing,listing,seller", "names listing twice"),
        ("listing", "lacks the column seller"),
        ("listing,seller", "holds no listing"),
        ("listing,seller,expected\nl-1,s-1,1.5", "line 2, expected: must be a number from 0 to 1"),
        ("listing,seller,expected,units\nl-1,s-1,0,x", "line 2, units: must be a whole number"),
        ("listing,seller,expected\nl 1,s-1,0", "is no id"),
        ("listing,seller,expected\nl-1,s-1,0\nl-1,s-1,0", "states 'l-1' twice"),
        ("listing,seller,expected\nl-1,s-1", "line 2: has 2 cells"),
        ("listing,seller,expected\n\nl-1,s-1,1.5", "line 3, expected: must be a number from 0 to 1"),
        ("listing,seller,\udcff", "save the file as UTF-8 and run the command again"),
    ):
        changed.write_text(line + "\n", errors="surrogateescape")
        assert said in shell.error(2, "audit", "plan", changed, "--budget", 1, "--seed", "x")
