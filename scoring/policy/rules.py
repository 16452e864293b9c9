"""Rules: conditions and measures. The measures hold if all conditions do."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from scoring.base.enums import Category, MeasureKind, Severity, Tier
from scoring.policy.measures import (
    Measure,
    RollingReserve,
    SettlementHold,
    Suspension,
    Terms,
    ValueCap,
    Waiver,
    combine,
)
from scoring.policy.seasons import Season, find_season


@dataclass(frozen=True, slots=True)
class Counter:
    """Incidents with a recent confirmed violation of these categories and at least this severity."""

    categories: frozenset[Category]
    severity: Severity
    days: int
    """UTC days for which a violation counts, from the day it happened on."""


@dataclass(frozen=True, slots=True)
class Group:
    product_category: str
    first_day: int
    last_day: int
    legal_ground: str


@dataclass(frozen=True, slots=True)
class Rule:
    """Without any condition it holds for every seller."""

    id: str
    reference: str
    """The text that a seller can read, such as a section of the terms."""
    measures: tuple[Measure, ...]
    tiers: frozenset[Tier] = frozenset()
    """The tiers that it is for; empty for all, and also while a seller has no tier."""
    standing_from: int = 0
    """0 if it names none."""
    standing_below: int | None = None
    """Excluded, as all upper ends; None if it has no upper end."""
    counter: Counter | None = None
    incidents: int = 0
    group: Group | None = None
    settled_below: int | None = None
    """In minor units, of `settled_category`, or of all categories if that is empty."""
    settled_category: str = ""
    tenure_below: int | None = None
    deposit_below: int | None = None
    secures: str = ""
    """Id of the rule whose deposit it waits for; empty for a rule that a policy states itself."""

    @property
    def names_confirmed_facts(self) -> bool:
        """Return whether it asks for a standing or a count of incidents, and so ignores a model's answer."""
        return self.standing_from > 0 or self.incidents > 0

    @property
    def closes_after_notice(self) -> bool:
        return any(isinstance(one, Suspension) and one.terminates and one.notice_days for one in self.measures)

    def holds(self, seller: "Situation") -> bool:
        if self.tiers and seller.tier not in self.tiers:
            return False
        if seller.standing < self.standing_from:
            return False
        if self.counter is not None and seller.incidents.get(self.counter, 0) < self.incidents:
            return False
        upper_ends = (
            (seller.standing, self.standing_below),
            (seller.settled_minor.get(self.settled_category, 0), self.settled_below),
            (seller.tenure_days, self.tenure_below),
            (seller.deposit_minor, self.deposit_below),
        )
        if any(end is not None and value >= end for value, end in upper_ends):
            return False
        return self.group is None or self.group.first_day <= seller.day <= self.group.last_day


@dataclass(frozen=True, slots=True)
class Situation:
    tier: Tier | None
    """None while no model is served."""
    standing: int = 0
    incidents: Mapping[Counter, int] = field(default_factory=dict)
    """Number of incidents by counter; a missing counter is 0."""
    settled_minor: Mapping[str, int] = field(default_factory=dict)
    """By product category, and of all under the empty text; a missing value is 0."""
    day: int = 0
    marketplace: str = ""
    tenure_days: int = 0
    """UTC days since the first exposure or identity."""
    deposit_minor: int = 0
    """The deposit that is placed."""
    rated_by_violation: bool = False
    """Whether only a confirmed violation makes the seller rated: its terms are never laxer than for UNRATED."""

    def list_views(self) -> list["Situation"]:
        """Return this situation, and that of UNRATED if a violation alone makes the seller rated."""
        if not self.rated_by_violation:
            return [self]
        return [self, replace(self, tier=Tier.UNRATED, standing=0, incidents={})]


class Applied(NamedTuple):
    rule: Rule
    stated: Measure
    current: Measure
    """Grown by the seller's settled value, multiplied by its season, within the limit of its marketplace."""
    waived: bool


NOT_BEGUN: Mapping[str, int | None] = {}


@dataclass(frozen=True, slots=True)
class RuleBook:
    rules: tuple[Rule, ...] = ()
    currency: str = ""
    """ISO 4217 code of all amounts; empty if there are none."""
    hold_limits: Mapping[str, int] = field(default_factory=dict)
    """Most days of a hold or a reserve by marketplace, if less than 180."""
    seasons: tuple[Season, ...] = ()
    """By their first day; none overlap."""

    def apply(self, seller: Situation) -> list[Applied]:
        """Return each measure of each rule that holds for a seller, in the order of the file.

        It is waived if another rule waives it in every view in which it holds.
        """
        views = []
        for view in seller.list_views():
            holding = {rule.id: rule for rule in self.rules if rule.holds(view)}
            waived = {m.waives for rule in holding.values() for m in rule.measures if isinstance(m, Waiver)}
            views.append((holding, waived))
        found = []
        for rule in self.rules:
            waivers = [waived for holding, waived in views if rule.id in holding]
            for measure in rule.measures if waivers else ():
                is_waived = all(_is_waived(rule, measure, waived) for waived in waivers)
                found.append(Applied(rule, measure, self._current(rule, measure, seller), is_waived))
        return found

    def terms(self, seller: Situation, begun: Mapping[str, int | None] = NOT_BEGUN, time: int = 0) -> Terms:
        """Return the strictest measures of each kind that hold for a seller and are not waived.

        A deposit is always the whole one: so terms are the same in a cell of a policy's space. `begun`: by rule that
        closes the account, since when it holds, seen at a `time`, both in microseconds; other notices are whole.
        """
        found: list[Measure] = []
        for applied in self.apply(seller):
            one = applied.current
            if isinstance(one, Suspension) and one.terminates and applied.rule.id in begun:
                one = one.seen_at(one.find_start(begun[applied.rule.id]), time)
            found += [] if applied.waived else [one]
        return combine(found)

    def _current(self, rule: Rule, measure: Measure, seller: Situation) -> Measure:
        if isinstance(measure, ValueCap):
            grown = measure.after(seller.settled_minor.get(measure.product_category, 0))
            season = None if rule.names_confirmed_facts else find_season(self.seasons, seller.day)
            return grown if season is None else replace(grown, value_minor=season.scale(grown.value_minor))
        return self.limit_days(measure, seller.marketplace)

    def limit_days(self, measure: Measure, marketplace: str) -> Measure:
        """Return a measure with at most the days that its marketplace allows."""
        limit = self.hold_limits.get(marketplace)
        match measure:
            case SettlementHold() if limit is not None:
                return replace(measure, days=min(measure.days, limit))
            case RollingReserve() if limit is not None:
                return replace(measure, days=min(measure.days, limit))
        return measure

    @property
    def asks_for_deposit_placed(self) -> bool:
        return any(rule.deposit_below is not None for rule in self.rules)


NO_RULES = RuleBook()


def _is_waived(rule: Rule, measure: Measure, waived: set[MeasureKind]) -> bool:
    kind = MeasureKind.DEPOSIT if rule.secures else measure.kind
    return kind in waived and not rule.names_confirmed_facts
