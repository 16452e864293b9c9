"""What the ledger has on record of runs: a case for each seller, from the first order not kept to the stop."""

from scoring.certificate.contradictions import RunCase
from scoring.entries.entry import Entry
from scoring.entries.kinds.settlement import PayoutsChanged
from scoring.enums import Action, PayoutsChange
from service.ledger.store import Ledger
from tests.builders import MARKET, TODAY, status
from tests.service.runs import run_of


def test_a_run_is_from_the_first_order_that_was_not_kept_until_payouts_were_stopped(ledger: Ledger) -> None:
    """Of other types, or overturned, is none; who was not stopped, or whose payouts were resumed, still runs."""
    run_of(ledger, "caught", TODAY - 20, TODAY - 12, name="first")
    run_of(ledger, "caught", TODAY - 18, TODAY - 5, "orders_not_kept")
    run_of(ledger, "running", TODAY - 9, None)
    run_of(ledger, "resumed", TODAY - 8, TODAY - 6)
    ledger.append(MARKET, [Entry("on", "resumed", PayoutsChanged(PayoutsChange.RESUMED, "staff-1", "a mistake"))])
    run_of(ledger, "seller-of-fakes", TODAY - 9, TODAY - 8, "counterfeit_goods")
    name = run_of(ledger, "cleared", TODAY - 9, TODAY - 8)
    ledger.append(MARKET, [status(name, Action.OVERTURN)])
    seen = ledger.seen_runs(ledger.cut())
    assert set(seen.cases) == {
        RunCase(TODAY - 20, TODAY - 12),
        RunCase(TODAY - 9, None),
        RunCase(TODAY - 8, None),
    }
    assert (seen.confirmed, seen.overturned, seen.today) == (4, 1, TODAY)
