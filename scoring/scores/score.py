from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, compress
from types import MappingProxyType
from typing import Any

import numpy as np

from scoring.base.arrays import Ints
from scoring.base.enums import ScoreState, Tier
from scoring.caution.cautions import Caution
from scoring.features.facts import Facts
from scoring.features.resolved import SellerFacts
from scoring.features.validity import hold_until
from scoring.model.artifact import Artifact
from scoring.model.scale import MAX_POINTS
from scoring.policy.policy import Policy
from scoring.scores.answer import Explanation, SellerScore, ThinFile
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
    count_incidents,
    rank_other_codes,
    rank_reason_codes,
)
from scoring.scores.tiers import decide_tiers, find_rated

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
    scores: Sequence[SellerScore | None]
    """In the order of the sellers. None: an unknown seller."""
    past: PastTiers | None
    """It is found with a model, if the caller and a rule of the policy ask for it; else None."""
    midnights: Ints | None = None
    """Points at the last midnights, of shape (midnights, sellers), if a model is served."""
    earlier: Sequence["EarlierAnswer"] = ()
    """Answers by what was served before the moves whose notice runs."""


@dataclass(frozen=True, slots=True)
class EarlierAnswer:
    """The answer by the model and the policy that were served before a move."""

    core: CoreAnswer
    time: int
    """When the move happened, in microseconds."""
    until: int
    """When the notice ends: a midnight, in microseconds."""
    counts: Sequence[bool]
    """Whether the answer counts for each seller: no new fact ended its notice."""


@dataclass(frozen=True, slots=True)
class _Common:
    """The parts of scores that rated and unrated sellers share, by case."""

    incidents: Sequence[int]
    """How many count."""
    standing: Sequence[int | None]
    cautions: Cautions
    allegations: Sequence[int]
    """Open ones, also those that the table omits."""
    valid_until: Sequence[int]
    """The first time at which the score may differ, in microseconds."""

    def state(self, case: int) -> dict[str, Any]:
        return {
            "open_allegations": self.allegations[case],
            "valid_until": self.valid_until[case],
            "standing": self.standing[case],
            "cautions": self.cautions.get(case, ()),
        }


def compute_answer(
    seller_facts: SellerFacts,
    artifact: Artifact | None,
    policy: Policy,
    cautions: Cautions = MappingProxyType({}),
    check: Callable[[], None] = lambda: None,
    *,
    looks_back: bool = False,
) -> CoreAnswer:
    """Return the trust scores of sellers, the same for the same facts, model and policy.

    Without an artifact the state is UNKNOWN. `looks_back`: also find the tiers at past midnights, for measures. `check`
    is called between parts and may raise, as at a deadline.
    """
    check()
    if artifact is None:
        facts = seller_facts.view().facts
        scores = _build_unknown(_collect_common(seller_facts, facts, policy, cautions), facts, policy)
        return CoreAnswer(seller_facts, artifact, policy, facts, scores, None)
    past = None
    if looks_back and any(rule.tiers for rule in policy.rule_book.rules):
        points, past = look_back(seller_facts, artifact, policy, check)
    else:
        points = find_points(seller_facts, artifact, policy, check=check)
    check()
    scores = _build_scores(
        points, _collect_common(seller_facts, points.facts, policy, cautions), seller_facts, artifact, policy
    )
    return CoreAnswer(seller_facts, artifact, policy, points.facts, scores, past, points.midnights)


def _collect_common(seller_facts: SellerFacts, facts: Facts, policy: Policy, cautions: Cautions) -> _Common:
    n = len(seller_facts.sellers)
    incidents = count_incidents(facts.violations, n).tolist()
    standing = [None] * n if policy.standing is None else policy.standing.add_up(facts).tolist()
    allegations = facts.allegations.tolist()
    until = hold_until(seller_facts.columns, facts, seller_facts.observe_time, seller_facts.table.sales).tolist()
    for case, seller in enumerate(seller_facts.sellers):
        if (omitted := seller_facts.omitted.get(seller)) is not None:
            allegations[case] += omitted.allegations
            until[case] = min(until[case], omitted.unchanged_until)
    for case, cautions_of_case in cautions.items():
        until[case] = min(until[case], *(one.end for one in cautions_of_case))
    return _Common(incidents, standing, cautions, allegations, until)


