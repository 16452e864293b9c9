"""Rules: conditions and measures. The measures hold if all conditions do."""

from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from enum import StrEnum
from typing import Any, NamedTuple

from scoring.base.enums import Category, MeasureKind, Severity, Tier
from scoring.base.frozen import frozen
from scoring.base.money import show_amount
from scoring.base.parts import member_of, optional_text, stated, whole
from scoring.base.time import DAY
from scoring.entries.kinds.trade import FAILURES, SERVICE_FAILURES
from scoring.policy.measures import (
    DeliveryHold,
    Deposit,
    IntakeCap,
    ListingCap,
    Measure,
    PaidAheadLimit,
    RollingReserve,
    SettlementHold,
    Suspension,
    Terms,
    ValueCap,
    Waiver,
    combine,
)
from scoring.policy.seasons import Season, find_season

MAX_DAYS = 3_660
MAX_RATE_DAYS, MAX_RATE_ORDERS = 366, 1_000_000


class Quantity(StrEnum):
    """A number that a condition may ask about, by its name in a `Situation`."""

    STANDING = "standing"
    TENURE = "tenure_days"
    DEPOSIT = "deposit_minor"
    GOOD_ORDERS = "good_orders"
    DAY = "day"
    LINK = "link_percent"


def categories() -> Any:
    return stated(lambda part, name: part.members(name, Category) if name in part else frozenset(Category))


@frozen
class Counter:
    """Incidents with a recent confirmed violation of these categories and at least this severity."""

    categories: frozenset[Category] = categories()
    severity: Severity = member_of(Severity, Severity.MINOR)
    days: int = whole(1, MAX_DAYS)
    """UTC days for which a violation counts, from the day it happened on."""


@frozen
class Ladder:
    """The standing by the violations of these categories alone."""

    categories: frozenset[Category] = categories()


@frozen
class SettledValue:
    product_category: str = optional_text()


@frozen
class FailureRate:
    """Failures over settled orders, in parts per million rounded down; 0 below `orders` settled orders."""

    days: int = whole(1, MAX_RATE_DAYS)
    """UTC days before today whose settled orders count."""
    orders: int = whole(1, MAX_RATE_ORDERS)
    of: tuple[str, ...] = stated(
        lambda part, name: tuple(sorted(part.words(name, FAILURES))),
        SERVICE_FAILURES,
    )
    """The failures, at most one an order."""

    def describe(self, _: str) -> str:
        names = "failures" if self.of == SERVICE_FAILURES else ", ".join(self.of)
        return f"{names} in a million of at least {self.orders:,} orders in {self.days:,} days"


@frozen
class MissingDays:
    """UTC days in a row, up to today, without a deposit."""

    deposit: Deposit

    def describe(self, currency: str) -> str:
        deposit = self.deposit
        parts = [show_amount(deposit.amount_minor, currency)] if deposit.amount_minor else []
        parts += [f"{deposit.ppm / 10_000:g} % of {deposit.days} days' sales"] if deposit.ppm else []
        return f"days without the deposit of {' or '.join(parts)}"


Measured = FailureRate | MissingDays
Operand = Quantity | Counter | Ladder | SettledValue | Measured
"""The number of a seller that a condition compares."""


def is_of_facts(operand: Operand) -> bool:
    """Return whether the quantity follows from confirmed violations alone, so that more of it is worse."""
    return operand is Quantity.STANDING or isinstance(operand, Counter | Ladder)


def is_worse_with_more(operand: Operand) -> bool:
    return is_of_facts(operand) or isinstance(operand, FailureRate | MissingDays) or operand is Quantity.LINK


@frozen
class Condition:
    """From `least` to before `below`; None: without an upper end."""

    operand: Operand
    least: int = 0
    below: int | None = None

    def holds(self, seller: "Situation") -> bool:
        value = seller.value(self.operand)
        return self.least <= value and (self.below is None or value < self.below)


class ListingGroup(NamedTuple):
    """A rule for new listings of a product category on some days, with the days as its only condition."""

    product_category: str
    legal_ground: str


