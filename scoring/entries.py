"""Entries: what a caller may state, checked and made ready for the ledger.

`prepare` is the one gate. It validates an `Entry`, gives it its severity and its canonical content, and returns the
`PreparedEntry` that the ledger stores: typed values for whatever is folded, canonical JSON for the whole.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import IntEnum
from functools import lru_cache
from hashlib import sha256
from json.encoder import encode_basestring
from operator import attrgetter
from typing import Any, NamedTuple

from scoring.errors import FieldViolation, InvalidInput, invalid
from scoring.time import DAY, MAX_TIME, day_of, format_day, format_time, parse_day, parse_time
from scoring.violation_types import severity_of, violation_types
from scoring.words import AUTHORITIES, Action, Harm, IdentityLevel, Kind, Severity, Source, Status

MAX_BATCH = 10_000
MAX_ORDERS = 100_000_000
MAX_UNITS = 10_000_000_000
MAX_VALUE_MINOR = 10**15
MAX_REVISION = 1_000_000
MAX_REASON = 500
MAX_ATTRIBUTES = 64
MAX_ATTRIBUTE_LENGTH = 128

_ID = re.compile(r"[A-Za-z0-9._~:-]{1,128}")
_ATTRIBUTE_KEY = re.compile(r"[a-z][a-z0-9_]{0,62}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_COUNTRY = re.compile(r"[A-Z]{2}")
ID_FORM = "1 to 128 characters of [A-Za-z0-9._~:-]"


@dataclass(frozen=True, slots=True)
class ViolationReported:
    """A breach that somebody reported. `incident` defaults to the violation's own id."""

    violation_type: str
    harm: Harm
    source: Source
    incident: str = ""
    notifier: str = ""
    final: bool = False
    identifier_verified: bool = False
    listing: str = ""
    product_category: str = ""


@dataclass(frozen=True, slots=True)
class StatusChanged:
    """A decision about a violation. `severity` is the one that remains, for `Action.REDUCE` only."""

    violation: str
    action: Action
    actor: str
    reason: str
    severity: Severity | None = None


@dataclass(frozen=True, slots=True)
class ExposureStated:
    """Settled orders of one UTC day (days since 1970-01-01); `value_minor` in minor units of `currency`."""

    day: int
    settled_orders: int
    product_category: str = ""
    revision: int = 0
    units: int = 0
    value_minor: int = 0
    currency: str = ""
    cancelled: int = 0
    late: int = 0
    returned: int = 0
    not_received: int = 0

    @property
    def service_failures(self) -> int:
        """Orders with a service failure: the sum of the four counts, at most all settled orders."""
        return min(self.cancelled + self.late + self.returned + self.not_received, self.settled_orders)


@dataclass(frozen=True, slots=True)
class IdentityVerified:
    """What was verified of a seller's identity, and attributes that a study may declare as features."""

    level: IdentityLevel
    country: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


Fact = ViolationReported | StatusChanged | ExposureStated | IdentityVerified
KIND_OF: dict[type, Kind] = {
    ViolationReported: Kind.VIOLATION,
    StatusChanged: Kind.STATUS,
    ExposureStated: Kind.EXPOSURE,
    IdentityVerified: Kind.IDENTITY,
}
FIELD_OF = {
    Kind.VIOLATION: "violation",
    Kind.STATUS: "status",
    Kind.EXPOSURE: "exposure",
    Kind.IDENTITY: "identity",
}
"""Name of the fact's field in the contract, for error paths."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One fact about one seller as a caller states it. Times in microseconds; None means the contract's default.

    `seller` is the bare id within the marketplace; for a status change it may be empty (the violation knows it).
    """

    entry_id: str
    seller: str
    fact: Fact
    occur_time: int | None = None
    report_time: int | None = None


class PreparedEntry(NamedTuple):
    """A validated entry: `content` is canonical JSON, `digest` its SHA-256; the rest is what the ledger folds."""

    entry: Entry
    kind: Kind
    content: str
    digest: bytes
    occur_time: int | None
    category: int | None = None
    severity: int | None = None
    status: int | None = None


