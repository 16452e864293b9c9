from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from scoring.base.enums import (
    Action,
    Attribution,
    CorrectionKind,
    Harm,
    IdentityLevel,
    IncidentChange,
    LinkKind,
    LinkState,
    Severity,
    Source,
)
from scoring.base.time import DAY, day_of, parse_time
from scoring.entries.entry import Entry
from scoring.entries.kinds.account import IdentityVerified, LinkChanged
from scoring.entries.kinds.conduct import (
    AttributionStated,
    IncidentChanged,
    ProductListed,
    ProductViolationReported,
    StatusChanged,
    ViolationReported,
)
from scoring.entries.kinds.decisions import EntryCorrected
from scoring.entries.kinds.trade import ExposureStated

MARKET = "acme"
SELLER = "s1"
NOW = parse_time("2026-03-01T12:00:00Z")
TODAY = day_of(NOW)


class Clock:
    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def ago(days: float) -> int:
    return NOW - round(days * DAY)


def violation(
    entry_id: str = "v1",
    seller: str = SELLER,
    *,
    violation_type: str = "counterfeit_goods",
    harm: Harm = Harm.HIGH,
    source: Source = Source.BRAND,
    incident: str = "",
    notifier: str = "",
    final: bool = False,
    identifier_verified: bool = False,
    listing: str = "",
    product_category: str = "",
    occur_time: int = ago(10),
    report_time: int | None = None,
) -> Entry:
    fact = ViolationReported(
        violation_type, harm, source, incident, notifier, final, identifier_verified, listing, product_category
    )
    return Entry(entry_id, seller, fact, occur_time, report_time)


def confirmed(entry_id: str = "v1", seller: str = SELLER, *, occur_time: int = ago(10)) -> Entry:
    """Return a violation confirmed on arrival: customs' final act with a verified identifier. Major."""
    return violation(
        entry_id, seller, source=Source.CUSTOMS, final=True, identifier_verified=True, occur_time=occur_time
    )


def link(
    entry_id: str,
    seller: str,
    thing: str,
    *,
    state: LinkState = LinkState.OBSERVED,
    kind: LinkKind | None = LinkKind.BANK_ACCOUNT,
    other: str = "",
    strength_ppm: int = 0,
    until: int | None = None,
    verified: bool = True,
    occur_time: int | None = None,
) -> Entry:
    """Return a link to the identifier `thing`, in the clear here alone, or to the `other` seller."""
    fact = LinkChanged(
        state=state,
        basis="shared",
        actor="analyst",
        reason="seen",
        other=other,
        link_kind=kind,
        identifier="" if other else sha256(thing.encode()).hexdigest(),
        strength_ppm=strength_ppm,
        until=until,
        verified=verified,
    )
    return Entry(entry_id, seller, fact, occur_time)


def status(
    violation_id: str = "v1",
    action: Action = Action.CONFIRM,
    entry_id: str = "",
    *,
    seller: str = "",
    severity: Severity | None = None,
    reason: str = "the goods were examined",
    ground: str = "",
    units: int = 0,
    actor: str = "staff-7",
    occur_time: int | None = None,
    report_time: int | None = None,
) -> Entry:
    order = "court order 7" if action is Action.REINSTATE else ""
    fact = StatusChanged(violation_id, action, actor, reason, severity, ground or order, units)
    return Entry(entry_id or f"{violation_id}-{action.name.lower()}", seller, fact, occur_time, report_time)


def exposure(
    day: int = TODAY - 1,
    seller: str = SELLER,
    *,
    entry_id: str = "",
    settled_orders: int = 100,
    product_category: str = "",
    revision: int = 0,
    report_time: int | None = None,
    **counts: Any,
) -> Entry:
    fact = ExposureStated(day, settled_orders, product_category, revision, **counts)
    return Entry(
        entry_id or f"exposure-{seller}-{day}-{product_category}-{revision}", seller, fact, report_time=report_time
    )


def identity(
    entry_id: str = "i1",
    seller: str = SELLER,
    *,
    level: IdentityLevel = IdentityLevel.BUSINESS,
    country: str = "CN",
    attributes: Mapping[str, str] | None = None,
    occur_time: int = ago(400),
    report_time: int | None = None,
) -> Entry:
    return Entry(entry_id, seller, IdentityVerified(level, country, attributes or {}), occur_time, report_time)


def attribution(violation_id: str, outcome: Attribution, entry_id: str = "") -> Entry:
    fact = AttributionStated(violation_id, outcome, "staff-7", "another shop's parcel")
    return Entry(entry_id or f"a-{violation_id}", "", fact)


def correction(corrected_id: str, moved_to: int | None = None, entry_id: str = "") -> Entry:
    kind = CorrectionKind.VOID if moved_to is None else CorrectionKind.MOVED
    fact = EntryCorrected(corrected_id, kind, "staff-7", "entered wrongly", moved_to)
    return Entry(entry_id or f"c-{corrected_id}", "", fact)


def merge(incident: str, into: str, entry_id: str = "merge") -> Entry:
    fact = IncidentChanged(IncidentChange.MERGED, into, "staff-7", "one event", incident=incident)
    return Entry(entry_id, SELLER, fact)


def split(violation_id: str, into: str, entry_id: str = "split") -> Entry:
    fact = IncidentChanged(IncidentChange.SPLIT, into, "staff-7", "another event", violation=violation_id)
    return Entry(entry_id, SELLER, fact)


def listing(seller: str, *, days: float = 30, product: str = "gtin-1", **fields: str) -> Entry:
    return Entry(f"l-{seller}", seller, ProductListed(product, **fields), ago(days))


PRODUCT_REPORT = Entry(
    "p1", "", ProductViolationReported("unsafe_product", Harm.HIGH, Source.RANDOM_AUDIT, "gtin-1"), ago(20)
)
"""It reaches each seller of a `listing`."""
