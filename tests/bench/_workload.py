"""The entries of the ledger's benchmarks: as domain entries, as messages of the contract, as a file with its mapping.

Of ten entries seven are violations (listing, notifier, incident, product category), two are exposure days and one is a
decision on a violation reported about 5,000 entries before. Entry ids are numbers in order, as a marketplace's own
tables give them; sellers come in no order.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from scoring.entries.entry import Entry
from scoring.entries.kinds.conduct import StatusChanged, ViolationReported
from scoring.entries.kinds.trade import ExposureStated
from scoring.enums import Action, Harm, Source
from scoring.time import DAY, SECOND, day_of, format_day, format_time, parse_time
from sellertrust.client import seller_name
from sellertrust.v1 import entry_pb2
from service.ingest.mapping.rules import ForeignMapping, mapping_of

MARKETPLACE = "bench"
BEGIN = parse_time("2025-01-01T00:00:00Z")
APART = SECOND // 10  # of two entries' occur times
LAG = 5_000  # entries between a violation and the decision on it
TYPES = ("counterfeit_goods", "trademark_infringement", "copyright_infringement", "unsafe_product")
REASON = "the goods were examined by the brand's own laboratory"
COLUMNS = (
    *("kind", "id", "seller", "occurred_at", "reported_at", "type", "harm", "source", "incident", "notifier"),
    *("listing", "product_category", "violation", "action", "actor", "reason"),
    *("day", "settled_orders", "units", "value_minor", "currency", "late", "returned"),
)
_COMMON = {"entry_id": "{id}", "seller": "{seller}"}
_TIMES = {"occur_time": "{occurred_at}", "report_time": "{reported_at}"}
_RULES = {
    "violation": _COMMON
    | _TIMES
    | {"violation_type": "{type}"}
    | {name: "{" + name + "}" for name in ("harm", "source", "incident", "notifier", "listing", "product_category")},
    "status": _COMMON | _TIMES | {name: "{" + name + "}" for name in ("violation", "action", "actor", "reason")},
    "exposure": _COMMON
    | {"report_time": "{reported_at}", "product_category": "{product_category}"}
    | {name: "{" + name + "}" for name in COLUMNS[-7:]},
}


def entries(first: int, count: int, sellers: int, *, reported: bool = False) -> list[Entry]:
    """Entries number `first` and on, of so many sellers; `reported` with the report times that imports carry."""
    return [_entry(n, sellers, reported) for n in range(first, first + count)]


def violations(first: int, count: int, sellers: int) -> list[Entry]:
    """Violations alone, as a campaign reports them."""
    return [_violation(n, sellers, reported=True) for n in range(first, first + count)]


def _entry(n: int, sellers: int, reported: bool) -> Entry:
    slot = n % 10
    if slot < 7:
        return _violation(n, sellers, reported)
    if slot < 9:
        return _exposure(n, n // 10 * 2 + slot - 7, sellers, reported)
    # The first decisions are on the second violation of their own ten: the others' are on the first of theirs.
    violation = n - 9 - LAG if n >= LAG + 9 else n - 8
    action = Action.CONFIRM if n // 10 % 3 else Action.DISMISS
    fact = StatusChanged(f"v-{violation:09d}", action, f"staff-{n % 40}", REASON)
    time = BEGIN + n * APART + DAY
    return Entry(f"d-{n:09d}", _seller(violation, sellers), fact, time, time if reported else None)


def _seller(n: int, sellers: int) -> str:
    return f"s-{n * 2_654_435_761 % 4_294_967_296 % sellers:07d}"


def _violation(n: int, sellers: int, reported: bool) -> Entry:
    fact = ViolationReported(
        violation_type=TYPES[n % 4],
        harm=Harm(1 + n % 3),
        source=Source.BRAND if n % 2 else Source.PLATFORM_DETECTION,
        incident=f"i-{n:09d}",
        notifier=f"brand-{n % 500:04d}",
        listing=f"listing-{n * 7919 % 100_000_007:09d}",
        product_category=f"category-{n % 60}",
    )
    time = BEGIN + n * APART
    return Entry(f"v-{n:09d}", _seller(n, sellers), fact, time, time + DAY if reported else None)


def _exposure(n: int, number: int, sellers: int, reported: bool) -> Entry:
    day, orders = day_of(BEGIN) + number // sellers, 1 + n % 200
    fact = ExposureStated(
        day, orders, f"category-{n % 60}", units=orders * 2, value_minor=orders * 4_990, currency="CNY", late=n % 2
    )
    seller = f"s-{number * 7919 % sellers:07d}"
    return Entry(f"e-{n:09d}", seller, fact, report_time=(day + 1) * DAY if reported else None)


def messages(facts: Sequence[Entry]) -> list[entry_pb2.Entry]:
    """The same entries as a caller sends them."""
    return [_message(entry) for entry in facts]


def _message(entry: Entry) -> entry_pb2.Entry:
    message = entry_pb2.Entry(entry_id=entry.entry_id, seller=seller_name(MARKETPLACE, entry.seller))
    if entry.occur_time is not None:
        message.occur_time.FromMicroseconds(entry.occur_time)
    fact = entry.fact
    if isinstance(fact, ViolationReported):
        message.violation.violation_type, message.violation.incident = fact.violation_type, fact.incident
        message.violation.harm, message.violation.source = int(fact.harm), int(fact.source)  # type: ignore[assignment]
        message.violation.notifier, message.violation.listing = fact.notifier, fact.listing
        message.violation.product_category = fact.product_category
    elif isinstance(fact, StatusChanged):
        message.status.violation, message.status.action = fact.violation, int(fact.action)  # type: ignore[assignment]
        message.status.actor, message.status.reason = fact.actor, fact.reason
    elif isinstance(fact, ExposureStated):
        message.exposure.day, message.exposure.currency = format_day(fact.day), fact.currency
        for name in ("product_category", "settled_orders", "units", "value_minor", "late"):
            setattr(message.exposure, name, getattr(fact, name))
    return message


def write_file(path: Path, facts: Sequence[Entry]) -> None:
    """The same entries as one CSV file, a kind after the other as they come."""
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, COLUMNS, restval="")
        writer.writeheader()
        for entry in facts:
            writer.writerow(dict(_cells(entry)))


def _cells(entry: Entry) -> Iterator[tuple[str, object]]:
    fact = entry.fact
    yield from {"id": entry.entry_id, "seller": entry.seller}.items()
    for column, time in (("occurred_at", entry.occur_time), ("reported_at", entry.report_time)):
        if time is not None:
            yield column, format_time(time)
    if isinstance(fact, ViolationReported):
        yield from {"kind": "violation", "type": fact.violation_type}.items()
        yield from {"harm": fact.harm.name.lower(), "source": fact.source.name.lower()}.items()
        names: tuple[str, ...] = ("incident", "notifier", "listing", "product_category")
    elif isinstance(fact, StatusChanged):
        yield from {"kind": "status", "action": fact.action.name.lower()}.items()
        names = ("violation", "actor", "reason")
    elif isinstance(fact, ExposureStated):
        yield from {"kind": "exposure", "day": format_day(fact.day)}.items()
        names = ("product_category", "settled_orders", "units", "value_minor", "currency", "late")
    yield from ((name, getattr(fact, name)) for name in names)


def mapping(file: str) -> ForeignMapping:
    """The mapping of such a file: one rule a kind."""
    rules = [{"kind": kind, "when": {"column": "kind", "equals": kind}, **rule} for kind, rule in _RULES.items()]
    return mapping_of({"marketplace": MARKETPLACE, "files": [{"path": file, "entries": rules}]})