def is_id(text: str) -> bool:
    """Whether `text` is an identifier: 1 to 128 characters of `[A-Za-z0-9._~:-]`."""
    return _ID.fullmatch(text) is not None


def prepare(entry: Entry, now: int, path: str = "entry") -> PreparedEntry:
    """Validates one entry against the ledger's clock `now` (microseconds). InvalidInput names every wrong field."""
    kind = KIND_OF[type(entry.fact)]
    wrong = [FieldViolation(f"{path}.{name}", text) for name, text in _check(entry, kind, now)]
    if wrong:
        raise InvalidInput(wrong)
    content = canonical_content(entry)
    digest = sha256(content.encode()).digest()
    fact = entry.fact
    if isinstance(fact, ViolationReported):
        row = violation_types(entry.occur_time or 0)[fact.violation_type]
        severity = severity_of(row, fact.source, fact.harm)
        final_act = fact.final and fact.identifier_verified and fact.source in AUTHORITIES
        status = Status.CONFIRMED if final_act else Status.ALLEGED
        return PreparedEntry(entry, kind, content, digest, entry.occur_time, int(row.category), severity, status)
    if isinstance(fact, StatusChanged):
        return PreparedEntry(entry, kind, content, digest, entry.occur_time, severity=fact.severity)
    if isinstance(fact, ExposureStated):
        return PreparedEntry(entry, kind, content, digest, fact.day * DAY)
    return PreparedEntry(entry, kind, content, digest, entry.occur_time)


def prepare_batch(entries: Sequence[Entry], now: int) -> list[PreparedEntry]:
    """Validates a batch; InvalidInput names the wrong fields of all entries, as in `entries[17].violation.harm`."""
    if not 1 <= len(entries) <= MAX_BATCH:
        raise invalid("entries", f"has {len(entries):,} entries; a batch holds 1 to {MAX_BATCH:,}, so split it")
    prepared: list[PreparedEntry] = []
    wrong: list[FieldViolation] = []
    for index, entry in enumerate(entries):
        try:
            prepared.append(prepare(entry, now, f"entries[{index}]"))
        except InvalidInput as error:
            wrong += error.violations
    if wrong:
        raise InvalidInput(wrong)
    return prepared


def canonical_content(entry: Entry) -> str:
    """The entry as canonical JSON: sorted keys, no blanks, defaults left out. Equal facts have equal content."""
    values_of, members = _LAYOUTS[type(entry.fact)]
    written = [
        key + write(value)
        for (key, write, zero_counts), value in zip(members, values_of(entry), strict=True)
        if value or (zero_counts and value is not None)
    ]
    return "{" + ",".join(written) + "}"


def entry_from_content(entry_id: str, content: str) -> Entry:
    """The entry that `canonical_content` wrote: `entry_from_content(e.entry_id, canonical_content(e)) == e`.

    `content` comes from the ledger and is trusted: anything else ends in a KeyError, TypeError or ValueError.
    """
    values: dict[str, Any] = json.loads(content)
    fact_type = _FACT_OF[values.pop("kind")]
    seller = values.pop("seller", "")
    times = {name: parse_time(values.pop(name)) for name in ("occur_time", "report_time") if name in values}
    facts = {name: _READ[name](value) if name in _READ else value for name, value in values.items()}
    if fact_type is ExposureStated:
        facts.setdefault("settled_orders", 0)  # required, and like every 0 left out
    return Entry(entry_id, seller, fact_type(**facts), **times)


