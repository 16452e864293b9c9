"""Entries as callers state them, and as the ledger stores them. Only `prepare` validates."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from json.encoder import encode_basestring
from operator import attrgetter
from typing import Any, NamedTuple

from scoring.base.enums import Kind
from scoring.base.errors import FieldPath, FieldViolation, InvalidInput, OccurTimeAhead, invalid
from scoring.base.time import DAY, SECOND, format_time, parse_time
from scoring.entries.checks import CHECKS, check_fields, initial_status
from scoring.entries.field_types import ID_FORM, TIME, fact_fields, is_id
from scoring.entries.incidents import DERIVED_ID_PREFIX, derived_id
from scoring.entries.kinds.account import LinkChanged
from scoring.entries.kinds.conduct import ProductViolationReported, ViolationReported
from scoring.entries.kinds.decisions import CaseChanged, MeasureChanged
from scoring.entries.kinds.settlement import FlowStated
from scoring.entries.kinds.table import FIELD_OF, KIND_OF, KINDS, Fact, Need
from scoring.entries.kinds.trade import ExposureStated
from scoring.entries.violation_types import severity_of, violation_types

MAX_BATCH = 10_000

MAX_AHEAD = 5 * SECOND
"""Microseconds ahead of the ledger's clock that are worth a retry."""


@dataclass(frozen=True, slots=True)
class Entry:
    entry_id: str
    """The caller's own, unique in the marketplace."""
    seller: str
    """May or must be empty by the table of kinds."""
    fact: Fact
    occur_time: int | None = None
    """In microseconds; None: the contract's default."""
    report_time: int | None = None
    """When the source learned of it, in microseconds; None: the contract's default."""
    origin: str = ""
    """The entry from which the ledger derived it; else empty."""


class PreparedEntry(NamedTuple):
    entry: Entry
    kind: Kind
    content: str
    """Canonical JSON without sealed fields."""
    sealed: str
    """The sealed fields, likewise; empty without any."""
    digest: bytes
    """SHA-256 of all fields."""
    occur_time: int | None
    """In microseconds; of a day its start."""
    category: int | None = None
    severity: int | None = None
    status: int | None = None
    """Status of a violation on arrival."""


def prepare(entry: Entry, now: int, path: FieldPath = ("entry",)) -> PreparedEntry:
    """Validate one entry; return it with all values that the ledger stores.

    `now`: the ledger's clock, in microseconds. Raise InvalidInput naming every wrong field below `path`; OccurTimeAhead
    if it is only at most MAX_AHEAD ahead.
    """
    [item] = _prepare_all([entry], now, [path])
    return item


def prepare_trusted(entry: Entry) -> PreparedEntry:
    """Return an entry as the ledger stores it, without the checks of `prepare`: the caller knows that it is valid."""
    content, sealed, digest = encode_content(entry)
    fact, kind = entry.fact, KIND_OF[type(entry.fact)]
    if isinstance(fact, ViolationReported | ProductViolationReported):
        row = violation_types(entry.occur_time or 0)[fact.violation_type]
        severity = severity_of(row, fact.source, fact.harm)
        status = initial_status(fact)
        return PreparedEntry(
            entry, kind, content, sealed, digest, entry.occur_time, int(row.category), severity, status
        )
    occur_time = fact.day * DAY if isinstance(fact, ExposureStated | FlowStated) else entry.occur_time
    return PreparedEntry(entry, kind, content, sealed, digest, occur_time)


def prepare_batch(entries: Sequence[Entry], now: int) -> list[PreparedEntry]:
    """Validate a batch; return its entries with all values that the ledger stores.

    Raise InvalidInput naming all wrong fields, as in `entries[17].violation.harm`, or the batch's wrong size;
    OccurTimeAhead if nothing else is wrong.
    """
    if not 1 <= len(entries) <= MAX_BATCH:
        raise invalid("entries", f"has {len(entries):,} entries; a batch holds 1 to {MAX_BATCH:,}, so split it")
    return _prepare_all(entries, now, [("entries", index) for index in range(len(entries))])


