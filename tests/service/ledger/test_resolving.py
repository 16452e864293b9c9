from scoring.base.enums import Attribution
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, SELLER, ago, attribution, correction, merge, split, violation
from tests.helpers.ledgers import find_violation


def incidents(ledger: Ledger) -> dict[str, str]:
    found, _ = ledger.violations.list(MARKET, ledger.cut(), sellers=[SELLER])
    return {view.violation: view.incident for view in found}


def test_a_violation_is_shown_in_its_present_incident(ledger: Ledger) -> None:
    ledger.append(MARKET, [violation(name, incident=name.upper()) for name in ("a", "b", "c")])
    ledger.append(MARKET, [merge("A", "B", "m1"), merge("B", "C", "m2")])
    assert incidents(ledger) == {"a": "C", "b": "C", "c": "C"}
    before = ledger.cut()
    ledger.append(MARKET, [split("b", "D", "s1")])
    assert incidents(ledger) == {"a": "C", "b": "D", "c": "C"}
    ledger.append(MARKET, [correction("m2")])
    assert incidents(ledger) == {"a": "B", "b": "D", "c": "C"}
    then, _ = ledger.violations.list(MARKET, before, sellers=[SELLER])
    assert {view.incident for view in then} == {"C"}
    assert "s1" in find_violation(ledger, "b").entries


def test_whose_goods_they_were_is_shown_beside_the_status(ledger: Ledger) -> None:
    ledger.append(MARKET, [violation("v")])
    assert find_violation(ledger, "v").attribution is None
    for outcome in Attribution:
        ledger.append(MARKET, [attribution("v", outcome, f"a{outcome}")])
        assert find_violation(ledger, "v").attribution is outcome
    assert find_violation(ledger, "v").entries == ("v", "a1", "a2", "a3")


def test_a_violation_is_listed_by_its_corrected_time(ledger: Ledger) -> None:
    ledger.append(MARKET, [violation("v", occur_time=ago(20), report_time=ago(19))], imported=True)
    known_time = ledger.cut().known_time
    ledger.append(MARKET, [correction("v", ago(19))])
    now, then = ledger.cut(observe_time=ago(10)), ledger.cut(observe_time=ago(10), known_time=known_time)
    assert [view.occur_time for view in ledger.violations.list(MARKET, ledger.cut())[0]] == [ago(19)]
    assert [view.occur_time for view in ledger.violations.list(MARKET, now)[0]] == [ago(19)]
    assert [view.occur_time for view in ledger.violations.list(MARKET, then)[0]] == [ago(20)]