Write = Callable[[Any], str]
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
_WORDS: dict[str, type[IntEnum]] = {
    "harm": Harm,
    "source": Source,
    "action": Action,
    "severity": Severity,
    "level": IdentityLevel,
}
_FACT_OF: dict[str, Callable[..., Fact]] = {FIELD_OF[kind]: fact for fact, kind in KIND_OF.items()}
_READ: dict[str, Callable[[Any], object]] = {"day": parse_day}
_WRITE: dict[str, Write] = {
    "occur_time": lambda time: f'"{format_time(time)}"',
    "report_time": lambda time: f'"{format_time(time)}"',
    "day": lru_cache(maxsize=4096)(lambda day: f'"{format_day(day)}"'),
    "attributes": lambda attributes: _encode(dict(attributes)),
}
for _name, _words in _WORDS.items():
    _READ[_name] = {word.name.lower(): word for word in _words}.__getitem__
    _WRITE[_name] = {word: f'"{word.name.lower()}"' for word in _words}.__getitem__
_WRITE_TYPE: dict[object, Write] = {str: encode_basestring, int: int.__repr__, bool: lambda _: "true"}


def _layout(fact_type: type) -> tuple[Callable[[Entry], tuple[Any, ...]], list[tuple[str, Write, bool]]]:
    """How entries of one kind are written, key by key in the order of the keys: 2 us, where `json.dumps` takes 8.

    That is: what takes an entry's values out, and for each of them ('"key":', how it is written, whether 0 counts).
    """
    kind = f'"{FIELD_OF[KIND_OF[fact_type]]}"'
    members: dict[str, tuple[str, Write]] = {
        "kind": ("fact.__class__", lambda _: kind),
        "seller": ("seller", encode_basestring),
        "occur_time": ("occur_time", _WRITE["occur_time"]),
        "report_time": ("report_time", _WRITE["report_time"]),
    }
    for member in fields(fact_type):
        members[member.name] = (f"fact.{member.name}", _WRITE.get(member.name) or _WRITE_TYPE[member.type])
    zero_counts = {"occur_time", "report_time", "day"}
    layout = [(f'"{key}":', write, key in zero_counts) for key, (_, write) in sorted(members.items())]
    return attrgetter(*(place for _, (place, _) in sorted(members.items()))), layout


_LAYOUTS = {fact_type: _layout(fact_type) for fact_type in KIND_OF}


def _check(entry: Entry, kind: Kind, now: int) -> Iterator[tuple[str, str]]:
    """Every wrong field of an entry: (path below the entry, what it should be)."""
    name = FIELD_OF[kind]
    if not is_id(entry.entry_id):
        yield "entry_id", f"must be {ID_FORM}"
    if not is_id(entry.seller) and not (kind is Kind.STATUS and not entry.seller):
        yield "seller", f"must name a seller by {ID_FORM}"
    yield from _check_times(entry, kind, now)
    fact = entry.fact
    if isinstance(fact, ViolationReported):
        checks = _check_violation(fact, entry.occur_time or 0)
    elif isinstance(fact, StatusChanged):
        checks = _check_status(fact)
    elif isinstance(fact, ExposureStated):
        checks = _check_exposure(fact, now)
    else:
        checks = _check_identity(fact)
    for path, text in checks:
        yield f"{name}.{path}", text


def _check_times(entry: Entry, kind: Kind, now: int) -> Iterator[tuple[str, str]]:
    occur, report = entry.occur_time, entry.report_time
    if kind is Kind.EXPOSURE:
        if occur is not None:
            yield "occur_time", "must be empty: an exposure happens on its day"
    elif occur is None:
        if kind is not Kind.STATUS:
            yield "occur_time", "is required: when it happened"
    elif not 0 <= occur <= MAX_TIME:
        yield "occur_time", "must lie between 1970 and 9999"
    elif occur > now:
        yield "occur_time", f"lies in the future: the ledger's clock says {format_time(now)}"
    if report is not None:
        if not 0 <= report <= now:
            yield "report_time", f"must not lie in the future: the ledger's clock says {format_time(now)}"
        elif occur is not None and report < occur:
            yield "report_time", "must not lie before occur_time: a source learns of a fact after it happened"


