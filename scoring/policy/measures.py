"""Measures as typed values, and terms, which merge several measures.

Money is a whole number of minor units (cents) of the policy's one currency; shares are parts per million. An empty
product category is all of them together.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from scoring.base.enums import MeasureKind
from scoring.base.time import DAY

MAX_HOLD_DAYS = 180
"""Most days after its capture for which an order's value may be held, renewals included."""

MAX_GROUP_DAYS = 30

NOTICE_DAYS = 30
"""Days of notice of a termination, unless its rule names the exception."""

FOR_GOOD = 10**6

NO_CAP = 2**63 - 1

PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class Deposit:
    kind: ClassVar[MeasureKind] = MeasureKind.DEPOSIT
    amount_minor: int

    def less(self, placed_minor: int) -> "Deposit":
        """Return the deposit that remains to be placed: of 500 required, with 200 placed, 300."""
        return Deposit(max(self.amount_minor - placed_minor, 0))


@dataclass(frozen=True, slots=True)
class SettlementHold:
    kind: ClassVar[MeasureKind] = MeasureKind.SETTLEMENT_HOLD
    days: int


@dataclass(frozen=True, slots=True)
class RollingReserve:
    """A share of an order's value is held longer than the rest."""

    kind: ClassVar[MeasureKind] = MeasureKind.ROLLING_RESERVE
    ppm: int
    days: int


@dataclass(frozen=True, slots=True)
class CapStep:
    settled_minor: int
    value_minor: int


@dataclass(frozen=True, slots=True)
class ValueCap:
    """A limit on the value captured in one UTC day, which grows with the settled value."""

    kind: ClassVar[MeasureKind] = MeasureKind.VALUE_CAP
    value_minor: int
    """The cap without any settled value."""
    product_category: str = ""
    grows: tuple[CapStep, ...] = ()
    """Steps, rising in both values: the last step reached gives the cap."""

    def after(self, settled_minor: int) -> "ValueCap":
        """Return the cap, without steps, after a seller settled `settled_minor`.

        A cap of 2,000 that grows to 5,000 from 10,000 settled is 5,000 at 12,000.
        """
        reached = [step.value_minor for step in self.grows if settled_minor >= step.settled_minor]
        return replace(self, value_minor=reached[-1] if reached else self.value_minor, grows=())


@dataclass(frozen=True, slots=True)
class ListingCap:
    kind: ClassVar[MeasureKind] = MeasureKind.LISTING_CAP
    listings: int
    product_category: str = ""


@dataclass(frozen=True, slots=True)
class IntakeCap:
    """A limit on the new listings in a UTC day; 0 keeps the old listings."""

    kind: ClassVar[MeasureKind] = MeasureKind.INTAKE_CAP
    new_listings: int
    product_category: str = ""


@dataclass(frozen=True, slots=True)
class ManualReview:
    """A person checks each new listing first."""

    kind: ClassVar[MeasureKind] = MeasureKind.MANUAL_REVIEW


@dataclass(frozen=True, slots=True)
class Waiver:
    """A kind of measure that does not apply if it rests on the tier alone."""

    kind: ClassVar[MeasureKind] = MeasureKind.WAIVER
    waives: MeasureKind


