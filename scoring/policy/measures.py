"""Measures as typed values, and terms, which merge several measures.

Money is a whole number of minor units (cents) of the policy's one currency; shares are parts per million. An empty
product category is all of them together.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

from scoring.base.arrays import Ints
from scoring.base.enums import MeasureKind
from scoring.base.frozen import frozen
from scoring.base.money import show_amount
from scoring.base.parts import member_of, optional_text, read_fields, stated, whole
from scoring.base.time import DAY
from scoring.entries.kinds.common import MAX_VALUE_MINOR
from scoring.entries.kinds.decisions import MAX_LISTINGS

MAX_HOLD_DAYS = 180
"""Most days after its capture for which an order's value may be held, renewals included."""

MAX_GROUP_DAYS = 30

MAX_SHARE_DAYS = 366

NOTICE_DAYS = 30
"""Days of notice of a termination, unless its rule names the exception."""

MAX_STEPS = 20

FOR_GOOD = 10**6

UNTIL_PLAN = 3_660
"""Days of a suspension until a plan of action is accepted: no violation counts for longer."""

NO_CAP = 2**63 - 1

PPM = 1_000_000

RESTRICTIONS = (MeasureKind.MANUAL_REVIEW, MeasureKind.SEARCH_DEMOTION, MeasureKind.CAMPAIGN_EXCLUSION)

WAIVABLE = (
    *(MeasureKind.DEPOSIT, MeasureKind.SETTLEMENT_HOLD, MeasureKind.ROLLING_RESERVE, MeasureKind.VALUE_CAP),
    *(MeasureKind.LISTING_CAP, MeasureKind.DELIVERY_HOLD, MeasureKind.PAID_AHEAD_LIMIT, *RESTRICTIONS),
)

Number = TypeVar("Number", int, Ints)
Key = TypeVar("Key", int, str)

Caps = tuple[tuple[str, int], ...]
"""(product category, cap), by product category."""


