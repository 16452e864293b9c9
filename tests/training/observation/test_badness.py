from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scoring.base.enums import Harm
from scoring.base.errors import ConfigurationWrong
from scoring.base.time import DAY
from scoring.entries.entry import Entry
from tests.helpers.builders import exposure
from tests.helpers.training_ledgers import restated, table_of
from tests.training.observation.test_labels import END, OBSERVE, TRUTH, breach, standing
from training.observation.badness import market_cut, required_count
from training.observation.snapshots import EligibleRows, observe
from training.study.definition import BadRule, Study

MINOR = (BadRule(),)


@pytest.fixture(scope="module")
def asked(study: Study) -> Study:
    return restated(study, exposure={"reference_orders": None}, bad={"rules": MINOR, "suspended": False})


def seen(folder: Path, study: Study, *entries: Entry) -> EligibleRows:
    return observe(table_of(folder, entries), study, study.point_at(OBSERVE))


def sold(seller: str, orders: int, day: int = END - 5, **counts: int) -> Entry:
    return exposure(day, seller, settled_orders=orders, **counts)


def incidents(number: int, **fields: object) -> list[Entry]:
    return [breach(f"v{n}", (OBSERVE + 10 + n) * DAY, incident=f"i{n}", **fields) for n in range(number)]


@pytest.mark.long
@pytest.mark.parametrize(("orders", "bad"), [(16, False), (15, True), (14, True)])
def test_a_share_of_the_orders_makes_bad(tmp_path: Path, asked: Study, orders: int, bad: bool) -> None:
    how = restated(asked, bad={"share": 0.2})
    rows = seen(tmp_path / "a", how, *standing("s", orders=orders), *incidents(3)).rows
    assert rows.bad.tolist() == [float(bad)]
    assert not seen(tmp_path / "b", how, *standing("s", orders=10), *incidents(1)).rows.bad.any()


@pytest.mark.long
def test_a_seller_is_bad_from_the_day_on_which_it_had_enough(tmp_path: Path, asked: Study) -> None:
    how = restated(asked, bad={"share": 0.2}, eligible={"left": "exclude", "least_share": 0.9})
    early = sold("s", 15, OBSERVE + 1)
    assert seen(tmp_path / "a", how, early, *standing("s", orders=0)[:1], *incidents(3)).rows.bad.tolist() == [1.0]
    found = seen(tmp_path / "b", how, early, *standing("s", orders=0)[:1], *incidents(2))
    assert (found.exclusions["left"], found.rows.with_known_outcome().bad.tolist()) == (1, [])


@pytest.mark.parametrize(
    ("failed", "later", "bad"), [(3, None, True), (2, None, False), (3, 2, False), (2, 3, False)], ids=str
)
def test_service_failures_make_bad_as_known_at_the_maturity(
    tmp_path: Path, asked: Study, failed: int, later: int | None, bad: bool
) -> None:
    how = restated(asked, bad={"rules": (), "count": "service_failures", "share": 0.2})
    entries = [standing("s")[0], sold("s", 15, late=failed)]
    if later is not None:
        fields = {"revision": 1, "late": later}
        entries.append(exposure(END - 5, "s", settled_orders=15, report_time=(TRUTH + 9) * DAY, **fields))
    rows = seen(tmp_path, how, *entries, *incidents(20)).rows
    assert rows.bad.tolist() == [float(bad)]


@pytest.mark.long
def test_who_sold_too_little_is_no_row_and_is_counted(tmp_path: Path, asked: Study) -> None:
    others = [entry for n, orders in enumerate((0, 1, 4, 5, 9)) for entry in standing(f"o{n}", orders=orders)]
    entries = [*others, *standing("s", orders=4), *incidents(2)]
    found = seen(tmp_path / "a", restated(asked, bad={"least_orders": 5}), *entries)
    assert found.rows.window_orders.tolist() == [5, 9]
    assert {why: n for why, n in found.exclusions.items() if n} == {
        "no_orders_in_window": 1,
        "bad_with_too_few_orders": 1,
        "too_few_orders_in_window": 2,
    }
    assert len(seen(tmp_path / "b", restated(asked, bad={"share": 0.1}), *entries).rows.bad) == 5
    assert len(seen(tmp_path / "c", restated(asked, bad={"weigh_by": "orders"}), *entries).rows.bad) == 5
    assert len(seen(tmp_path / "d", asked, *entries).rows.bad) == 6
    idle = seen(
        tmp_path / "e", restated(asked, exposure={"reference_orders": 9.0}), standing("s")[0], *incidents(2)
    ).exclusions
    assert (idle["bad_without_orders_in_window"], idle["no_orders_in_window"]) == (1, 0)


