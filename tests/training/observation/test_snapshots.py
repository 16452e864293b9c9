from collections.abc import Sequence

import numpy as np
import pytest

from scoring.base.arrays import split_sizes
from tests.helpers.limits import Limit
from tests.helpers.training_ledgers import exported, market_ledger, restated
from training.observation import snapshots
from training.observation.export import LedgerTable
from training.observation.snapshots import Snapshot, observe
from training.study.definition import Study


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> LedgerTable:
    folder = tmp_path_factory.mktemp("market")
    with market_ledger(folder, 200) as ledger:
        return exported(ledger, "demo", folder)


def assert_same(found: Snapshot, wanted: Snapshot) -> None:
    for name in Snapshot.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), err_msg=name)


@pytest.mark.long
@pytest.mark.parametrize("left", ["keep", "exclude"])
@pytest.mark.parametrize("most", [1, 700, 5_000])
def test_sellers_observed_in_parts_give_the_same_rows(
    table: LedgerTable, study: Study, limit: Limit, most: int, left: str
) -> None:
    study = restated(study, eligible={"left": left})
    point = study.find_points(table.end_day)[0][0]
    whole = observe(table, study, point)
    assert len(whole.rows.bad) > 100
    limit(snapshots, PART_ENTRIES=most)
    found = observe(table, study, point)
    assert found.exclusions == whole.exclusions
    assert_same(found.rows, whole.rows)


@pytest.mark.parametrize(
    ("sizes", "most", "wanted"),
    [
        ([2, 3, 4], 5, [(0, 2), (2, 3)]),
        ([9, 1, 1], 5, [(0, 1), (1, 3)]),
        ([0, 0, 0, 0], 3, [(0, 3), (3, 4)]),
        ([], 5, []),
    ],
)
def test_runs_hold_no_more_than_they_may(sizes: Sequence[int], most: int, wanted: list[tuple[int, int]]) -> None:
    found = split_sizes(np.array(sizes, dtype=np.int64), most)
    assert [(run.start, run.stop) for run in found] == wanted
