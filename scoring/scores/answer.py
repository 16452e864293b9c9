"""The answers of the core: a trust score, its explanation, and its stamp."""

from dataclasses import dataclass, field
from typing import NamedTuple

from scoring.base.enums import Category, ScoreState, Severity, Tier
from scoring.caution.cautions import Caution


class MadeBy(NamedTuple):
    model: str
    policy: str


@dataclass(frozen=True, slots=True)
class Stamp:
    """All inputs of an answer: a replay from them gives the same bits."""

    observe_time: int
    """In microseconds."""
    known_time: int
    """The answer rests on entries recorded before this, in microseconds."""
    ledger_sequence: int
    """The last one before `known_time`."""
    model_digest: str
    """Empty without a model."""
    policy_digest: str
    core_version: str

    @property
    def made_by(self) -> MadeBy:
        return MadeBy(self.model_digest, self.policy_digest)


@dataclass(frozen=True, slots=True)
class TrustScore:
    """All points (0 to 1000) and `p_bad` are None unless the state is RATED."""

    state: ScoreState
    tier: Tier | None
    """The worse of the band of `tier_points` and the best tier that the standing allows.

    It is the tier of an override while one is in force. None if the state is UNKNOWN.
    """
    badge: str
    points: int | None = None
    """At the observe time; higher is better."""
    points_low: int | None = None
    """At the bad end of the 90 % interval of the seller's own rates; at most `points`."""
    points_high: int | None = None
    """At the good end of that interval; at least `points`."""
    points_if_upheld: int | None = None
    """If every open allegation were upheld; if very many are open, the gravest."""
    tier_points: int | None = None
    """The lowest of the points now and at the last 14 day-ends."""
    p_bad: float | None = None
    """Probability of bad over the reference exposure, 0 to 1. Shown, and used for nothing."""
    reason_codes: tuple[str, ...] = ()
    """Reasons why the points are not higher, the gravest first."""
    counted_incidents: int = 0
    """Confirmed, appealed or reduced."""
    open_allegations: int = 0
    """Violations alleged or under review, which do not count."""
    override: str = ""
    """Id of the entry that set tier and badge by hand, if in force."""
    valid_until: int = field(default=0, compare=False)
    """In microseconds, at most the next UTC midnight (`scoring.features.validity`).

    Until then every observe time has the same answer, from the same entries, model and policy. Comparisons of answers
    leave this field out.
    """
    standing: int | None = None
    """More is worse; None if the policy has no table of standing."""
    cautions: tuple[Caution, ...] = ()
    """In the order of the policy's rules. Only `valid_until` also rests on them."""


@dataclass(frozen=True, slots=True)
class IncidentEffect:
    incident: str
    category: Category
    severity: Severity
    """As its category: of its gravest violation."""
    occur_time: int
    """When its latest violation happened, in microseconds."""
    points_if_overturned: int
    """Points gained if the whole incident were overturned, by an exact refold without it; at least 0."""
    entries: tuple[str, ...]
    """Ids of its entries: each report, by `occur_time`, followed by its decisions."""


@dataclass(frozen=True, slots=True)
class ExposureDay:
    """A day of exposure, as stated: no confirmed violation."""

    day: int
    settled_orders: int
    service_failures: int


@dataclass(frozen=True, slots=True)
class Reason:
    """The effect of one group of facts on the page's base."""

    reason_code: str
    points: int
    """At most 0 by a certified page, but for LIMIT."""
    incidents: tuple[IncidentEffect, ...] = ()
    """The incidents with the largest effect, that one first."""
    incidents_omitted: int = 0
    entries: tuple[str, ...] = ()
    """Ids of entries, if no incidents are behind it: the latest first."""
    entries_omitted: int = 0
    days: tuple[ExposureDay, ...] = ()
    """The latest first."""
    days_omitted: int = 0
    counted: int = 0
    """A count without decay: incidents, failed orders, failed inspections, lost disputes; of FEW_ORDERS settled
    orders, of SHORT_TENURE days, of IDENTITY_LEVEL the level, of LIMIT the sum before it.
    """
    compared: int = 0
    """The number that `counted` is compared with: settled orders, or of inspections those failed and passed; else 0."""


@dataclass(frozen=True, slots=True)
class ThinFile:
    """The history of an unrated seller, and the required history."""

    settled_orders: int
    settled_orders_needed: int
    tenure_days: int
    """Days since the first exposure or identity."""
    tenure_days_needed: int


@dataclass(frozen=True, slots=True)
class Explanation:
    score: TrustScore
    baseline_points: int | None = None
    """The points of a seller with the best row of every table. Only if rated."""
    reasons: tuple[Reason, ...] = ()
    """They sum to `points - baseline_points` exactly; only if rated."""
    thin_file: ThinFile | None = None
    """Only if unrated."""
