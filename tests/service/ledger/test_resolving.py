"""Violations as shown."""

from scoring.base.enums import Attribution, CorrectionKind, IncidentChange
from scoring.entries.entry import Entry
from scoring.entries.kinds.conduct import AttributionStated, IncidentChanged
from scoring.entries.kinds.decisions import EntryCorrected
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, SELLER, ago, violation


def _merged(entry_id: str, incident: str, into: str) -> Entry:
    return Entry(
        entry_id, SELLER, IncidentChanged(IncidentChange.MERGED, into, "staff", "one event", incident=incident)
    )


def _split(entry_id: str, name: str, into: str) -> Entry:
    return Entry(entry_id, SELLER, IncidentChanged(IncidentChange.SPLIT, into, "staff", "another", violation=name))


def _void(entry_id: str, entry: str) -> Entry:
    return Entry(entry_id, "", EntryCorrected(entry, CorrectionKind.VOID, "staff", "a mistake"))


def _moved(entry_id: str, entry: str, to: int) -> Entry:
    return Entry(entry_id, "", EntryCorrected(entry, CorrectionKind.MOVED, "staff", "misread", to))


def incidents(ledger: Ledger) -> dict[str, str]:
    found, _ = ledger.violations.list(MARKET, ledger.cut(), sellers=[SELLER])
    return {view.violation: view.incident for view in found}


def test_a_violation_is_shown_in_its_present_incident(ledger: Ledger) -> None:
    """A violation is shown in the incident it belongs to by now."""
    ledger.append(MARKET, [violation(name, incident=name.upper()) for name in ("a", "b", "c")])
    ledger.append(MARKET, [_merged("m1", "A", "B"), _merged("m2", "B", "C")])
    assert incidents(ledger) == {"a": "C", "b": "C", "c": "C"}
    before = ledger.cut()
    ledger.append(MARKET, [_split("s1", "b", "D")])
    assert incidents(ledger) == {"a": "C", "b": "D", "c": "C"}
    ledger.append(MARKET, [_void("x1", "m2")])
    assert incidents(ledger) == {"a": "B", "b": "D", "c": "C"}
    then, _ = ledger.violations.list(MARKET, before, sellers=[SELLER])
    assert {view.incident for view in then} == {"C"}
    assert "s1" in ledger.violations.find(MARKET, "b", ledger.cut()).entries


def test_whose_goods_they_were_is_shown_beside_the_status(ledger: Ledger) -> None:
    ledger.append(MARKET, [violation("v")])
    assert ledger.violations.find(MARKET, "v", ledger.cut()).attribution is None
    for outcome in Attribution:
        ledger.append(MARKET, [Entry(f"a{outcome}", "", AttributionStated("v", outcome, "staff", "papers"))])
        assert ledger.violations.find(MARKET, "v", ledger.cut()).attribution is outcome
    assert ledger.violations.find(MARKET, "v", ledger.cut()).entries == ("v", "a1", "a2", "a3")


def test_a_violation_is_listed_by_its_corrected_time(ledger: Ledger) -> None:
    """A violation is listed by the time at which it happened as corrected."""
    ledger.append(MARKET, [violation("v", occur_time=ago(20), report_time=ago(19))], imported=True)
    known_time = ledger.cut().known_time
    ledger.append(MARKET, [_moved("c", "v", ago(19))])
    now, then = ledger.cut(observe_time=ago(10)), ledger.cut(observe_time=ago(10), known_time=known_time)
    assert [view.occur_time for view in ledger.violations.list(MARKET, ledger.cut())[0]] == [ago(19)]
    assert [view.occur_time for view in ledger.violations.list(MARKET, now)[0]] == [ago(19)]
    assert [view.occur_time for view in ledger.violations.list(MARKET, then)[0]] == [ago(20)]
