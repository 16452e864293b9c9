"""Trust scores and explanations from the ledger's rows, for one seller and for many."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from scoring.base.arrays import Floats, Ints
from scoring.base.enums import ScoreState, Tier
from scoring.base.time import DAY
from scoring.caution.cautions import NO_FLOWS, Flows, find_cautions
from scoring.features.columns import NOTHING_OMITTED, FactRow, FactTable, Omitted, tabulate
from scoring.features.facts import Facts, apply_changes
from scoring.features.fold import Sums
from scoring.features.table import matrix
from scoring.features.validity import hold_until
from scoring.features.views import view_often
from scoring.model.artifact import Artifact
from scoring.model.interval import ENDS, with_ends
from scoring.model.scale import MAX_POINTS
from scoring.policy.policy import Policy
from scoring.scores.answer import Explanation, ThinFile, TrustScore
from scoring.scores.reasons import (
    CLEAR_DAYS_PENDING,
    LIMIT,
    NO_MODEL,
    OVERRIDDEN,
    STANDING,
    THIN_FILE,
    compute_reasons,
    group_incidents,
    rank_other_codes,
    rank_reason_codes,
)

MAX_CELLS = 1_000_000
"""Rows times views that are folded at once: about 300 MB."""


@dataclass(frozen=True, slots=True)
class SellerViews:
    """Now, each of the last day-ends, and now with open allegations upheld."""

    n: int
    facts: Facts
    sums: Sums
    """Sums of the cases: view k of seller i is case `k * n + i`."""
    valid_until: Ints
    """By seller, shape (n,)."""
    x: Floats
    """The model's input, of shape ((views + 2) x n, features).

    After the views follow now at the low and at the high end of the seller's own rates (see `scoring.model.interval`).
    """


def score(
    rows: Sequence[FactRow] | FactTable,
    sellers: Sequence[str],
    observe_time: int,
    artifact: Artifact | None,
    policy: Policy,
    check: Callable[[], None] = lambda: None,
    omitted: Mapping[str, Omitted] = NOTHING_OMITTED,
    flows: Flows = NO_FLOWS,
) -> list[TrustScore | None]:
    """Return the trust scores of `sellers`, in order; None without a valid fact.

    `observe_time`: in microseconds. Without an artifact the state is UNKNOWN. `omitted`: by seller, open allegations
    missing in the rows, which are only counted. `flows`: for cautions. `check` may raise between parts.
    """
    check()
    table = rows if isinstance(rows, FactTable) else tabulate(rows, sellers)
    if len(sellers) > 1 and len(rows) * (policy.clear_days + 2) > MAX_CELLS:
        # A large batch is answered in parts, in bounded memory.
        middle = len(sellers) // 2
        parts = [
            score(table.part(first, end), sellers[first:end], observe_time, artifact, policy, check, omitted, flows)
            for first, end in ((0, middle), (middle, len(sellers)))
        ]
        return [answer for part in parts for answer in part]
    return score_with_facts(table, sellers, observe_time, artifact, policy, check, omitted, flows)[0]


def score_with_facts(
    table: FactTable,
    sellers: Sequence[str],
    observe_time: int,
    artifact: Artifact | None,
    policy: Policy,
    check: Callable[[], None] = lambda: None,
    omitted: Mapping[str, Omitted] = NOTHING_OMITTED,
    flows: Flows = NO_FLOWS,
) -> tuple[list[TrustScore | None], Facts]:
    """Return `score`'s answers and the sellers' facts."""
    if artifact is None:
        columns = apply_changes(table.columns)
        facts = view_often(columns, [observe_time, observe_time], table.sales).facts
        until = hold_until(columns, facts, observe_time, table.sales).tolist()
        members = _group_by_seller(facts, len(sellers))
        unknown = [
            _build_unknown(facts, c, m, until[c], policy) if facts.exists[c] else None for c, m in enumerate(members)
        ]
        unknown = _apply_standing(unknown, facts, policy)
        unknown = _add_cautions(unknown, (table, sellers, flows), observe_time, policy, check)
        return [_add_omitted(answer, omitted.get(s)) for answer, s in zip(unknown, sellers, strict=True)], facts
    views = fold_views(table, observe_time, artifact, policy)
    check()
    rests_on = (table, sellers, flows)
    return _answer_views(views, rests_on, observe_time, artifact, policy, check, omitted), views.facts


def _answer_views(
    views: SellerViews,
    rests_on: tuple[FactTable, Sequence[str], Flows],
    observe_time: int,
    artifact: Artifact,
    policy: Policy,
    check: Callable[[], None],
    omitted: Mapping[str, Omitted],
) -> list[TrustScore | None]:
    table, sellers, _ = rests_on
    answers = build_answers(views, artifact.raw_score(views.x), artifact, policy)
    answers = _apply_standing(answers, views.facts, policy)
    answers = _add_cautions(answers, rests_on, observe_time, policy, check)
    counted = [_add_omitted(answer, omitted.get(s)) for answer, s in zip(answers, sellers, strict=True)]
    return [_apply_override(answer, views.facts, case, table.rows, policy) for case, answer in enumerate(counted)]


def _add_omitted(answer: TrustScore | None, omitted: Omitted | None) -> TrustScore | None:
    if answer is None or omitted is None:
        return answer
    return replace(
        answer,
        open_allegations=answer.open_allegations + omitted.allegations,
        valid_until=min(answer.valid_until, omitted.unchanged_until),
    )


def _add_cautions(
    answers: list[TrustScore | None],
    rests_on: tuple[FactTable, Sequence[str], Flows],
    observe_time: int,
    policy: Policy,
    check: Callable[[], None],
) -> list[TrustScore | None]:
    if policy.caution is None:
        return answers
    found = find_cautions(*rests_on, observe_time, policy.caution, check)
    return [
        replace(answer, cautions=cautions, valid_until=min(answer.valid_until, *(one.end for one in cautions)))
        if answer is not None and (cautions := found.get(case, ()))
        else answer
        for case, answer in enumerate(answers)
    ]


def _apply_standing(answers: list[TrustScore | None], facts: Facts, policy: Policy) -> list[TrustScore | None]:
    if policy.standing is None:
        return answers
    standings = policy.standing.add_up(facts, len(answers)).tolist()
    return [answer and _bound_by(standing, answer, policy) for standing, answer in zip(standings, answers, strict=True)]


def _bound_by(standing: int, answer: TrustScore, policy: Policy) -> TrustScore:
    if answer.points is None or answer.tier_points is None:
        return replace(answer, standing=standing)
    codes = [code for code in answer.reason_codes if code != CLEAR_DAYS_PENDING]
    tier = policy.tier_with_standing(answer.tier_points, standing)
    if tier is not policy.tier(answer.tier_points):
        codes.append(STANDING)
    if tier is not policy.tier_with_standing(answer.points, standing):
        codes.append(CLEAR_DAYS_PENDING)
    return replace(answer, standing=standing, tier=tier, badge=policy.badges[tier], reason_codes=tuple(codes))


def _apply_override(
    answer: TrustScore | None, facts: Facts, case: int, rows: Sequence[FactRow], policy: Policy
) -> TrustScore | None:
    if answer is None or not facts.override[case]:
        return answer
    tier = Tier(facts.override[case])
    return replace(
        answer,
        tier=tier,
        badge=policy.badges[tier],
        reason_codes=(*answer.reason_codes, OVERRIDDEN),
        override=rows[int(facts.override_row[case])].entry_id,
    )


def fold_views(table: FactTable, observe_time: int, artifact: Artifact, policy: Policy) -> SellerViews:
    """Compute the model's input of every view and end, with facts and sums."""
    today = observe_time // DAY * DAY
    times = [observe_time, *(today - k * DAY for k in range(policy.clear_days)), observe_time]
    columns = apply_changes(table.columns)
    views = view_often(columns, times, table.sales)
    n, rows = columns.cases, table.rows
    sums = artifact.folder.fold_views(views)
    attributes = [(rows[row].attributes or {}) if row >= 0 else {} for row in views.identity_row.ravel().tolist()]
    ends = with_ends(sums, views.facts, n, artifact.prior, artifact.folder)
    until = hold_until(columns, views.facts, observe_time, table.sales)
    return SellerViews(
        n, views.facts, sums, until, matrix(ends, artifact.features, [*attributes, *attributes[:n] * ENDS])
    )


