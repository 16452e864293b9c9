"""What the core answers: a trust score, its explanation, and the stamp of what made it."""

from dataclasses import dataclass

from scoring.enums import Category, ScoreState, Severity, Tier


@dataclass(frozen=True, slots=True)
class Stamp:
    """What an answer is made from; from these it can be replayed to the same bits. Times in microseconds."""

    observe_time: int
    known_time: int
    ledger_sequence: int
    model_digest: str
    policy_digest: str
    core_version: str


@dataclass(frozen=True, slots=True)
class TrustScore:
    """How far a seller deserves trust. Points (0 to 1000) and `p_bad` are there only if the state is RATED.

    `points_low` <= `points` <= `points_high`: the points at the ends of the 90 % interval of the seller's own rates.
    `points_if_upheld`: the points if every open allegation were upheld, of very many the gravest. `tier_points`: the lowest
    of the points now and at the last 14 day-ends; `tier` is its band, None if the state is UNKNOWN, or what the entry
    `override` says while it is in force.
    """

    state: ScoreState
    tier: Tier | None
    badge: str
    points: int | None = None
    points_low: int | None = None
    points_high: int | None = None
    points_if_upheld: int | None = None
    tier_points: int | None = None
    p_bad: float | None = None
    reason_codes: tuple[str, ...] = ()
    counted_incidents: int = 0
    open_allegations: int = 0
    override: str = ""


@dataclass(frozen=True, slots=True)
class IncidentEffect:
    """What one incident does: `points_if_overturned` (>= 0) is an exact refold without it. `entries` by entry id."""

    incident: str
    category: Category
    severity: Severity
    occur_time: int
    points_if_overturned: int
    entries: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reason:
    """Share of the gap to the baseline seller, in points, that a group of incidents (or HISTORY) explains.

    `incidents` are those of the group with the largest effect, and `incidents_omitted` the number of the others.
    """

    reason_code: str
    points: int
    incidents: tuple[IncidentEffect, ...] = ()
    incidents_omitted: int = 0


@dataclass(frozen=True, slots=True)
class ThinFile:
    """What keeps a seller unrated: what there is, and what the policy asks for."""

    settled_orders: int
    settled_orders_needed: int
    tenure_days: int
    tenure_days_needed: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """A trust score with the facts behind every point. The shares sum to `points - baseline_points`, exactly."""

    score: TrustScore
    baseline_points: int | None = None
    reasons: tuple[Reason, ...] = ()
    thin_file: ThinFile | None = None
