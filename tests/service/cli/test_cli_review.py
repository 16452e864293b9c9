import json

import pytest

from tests.helpers.shells import Shell, days_ago, lines_of

WHY = ("--actor", "staff-7", "--reason", "one text, thirty times")


def complaints(notifier: str, count: int, seller: str) -> str:
    fact = {"violation_type": "not_as_described", "harm": "low", "source": "buyer", "notifier": notifier}
    lines = (
        {"entry_id": f"{notifier}-{n}", "seller": seller, "occur_time": days_ago(20), "violation": fact}
        for n in range(count)
    )
    return "".join(json.dumps(line) + "\n" for line in lines)


@pytest.mark.long
def test_a_ring_is_seen_shown_decided_and_remembered(shell: Shell) -> None:
    shell("ledger", "append", "-", stdin=lines_of("target") + complaints("ring-1", 30, "target"))
    assert len(shell.json("violation", "queue")) == 20
    first = shell.json("violation", "queue", "--limit", 100)[0]
    assert (first["priority"], first["probability_upheld"], first["recent_orders"]) == (0.5, 0.5, 0)
    command = ("violation", "decide-all", "dismiss", *WHY, "--notifier", "ring-1", "--decision-id", "case-5")
    stdout, told = shell(*command, "-o", "json")
    shown = json.loads(stdout)
    assert (shown["count"], shown["alleged"], shown["decided"]) == (30, 30, 0)
    going_on = ("--execute", f"30:{shown['etag']}")
    assert f"nothing was decided; to decide, repeat the command with {' '.join(going_on)}" in told
    assert "SELECTION_CHANGED" in shell(*command, "--execute", f"29:{shown['etag']}", code=4)[1]
    told = shell(*command, "--execute", "30:" + "0" * 16, code=4)[1]
    assert "the etag is of another decision" in told
    assert "goes on" not in told
    told = shell.error(2, *command, "--execute", 30)
    assert "--execute: needs COUNT:ETAG" in told
    assert "goes on" not in told
    for _ in range(2):
        done = shell.json(*command, *going_on)
        assert (done["decided"], done["remaining"]) == (30 - len(shown["held_back"]), 0)
    waiting = shell.json("violation", "queue")
    assert {(row["violation"], row["held_back"]) for row in waiting} == {(name, True) for name in shown["held_back"]}
    record = shell.json("notifier", "ring-1")
    assert (record["reports"], record["dismissed"], record["open"]) == (30, done["decided"], len(waiting))
    assert record["low"] < record["reliability"] < record["high"] < record["prior"] == 0.5
    assert shell.json("notifier") == [record]
    missing = shell.error(3, "notifier", "nobody")
    assert "NOTIFIER_NOT_FOUND" in missing
    assert "next:  list the notifiers: sellertrust notifier" in missing


@pytest.mark.long
def test_wrong_conditions_are_2_and_named(shell: Shell) -> None:
    assert "violation_types" in shell.error(2, "violation", "decide-all", "dismiss", *WHY)
    wrong = ("violation", "decide-all", "dismiss", *WHY, "--seller", "target", "--status", "odd")
    assert "'odd' is unknown. Use alleged" in shell.error(2, *wrong)
    everything = ("violation", "decide-all", "dismiss", *WHY)
    assert "nothing is selected" in shell(*everything, "--seller", "nobody")[1]
    assert "decide anything else one by one" in shell.error(
        2, "violation", "decide-all", "appeal", *WHY, "--seller", "target"
    )


@pytest.mark.long
def test_a_table_is_for_people(shell: Shell) -> None:
    shell("ledger", "append", "-", stdin=complaints("ring-2", 1, "another"))
    for command in (("notifier",), ("notifier", "ring-2"), ("violation", "queue")):
        assert "ring-2" in shell(*command)[0]
    assert shell("notifier", "--marketplace", "empty") == ("", "nothing found\n")


@pytest.mark.long
def test_a_violation_is_shown_with_report_and_decisions(shell: Shell) -> None:
    report = complaints("shown", 1, "stated").replace(
        '"violation": {', '"violation": {"listing": "l-7", "right": "r-8", '
    )
    shell("ledger", "append", "-", stdin=report)
    name = json.loads(report)["entry_id"]
    shell("violation", "decide", name, "confirm", "--actor", "reviewer", "--reason", "test buy: fake", "--units", 3)
    shown = shell.json("violation", "show", name)
    assert (shown["listing"], shown["right"]) == ("l-7", "r-8")
    [decision] = shown["decisions"]
    assert (decision["action"], decision["actor"], decision["reason"]) == ("confirm", "reviewer", "test buy: fake")
    assert int(decision["units"]) == 3
    assert (
        f"{decision['record_time']} confirm by reviewer: test buy: fake, units 3" in shell("violation", "show", name)[0]
    )


@pytest.mark.long
def test_a_list_that_was_cut_says_so(shell: Shell) -> None:
    shell("ledger", "append", "-", stdin=complaints("cut", 3, "cutter"))
    for command in (("violation", "list"), ("ledger", "list")):
        assert "there are more than 2; show more with --limit" in shell(*command, "--seller", "cutter", "--limit", 2)[1]
        assert "there are more" not in shell(*command, "--seller", "cutter", "--limit", 3)[1]
    assert "there are more than 1" in shell("violation", "queue", "--limit", 1)[1]


@pytest.mark.long
def test_the_queue_counts_undecided_complaints(shell: Shell) -> None:
    said = ("actor=a-1", "reason=so")
    shell(
        "ledger", "append", "measure", "seller=c-1", "measure=m-1", "measure_kind=manual_review", "state=imposed", *said
    )
    shell("ledger", "append", "complaint", "seller=c-1", "measure=m-1", "reason=why")
    assert "1 complaint to be decided" in shell("violation", "queue")[1]


@pytest.mark.long
def test_a_decision_that_waits_for_its_report_says_so(shell: Shell) -> None:
    decision = {"violation": "not-yet", "action": "confirm", "actor": "court", "reason": "judgment"}
    _, told = shell("ledger", "append", "-", stdin=json.dumps({"entry_id": "w", "seller": "x", "status": decision}))
    assert (
        "1 decision about violations that are not on record: kept, without effect until the report is on record: w"
        in told
    )


@pytest.mark.long
def test_an_exposure_is_listed_by_its_day_and_nothing_in_1970(shell: Shell) -> None:
    shell("ledger", "append", "-", stdin=lines_of("dated"))
    assert "1970-" not in shell("ledger", "list", "--seller", "dated")[0]
    row = next(line for line in shell("ledger", "list", "--seller", "dated")[0].splitlines() if "exposure" in line)
    _, exposure = map(json.loads, shell("ledger", "list", "--seller", "dated", "-o", "json")[0].splitlines())
    assert row.count(exposure["exposure"]["day"]) == 2


def test_without_a_model_an_explanation_says_so_and_what_to_do(shell: Shell) -> None:
    shell("ledger", "append", "-", stdin=lines_of("unscored"))
    text, _ = shell("score", "unscored", "--explain")
    assert "NO_MODEL" in text
    for said in (text, shell("score", "unscored")[1]):
        assert "The server has no model, so there are no points. Train one: sellertrust train STUDY." in said
