import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.base.enums import Kind
from scoring.base.time import DAY
from scoring.features.columns import FactRow, FactTable, columns_of, tabulate
from scoring.features.facts import resolve
from scoring.features.fold import Folder
from scoring.features.resolved import resolve_sellers
from scoring.features.table import matrix
from scoring.features.validity import hold_until
from tests.helpers.histories import TIMES, files
from tests.helpers.worlds import ALL_FEATURES, CONSTANTS, numbered

pytestmark = pytest.mark.long

FOLDER = Folder(CONSTANTS)
VIEWS = 16
BY_CASE = (
    *("observe_day", "start_day", "first_fact_day", "exists", "allegations"),
    *("override", "override_row", "override_until"),
)


def apart(rows: list[FactRow], names: list[str]) -> FactTable:
    sold = [
        (r.seller, r.report_time, r.exposure_day, r.product_category, r.revision, r.settled_orders, r.service_failures)
        for r in rows
        if r.kind == Kind.EXPOSURE
    ]
    return tabulate([row for row in rows if row.kind != Kind.EXPOSURE], names, sold)


@settings(max_examples=150, deadline=None)
@given(st.lists(files(), min_size=1, max_size=3), TIMES)
def test_exposure_that_is_read_apart_is_seen_as_among_the_others(stated: list[list[FactRow]], now: int) -> None:
    names = [f"s{n}" for n in range(len(stated))]
    rows = [row._replace(seller=name) for name, file in zip(names, stated, strict=True) for row in numbered(file)]
    sales = {(row.seller, row.entry_id) for row in rows if row.kind == Kind.EXPOSURE}
    rows = [row for row in rows if row.kind != Kind.CORRECTION or (row.seller, row.target) not in sales]
    today = now // DAY * DAY
    times = [now, *(today - k * DAY for k in range(VIEWS - 2)), now]
    found = []
    for table in (tabulate(rows, names), apart(rows, names)):
        known = resolve_sellers(names, table, now)
        views = known.view(times[1:-1])
        until = hold_until(known.columns, views.facts, now, table.sales)
        found.append((matrix(FOLDER.fold_views(views), ALL_FEATURES).tobytes(), until.tolist()))
        assert len(table) == len(rows)
    assert found[0] == found[1]


@settings(max_examples=150, deadline=None)
@given(st.lists(files(), min_size=1, max_size=3), TIMES)
def test_views_at_once_are_what_each_sees_by_itself(stated: list[list[FactRow]], now: int) -> None:
    names = [f"s{n}" for n in range(len(stated))]
    rows = [row._replace(seller=name) for name, file in zip(names, stated, strict=True) for row in numbered(file)]
    columns = columns_of(rows, names)
    today = now // DAY * DAY
    times = [now, *(today - k * DAY for k in range(VIEWS - 2)), now]
    views = resolve_sellers(names, tabulate(rows, names), now).view(times[1:-1])
    together = matrix(FOLDER.fold_views(views), ALL_FEATURES).reshape(VIEWS, len(names), -1)
    for k, time in enumerate(times):
        upheld = np.full(len(names), k == VIEWS - 1)
        alone = resolve(columns, np.full(len(names), time), reported_before=now, upheld=upheld)
        assert matrix(FOLDER.fold(alone), ALL_FEATURES).tobytes() == together[k].tobytes()
        assert alone.identity_row.tolist() == views.identity_row[k].tolist()
        if k == 0:
            first = views.facts
            assert [getattr(alone, name).tolist() for name in BY_CASE] == [
                getattr(first, name).tolist() for name in BY_CASE
            ]
            assert FOLDER.effective_size_terms(alone, len(names))[0].tolist() == (
                FOLDER.effective_size_terms(first, len(names))[0].tolist()
            )
