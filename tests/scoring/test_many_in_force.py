import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.features.columns import FactRow
from scoring.measures.in_force import Beside
from scoring.measures.in_force import evaluate_measures as evaluate
from scoring.policy.policy import Policy
from tests.helpers.answers import answer, evaluate_measures
from tests.helpers.worlds import NOW, artifact, numbered
from tests.scoring.features.test_views import files
from tests.scoring.test_look_back import OVERRIDES, POLICIES


def of_seller(rows: list[FactRow], seller: str) -> list[FactRow]:
    return [row._replace(seller=seller) for row in rows]


def at_once_and_alone(files_of: dict[str, list[FactRow]], policy: Policy) -> tuple[list[object], list[object]]:
    rows = [row for one in files_of.values() for row in one]
    sellers = [*files_of]
    given = answer(rows, sellers, NOW, artifact(), policy, looks_back=True)
    at_once = evaluate(given, "acme", {seller: Beside((), 3) for seller in sellers})
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
