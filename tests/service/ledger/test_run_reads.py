from scoring.base.enums import Action, MeasureKind, MeasureState, PayoutsChange
from scoring.entries.entry import Entry
from scoring.entries.kinds.decisions import MeasureChanged
from scoring.entries.kinds.settlement import PayoutsChanged
from scoring.loss_certificate.contradictions import RunCase
from scoring.measures.record import name_measure
from scoring.policy.measures import SettlementHold
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, TODAY, status
from tests.helpers.runs import run_of


def test_a_run_lasts_until_payouts_were_stopped(ledger: Ledger) -> None:
    run_of(ledger, "caught", TODAY - 20, TODAY - 12, name="first")
    run_of(ledger, "caught", TODAY - 18, TODAY - 5, "orders_not_kept")
    run_of(ledger, "running", TODAY - 9, None)
    run_of(ledger, "resumed", TODAY - 8, TODAY - 6)
    ledger.append(MARKET, [Entry("on", "resumed", PayoutsChanged(PayoutsChange.RESUMED, "staff-1", "a mistake"))])
    run_of(ledger, "seller-of-fakes", TODAY - 9, TODAY - 8, "counterfeit_goods")
    name = run_of(ledger, "cleared", TODAY - 9, TODAY - 8)
    ledger.append(MARKET, [status(name, Action.OVERTURN)])
    seen = ledger.runs.find_seen(ledger.cut())
    assert set(seen.cases) == {
        RunCase(TODAY - 20, TODAY - 12),
        RunCase(TODAY - 9, None),
        RunCase(TODAY - 8, None),
    }
    assert (seen.confirmed, seen.overturned, seen.today) == (4, 1, TODAY)


def test_lifts_of_cautions_and_of_unknown_names_are_read(ledger: Ledger) -> None:
    of_rule, of_caution = (name_measure("s1", rule, SettlementHold(7)) for rule in ("hold", "caution~jump"))
    lifts = [
        Entry(f"l{number}", "s1", MeasureChanged(name, MeasureKind.SETTLEMENT_HOLD, MeasureState.LIFTED, "staff", "so"))
        for number, name in enumerate((of_rule, of_caution, "rule~x", "rule~a~b~c"))
    ]
    ledger.append(MARKET, lifts)
    [granted] = ledger.runs.find_granted(ledger.cut()).sellers
    assert granted.lifted == {(rule, MeasureKind.SETTLEMENT_HOLD) for rule in ("hold", "caution~jump")}
