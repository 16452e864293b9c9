from __future__ import annotations

import ast
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

import training.market
from training.market.files import write_market
from training.market.simulate import CONFIRM, FRAMES, Market, simulate
from training.market.tables import BAD_FAITH, PARAMETERS, column

START = date(2024, 11, 24)
DAYS = 730


@pytest.fixture(scope="module")
def market() -> Market:
    return simulate(5_000, DAYS, START, seed=7)


def status_at(market: Market, day: int) -> NDArray[np.int64]:
    """Return the last action on each violation decided before `day`, or -1; a final verified one is CONFIRM."""
    arrived = market.violations["final"].to_numpy() & market.violations["identifier_verified"].to_numpy()
    status = np.where(arrived, CONFIRM, -1).astype(np.int64)
    known = market.decisions.filter(pl.col("day") < day)
    status[known["violation"].to_numpy()] = known["action"].to_numpy()
    return status


def equal(one: Market, other: Market) -> bool:
    return all(getattr(one, name).equals(getattr(other, name)) for name in FRAMES)


def test_a_seed_gives_the_same_market_and_another_another() -> None:
    first = simulate(300, 200, START, seed=1)

    assert equal(first, simulate(300, 200, START, seed=1))
    assert not first.exposure.equals(simulate(300, 200, START, seed=2).exposure)


def test_the_first_sellers_do_not_depend_on_how_many_follow() -> None:
    whole, fewer = simulate(777, 200, START, seed=3), simulate(333, 200, START, seed=3)

    assert fewer.identity.height == 333
    first = pl.col("seller") < 333
    for name in ("identity", "truth", "exposure", "violations"):
        assert getattr(fewer, name).equals(getattr(whole, name).filter(first))
    assert fewer.decisions.equals(whole.decisions.filter(pl.col("violation") < fewer.violations.height))
    with pytest.raises(ValueError, match="at least one"):
        simulate(0, 100, START, seed=1)


def test_final_verified_acts_alone_need_no_decision(market: Market) -> None:
    violations = market.violations.with_row_index("violation").cast({"violation": pl.Int64})
    arrived = violations.filter(pl.col("final") & pl.col("identifier_verified"))

    assert arrived.height > 500
    assert violations.height - arrived.height == market.decisions["violation"].n_unique()
    assert arrived.join(market.decisions, on="violation", how="semi").height == 0
    assert (status_at(market, 0)[arrived["violation"].to_numpy()] == CONFIRM).all()
    assert not arrived["bad_faith"].any()


def test_an_echo_shares_incident_harm_and_fate(market: Market) -> None:
    rows = market.violations.with_columns(status=pl.Series(status_at(market, 100_000)))
    echoes = rows.filter("echo").join(rows.filter(~pl.col("echo")), on=["seller", "incident"], suffix="_first")

    assert echoes.height == rows["echo"].sum() > 200
    assert (echoes["incident"] == echoes["number_first"]).all()
    for same in ("harm", "status", "occur_day", "listing"):
        assert (echoes[same] == echoes[f"{same}_first"]).all()
    assert (echoes["number"] > echoes["number_first"]).all(), "numbers follow the reports"
    for day in (200, 400, 600):
        first = pl.Series(status_at(market, day))
        known = rows.with_columns(then=first).filter(pl.col("report_day") < day)
        pairs = known.filter("echo").join(known, left_on=["seller", "incident"], right_on=["seller", "number"])
        decided = pairs.filter(pl.col("then") == CONFIRM)
        assert (decided["then_right"] == CONFIRM).all(), "no echo is confirmed before its primary"


def test_files_hold_what_was_known_at_the_end_and_no_more(tmp_path: Path) -> None:
    market = simulate(600, 400, START, seed=4)
    write_market(market, tmp_path)
    tables = {
        name: pl.read_csv(tmp_path / f"{name}.csv.gz") for name in ("violations", "decisions", "exposure", "identity")
    }
    violations, decisions = tables["violations"], tables["decisions"]

    assert violations.height == (market.violations["report_day"] < 400).sum() < market.violations.height
    assert violations["violation_id"].is_unique().all()
    assert decisions["decision_id"].is_unique().all()
    assert decisions.join(violations, on="violation_id", how="anti").is_empty()
    end = "2025-12-29T00:00:00Z"
    assert (violations["reported_at"] < end).all()
    assert (decisions["decided_at"] < end).all()
    assert (violations["occurred_at"] < violations["reported_at"]).all()
    cases = decisions.join(violations, on="violation_id")
    assert (cases["decided_at"] > cases["reported_at"]).all()
    assert (cases["seller_id"] == cases["seller_id_right"]).all()
    assert set(decisions["action"]) == {"confirm", "dismiss", "withdraw", "overturn"}
    assert tables["exposure"].height == market.exposure.height
    assert tables["exposure"]["value_minor"].sum() == market.exposure["value_minor"].sum()
    assert tables["identity"]["seller_id"].to_list() == [f"s-{n:06d}" for n in range(600)]
    ids = [violations[name] for name in ("violation_id", "incident_id", "notifier", "listing", "seller_id")]
    for texts in (*ids, decisions["decision_id"], decisions["actor"], decisions["reason"]):
        assert texts.str.contains(r"^[A-Za-z0-9._~:-]{1,128}$").all()


def test_files_are_the_same_bytes_again(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    write_market(simulate(600, 200, START, seed=4), one)
    write_market(simulate(600, 200, START, seed=4), two)

    for name in ("violations", "decisions", "exposure", "identity"):
        file = f"{name}.csv.gz"
        assert (one / file).read_bytes() == (two / file).read_bytes()
        assert (one / file).read_bytes()[4:8] == bytes(4), "no time of writing in the header"


def test_the_shares_of_the_market_add_up() -> None:
    types, classes = PARAMETERS["types"], PARAMETERS["classes"]
    shares = [
        column("classes", "share_veteran"),
        column("classes", "share_newcomer"),
        PARAMETERS["countries"].values(),
        [BAD_FAITH[f"{fate}_share"] for fate in ("dismissed", "withdrawn", "confirmed")],
        BAD_FAITH["types"].values(),
        BAD_FAITH["harm"],
        *(row[name] for row in classes for name in ("types", "levels")),
        *(part for row in types for part in (row["harm"], row["sources"].values())),
        *(row.values() for row in BAD_FAITH["sources"].values()),
    ]
    assert [sum(part) for part in shares] == pytest.approx([1.0] * len(shares))
    authorities = {row["name"] for row in PARAMETERS["sources"] if row["final_share"] > 0}
    assert not authorities & {source for row in BAD_FAITH["sources"].values() for source in row}, (
        "a final act is in good faith"
    )
    assert {echo["source"] for echo in PARAMETERS["echoes"]} <= authorities, "only acts of authorities have echoes"


def test_the_market_shares_no_code_with_the_score() -> None:
    """Features from the simulation's own code would prove nothing."""
    allowed = {
        "__future__",
        "collections",
        "dataclasses",
        "datetime",
        "gzip",
        "math",
        "pathlib",
        "tomllib",
    }
    for path in Path(training.market.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                own = name.startswith("training.market.")
                assert own or name.split(".")[0] in allowed | {"numpy", "polars", "typing"}, f"{path}: {name}"