@frozen
class Rule:
    id: str
    reference: str
    """The text that a seller can read, such as a section of the terms."""
    measures: tuple[Measure, ...]
    tiers: frozenset[Tier] = frozenset()
    """The tiers that it is for; empty for all, and also while a seller has no tier."""
    conditions: tuple[Condition, ...] = ()
    """At most one by what it asks about, a counter aside."""
    group: ListingGroup | None = None
    secures: str = ""
    """Id of the rule whose deposit it waits for; empty for a rule that a policy states itself."""

    def condition(self, operand: Operand) -> Condition:
        """Return the rule's condition on a quantity; one that always holds if it has none."""
        return next((one for one in self.conditions if one.operand == operand), Condition(operand))

    @property
    def refill_days(self) -> int:
        return next((one.least - 1 for one in self.conditions if isinstance(one.operand, MissingDays)), 0)

    @property
    def facts(self) -> frozenset[Operand]:
        return frozenset(condition.operand for condition in self.conditions if is_of_facts(condition.operand))

    @property
    def names_confirmed_facts(self) -> bool:
        """Return whether it asks for a standing or a count of incidents, and so ignores a model's answer."""
        return bool(self.facts)

    @property
    def product_categories(self) -> set[str]:
        settled = {one.operand.product_category for one in self.conditions if isinstance(one.operand, SettledValue)}
        return (settled | {getattr(one, "product_category", "") for one in self.measures}) - {""}

    @property
    def begins_later(self) -> bool:
        """Return whether it closes the account, or awaits a deposit, after some days."""
        return self.refill_days > 0 or any(
            isinstance(measure, Suspension) and measure.terminates and measure.notice_days for measure in self.measures
        )

    def holds(self, seller: "Situation") -> bool:
        return (not self.tiers or seller.tier in self.tiers) and all(
            condition.holds(seller) for condition in self.conditions
        )


@frozen
class Situation:
    tier: Tier | None
    """Set while a model is served."""
    standing: int = 0
    incidents: Mapping[Counter | Ladder, int] = field(default_factory=dict)
    """Number of incidents by counter, and the standing by ladder; a missing one is 0."""
    settled_minor: Mapping[str, int] = field(default_factory=dict)
    """By product category, and of all under the empty text; a missing value is 0."""
    measured: Mapping[Measured, int] = field(default_factory=dict)
    """A missing value is 0."""
    recent_minor: int = 0
    day: int = 0
    marketplace: str = ""
    tenure_days: int = 0
    """UTC days since the first exposure or identity."""
    deposit_minor: int = 0
    """The deposit that is placed."""
    good_orders: int = 0
    """Settled orders without a service failure since the last confirmed violation."""
    link_percent: int = 0
    """The strength of the strongest link to a confirmed violator, rounded down."""
    shared_by: int = 0
    """For an account linked to a suspended seller: the accounts that are one newcomer together; else 0."""
    rated_by_violation: bool = False
    """Whether only a confirmed violation makes the seller rated: its terms are never laxer than for UNRATED."""

    @classmethod
    def of_values(
        cls, tier: Tier | None, values: Mapping[Operand, int], marketplace: str = "", rated_by_violation: bool = False
    ) -> "Situation":
        """Return a situation that answers `value(operand)` with `values[operand]`, and with 0 for what is missing."""
        return cls(
            tier,
            incidents={operand: value for operand, value in values.items() if isinstance(operand, Counter | Ladder)},
            settled_minor={
                one.product_category: value for one, value in values.items() if isinstance(one, SettledValue)
            },
            measured={one: value for one, value in values.items() if isinstance(one, Measured)},
            marketplace=marketplace,
            rated_by_violation=rated_by_violation,
            **{operand.value: value for operand, value in values.items() if isinstance(operand, Quantity)},
        )

    def value(self, operand: Operand) -> int:
        if isinstance(operand, Counter | Ladder):
            return self.incidents.get(operand, 0)
        if isinstance(operand, SettledValue):
            return self.settled_minor.get(operand.product_category, 0)
        if isinstance(operand, Measured):
            return self.measured.get(operand, 0)
        number: int = getattr(self, operand.value)
        return number

    def list_views(self) -> list["Situation"]:
        """Return the situations in which rules are tried: this one, and maybe the same seller as UNRATED.

        The second is there if `shared_by` or `rated_by_violation` is set; it has no standing and no incidents.
        """
        if not (self.rated_by_violation or self.shared_by):
            return [self]
        return [self, replace(self, tier=Tier.UNRATED, standing=0, incidents={})]


class AppliedRule(NamedTuple):
    rule: Rule
    stated: Measure
    current: Measure
    """Grown by the seller's settled value, multiplied by its season, within the limit of its marketplace."""
    waived: bool


NOT_BEGUN: Mapping[str, int | None] = {}


