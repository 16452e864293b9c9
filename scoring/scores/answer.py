"""The answers of the core: a trust score, its explanation, and its stamp."""

from dataclasses import field
from typing import NamedTuple

from scoring.base.enums import Category, ScoreState, Severity, Tier
from scoring.base.frozen import frozen
from scoring.caution.cautions import Caution


class MadeBy(NamedTuple):
    model: str
    policy: str
    notice: str = ""
    """Names the earlier models and policies whose answers still count; empty without any."""


@frozen
class Stamp:
    """All inputs of an answer: a replay gives the same bits."""

    observe_time: int
    """In microseconds."""
    known_time: int
    """Only earlier recorded entries count, in microseconds."""
    ledger_sequence: int
    """The last one before `known_time`."""
    model_digest: str
    """Empty without a model."""
    policy_digest: str
    core_version: str
    notice: str = ""
    """As in `MadeBy`. It follows from the moves before the observe time."""

    @property
    def made_by(self) -> MadeBy:
        return MadeBy(self.model_digest, self.policy_digest, self.notice)


class Notice(NamedTuple):
    """A tier that falls by a move of the policy or the model alone, when the notice of the move ends."""

    tier: Tier
    until: int
    """A midnight, in microseconds."""


@frozen
class SellerScore:
    """Only a RATED seller has points (0 to 1000) and `p_bad`."""

    state: ScoreState
    tier: Tier | None
    """The worse of the band of `tier_points` and the best tier that the standing allows.

    It is the tier of an override while one is in force. A `notice` keeps a better one. None if the state is UNKNOWN.
    """
    badge: str
    band: str = ""
    """The policy's name of the band of `tier_points` within `tier`; empty if the policy names none."""
    points: int | None = None
    points_low: int | None = None
    """At the bad end of the 90 % interval of the seller's own rates."""
    points_high: int | None = None
    """At its good end."""
    points_if_upheld: int | None = None
    """If every open allegation were upheld; of very many, the gravest."""
    tier_points: int | None = None
    """The lowest of now and the last 14 day-ends."""
    p_bad: float | None = None
    """For display only."""
    reason_codes: tuple[str, ...] = ()
    """The gravest first."""
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
    """More is worse. Set if the policy has a table of standing."""
    cautions: tuple[Caution, ...] = ()
    """In the order of the policy's rules. Only `valid_until` also rests on them."""
    notice: Notice | None = None
    """None if the tier is the policy's and the model's own."""

    @property
    def own_tier(self) -> Tier | None:
        """Return the tier without the laxer one of a notice: badge and money follow it."""
        return self.tier if self.notice is None else self.notice.tier


@frozen
class IncidentEffect:
    incident: str
    category: Category
    severity: Severity
    """From its gravest violation, as its category."""
    occur_time: int
    """From its latest violation, in microseconds."""
    points_if_overturned: int
    """Points gained without the incident, by an exact refold."""
    entries: tuple[str, ...]
    """Each report, by `occur_time`, followed by its decisions."""


@frozen
class ExposureDay:
    day: int
    settled_orders: int
    service_failures: int


@frozen
class Reason:
    reason_code: str
    points: int
    """At most 0 by a certified page, but for LIMIT."""
    incidents: tuple[IncidentEffect, ...] = ()
    """The largest effect first."""
    incidents_omitted: int = 0
    entries: tuple[str, ...] = ()
    """That are no incidents, the latest first."""
    entries_omitted: int = 0
    days: tuple[ExposureDay, ...] = ()
    """The latest first."""
    days_omitted: int = 0
    counted: int = 0
    """Without decay: incidents, failed orders, failed inspections, lost disputes; of FEW_ORDERS settled orders,
    SHORT_TENURE days, IDENTITY_LEVEL the level, LIMIT the sum before.
    """
    compared: int = 0
    """Settled orders, or inspections with a result; else 0."""


@frozen
class ThinFile:
    settled_orders: int
    settled_orders_needed: int
    tenure_days: int
    tenure_days_needed: int


@frozen
class Explanation:
    score: SellerScore
    baseline_points: int | None = None
    """With the best row of every table. Only if rated."""
    reasons: tuple[Reason, ...] = ()
    """They sum to `points - baseline_points` exactly."""
    thin_file: ThinFile | None = None
    """Only if unrated."""