@frozen
class Terms:
    """The strictest measure of each kind; by default none."""

    deposit_minor: int = 0
    deposit_ppm: int = 0
    """A share of recent sales; the larger of both is owed."""
    deposit_days: int = 0
    """Days whose sales the share is of."""
    hold_days: int = 0
    reserve_ppm: int = 0
    reserve_days: int = 0
    delivery_hold_days: int = 0
    """Days of the hold after the confirmed delivery."""
    ahead_days: int = 0
    """Days after the capture until which an order counts as young; 0: no limit on the sum paid out on young orders."""
    ahead_minor: int = NO_CAP
    ahead_ppm: int = PPM
    ahead_at_most_minor: int = NO_CAP
    value_caps: Caps = ()
    """In minor units."""
    listing_caps: Caps = ()
    intake_caps: Caps = ()
    manual_review: bool = False
    search_demotion: bool = False
    campaign_exclusion: bool = False
    suspension_days: int = 0
    closes_in_days: int | None = None
    """Days of notice until the account is closed; 0 if it is closed, None if it stays open."""

    def find_deposit(self, recent_minor: int) -> int:
        return max(self.deposit_minor, take_share(recent_minor, self.deposit_ppm))

    def find_ahead_limit(self, settled_minor: int) -> int | None:
        """Return the limit on the sum paid out on young orders, in minor units, if any.

        With 20,000 and 55,000 ppm, at most 5,000,000: 31,000 after 200,000 settled.
        """
        if not self.ahead_days:
            return None
        return min(self.ahead_minor + settled_minor * self.ahead_ppm // PPM, self.ahead_at_most_minor)

    def stricter_of(self, other: "Terms") -> "Terms":
        return _merge_strictest([self, other])

    def laxer_of(self, other: "Terms") -> "Terms":
        """Return terms with the laxer value of each aspect; a cap stays only if both have it."""
        notices = [one.closes_in_days for one in (self, other) if one.closes_in_days is not None]
        values: dict[str, Any] = {name: min(getattr(self, name), getattr(other, name)) for name in _NUMBERS}
        values |= {name: max(getattr(self, name), getattr(other, name)) for name in _CEILINGS}
        for name in _CAPS:
            caps = dict(getattr(other, name))
            values[name] = tuple(
                (category, max(cap, caps[category])) for category, cap in getattr(self, name) if category in caps
            )
        return Terms(**values, closes_in_days=max(notices) if len(notices) == 2 else None)

    def list_changes(self, after: "Terms", currencies: tuple[str, str]) -> list[str]:
        """Return changes such as `hold_days 7 -> 14`; `currencies`: of sums before and after."""
        pairs = ((name, getattr(self, name), getattr(after, name)) for name in Terms.__dataclass_fields__)
        return [
            f"{name} {show_aspect(name, old, currencies[0])} -> {show_aspect(name, new, currencies[1])}"
            for name, old, new in pairs
            if old != new
        ]

    def strictness(self, categories: Iterable[str]) -> dict[str, int]:
        """Return a number for each aspect of the terms, by its name; larger is stricter.

        `categories`: product categories whose caps are compared.
        """
        aspects = {name: int(getattr(self, name)) for name in _NUMBERS}
        aspects |= {name: -getattr(self, name) for name in _CEILINGS}
        aspects["closes_in_days"] = -NO_CAP if self.closes_in_days is None else -self.closes_in_days
        for name in _CAPS:
            caps: Mapping[str, int] = dict(getattr(self, name))
            of_all = caps.get("", NO_CAP)
            for category in {"", *categories}:
                aspects[f"{name}[{category}]"] = -min(caps.get(category, NO_CAP), of_all)
        return aspects


_NUMBERS = (
    *("deposit_minor", "deposit_ppm", "deposit_days", "hold_days", "reserve_ppm", "reserve_days", "delivery_hold_days"),
    *("ahead_days", "manual_review", "search_demotion", "campaign_exclusion", "suspension_days"),
)
"""Aspects that are stricter if they are larger."""
_CEILINGS = ("ahead_minor", "ahead_ppm", "ahead_at_most_minor")
"""Aspects that are stricter if they are smaller."""
_CAPS = ("value_caps", "listing_caps", "intake_caps")


def _merge_strictest(terms: Sequence[Terms]) -> Terms:
    values: dict[str, Any] = {name: max(getattr(term, name) for term in terms) for name in _NUMBERS}
    values |= {name: min(getattr(term, name) for term in terms) for name in _CEILINGS}
    for name in _CAPS:
        caps: dict[str, int] = {}
        for term in terms:
            for category, cap in getattr(term, name):
                caps[category] = min(caps.get(category, NO_CAP), cap)
        values[name] = tuple(sorted(caps.items()))
    notices = [term.closes_in_days for term in terms if term.closes_in_days is not None]
    return Terms(**values, closes_in_days=min(notices, default=None))


NO_TERMS = Terms()


def take_share(value: Number, ppm: int) -> Number:
    """Return a share of a value, rounded down, in 64 bits."""
    return value // PPM * ppm + value % PPM * ppm // PPM


@frozen
class Deposit:
    kind: ClassVar[MeasureKind] = MeasureKind.DEPOSIT
    amount_minor: int = whole(1, MAX_VALUE_MINOR, 0)
    ppm: int = whole(1, PPM, 0)
    """Of the value settled in `days`."""
    days: int = whole(1, MAX_SHARE_DAYS, 0)

    @property
    def terms(self) -> Terms:
        return Terms(deposit_minor=self.amount_minor, deposit_ppm=self.ppm, deposit_days=self.days)

    def less(self, placed_minor: int, recent_minor: int = 0) -> "Deposit":
        """Return the sum to be placed: of 500 or 5 % of 20,000, with 200 placed, 800."""
        return Deposit(max(self.terms.find_deposit(recent_minor) - placed_minor, 0))


@frozen
class SettlementHold:
    kind: ClassVar[MeasureKind] = MeasureKind.SETTLEMENT_HOLD
    days: int = whole(1, MAX_HOLD_DAYS)

    @property
    def terms(self) -> Terms:
        return Terms(hold_days=self.days)


@frozen
class DeliveryHold:
    kind: ClassVar[MeasureKind] = MeasureKind.DELIVERY_HOLD
    days: int = whole(1, MAX_HOLD_DAYS)

    @property
    def terms(self) -> Terms:
        return Terms(delivery_hold_days=self.days)


@frozen
class PaidAheadLimit:
    """A limit on the sum paid out on orders younger than `days` since their capture. The excess waits until then."""

    kind: ClassVar[MeasureKind] = MeasureKind.PAID_AHEAD_LIMIT
    days: int = whole(1, MAX_HOLD_DAYS)
    value_minor: int = whole(0, MAX_VALUE_MINOR)
    """The limit of a seller who settled nothing."""
    ppm: int = whole(0, PPM)
    """Growth, as a share of the settled value."""
    at_most_minor: int = whole(1, MAX_VALUE_MINOR)
    """The largest limit."""

    @property
    def terms(self) -> Terms:
        return Terms(
            ahead_days=self.days,
            ahead_minor=self.value_minor,
            ahead_ppm=self.ppm,
            ahead_at_most_minor=self.at_most_minor,
        )


@frozen
class RollingReserve:
    """A share of an order's value is held longer than the rest."""

    kind: ClassVar[MeasureKind] = MeasureKind.ROLLING_RESERVE
    ppm: int = whole(1, PPM)
    days: int = whole(1, MAX_HOLD_DAYS)

    @property
    def terms(self) -> Terms:
        return Terms(reserve_ppm=self.ppm, reserve_days=self.days)


@frozen
class CapStep:
    settled_minor: int = whole(1, MAX_VALUE_MINOR)
    value_minor: int = whole(1, MAX_VALUE_MINOR)


@frozen
class ValueCap:
    """A limit on the value captured in a UTC day, growing with the settled value."""

    kind: ClassVar[MeasureKind] = MeasureKind.VALUE_CAP
    value_minor: int = whole(0, MAX_VALUE_MINOR)
    """The cap without any settled value."""
    product_category: str = optional_text()
    grows: tuple[CapStep, ...] = stated(
        lambda part, name: tuple(read_fields(CapStep, step) for step in part.list_of_parts(name, MAX_STEPS)), ()
    )
    """Rising in both values: the last one reached gives the cap."""

    @property
    def terms(self) -> Terms:
        return Terms(value_caps=((self.product_category, self.value_minor),))

    def after(self, settled_minor: int) -> "ValueCap":
        """Return the cap, without steps, after a seller settled `settled_minor`.

        A cap of 2,000 that grows to 5,000 from 10,000 settled is 5,000 at 12,000.
        """
        reached = [step.value_minor for step in self.grows if settled_minor >= step.settled_minor]
        return replace(self, value_minor=reached[-1] if reached else self.value_minor, grows=())


@frozen
class ListingCap:
    kind: ClassVar[MeasureKind] = MeasureKind.LISTING_CAP
    listings: int = whole(0, MAX_LISTINGS)
    product_category: str = optional_text()

    @property
    def terms(self) -> Terms:
        return Terms(listing_caps=((self.product_category, self.listings),))


@frozen
class IntakeCap:
    """A limit on the new listings in a UTC day; 0 keeps the old listings."""

    kind: ClassVar[MeasureKind] = MeasureKind.INTAKE_CAP
    new_listings: int = whole(0, MAX_LISTINGS)
    product_category: str = optional_text()

    @property
    def terms(self) -> Terms:
        return Terms(intake_caps=((self.product_category, self.new_listings),))


@frozen
class Restriction:
    """A measure without a number: a person checks each new listing first, search shows the seller last, or campaigns
    leave the seller out.
    """

    kind: MeasureKind

    @property
    def terms(self) -> Terms:
        in_force: dict[str, Any] = {self.kind.word: True}
        return Terms(**in_force)


@frozen
class Waiver:
    """A kind that does not apply if it rests on the tier alone."""

    kind: ClassVar[MeasureKind] = MeasureKind.WAIVER
    terms: ClassVar[Terms] = NO_TERMS
    waives: MeasureKind = member_of(WAIVABLE)


@frozen
class Suspension:
    """No trade. Only a rule that names confirmed facts may state it."""

    kind: ClassVar[MeasureKind] = MeasureKind.SUSPENSION
    days: int
    """FOR_GOOD if it terminates the account, UNTIL_PLAN if it waits for a plan of action."""
    notice_days: int = 0
    exception: str = ""
    """Why a termination needs no notice; empty for one with notice."""

    @property
    def terms(self) -> Terms:
        """Return its terms: with days of notice no suspension yet, but a closure after them."""
        notice = self.notice_days if self.terminates else None
        return Terms(suspension_days=0 if self.notice_days else self.days, closes_in_days=notice)

    @property
    def terminates(self) -> bool:
        return self.days == FOR_GOOD

    @property
    def until_plan(self) -> bool:
        return self.days == UNTIL_PLAN

    def find_start(self, begin: int | None) -> int | None:
        """Return when a termination takes effect, in microseconds, if its rule holds since `begin`."""
        return None if begin is None else begin + self.notice_days * DAY

    def seen_at(self, start: int | None, time: int) -> "Suspension":
        """Return it with the days of notice that are left until its start, both in microseconds; None: long ago."""
        return replace(self, notice_days=0 if start is None else max(-((time - start) // DAY), 0))


@frozen
class UnvaluedMeasure:
    """A measure by a person with a value that terms cannot take: it limits nothing."""

    terms: ClassVar[Terms] = NO_TERMS
    kind: MeasureKind


Valued = (
    Deposit
    | SettlementHold
    | DeliveryHold
    | PaidAheadLimit
    | RollingReserve
    | ValueCap
    | ListingCap
    | IntakeCap
    | Restriction
    | Waiver
    | Suspension
)
Measure = Valued | UnvaluedMeasure


_OF_SUSPENSION = {FOR_GOOD: "for good", UNTIL_PLAN: "until a plan is accepted"}


def show_aspect(name: str, value: Any, currency: str) -> str:
    """Return the value of an aspect as text: sums as `50.00 EUR`, caps as `all: 5,000 toys: 900`."""
    is_sum = name.endswith("_minor") or name.partition("[")[0] in ("value_cap", "value_caps")
    if isinstance(value, tuple):
        caps = ((category or "all", show_aspect(name, cap, currency)) for category, cap in value)
        return " ".join(f"{category}: {cap}" for category, cap in caps) or "none"
    if name == "suspension_days" and value in _OF_SUSPENSION:
        return _OF_SUSPENSION[value]
    if value is None:
        return "never"
    if value == NO_CAP:
        return "none"
    if type(value) is not int:
        return str(value).lower()
    return show_amount(value, currency) if is_sum else f"{value:,}"


def combine(measures: Iterable[Measure]) -> Terms:
    """Merge measures into terms: the strictest value of each kind, caps by product category.

    Worked: holds of 7 and 14 days give 14 days. A reserve of 100,000 ppm for 30 days and one of 50,000 for 90 give
    100,000 ppm for 90.
    """
    return _merge_strictest([NO_TERMS, *(measure.terms for measure in measures)])


def find_binding(measures: Mapping[Key, Measure]) -> set[Key]:
    """Return the measures whose terms bind beside laxer ones of their kind: of holds of 7, 14 and 14 days, the two of 14."""
    by_kind: dict[tuple[MeasureKind, str], dict[Key, Measure]] = {}
    for key, measure in measures.items():
        category = getattr(measure, "product_category", "")
        by_kind.setdefault((measure.kind, category), {})[key] = measure
    return {
        key
        for group in by_kind.values()
        if len({measure.terms for measure in group.values()}) > 1
        for key, measure in group.items()
        if combine(other for other in group.values() if other.terms != measure.terms) != combine(group.values())
    }
