import pytest

from scoring.base.enums import Action, Severity, Status
from scoring.base.errors import LifecycleForbids
from service.ledger.store import Ledger
from tests.helpers.answers import fact_rows
from tests.helpers.builders import MARKET, confirmed, status, violation
from tests.helpers.ledgers import find_violation


def test_a_final_act_of_an_authority_is_confirmed_on_arrival(ledger: Ledger) -> None:
    ledger.append(MARKET, [confirmed("v1"), violation("v2")])
    assert find_violation(ledger, "v1").status is Status.CONFIRMED
    assert find_violation(ledger, "v2").status is Status.ALLEGED
    with pytest.raises(LifecycleForbids):
        ledger.append(MARKET, [status("v1", Action.CONFIRM)])


def test_a_reduction_leaves_less_than_the_present_severity(ledger: Ledger) -> None:
    ledger.append(MARKET, [confirmed("v1")])
    for severity in (Severity.CRITICAL, Severity.MAJOR):
        with pytest.raises(LifecycleForbids, match=r"entries\[0\]\.status\.severity: .* major") as caught:
            ledger.append(MARKET, [status(action=Action.REDUCE, severity=severity)])
        assert caught.value.metadata == {"status": "CONFIRMED", "allowed": "appeal, reduce, overturn"}
    ledger.append(MARKET, [status("v1", Action.REDUCE, "r1", severity=Severity.MODERATE)])
    with pytest.raises(LifecycleForbids, match="moderate"):
        ledger.append(MARKET, [status("v1", Action.REDUCE, "r2", severity=Severity.MODERATE)])
    ledger.append(MARKET, [status("v1", Action.APPEAL), status("v1", Action.CONFIRM)])
    assert (find_violation(ledger).status, find_violation(ledger).severity) == (Status.CONFIRMED, Severity.MODERATE)
    with pytest.raises(LifecycleForbids, match=r"entries\[1\]\.status\.severity: .* minor"):
        ledger.append(
            MARKET,
            [
                status("v1", Action.REDUCE, "r3", severity=Severity.MINOR),
                status("v1", Action.REDUCE, "r4", severity=Severity.MINOR),
            ],
        )


def test_a_status_entry_says_what_it_leads_to(ledger: Ledger) -> None:
    ledger.append(MARKET, [confirmed("v1"), status("v1", Action.REDUCE, severity=Severity.MINOR)])
    ledger.append(MARKET, [status("v1", Action.APPEAL)])
    rows = fact_rows(ledger, "s1")
    assert [(row.violation, row.status, row.severity) for row in rows] == [
        ("v1", Status.CONFIRMED, Severity.MAJOR),
        ("v1", Status.REDUCED, Severity.MINOR),
        ("v1", Status.APPEALED, None),
    ]


def test_violations_of_one_batch_do_not_mix(ledger: Ledger) -> None:
    ledger.append(MARKET, [violation("v1"), confirmed("v2"), status("v1", Action.DISMISS), status("v2", Action.APPEAL)])
    assert (find_violation(ledger, "v1").status, find_violation(ledger, "v2").status) == (
        Status.DISMISSED,
        Status.APPEALED,
    )