def _prepare_all(entries: Sequence[Entry], now: int, paths: Sequence[FieldPath]) -> list[PreparedEntry]:
    batch: list[PreparedEntry] = []
    problems: list[FieldViolation] = []
    for entry, path in zip(entries, paths, strict=True):
        for below, text in _list_problems(entry, now):
            problems.append(FieldViolation((*path, *below), text))
        if not problems:
            batch.append(_drop_report_time_of_today(now, prepare_trusted(entry)))
    if problems:
        raise InvalidInput(problems)
    for entry, path in zip(entries, paths, strict=True):
        _refuse_ahead(entry, now, path)
    return batch


def _refuse_ahead(entry: Entry, now: int, path: FieldPath) -> None:
    occur, report = entry.occur_time or 0, entry.report_time or 0
    if occur <= now and report <= now:
        return
    ahead = max(occur, 0 if report == _end_of_day(now) else report) - now
    if ahead > 0:
        field = "occur_time" if occur > now else "report_time"
        raise OccurTimeAhead(
            f"lies {ahead / SECOND:.3f} s ahead of the ledger's clock, which says {format_time(now)};"
            " send it again after that, and set the clock it comes from",
            {"entry_id": entry.entry_id},
            ahead / SECOND,
            (*path, field),
        )


def _end_of_day(now: int) -> int:
    return (now // DAY + 1) * DAY - 1


def _drop_report_time_of_today(now: int, item: PreparedEntry) -> PreparedEntry:
    """Return the entry without a report time of today's unfinished day, in which it is known from `now` on.

    The digest keeps the day's end, so the same row is the same entry tomorrow.
    """
    report = item.entry.report_time
    if report is None or report <= now:
        return item
    return item._replace(entry=replace(item.entry, report_time=None))


def encode_content(entry: Entry) -> tuple[str, str, bytes]:
    """Return (open fields, sealed fields, digest): two texts of canonical JSON, and the SHA-256 of all.

    Defaults are left out, so equal facts have equal content; no sealed field: empty.
    """
    values_of, layout, sealed_keys = _LAYOUTS[type(entry.fact)]
    members = [
        key + write(value)
        for value, (key, write, zero_counts) in zip(values_of(entry), layout, strict=True)
        if value or (zero_counts and value is not None)
    ]
    whole = _join_members(members)
    digest = sha256(whole.encode()).digest()
    sealed = [member for member in members if member.startswith(sealed_keys)] if sealed_keys else []
    if not sealed:
        return whole, "", digest
    return _join_members([member for member in members if member not in sealed]), _join_members(sealed), digest


def entry_from_content(entry_id: str, content: str, sealed: str = "") -> Entry:
    """Rebuild an entry from content of the ledger: `entry_from_content(e.entry_id, *encode_content(e)[:2]) == e`.

    Other texts raise KeyError, TypeError or ValueError.
    """
    values: dict[str, Any] = json.loads(content)
    values.pop("sealed", None)
    if sealed:
        values |= json.loads(sealed)
    kind = _KIND_BY_KEY[values.pop("kind")]
    head: dict[str, Any] = {name: values.pop(name) for name in ("seller", "origin") if name in values}
    head |= {name: parse_time(values.pop(name)) for name in ("occur_time", "report_time") if name in values}
    read, defaults = _READERS[kind]
    facts = {name: read[name](value) for name, value in values.items()}
    for name, default in defaults.items():
        facts.setdefault(name, default)
    return Entry(entry_id, head.pop("seller", ""), KINDS[kind].fact(**facts), **head)


def _join_members(members: Sequence[str]) -> str:
    return "{" + ",".join(members) + "}"


Write = Callable[[Any], str]
Layout = tuple[Callable[[Entry], tuple[Any, ...]], list[tuple[str, Write, bool]], tuple[str, ...]]


def _build_layout(fact_type: type) -> Layout:
    """Return a getter of a kind's values; ('"key":', writer, whether 0 counts) of each, sorted; the sealed keys."""
    kind = f'"{FIELD_OF[KIND_OF[fact_type]]}"'
    members: dict[str, tuple[str, Write, bool]] = {
        "kind": ("fact.__class__", lambda _: kind, False),
        "origin": ("origin", encode_basestring, False),
        "seller": ("seller", encode_basestring, False),
        "occur_time": ("occur_time", TIME.write, True),
        "report_time": ("report_time", TIME.write, True),
    }
    fields = fact_fields(fact_type)
    for field in fields:
        members[field.name] = (f"fact.{field.name}", field.shape.write, field.shape.zero)
    layout = [(f'"{key}":', write, zero) for key, (_, write, zero) in sorted(members.items())]
    sealed_keys = tuple(f'"{field.name}":' for field in fields if field.shape.sealed)
    return attrgetter(*(place for _, (place, _, _) in sorted(members.items()))), layout, sealed_keys


_LAYOUTS = {row.fact: _build_layout(row.fact) for row in KINDS.values()}
_KIND_BY_KEY = {row.key: kind for kind, row in KINDS.items()}
ERASED_TEXT = "[erased]"
"""Replaces a required text whose key was erased."""


def _build_reader(kind: Kind) -> tuple[dict[str, Callable[[Any], object]], dict[str, object]]:
    fields = KINDS[kind].fields
    omissible = [f for f in fields if f.required and (f.shape.sealed or f.shape.kind == "count")]
    defaults: dict[str, object] = {f.name: ERASED_TEXT if f.shape.sealed else 0 for f in omissible}
    return {f.name: f.shape.read for f in fields}, defaults


_READERS = {kind: _build_reader(kind) for kind in KINDS}


def is_by_rule(fact: Fact) -> bool:
    """Return whether a fact states a measure or case of a policy's rule, which only the service states."""
    return isinstance(fact, MeasureChanged | CaseChanged) and bool(fact.rule)


def derive_entry(origin: Entry, about: str, fact: Fact) -> Entry:
    """Return the ledger's own entry about `origin`'s seller; `about`: makes its id."""
    entry_id = derived_id(origin.entry_id, about)
    return Entry(entry_id, origin.seller, fact, origin.occur_time, origin.report_time, origin=origin.entry_id)


def _list_problems(entry: Entry, now: int) -> Iterator[tuple[FieldPath, str]]:
    kind = KIND_OF[type(entry.fact)]
    row = KINDS[kind]
    if not is_id(entry.entry_id):
        yield ("entry_id",), f"must be {ID_FORM}"
    elif entry.entry_id.startswith(DERIVED_ID_PREFIX) and not is_by_rule(entry.fact):
        yield ("entry_id",), f"must not begin with {DERIVED_ID_PREFIX}: such ids are the ledger's own"
    if row.seller is Need.REFUSED:
        if entry.seller:
            yield ("seller",), "must be empty: the fact is about a product, whoever sells it"
    elif not is_id(entry.seller) and (entry.seller or row.seller is Need.REQUIRED):
        yield ("seller",), f"must name a seller by {ID_FORM}"
    yield from _list_wrong_times(entry, row.occur_time, now)
    for name, text in check_fields(entry.fact):
        yield (row.key, name), text
    if isinstance(entry.fact, LinkChanged) and entry.fact.other == entry.seller:
        yield (row.key, "other"), "must be another seller"
    if (check := CHECKS.get(kind)) is not None:
        for name, text in check(entry.fact, entry.occur_time, now):
            yield (row.key, name), text


def _list_wrong_times(entry: Entry, need: Need, now: int) -> Iterator[tuple[FieldPath, str]]:
    occur, report = entry.occur_time, entry.report_time
    if need is Need.REFUSED:
        if occur is not None:
            yield ("occur_time",), "must be empty: the fact itself says when it happened"
    elif occur is None:
        if need is Need.REQUIRED:
            yield ("occur_time",), "is required: when it happened"
    elif (error := TIME.describe_error(occur)) is not None:
        yield ("occur_time",), error
    elif occur > now + MAX_AHEAD:
        yield ("occur_time",), f"lies in the future: the ledger's clock says {format_time(now)}"
    if report is not None:
        # A date without an hour means the end of its day; today's date is stated before that.
        if report < 0 or (report > now + MAX_AHEAD and report != _end_of_day(now)):
            yield ("report_time",), f"must not lie in the future: the ledger's clock says {format_time(now)}"
        elif occur is not None and report < occur:
            yield ("report_time",), "must not lie before occur_time: a source learns of a fact after it happened"
