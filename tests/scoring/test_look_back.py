from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.base.enums import Category, Severity, Tier
from scoring.base.time import DAY
from scoring.features.columns import FactRow, columns_of, tabulate
from scoring.features.facts import apply_changes, resolve
from scoring.features.resolved import resolve_sellers
from scoring.features.table import matrix
from scoring.policy.policy import Policy
from scoring.scores.look_back import LOOK_BACK_DAYS
from scoring.scores.score import compute_answer
from scoring.scores.tiers import NO_TIER
from tests.helpers.histories import TIMES, files
from tests.helpers.policies import GENERAL, OVERRIDES, POLICIES
from tests.helpers.worlds import NOW, TODAY, artifact, exposure, identity, numbered, override, violation

BREACHES = st.lists(
    st.tuples(st.integers(0, 500), st.sampled_from([*Category]), st.sampled_from([*Severity])), max_size=9
)


def looked_back(rows: list[FactRow], now: int, policy: Policy) -> list[int]:
    known = resolve_sellers(["s"], tabulate(rows, ["s"]), now)
    past = compute_answer(known, artifact(), policy, looks_back=True).past
    assert past is not None
    return [int(tier) for tier in past.tiers[:, 0]]


def one_by_one(rows: list[FactRow], now: int, policy: Policy) -> list[int]:
    window = max(policy.clear_days, 1)
    days = LOOK_BACK_DAYS + window
    columns = apply_changes(columns_of(rows, ["s"]))
    entries = len(columns.case)
    every = columns.take(np.tile(np.arange(entries), days)).of_cases(np.repeat(np.arange(days), entries), days)
    facts = resolve(every, (now // DAY - np.arange(days)) * DAY, reported_before=now)
    sums = artifact().folder.fold(facts)
    attributes = [(rows[row].attributes or {}) if row >= 0 else {} for row in facts.identity_row.tolist()]
    points = artifact().points(matrix(sums, artifact().features, attributes))
    thin = (sums.total_orders < policy.thin_file_orders) | (sums.tenure_days < policy.thin_file_days)
    guilty = np.bincount(facts.violations.case, minlength=days) > 0
    standing = np.zeros(days, dtype=np.int64) if policy.standing is None else policy.standing.add_up(facts)

    def tier(back: int) -> int:
        if not facts.exists[back] or facts.override[back]:
            return int(facts.override[back]) if facts.exists[back] else NO_TIER
        if thin[back] and not guilty[back]:
            return Tier.UNRATED
        return int(policy.tier_with_standing(int(points[back : back + window].min()), int(standing[back])))

    return [tier(back) for back in range(LOOK_BACK_DAYS + 1)]


@pytest.mark.long
@settings(max_examples=60, deadline=None)
@given(files(), OVERRIDES, BREACHES, TIMES, st.sampled_from(POLICIES))
def test_the_tier_at_each_midnight_is_that_of_it_alone(
    file: list[FactRow],
    stated: list[FactRow],
    breaches: list[tuple[int, Category, Severity]],
    now: int,
    policy: Policy,
) -> None:
    guilty = [violation(f"b{n}", TODAY - ago, int(c), int(s)) for n, (ago, c, s) in enumerate(breaches)]
    rows = numbered([*file, *stated, *guilty])
    assert looked_back(rows, now, policy) == one_by_one(rows, now, policy)


def test_a_tier_is_the_same_in_parts_of_any_size() -> None:
    stated = [
        identity("i", TODAY - 170),
        *(exposure(f"x{ago}", TODAY - ago, 3_000, revision=1) for ago in (150, 100, 40)),
        violation("a", TODAY - 120, Category.DISCLOSURE, Severity.MINOR),
        override("o", NOW - 75 * DAY, Tier.STANDARD, NOW - 60 * DAY),
        *(violation(f"b{n}", TODAY - 30 + n, Category.COUNTERFEIT, Severity.MAJOR) for n in range(2)),
    ]
    at_once = looked_back(numbered(stated), NOW, GENERAL)
    assert at_once == one_by_one(numbered(stated), NOW, GENERAL)
    assert len(set(at_once)) > 3
    for count in (7_000, 40_000):
        replaced = [exposure(f"old{n}", TODAY - 150, 1) for n in range(count)]
        assert looked_back(numbered([*replaced, *stated]), NOW, GENERAL) == at_once


def test_units_that_were_found_later_raise_no_severity_before() -> None:
    sold = [identity("i", TODAY - 600), *(exposure(f"x{ago}", TODAY - ago, 3_000) for ago in range(20, 400, 20))]
    found = [
        violation(f"u{ago}", TODAY - ago, Category.COUNTERFEIT, Severity.MINOR, incident="one")._replace(units=n)
        for ago, n in ((90, 1), (20, 100_000))
    ]
    rows = numbered([*sold, *found])
    lenient = replace(GENERAL, cut_offs={Tier.STANDARD: 1, Tier.TRUSTED: 2, Tier.EXEMPLARY: 3})
    tiers = looked_back(rows, NOW, lenient)
    assert tiers == one_by_one(rows, NOW, lenient)
    assert (tiers[18], tiers[30]) == (Tier.PROBATION, Tier.EXEMPLARY)
