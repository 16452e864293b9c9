"""Measures in force for many sellers at once equal those of each alone."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.features.columns import FactRow, tabulate
from scoring.measures import in_force
from scoring.measures.in_force import Beside, evaluate_measures, evaluate_measures_of
from scoring.policy.policy import Policy
from tests.helpers.policies import shipped
from tests.helpers.worlds import NOW, TODAY, artifact, exposure, identity, numbered, violation
from tests.scoring.features.test_views import files
from tests.scoring.test_look_back import OVERRIDES, POLICIES


def of_seller(rows: list[FactRow], seller: str) -> list[FactRow]:
    return [row._replace(seller=seller) for row in rows]


def at_once_and_alone(files_of: dict[str, list[FactRow]], policy: Policy) -> tuple[list[object], list[object]]:
    rows = [row for one in files_of.values() for row in one]
    table, sellers = tabulate(rows, [*files_of]), [*files_of]
    beside = {seller: Beside({"": 0}, (), 3) for seller in sellers}
    at_once = evaluate_measures_of(table, sellers, NOW, artifact(), policy, "acme", beside)
    alone = [
        evaluate_measures(files_of[seller], seller, NOW, artifact(), policy, "acme", deposit_minor=3)
        for seller in sellers
    ]
    return at_once, alone  # type: ignore[return-value]


@pytest.mark.long
@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(files(), OVERRIDES), min_size=2, max_size=5), st.sampled_from(POLICIES))
def test_many_sellers_are_answered_as_each_alone(
    drawn: list[tuple[list[FactRow], list[FactRow]]], policy: Policy
) -> None:
    files_of = {f"s{n}": of_seller(numbered([*file, *stated]), f"s{n}") for n, (file, stated) in enumerate(drawn)}
    at_once, alone = at_once_and_alone(files_of, policy)
    assert at_once == alone


def test_a_large_batch_is_answered_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    files_of = {
        f"s{n}": of_seller(
            numbered(
                [
                    *([identity("i", TODAY - 600)] if n else []),
                    *(exposure(f"x{ago}", TODAY - ago, 900 * n) for ago in (300, 40) if n),
                    *(violation(f"v{ago}", TODAY - ago, 1, 3) for ago in (30, 9) if n % 3 == 1),
                ]
            ),
            f"s{n}",
        )
        for n in range(10)
    }
    at_once, alone = at_once_and_alone(files_of, shipped("general"))
    assert at_once == alone
    assert at_once[0] is None
    monkeypatch.setattr(in_force, "MAX_CELLS", 40)
    assert at_once_and_alone(files_of, shipped("general"))[0] == alone