def _check_violation(fact: ViolationReported, occur_time: int) -> Iterator[tuple[str, str]]:
    if fact.violation_type not in violation_types(occur_time):
        yield "violation_type", "is not in the table of violation types; see: sellertrust violation types"
    if fact.harm not in Harm.__members__.values():
        yield "harm", f"must be one of {_names(Harm)}"
    if fact.source not in Source.__members__.values():
        yield "source", f"must be one of {_names(Source)}"
    for name in ("incident", "notifier", "listing", "product_category"):
        value = getattr(fact, name)
        if value and not is_id(value):
            yield name, f"must be {ID_FORM}"


def _check_status(fact: StatusChanged) -> Iterator[tuple[str, str]]:
    if not is_id(fact.violation):
        yield "violation", "must name the violation by the entry_id of its report"
    if fact.action not in Action.__members__.values():
        yield "action", f"must be one of {_names(Action)}"
    if not is_id(fact.actor):
        yield "actor", f"must say who decided, by {ID_FORM}"
    if not fact.reason.strip() or len(fact.reason) > MAX_REASON or not _is_unicode(fact.reason):
        yield "reason", f"must say why, in 1 to {MAX_REASON} characters"
    if fact.action is Action.REDUCE:
        if fact.severity not in Severity.__members__.values():
            yield "severity", f"is required to reduce: one of {_names(Severity)}"
    elif fact.severity is not None:
        yield "severity", "must be empty unless the action is reduce"


def _check_exposure(fact: ExposureStated, now: int) -> Iterator[tuple[str, str]]:
    if not 0 <= fact.day <= day_of(now):
        yield "day", "must lie between 1970-01-01 and today"
    if fact.product_category and not is_id(fact.product_category):
        yield "product_category", f"must be {ID_FORM}"
    if not 0 <= fact.revision <= MAX_REVISION:
        yield "revision", f"must be 0 to {MAX_REVISION:,}"
    if not 0 <= fact.settled_orders <= MAX_ORDERS:
        yield "settled_orders", f"must be 0 to {MAX_ORDERS:,}"
    if not 0 <= fact.units <= MAX_UNITS:
        yield "units", f"must be 0 to {MAX_UNITS:,}"
    if not 0 <= fact.value_minor <= MAX_VALUE_MINOR:
        yield "value_minor", f"must be 0 to {MAX_VALUE_MINOR:,}"
    if fact.value_minor and not fact.currency:
        yield "currency", "is required with a value, such as CNY"
    if fact.currency and not _CURRENCY.fullmatch(fact.currency):
        yield "currency", "must be an ISO 4217 code such as CNY"
    for name in ("cancelled", "late", "returned", "not_received"):
        if not 0 <= getattr(fact, name) <= fact.settled_orders:
            yield name, "must be 0 to settled_orders"


def _check_identity(fact: IdentityVerified) -> Iterator[tuple[str, str]]:
    if fact.level not in IdentityLevel.__members__.values():
        yield "level", f"must be one of {_names(IdentityLevel)}"
    if fact.country and not _COUNTRY.fullmatch(fact.country):
        yield "country", "must be an ISO 3166-1 alpha-2 code such as CN"
    if len(fact.attributes) > MAX_ATTRIBUTES:
        yield "attributes", f"has {len(fact.attributes)} keys; at most {MAX_ATTRIBUTES}"
    for key, value in fact.attributes.items():
        if not _ATTRIBUTE_KEY.fullmatch(key):
            yield "attributes", "must have keys of the form [a-z][a-z0-9_]{0,62}"
        elif len(value) > MAX_ATTRIBUTE_LENGTH or not _is_unicode(value):
            yield f"attributes.{key}", f"must have at most {MAX_ATTRIBUTE_LENGTH} characters"


def _is_unicode(text: str) -> bool:
    """False for half a surrogate pair, which JSON can smuggle into a text and no encoding can write."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _names(words: type) -> str:
    return ", ".join(name.lower() for name in words.__members__)  # type: ignore[attr-defined]
