import numpy as np

from scoring.base.arrays import Floats, Ints
from scoring.base.enums import Kind
from scoring.base.frozen import frozen
from scoring.base.time import DAY
from scoring.features.columns import FactRow, FactTable
from scoring.features.resolved import SellerFacts, resolve_as_reported
from scoring.model.artifact import Artifact
from scoring.policy.policy import Policy
from scoring.scores.points import find_points
from scoring.scores.tiers import NO_TIER, decide_tiers, find_rated
from training.observation.chunks import split_by_sellers
from training.observation.export import LedgerTable

MAX_ENTRIES = 50_000

ABSENT = NO_TIER

_IDENTITY = FactRow(0, "", "", int(Kind.IDENTITY), 0, 0)


@frozen
class PastAnswers:
    """The answers about every seller of the table, in its order. Arrays of shape (sellers,)."""

    points: Ints
    """int64; -1: the seller is absent or unrated."""
    tier: Ints
    """int64; ABSENT: none."""
    raw: Floats
    """Raw score, float64, also of the unrated; NaN of the absent."""


def find_past_answers(table: LedgerTable, artifact: Artifact, policy: Policy, day: int) -> PastAnswers:
    """Return the answers about every seller as a server gave them for `observe_time` = `known_time` = the day."""
    parts = []
    for cases, part in split_by_sellers(table.columns, MAX_ENTRIES):
        is_identity = part.kind == Kind.IDENTITY
        attributes = (table.attributes.get(row) for row in part.row[is_identity].tolist())
        rows = [_IDENTITY._replace(attributes=values) for values in attributes]
        columns = part.with_columns(row=np.cumsum(is_identity) - 1)
        seller_facts = resolve_as_reported(table.sellers[cases], FactTable(rows, columns), day * DAY)
        parts.append(_answer_sellers(seller_facts, artifact, policy))
    names = PastAnswers.__dataclass_fields__
    return PastAnswers(**{name: np.concatenate([getattr(answers, name) for answers in parts]) for name in names})


def _answer_sellers(seller_facts: SellerFacts, artifact: Artifact, policy: Policy) -> PastAnswers:
    points_found = find_points(seller_facts, artifact, policy)
    facts, points = points_found.facts, points_found.now
    rated = facts.exists & find_rated(policy, facts)
    lowest = np.min([points, *points_found.midnights], axis=0)
    standing = np.zeros_like(points) if policy.standing is None else policy.standing.add_up(facts)
    return PastAnswers(
        points=np.where(rated, points, -1),
        tier=decide_tiers(policy, lowest, standing, rated, facts.override, facts.exists),
        raw=np.where(facts.exists, points_found.raw, np.nan),
    )
