from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from scoring.base.errors import SellertrustError
from scoring.base.time import DAY
from scoring.entries.entry import Entry
from scoring.features.columns import FactRow, columns_of
from scoring.features.facts import resolve
from service.contract.entries import entry_message
from service.ledger.records import Cut
from service.ledger.store import Ledger
from tests.helpers.answers import fact_rows
from tests.helpers.builders import MARKET, NOW
from tests.helpers.ledger_histories import SELLERS, STEP, Steps, empty, entries_of
from tests.helpers.ledgers import verify
from tests.helpers.listed_facts import rows_of


def facts(ledger: Ledger, sequence: int | None = None) -> list[list[int]]:
    return facts_of(fact_rows(ledger, *SELLERS, cut=Cut(NOW + DAY, 0, sequence or ledger.last()[0])))


def facts_read_again(ledger: Ledger) -> list[list[int]]:
    listed = {s: ledger.entries.list(MARKET, ledger.cut(), sellers=[s], limit=1_000) for s in SELLERS}
    messages = {seller: [entry_message(MARKET, one) for one in found] for seller, found in listed.items()}
    return facts_of([row for seller in SELLERS for row in rows_of(MARKET, seller, messages[seller])])


def facts_of(rows: Sequence[FactRow]) -> list[list[int]]:
    shown = []
    for upheld in (False, True):
        found = resolve(columns_of(rows, SELLERS), np.full(2, NOW + DAY), upheld=np.full(2, upheld))
        one, incidents = found.violations, found.violations.incident.tolist()
        shown += [one.case.tolist(), one.day.tolist(), one.severity.tolist(), [incidents.index(i) for i in incidents]]
        shown.append(found.allegations.tolist())
    return shown


def views(ledger: Ledger) -> list[Any]:
    found, _ = ledger.violations.list(MARKET, ledger.cut(), limit=1_000)
    return sorted((v.violation, v.seller, v.incident, v.severity, v.status, v.attribution, v.occur_time) for v in found)


@pytest.mark.long
@settings(max_examples=60, deadline=None, derandomize=True, phases=[Phase.generate])
@given(st.lists(st.tuples(STEP, st.integers(1, 20)), min_size=4, max_size=14))
def test_a_batch_leaves_what_its_entries_leave(steps: Steps) -> None:
    with empty() as alone, empty() as together:
        accepted, stamps = list[Entry](), list[tuple[int, Any]]()
        for entry in entries_of(steps):
            with suppress(SellertrustError):
                alone.append(MARKET, [entry], imported=True)
                accepted.append(entry)
                stamps.append((alone.last()[0], facts(alone)))
        if accepted:
            together.append(MARKET, accepted, imported=True)
        assert (facts(alone), views(alone)) == (facts(together), views(together))
        assert facts_read_again(alone) == facts(alone)
        last = alone.last()
        for entry in accepted:
            assert alone.append(MARKET, [entry], imported=True)[0].already_present
        assert alone.last() == last
        assert [facts(alone, sequence) for sequence, _ in stamps] == [then for _, then in stamps]
        assert verify(alone, alone.seals.last()).faults == ()