@dataclass(frozen=True, slots=True)
class Suspension:
    """No trade. Only a rule that names confirmed facts may state it."""

    kind: ClassVar[MeasureKind] = MeasureKind.SUSPENSION
    days: int
    """FOR_GOOD if it terminates the account."""
    notice_days: int = 0
    exception: str = ""
    """Why a termination needs no notice; empty for one with notice."""

    @property
    def terminates(self) -> bool:
        return self.days == FOR_GOOD

    def find_start(self, begun: int | None) -> int | None:
        """Return when a termination takes effect, in microseconds, if its rule holds since `begun`."""
        return None if begun is None else begun + self.notice_days * DAY

    def seen_at(self, start: int | None, time: int) -> "Suspension":
        """Return it with the days of notice that are left until its start, both in microseconds; None: long ago."""
        return replace(self, notice_days=0 if start is None else max(-((time - start) // DAY), 0))


@dataclass(frozen=True, slots=True)
class Unvalued:
    """A measure by a person with a value that terms cannot take: it limits nothing."""

    kind: MeasureKind


Measure = (
    Deposit
    | SettlementHold
    | RollingReserve
    | ValueCap
    | ListingCap
    | IntakeCap
    | ManualReview
    | Waiver
    | Suspension
    | Unvalued
)

WAIVABLE = (
    *(MeasureKind.DEPOSIT, MeasureKind.SETTLEMENT_HOLD, MeasureKind.ROLLING_RESERVE, MeasureKind.VALUE_CAP),
    *(MeasureKind.LISTING_CAP, MeasureKind.MANUAL_REVIEW),
)


@dataclass(frozen=True, slots=True)
class Terms:
    """The strictest measure of each kind. The default is no measure at all."""

    deposit_minor: int = 0
    hold_days: int = 0
    reserve_ppm: int = 0
    reserve_days: int = 0
    value_caps: tuple[tuple[str, int], ...] = ()
    """(product category, cap in minor units), by product category."""
    listing_caps: tuple[tuple[str, int], ...] = ()
    intake_caps: tuple[tuple[str, int], ...] = ()
    manual_review: bool = False
    suspension_days: int = 0
    closes_in_days: int | None = None
    """Days of notice until the account is closed; 0 if it is closed, None if it stays open."""

    def stricter_of(self, other: "Terms") -> "Terms":
        """Return the stricter value of each aspect of two terms; caps by product category."""
        return Terms(
            deposit_minor=max(self.deposit_minor, other.deposit_minor),
            hold_days=max(self.hold_days, other.hold_days),
            reserve_ppm=max(self.reserve_ppm, other.reserve_ppm),
            reserve_days=max(self.reserve_days, other.reserve_days),
            value_caps=_lowest_caps(self.value_caps, other.value_caps),
            listing_caps=_lowest_caps(self.listing_caps, other.listing_caps),
            intake_caps=_lowest_caps(self.intake_caps, other.intake_caps),
            manual_review=self.manual_review or other.manual_review,
            suspension_days=max(self.suspension_days, other.suspension_days),
            closes_in_days=_earliest(self.closes_in_days, other.closes_in_days),
        )

    def laxer_of(self, other: "Terms") -> "Terms":
        """Return the laxer value of each aspect of two terms; only caps that both have, by product category."""
        closes = (self.closes_in_days, other.closes_in_days)
        return Terms(
            deposit_minor=min(self.deposit_minor, other.deposit_minor),
            hold_days=min(self.hold_days, other.hold_days),
            reserve_ppm=min(self.reserve_ppm, other.reserve_ppm),
            reserve_days=min(self.reserve_days, other.reserve_days),
            value_caps=_highest_caps(self.value_caps, other.value_caps),
            listing_caps=_highest_caps(self.listing_caps, other.listing_caps),
            intake_caps=_highest_caps(self.intake_caps, other.intake_caps),
            manual_review=self.manual_review and other.manual_review,
            suspension_days=min(self.suspension_days, other.suspension_days),
            closes_in_days=None if None in closes else max(day for day in closes if day is not None),
        )

    def list_changes(self, after: "Terms") -> list[str]:
        """Return changes by aspect, such as `hold_days 7 -> 14`."""
        pairs = ((name, getattr(self, name), getattr(after, name)) for name in Terms.__dataclass_fields__)
        return [
            f"{name} {show_aspect(name, old)} -> {show_aspect(name, new)}" for name, old, new in pairs if old != new
        ]

    def strictness(self, categories: Iterable[str]) -> dict[str, int]:
        """Return a number for each aspect of the terms, by its name; larger is stricter.

        `categories`: product categories whose caps are compared.
        """
        aspects = {
            "deposit_minor": self.deposit_minor,
            "hold_days": self.hold_days,
            "reserve_ppm": self.reserve_ppm,
            "reserve_days": self.reserve_days,
            "manual_review": int(self.manual_review),
            "suspension_days": self.suspension_days,
            "closes_in_days": -NO_CAP if self.closes_in_days is None else -self.closes_in_days,
        }
        for name in ("value_caps", "listing_caps", "intake_caps"):
            caps: Mapping[str, int] = dict(getattr(self, name))
            of_all = caps.get("", NO_CAP)
            for category in {"", *categories}:
                aspects[f"{name}[{category}]"] = -min(caps.get(category, NO_CAP), of_all)
        return aspects


def _earliest(one: int | None, other: int | None) -> int | None:
    return min((days for days in (one, other) if days is not None), default=None)


def _highest_caps(one: tuple[tuple[str, int], ...], other: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
    second = dict(other)
    return tuple((name, max(cap, second[name])) for name, cap in one if name in second)


def _lowest_caps(one: tuple[tuple[str, int], ...], other: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
    first, second = dict(one), dict(other)
    names = sorted({*first, *second})
    return tuple((name, min(first.get(name, NO_CAP), second.get(name, NO_CAP))) for name in names)


def show_aspect(name: str, value: object) -> str:
    """Return the value of an aspect as text: caps as `all: 5,000 toys: 900`, a termination as `for good`."""
    if isinstance(value, tuple):
        return " ".join(f"{category or 'all'}: {cap:,}" for category, cap in value) or "none"
    if name == "suspension_days" and value == FOR_GOOD:
        return "for good"
    if value is None:
        return "never"
    return f"{value:,}" if type(value) is int else str(value).lower()


def combine(measures: Iterable[Measure]) -> Terms:
    """Merge measures into terms: the strictest value of each kind, caps by product category. Waivers have no effect
    here.

    Worked: holds of 7 and 14 days, a reserve of 100,000 ppm for 30 days and one of 50,000 for 90 give a hold of 14 days
    and a reserve of 100,000 ppm for 90.
    """
    found = Terms()
    caps: dict[str, dict[str, int]] = {"value_caps": {}, "listing_caps": {}, "intake_caps": {}}
    for measure in measures:
        match measure:
            case Deposit(amount_minor=amount):
                found = replace(found, deposit_minor=max(found.deposit_minor, amount))
            case SettlementHold(days=days):
                found = replace(found, hold_days=max(found.hold_days, days))
            case RollingReserve(ppm=ppm, days=days):
                found = replace(
                    found, reserve_ppm=max(found.reserve_ppm, ppm), reserve_days=max(found.reserve_days, days)
                )
            case ManualReview():
                found = replace(found, manual_review=True)
            case Suspension(days=days, notice_days=notice):
                if measure.terminates:
                    found = replace(found, closes_in_days=_earliest(found.closes_in_days, notice))
                if not notice:
                    found = replace(found, suspension_days=max(found.suspension_days, days))
            case ValueCap(value_minor=cap, product_category=category):
                caps["value_caps"][category] = min(caps["value_caps"].get(category, NO_CAP), cap)
            case ListingCap(listings=cap, product_category=category):
                caps["listing_caps"][category] = min(caps["listing_caps"].get(category, NO_CAP), cap)
            case IntakeCap(new_listings=cap, product_category=category):
                caps["intake_caps"][category] = min(caps["intake_caps"].get(category, NO_CAP), cap)
    return replace(
        found,
        value_caps=tuple(sorted(caps["value_caps"].items())),
        listing_caps=tuple(sorted(caps["listing_caps"].items())),
        intake_caps=tuple(sorted(caps["intake_caps"].items())),
    )