@pytest.mark.parametrize(
    ("stated", "bad"), [((4000, 6000), True), ((4000, 5999), False), ((9999, 0), False), ((10_000,), True)]
)
def test_amounts_are_added_over_incidents(tmp_path: Path, asked: Study, stated: tuple[int, ...], bad: bool) -> None:
    how = restated(asked, bad={"amount_minor": 10_000, "currency": "EUR"})
    entries = [
        priced(breach(f"v{n}-{twin}", (OBSERVE + 9 + n) * DAY, incident=f"i{n}"), amount, "EUR")
        for n, amount in enumerate(stated)
        for twin in range(2)
    ]
    assert seen(tmp_path, how, *standing("s"), *entries).rows.bad.tolist() == [float(bad)]


def test_an_amount_in_another_currency_is_refused(tmp_path: Path, asked: Study) -> None:
    how = restated(asked, bad={"amount_minor": 1, "currency": "EUR"})
    stranger = priced(breach("v", (OBSERVE + 9) * DAY), 5, "USD")
    with pytest.raises(ConfigurationWrong, match="is in EUR, and 1 violations that match state an amount in another"):
        seen(tmp_path / "a", how, *standing("s"), stranger)
    graver = restated(how, bad={"rules": (BadRule(harm=Harm.EXTREME),)})
    assert not seen(tmp_path / "b", graver, *standing("s"), stranger).rows.bad.any()


def priced(entry: Entry, amount: int, currency: str) -> Entry:
    fact = replace(entry.fact, amount_minor=amount, currency=currency if amount else "")  # type: ignore[call-arg]
    return replace(entry, fact=fact)


def test_rows_weigh_by_their_orders_and_one_on_average(tmp_path: Path, asked: Study) -> None:
    """Worked: 10, 20 and 60 orders weigh 1/3, 2/3 and 2."""
    entries = [entry for name, orders in (("a", 10), ("b", 20), ("c", 60)) for entry in standing(name, orders=orders)]
    rows = seen(tmp_path, restated(asked, bad={"weigh_by": "orders"}), *entries).rows
    np.testing.assert_allclose(rows.weight, [1 / 3, 2 / 3, 2])


@given(
    share=st.integers(1, 999).map(lambda n: n / 1000),
    orders=st.integers(0, 10**7),
    at_least=st.integers(1, 5),
)
def test_the_needed_count_is_the_least_whose_share_is_enough(
    asked: Study, share: float, orders: int, at_least: int
) -> None:
    """In exact arithmetic: 0.07 of 100 is 7."""
    how = restated(asked, bad={"share": share, "at_least": at_least})
    (found,) = required_count(how, np.array([orders]), np.inf).tolist()
    wanted = Fraction(str(share)) * orders
    assert found == max(at_least, -(-wanted.numerator // wanted.denominator))


@example(counts=[(0, 10), (0, 20), (1, 10), (2, 20), (5, 10)], worst=0.6)
@given(
    counts=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9)), min_size=1, max_size=30),
    worst=st.integers(1, 100).map(lambda n: n / 100),
)
def test_the_worst_of_a_market_are_as_many_as_ties_allow(
    asked: Study, counts: list[tuple[int, int]], worst: float
) -> None:
    how = restated(asked, bad={"worst": worst})
    count, orders = np.array(counts, dtype=np.int64).T
    enough = required_count(how, orders, market_cut(how, count, orders))
    rates = [Fraction(int(c), int(n)) for c, n in zip(count, orders, strict=True) if n]
    expected = [
        bool(n and c and sum(r >= Fraction(int(c), int(n)) for r in rates) <= Fraction(str(worst)) * len(rates))
        for c, n in zip(count, orders, strict=True)
    ]
    assert ((count >= enough) & (orders > 0)).tolist() == expected
