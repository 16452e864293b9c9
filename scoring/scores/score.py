from collections.abc import Callable, Mapping, Sequence
from itertools import chain, compress
from types import MappingProxyType
from typing import Any

import numpy as np

from scoring.base.arrays import Ints
from scoring.base.enums import ScoreState, Tier
from scoring.base.frozen import frozen
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
    count_incidents_by_case,
    rank_codes_beside_incidents,
    rank_reason_codes,
)
from scoring.scores.tiers import decide_tiers, find_rated

Cautions = Mapping[int, tuple[Caution, ...]]
"""Those in force, by case."""


@frozen
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
    """Set with a model, if the caller and a rule ask for it."""
    midnights: Ints | None = None
    """Points at the last midnights, of shape (midnights, sellers), if a model is served."""
    earlier: Sequence["EarlierAnswer"] = ()
    """Answers by what was served before the moves whose notice runs."""


@frozen
class EarlierAnswer:
    """The answer by the model and the policy that were served before a move."""

    core: CoreAnswer
    time: int
    """When the move happened, in microseconds."""
    until: int
    """When the notice ends: a midnight, in microseconds."""
    counts: Sequence[bool]
    """Whether the answer counts for each seller: no new fact ended its notice."""


@frozen
class _SharedFields:
    """The parts of scores that rated and unrated sellers share, by case."""

    incidents: Sequence[int]
    """How many count."""
    standing: Sequence[int | None]
    cautions: Cautions
    allegations: Sequence[int]
    """Open ones, also those that the table omits."""
    valid_until: Sequence[int]
    """The first time at which the score may differ, in microseconds."""

    def of_case(self, case: int) -> dict[str, Any]:
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
    require_caller: Callable[[], None] = lambda: None,
    *,
    looks_back: bool = False,
) -> CoreAnswer:
    """Return the trust scores of sellers, the same for the same facts, model and policy.

    Without an artifact the state is UNKNOWN. `looks_back`: also find the tiers at past midnights, for measures.
    `require_caller` is called between parts, and raises if the caller no longer waits.
    """
    require_caller()
    if artifact is None:
        facts = seller_facts.view().facts
        scores = _build_scores_without_model(
            _collect_shared_fields(seller_facts, facts, policy, cautions), facts, policy
        )
        return CoreAnswer(seller_facts, artifact, policy, facts, scores, None)
    past = None
    if looks_back and any(rule.tiers for rule in policy.rule_book.rules):
        points, past = look_back(seller_facts, artifact, policy, require_caller)
    else:
        points = find_points(seller_facts, artifact, policy, require_caller=require_caller)
    require_caller()
    scores = _build_scores_by_model(
        points, _collect_shared_fields(seller_facts, points.facts, policy, cautions), seller_facts, artifact, policy
    )
    return CoreAnswer(seller_facts, artifact, policy, points.facts, scores, past, points.midnights)


def _collect_shared_fields(
    seller_facts: SellerFacts, facts: Facts, policy: Policy, cautions: Cautions
) -> _SharedFields:
    n = len(seller_facts.sellers)
    incidents = count_incidents_by_case(facts.violations, n).tolist()
    standing = [None] * n if policy.standing is None else policy.standing.add_up(facts).tolist()
    allegations = facts.allegations.tolist()
    valid_until = hold_until(seller_facts.columns, facts, seller_facts.observe_time, seller_facts.table.sales).tolist()
    for case, seller in enumerate(seller_facts.sellers):
        if (omitted := seller_facts.omitted.get(seller)) is not None:
            allegations[case] += omitted.allegations
            valid_until[case] = min(valid_until[case], omitted.unchanged_until)
    for case, cautions_of_case in cautions.items():
        valid_until[case] = min(valid_until[case], *(caution.end for caution in cautions_of_case))
    return _SharedFields(incidents, standing, cautions, allegations, valid_until)


def _build_scores_without_model(shared: _SharedFields, facts: Facts, policy: Policy) -> list[SellerScore | None]:
    return [
        SellerScore(
            state=ScoreState.UNKNOWN,
            tier=None,
            badge=policy.badges[None],
            reason_codes=(NO_MODEL,),
            counted_incidents=shared.incidents[case],
            **shared.of_case(case),
        )
        if exists
        else None
        for case, exists in enumerate(facts.exists.tolist())
    ]


def _build_scores_by_model(
    points: SellerPoints, shared: _SharedFields, seller_facts: SellerFacts, artifact: Artifact, policy: Policy
) -> list[SellerScore | None]:
    facts, sums, n = points.facts, points.sums, points.facts.cases
    # Thin days count too: else a late order of that day could add a low day.
    lowest = np.min([points.now, *points.midnights[: policy.clear_days]], axis=0)
    is_rated = find_rated(policy, facts)
    standing = np.array([one or 0 for one in shared.standing], dtype=np.int64)
    tiers = decide_tiers(policy, lowest, standing, is_rated, facts.override, facts.exists).tolist()
    codes_by_seller = zip(
        rank_reason_codes(facts.violations, n),
        rank_codes_beside_incidents(sums, points.x, artifact.page, artifact.read_features),
        _list_limit_codes(points, lowest, standing, artifact, policy),
        strict=True,
    )
    columns = (points.now, points.low, points.high, points.upheld, lowest, is_rated, facts.exists, facts.override_row)
    values_by_seller = zip(
        codes_by_seller, tiers, artifact.scale.p_bad(points.raw), *(column.tolist() for column in columns), strict=True
    )
    scores: list[SellerScore | None] = []
    for case, (reason_groups, tier, p_bad, now, low, high, upheld, tier_points, rated, exists, row) in enumerate(
        values_by_seller
    ):
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
                "tier_points": tier_points,
                "p_bad": p_bad,
                "counted_incidents": shared.incidents[case],
            }
        reasons = tuple(chain.from_iterable(reason_groups)) if rated else (THIN_FILE,)
        scores.append(
            SellerScore(
                **fields,
                tier=Tier(tier),
                badge=policy.badges[tier],
                band=policy.find_band(Tier(tier), tier_points if rated else None),
                reason_codes=reasons if row < 0 else (*reasons, OVERRIDDEN),
                override="" if row < 0 else seller_facts.table.rows[row].entry_id,
                **shared.of_case(case),
            )
        )
    return scores


def _list_limit_codes(
    points: SellerPoints, lowest: Ints, standing: Ints, artifact: Artifact, policy: Policy
) -> list[tuple[str, ...]]:
    """Return, by seller, the reason codes of what limits its points or tier."""
    tiers = policy.tiers_with_standing(lowest, standing)
    is_limited = {
        LIMIT: artifact.page.base - points.raw > MAX_POINTS,
        STANDING: tiers != policy.tier_numbers(lowest),
        CLEAR_DAYS_PENDING: tiers != policy.tiers_with_standing(points.now, standing),
    }
    flags = zip(*(flag.tolist() for flag in is_limited.values()), strict=True)
    return [tuple(compress(is_limited, each)) for each in flags]


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
