"""Trust scores and explanations of sellers, from their resolved facts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from scoring.base.enums import ScoreState, Tier
from scoring.caution.cautions import Caution
from scoring.features.facts import Facts
from scoring.features.resolved import SellerFacts
from scoring.features.validity import hold_until
from scoring.model.artifact import Artifact
from scoring.model.scale import MAX_POINTS
from scoring.policy.policy import Policy
from scoring.scores.answer import Explanation, ThinFile, TrustScore
from scoring.scores.look_back import PastTiers, look_back
from scoring.scores.points import SellerPoints, find_points
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
from scoring.scores.tiers import decide_tiers, find_guilty

Cautions = Mapping[int, tuple[Caution, ...]]
"""Those in force, by case."""


@dataclass(frozen=True, slots=True)
class CoreAnswer:
    """The scores of sellers, with all that explanations and measures need of them."""

    known: SellerFacts
    artifact: Artifact | None
    policy: Policy
    facts: Facts
    """Now, one case a seller."""
    scores: Sequence[TrustScore | None]
    """In the order of the sellers. None: an unknown seller."""
    past: PastTiers | None
    """It is found with a model, if the caller and a rule of the policy ask for it; else None."""
    earlier: Sequence["Earlier"] = ()
    """Answers by what was served before the moves whose notice runs."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """The answer by the model and the policy that were served before a move."""

    given: CoreAnswer
    time: int
    """Of the move, in microseconds."""
    until: int
    """When the notice ends: a midnight, in microseconds."""
    counts: Sequence[bool]
    """Whether the answer counts for each seller: no new fact ended its notice."""


@dataclass(frozen=True, slots=True)
class _Common:
    """The parts of scores that rated and unrated sellers share, by case."""

    incidents: Sequence[Sequence[int]]
    """Places of its violations that count."""
    standing: Sequence[int | None]
    cautions: Cautions
    allegations: Sequence[int]
    """Open ones, also those that the table omits."""
    valid_until: Sequence[int]
    """The first time at which the score may differ, in microseconds."""

    def state(self, case: int) -> dict[str, Any]:
        """Return the fields of a seller's score that do not depend on its points."""
        return {
            "open_allegations": self.allegations[case],
            "valid_until": self.valid_until[case],
            "standing": self.standing[case],
            "cautions": self.cautions.get(case, ()),
        }


def answer(
    known: SellerFacts,
    artifact: Artifact | None,
    policy: Policy,
    cautions: Cautions = MappingProxyType({}),
    check: Callable[[], None] = lambda: None,
    *,
    looks_back: bool = False,
) -> CoreAnswer:
    """Return the trust scores of sellers, the same for the same facts, model and policy.

    Without an artifact the state is UNKNOWN. `looks_back`: also find the tiers at past midnights, for measures. `check`
    may raise between parts.
    """
    check()
    if artifact is None:
        facts = known.view().facts
        scores = _build_unknown(_collect_common(known, facts, policy, cautions), facts, policy)
        return CoreAnswer(known, artifact, policy, facts, scores, None)
    past = None
    if looks_back and any(rule.tiers for rule in policy.rule_book.rules):
        points, past = look_back(known, artifact, policy, check)
    else:
        points = find_points(known, artifact, policy, check=check)
    check()
    scores = _build_scores(points, _collect_common(known, points.facts, policy, cautions), known, artifact, policy)
    return CoreAnswer(known, artifact, policy, points.facts, scores, past)


def _collect_common(known: SellerFacts, facts: Facts, policy: Policy, cautions: Cautions) -> _Common:
    """Return the parts, with the allegations and times of the entries that a table omits."""
    n = len(known.sellers)
    incidents: list[list[int]] = [[] for _ in range(n)]
    for place, case in enumerate(facts.violations.case.tolist()):
        incidents[case].append(place)
    standing = [None] * n if policy.standing is None else policy.standing.add_up(facts).tolist()
    allegations = facts.allegations.tolist()
    until = hold_until(known.columns, facts, known.observe_time, known.table.sales).tolist()
    for case, seller in enumerate(known.sellers):
        if (omitted := known.omitted.get(seller)) is not None:
            allegations[case] += omitted.allegations
            until[case] = min(until[case], omitted.unchanged_until)
    for case, found in cautions.items():
        until[case] = min(until[case], *(one.end for one in found))
    return _Common(incidents, standing, cautions, allegations, until)