def build_answers(views: SellerViews, raw: Floats, artifact: Artifact, policy: Policy) -> list[TrustScore | None]:
    """Return one answer per seller from the raw scores of the rows of `views.x`; None for a seller that does not
    exist.

    A thin file without a counted violation is UNRATED.
    """
    n, facts, sums = views.n, views.facts, views.sums
    *seen, upheld, low, high = artifact.scale.points(raw).reshape(-1, n)
    lowest = np.min(seen, axis=0)
    is_guilty = np.bincount(facts.violations.case, minlength=facts.cases) > 0
    is_thin = policy.is_thin(sums.total_orders[:n], sums.tenure_days[:n])
    rated = is_guilty | ~is_thin
    until = views.valid_until.tolist()
    costly = rank_other_codes(sums, views.x[:n], artifact.page, artifact.features)
    answers: list[TrustScore | None] = []
    for case, members in enumerate(_group_by_seller(facts, n)):
        allegations = int(facts.allegations[case])
        if not facts.exists[case]:
            answers.append(None)
        elif not rated[case]:
            answers.append(_build_unrated(allegations, until[case], policy))
        else:
            # Thin days count too: else a late order of that day could add a low day.
            points = ViewPoints(*(int(view[case]) for view in (seen[0], low, high, upheld, lowest)))
            p_bad = artifact.scale.p_bad(float(raw[case]))
            incidents = group_incidents(facts.violations, members)
            above = (LIMIT,) if artifact.page.base - raw[case] > MAX_POINTS else ()
            codes = (*rank_reason_codes(incidents), *costly[case], *above)
            answers.append(_build_rated(points, p_bad, codes, len(incidents), allegations, until[case], policy))
    return answers


