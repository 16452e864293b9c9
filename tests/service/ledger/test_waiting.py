import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from typing import Any

import pytest

from scoring.base.enums import Action, Attribution, ComplaintOutcome, Harm, MeasureKind, MeasureState, PayoutsChange
from scoring.base.errors import SellertrustError
from scoring.base.time import DAY
from scoring.entries.entry import Entry
from scoring.entries.kinds.decisions import MeasureChanged
from scoring.entries.kinds.settlement import ComplaintDecided, ComplaintFiled, PayoutsChanged
from service.ledger.queries import violations
from service.ledger.queries import waiting as lists
from service.ledger.records import Cut
from service.ledger.store import Ledger
from service.review.review_queue import read_queues, review_queue
from tests.helpers.builders import MARKET, Clock, attribution, status, violation
from tests.helpers.limits import Limit
from tests.helpers.plans import listening

STEPS = 60
ACTIONS = (Action.REVIEW, Action.CONFIRM, Action.DISMISS, Action.APPEAL, Action.OVERTURN, Action.WITHDRAW)


def waiting(ledger: Ledger, cut: Cut, now: int) -> list[Any]:
    return [
        *(ledger.violations.list_open(MARKET, cut, 2, is_safety=is_safety) for is_safety in (True, False)),
        ledger.cases.list_open(MARKET, cut, 3),
        *(ledger.cases.count_open(cut, now + days * DAY, [MARKET]) for days in (0, 40)),
        ledger.entries.list_undecided_complaints(MARKET, cut, 3),
        ledger.notifiers.records_of_waiting(MARKET, cut, {"n0", "n1", f"n{cut.sequence % 3}"}),
    ]


def facts(chance: random.Random, number: int) -> Iterator[Entry]:
    seller, old = f"s{chance.randrange(4)}", chance.randrange(number + 1)
    safety = {"violation_type": "unsafe_product", "harm": Harm.LOW} if chance.random() < 0.5 else {}
    measure = MeasureChanged(f"m-{seller}", MeasureKind.MANUAL_REVIEW, MeasureState.IMPOSED, "staff", "because")
    payouts = PayoutsChanged(chance.choice([*PayoutsChange]), "staff", "because")
    outcome = ComplaintDecided(f"k{old}", chance.choice([*ComplaintOutcome]), "other", "looked at")
    yield violation(f"v{number}", seller, **safety, notifier=f"n{number % 3}")
    yield status(f"v{old}", chance.choice(ACTIONS), entry_id=f"d{number}")
    yield attribution(f"v{old}", chance.choice([*Attribution]), f"a{number}")
    yield Entry(f"p{number}", seller, payouts)
    yield Entry(f"m{number}", seller, measure)
    yield Entry(f"k{number}", seller, ComplaintFiled(f"m-{seller}", "wrong"))
    yield Entry(f"kd{number}", seller, outcome)


@pytest.mark.parametrize("seed", range(3))
def test_what_waits_is_as_if_read_anew(ledger: Ledger, clock: Clock, limit: Limit, seed: int) -> None:
    """A ledger that has read before lists the same as a new one, also as of before; it keeps few violations, and fills up."""
    limit(violations, MAX_LISTED=2)
    limit(lists, MAX_CHANGED=3 if seed else 5_000)
    chance, seen = random.Random(seed), []
    kept = Ledger(ledger.database, ledger.clock.server)
    for number in range(STEPS):
        clock.now += chance.randrange(3) * DAY
        for entry in chance.sample([*facts(chance, number)], 4):
            with suppress(SellertrustError):
                kept.append(MARKET, [entry])
        if number == STEPS // 2:
            kept.erase(MARKET, "s1", actor="officer", entry_id="erased")
        if number % 3 == 0:
            at = kept.cut(), kept.clock.now()
            seen.append((at, waiting(kept, *at)))
            for then, _ in seen[-3:]:
                assert waiting(kept, *then) == waiting(Ledger(ledger.database, ledger.clock.server), *then)
    assert all(any(found[part] for _, found in seen) for part in range(7))
    assert len({found[3] for _, found in seen}) > 3


def test_a_queue_that_was_read_is_not_read_whole_again(ledger: Ledger) -> None:
    ledger.append(MARKET, [violation("v1", notifier="n1")])
    with listening() as first:
        read_queues(ledger)
    ledger.append(MARKET, [status("v1", Action.REVIEW), violation("v2", notifier="n1")])
    with listening() as again:
        assert len(review_queue(ledger, MARKET, ledger.cut())[0]) == 2
    whole = {sql for sql, _ in first if "entry.content" in sql}
    assert whole
    assert not whole & {sql for sql, _ in again}


def test_no_marketplace_waits_for_anothers_list(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, limit: Limit) -> None:
    limit(lists, WAIT_SECONDS=60.0)
    other = next(name for name in ("a", "b", "c", "d", "e") if (hash(name) - hash(MARKET)) % lists.LOCKS)
    started, goes_on, make = Event(), Event(), violations._parse_open

    def wait(row: Any) -> Any:
        if row.entry_id == "slow":
            started.set()
            goes_on.wait(60)
        return make(row)

    monkeypatch.setattr(violations, "_parse_open", wait)
    slow = Ledger(ledger.database, ledger.clock.server)
    for marketplace, name in ((MARKET, "slow"), (other, "quick")):
        slow.append(marketplace, [violation(name)])

    def read(marketplace: str) -> list[str]:
        return [one.violation for one in slow.violations.list_open(marketplace, slow.cut(), 2, is_safety=False)]

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(read, MARKET)
        assert started.wait(60)
        try:
            assert pool.submit(read, other).result(10) == ["quick"]
        finally:
            goes_on.set()
        assert first.result() == ["slow"]