def _build_unknown(common: _Common, facts: Facts, policy: Policy) -> list[TrustScore | None]:
    return [
        TrustScore(
            state=ScoreState.UNKNOWN,
            tier=None,
            badge=policy.badges[None],
            reason_codes=(NO_MODEL,),
            counted_incidents=len(group_incidents(facts.violations, common.incidents[case])),
            **common.state(case),
        )
        if exists
        else None
        for case, exists in enumerate(facts.exists.tolist())
    ]


class _Points(NamedTuple):
    """Points of one seller, by the fields of its score."""

    points: int
    points_low: int
    points_high: int
    points_if_upheld: int
    tier_points: int


def _build_scores(
    points: SellerPoints, common: _Common, known: SellerFacts, artifact: Artifact, policy: Policy
) -> list[TrustScore | None]:
    """Return one score per seller; a thin file without a counted violation is UNRATED."""
    facts, sums, n = points.facts, points.sums, points.facts.cases
    # Thin days count too: else a late order of that day could add a low day.
    lowest = np.min([points.now, *points.midnights[: policy.clear_days]], axis=0)
    is_rated = find_guilty(facts) | ~policy.is_thin(sums.total_orders[:n], sums.tenure_days[:n])
    standing = np.array([one or 0 for one in common.standing], dtype=np.int64)
    tiers = decide_tiers(policy, lowest, standing, is_rated, facts.override, facts.exists).tolist()
    costly = rank_other_codes(sums, points.x, artifact.page, artifact.features)
    by_kind = (points.now, points.low, points.high, points.upheld, lowest)
    of_sellers = map(_Points._make, zip(*(one.tolist() for one in by_kind), strict=True))
    scores: list[TrustScore | None] = []
    for case, own in enumerate(of_sellers):
        if not facts.exists[case]:
            scores.append(None)
            continue
        rated: dict[str, Any] = {"state": ScoreState.UNRATED}
        codes: tuple[str, ...] = (THIN_FILE,)
        if is_rated[case]:
            incidents = group_incidents(facts.violations, common.incidents[case])
            p_bad = artifact.scale.p_bad(float(points.raw[case]))
            rated = {
                **own._asdict(),
                "state": ScoreState.RATED,
                "p_bad": p_bad,
                "counted_incidents": len(incidents),
            }
            above = (LIMIT,) if artifact.page.base - points.raw[case] > MAX_POINTS else ()
            bounds = _list_bounds(own, int(standing[case]), policy)
            codes = (*rank_reason_codes(incidents), *costly[case], *above, *bounds)
        row, tier = int(facts.override_row[case]), Tier(tiers[case])
        scores.append(
            TrustScore(
                **rated,
                tier=tier,
                badge=policy.badges[tier],
                reason_codes=codes if row < 0 else (*codes, OVERRIDDEN),
                override="" if row < 0 else known.table.rows[row].entry_id,
                **common.state(case),
            )
        )
    return scores


def _list_bounds(points: _Points, standing: int, policy: Policy) -> list[str]:
    """Return the reason codes for a tier below the tier of the present points."""
    tier = policy.tier_with_standing(points.tier_points, standing)
    codes = [STANDING] if tier is not policy.tier(points.tier_points) else []
    return [*codes, CLEAR_DAYS_PENDING] if tier is not policy.tier_with_standing(points.points, standing) else codes


def explain(given: CoreAnswer, check: Callable[[], None] = lambda: None) -> Explanation | None:
    """Return the trust score of a single seller with the facts behind every point, or None for an unknown seller."""
    [score] = given.scores
    artifact, policy, facts = given.artifact, given.policy, given.facts
    if score is None:
        return None
    if artifact is None:
        return Explanation(score)
    if score.state is ScoreState.UNRATED:
        thin = ThinFile(
            settled_orders=int(facts.exposure_orders.sum()),
            settled_orders_needed=policy.thin_file_orders,
            tenure_days=int(facts.observe_day[0] - facts.start_day[0]),
            tenure_days_needed=policy.thin_file_days,
        )
        return Explanation(score, thin_file=thin)
    return Explanation(score, artifact.page.base, compute_reasons(given.known, facts, artifact, check))
