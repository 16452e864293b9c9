import random
from itertools import pairwise

import pytest

from scoring.base.enums import Category, ControlReason, Kind, MeasureKind, Severity, Status
from scoring.base.time import DAY
from scoring.features.columns import FactRow
from scoring.features.resolved import resolve_sellers
from scoring.measures.in_force import InForce
from scoring.measures.in_force import evaluate_measures as evaluate
from scoring.policy.policy import Policy
from scoring.scores.notice import Ended, Move, Served, answer_within_notice, list_ended
from tests.helpers.answers import with_values
from tests.helpers.policies import policy_of, rule
from tests.helpers.worlds import (
    NOW,
    TODAY,
    artifact,
    decision,
    exposure,
    identity,
    numbered,
    violation,
)

SOLD = [identity("i", TODAY - 600), exposure("x", TODAY - 300, 5_000), exposure("y", TODAY - 10, 50)]
LISTED = {"kind": "listing_cap", "listings": 500}
HELD = {"kind": "settlement_hold", "days": 3}
BEFORE = policy_of(rule("listed", LISTED), rule("held", HELD), notice_days=15)
AFTER = policy_of(
    rule("listed", LISTED | {"listings": 200}, {"kind": "manual_review"}),
    rule("held", HELD | {"days": 9}),
    cut_offs={"standard": 998, "trusted": 999, "exemplary": 1000},
)
MOVED, UNTIL = NOW - 3 * DAY, (TODAY + 13) * DAY


def seen(rows: list[FactRow], before: Policy | None = BEFORE, after: Policy = AFTER) -> InForce:
    table = with_values(numbered([*SOLD, *rows]), ["s"], {}, "EUR")
    served = [] if before is None else [Served(artifact(), before, MOVED, UNTIL)]
    given = answer_within_notice(resolve_sellers(["s"], table, NOW), artifact(), after, looks_back=True, served=served)
    [found] = evaluate(given, "acme", {})
    assert found is not None
    return found


def test_tiers_reviews_and_listings_wait() -> None:
    found, own = seen([]), seen([], None)
    assert own.score.tier is not None
    kept = seen([], None, BEFORE).score.tier
    assert kept is not None
    assert found.score.tier == kept > own.score.tier
    assert found.score.notice == (own.score.tier, UNTIL)
    assert (found.score.badge, found.terms.hold_days) == (own.score.badge, 9)
    assert (found.terms.listing_caps, found.terms.manual_review) == ((("", 500),), False)
    assert (own.terms.listing_caps, own.terms.manual_review) == ((("", 200),), True)
    [review] = [one for one in found.measures if one.current.kind is MeasureKind.MANUAL_REVIEW]
    assert review.start == UNTIL


@pytest.mark.parametrize(
    "fact",
    [
        violation("v", TODAY - 2, Category.QUALITY, Severity.MINOR),
        decision(Kind.CONTROL, "c", status=int(ControlReason.SOLD)),
        identity("j", TODAY - 1, 1),
    ],
)
def test_a_new_fact_ends_the_notice(fact: FactRow) -> None:
    assert seen([fact]) == seen([fact], None)


def test_other_facts_do_not_end_the_notice() -> None:
    for fact in (
        violation("v", TODAY - 2, status=Status.ALLEGED),
        violation("v", TODAY - 9, Category.QUALITY, Severity.MINOR),
        identity("j", TODAY - 1, 4),
    ):
        assert seen([fact]).terms.listing_caps == (("", 500),), fact


def test_a_laxer_policy_acts_at_once() -> None:
    assert seen([], AFTER, BEFORE) == seen([], None, BEFORE)


def test_each_move_has_the_longer_notice_of_its_policies() -> None:
    policies = [Move(1, "a", "b"), Move(DAY, "b", "c")]
    models = [Move(2 * DAY, "m", "n")]
    days = {"a": 3, "b": 0, "c": 1}
    found = list_ended(policies, models, "n", "c", 3 * DAY, days.__getitem__)
    assert found == [
        Ended("m", "a", 1, 4 * DAY), Ended("m", "b", DAY, 2 * DAY), Ended("m", "c", 2 * DAY, 3 * DAY),
    ][::2]  # fmt: skip
    assert list_ended(policies, models, "m", "b", 3 * DAY, days.__getitem__) == [Ended("m", "a", 1, 4 * DAY)]
    assert list_ended(policies, models, "n", "c", 1, days.__getitem__) == []


def test_an_immediate_move_ends_all_notices() -> None:
    policies = [Move(1, "a", "b"), Move(2, "b", "c", is_immediate=True)]
    assert list_ended(policies, [], "m", "c", 3, lambda _: 9) == []
    assert list_ended(policies, [], "m", "b", 3, lambda _: 9) == [Ended("m", "a", 1, 10 * DAY)]


def test_moves_back_and_forth_leave_one_answer_each() -> None:
    chance = random.Random(5)
    for _ in range(200):
        names = [chance.choice("abc") for _ in range(9)]
        moves = [Move(n, *pair) for n, pair in enumerate(pairwise(names)) if pair[0] != pair[1]]
        found = list_ended(moves, [], "m", names[-1], 99, lambda _: 9)
        assert sorted(one.policy for one in found) == sorted({*names} - {names[-1]})