@frozen
class RuleBook:
    rules: tuple[Rule, ...] = ()
    currency: str = ""
    """ISO 4217 code of all amounts; empty if there are none."""
    hold_limits: Mapping[str, int] = field(default_factory=dict)
    """Most days of a hold or a reserve by marketplace, if less than 180."""
    seasons: tuple[Season, ...] = ()
    """By their first day; none overlap."""
    newcomer_link_percent: int = 0
    """From this strength of a link to a suspended seller, an account starts as a newcomer; 0: none does."""

    def list_edges(self) -> Iterator[tuple[Operand, int]]:
        """Yield (number, value) of each value that may change terms when a seller reaches it."""
        for rule in self.rules:
            for condition in rule.conditions:
                yield condition.operand, condition.least
                yield condition.operand, condition.below or 0
            for cap in rule.measures:
                if isinstance(cap, ValueCap):
                    yield from ((SettledValue(cap.product_category), step.settled_minor) for step in cap.grows)
                elif isinstance(cap, PaidAheadLimit) or (isinstance(cap, Deposit) and cap.ppm):
                    yield SettledValue(), 0  # it grows with every minor unit, and the terms state how
        for season in self.seasons:
            yield Quantity.DAY, season.first_day
            yield Quantity.DAY, season.last_day + 1

    @property
    def operands(self) -> set[Operand]:
        return {operand for operand, _ in self.list_edges()}

    @property
    def share_days(self) -> int:
        deposits = (one for rule in self.rules for one in rule.measures if isinstance(one, Deposit))
        return max((one.days for one in deposits), default=0)

    @property
    def refill_days(self) -> int:
        return max((rule.refill_days for rule in self.rules), default=0)

    def apply(self, seller: Situation) -> list[AppliedRule]:
        """Return each measure of each rule that holds for a seller, in the order of the file.

        It is waived if another rule waives it in every view in which it holds.
        """
        views = []
        for view in seller.list_views():
            holding = {rule.id: rule for rule in self.rules if rule.holds(view)}
            waived = {m.waives for rule in holding.values() for m in rule.measures if isinstance(m, Waiver)}
            views.append((holding, waived))
        applied_rules = []
        for rule in self.rules:
            waivers = [waived for holding, waived in views if rule.id in holding]
            for measure in rule.measures if waivers else ():
                current = _split_among_accounts(self._adjust_to_seller(rule, measure, seller), seller.shared_by)
                is_waived = all(_is_waived(rule, measure, waived) for waived in waivers)
                applied_rules.append(AppliedRule(rule, measure, current, is_waived))
        return applied_rules

    def terms(self, seller: Situation, begun: Mapping[str, int | None] = NOT_BEGUN, time: int = 0) -> Terms:
        """Return the strictest measures of each kind that hold for a seller and are not waived.

        A deposit is always the whole one: so terms are the same in a cell of a policy's space. `begun`: by rule that
        begins later, since when it holds, seen at a `time`, both in microseconds; other notices are whole.
        """
        measures: list[Measure] = []
        for applied in self.apply(seller):
            one, since = applied.current, begun.get(applied.rule.id)
            if isinstance(one, Suspension) and one.terminates and applied.rule.id in begun:
                one = one.seen_at(one.find_start(since), time)
            is_ahead = since is not None and find_start_of_effect(since, applied.rule.refill_days) > time
            measures += [] if applied.waived or is_ahead else [one]
        return combine(measures)

    def _adjust_to_seller(self, rule: Rule, measure: Measure, seller: Situation) -> Measure:
        if isinstance(measure, ValueCap):
            grown = measure.after(seller.value(SettledValue(measure.product_category)))
            season = None if rule.names_confirmed_facts else find_season(self.seasons, seller.day)
            return grown if season is None else replace(grown, value_minor=season.scale(grown.value_minor))
        return self.limit_days(measure, seller.marketplace)

    def limit_days(self, measure: Measure, marketplace: str) -> Measure:
        limit = self.hold_limits.get(marketplace)
        if limit is None or not isinstance(measure, _HELD_FOR_DAYS):
            return measure
        return replace(measure, days=min(measure.days, limit))


def find_start_of_effect(since: int, refill_days: int) -> int:
    """Return when a rule acts that holds since a time, both in microseconds."""
    return (since // DAY + refill_days) * DAY if refill_days else since


_HELD_FOR_DAYS = (SettlementHold, DeliveryHold, PaidAheadLimit, RollingReserve)

NO_RULES = RuleBook()


def _split_among_accounts(measure: Measure, accounts: int) -> Measure:
    """Return one account's part of a limit that some accounts have together. Worked: 10,000 a day for 3 is 3,333."""
    if accounts > 1:
        match measure:
            case ValueCap(value_minor=limit) | PaidAheadLimit(value_minor=limit):
                return replace(measure, value_minor=limit // accounts)
            case ListingCap(listings=limit):
                return replace(measure, listings=limit // accounts)
            case IntakeCap(new_listings=limit):
                return replace(measure, new_listings=limit // accounts)
    return measure


def _is_waived(rule: Rule, measure: Measure, waived: set[MeasureKind]) -> bool:
    kind = MeasureKind.DEPOSIT if rule.secures else measure.kind
    return kind in waived and not rule.names_confirmed_facts