def explain(
    rows: Sequence[FactRow],
    seller: str,
    observe_time: int,
    artifact: Artifact | None,
    policy: Policy,
    check: Callable[[], None] = lambda: None,
    omitted: Mapping[str, Omitted] = NOTHING_OMITTED,
    flows: Flows = NO_FLOWS,
) -> Explanation | None:
    """Return the trust score of one seller with the facts behind every point; parameters and None as for `score`."""
    if artifact is None:
        [unknown] = score(rows, [seller], observe_time, artifact, policy, check, omitted, flows)
        return None if unknown is None else Explanation(unknown)
    check()
    table = tabulate(rows, [seller])
    views = fold_views(table, observe_time, artifact, policy)
    check()
    [answer] = _answer_views(views, (table, [seller], flows), observe_time, artifact, policy, check, omitted)
    facts = views.facts
    if answer is None:
        return None
    if answer.state is ScoreState.UNRATED:
        thin = ThinFile(
            settled_orders=int(facts.exposure_orders.sum()),
            settled_orders_needed=policy.thin_file_orders,
            tenure_days=int(facts.observe_day[0] - facts.start_day[0]),
            tenure_days_needed=policy.thin_file_days,
        )
        return Explanation(answer, thin_file=thin)
    identity = int(facts.identity_row[0])
    attributes = (rows[identity].attributes or {}) if identity >= 0 else {}
    return Explanation(answer, artifact.page.base, compute_reasons(facts, artifact, rows, attributes, check))


def _group_by_seller(facts: Facts, n: int) -> list[list[int]]:
    members: list[list[int]] = [[] for _ in range(n)]
    for place, case in enumerate(facts.violations.case.tolist()):
        members[case].append(place)
    return members


class ViewPoints(NamedTuple):
    now: int
    low: int
    high: int
    upheld: int
    lowest: int


def _build_rated(
    points: ViewPoints,
    p_bad: float,
    codes: tuple[str, ...],
    incidents: int,
    allegations: int,
    valid_until: int,
    policy: Policy,
) -> TrustScore:
    tier = policy.tier(points.lowest)
    pending = (CLEAR_DAYS_PENDING,) if tier is not policy.tier(points.now) else ()
    return TrustScore(
        state=ScoreState.RATED,
        tier=tier,
        badge=policy.badges[tier],
        points=points.now,
        points_low=points.low,
        points_high=points.high,
        points_if_upheld=points.upheld,
        tier_points=points.lowest,
        p_bad=p_bad,
        reason_codes=(*codes, *pending),
        counted_incidents=incidents,
        open_allegations=allegations,
        valid_until=valid_until,
    )


def _build_unrated(allegations: int, valid_until: int, policy: Policy) -> TrustScore:
    badge = policy.badges[Tier.UNRATED]
    return TrustScore(
        state=ScoreState.UNRATED,
        tier=Tier.UNRATED,
        badge=badge,
        reason_codes=(THIN_FILE,),
        open_allegations=allegations,
        valid_until=valid_until,
    )


def _build_unknown(facts: Facts, case: int, counted: Sequence[int], valid_until: int, policy: Policy) -> TrustScore:
    return TrustScore(
        state=ScoreState.UNKNOWN,
        tier=None,
        badge=policy.badges[None],
        reason_codes=(NO_MODEL,),
        counted_incidents=len(group_incidents(facts.violations, counted)),
        open_allegations=int(facts.allegations[case]),
        valid_until=valid_until,
    )