def _build_unknown(common: _Common, facts: Facts, policy: Policy) -> list[SellerScore | None]:
    return [
        SellerScore(
            state=ScoreState.UNKNOWN,
            tier=None,
            badge=policy.badges[None],
            reason_codes=(NO_MODEL,),
            counted_incidents=common.incidents[case],
            **common.state(case),
        )
        if exists
        else None
        for case, exists in enumerate(facts.exists.tolist())
    ]


def _build_scores(
    points: SellerPoints, common: _Common, seller_facts: SellerFacts, artifact: Artifact, policy: Policy
) -> list[SellerScore | None]:
    facts, sums, n = points.facts, points.sums, points.facts.cases
    # Thin days count too: else a late order of that day could add a low day.
    lowest = np.min([points.now, *points.midnights[: policy.clear_days]], axis=0)
    is_rated = find_rated(policy, facts)
    standing = np.array([one or 0 for one in common.standing], dtype=np.int64)
    tiers = decide_tiers(policy, lowest, standing, is_rated, facts.override, facts.exists).tolist()
    codes = zip(
        rank_reason_codes(facts.violations, n),
        rank_other_codes(sums, points.x, artifact.page, artifact.read_features),
        _list_bounds(points, lowest, standing, artifact, policy),
        strict=True,
    )
    columns = (points.now, points.low, points.high, points.upheld, lowest, is_rated, facts.exists, facts.override_row)
    of_sellers = zip(
        codes, tiers, artifact.scale.p_bad(points.raw), *(column.tolist() for column in columns), strict=True
    )
    scores: list[SellerScore | None] = []
    for case, (of_codes, tier, p_bad, now, low, high, upheld, least, rated, exists, row) in enumerate(of_sellers):
        if not exists:
            scores.append(None)
            continue
        fields: dict[str, Any] = {"state": ScoreState.UNRATED}
        if rated:
            fields = {
                "state": ScoreState.RATED,
                "points": now,
                "points_low": low,
                "points_high": high,
                "points_if_upheld": upheld,
                "tier_points": least,
                "p_bad": p_bad,
                "counted_incidents": common.incidents[case],
            }
        reasons = tuple(chain.from_iterable(of_codes)) if rated else (THIN_FILE,)
        scores.append(
            SellerScore(
                **fields,
                tier=Tier(tier),
                badge=policy.badges[tier],
                band=policy.find_band(Tier(tier), least if rated else None),
                reason_codes=reasons if row < 0 else (*reasons, OVERRIDDEN),
                override="" if row < 0 else seller_facts.table.rows[row].entry_id,
                **common.state(case),
            )
        )
    return scores


def _list_bounds(
    points: SellerPoints, lowest: Ints, standing: Ints, artifact: Artifact, policy: Policy
) -> list[tuple[str, ...]]:
    tiers = policy.tiers_with_standing(lowest, standing)
    bounds = {
        LIMIT: artifact.page.base - points.raw > MAX_POINTS,
        STANDING: tiers != policy.tier_numbers(lowest),
        CLEAR_DAYS_PENDING: tiers != policy.tiers_with_standing(points.now, standing),
    }
    flags = zip(*(flag.tolist() for flag in bounds.values()), strict=True)
    return [tuple(compress(bounds, each)) for each in flags]


def explain(core: CoreAnswer) -> Explanation | None:
    """Return the trust score of a single seller with the facts behind every point, or None for an unknown seller.

    UNRATED sellers have a thin file in place of reasons.
    """
    [score] = core.scores
    artifact, policy, facts = core.artifact, core.policy, core.facts
    if score is None:
        return None
    if artifact is None:
        return Explanation(score)
    if score.state is ScoreState.UNRATED:
        thin = ThinFile(
            settled_orders=int(facts.settled_orders[0]),
            settled_orders_needed=policy.thin_file_orders,
            tenure_days=int(facts.tenure_days[0]),
            tenure_days_needed=policy.thin_file_days,
        )
        return Explanation(score, thin_file=thin)
    return Explanation(score, artifact.page.base, compute_reasons(core.known, facts, artifact))
