"""Entries as callers state them, and as the ledger stores them. Only `prepare` validates."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from hashlib import sha256
from json.encoder import encode_basestring
from operator import attrgetter
from types import MappingProxyType
from typing import Any, NamedTuple

from scoring.base.enums import (
    AUTHORITIES,
    UNIMPOSING_STATES,
    Action,
    CaseState,
    CorrectionKind,
    DepositChange,
    IncidentChange,
    Kind,
    LinkKind,
    MeasureKind,
    MeasureState,
    Severity,
    Status,
)
from scoring.base.errors import FieldPath, FieldViolation, InvalidInput, OccurTimeAhead, invalid
from scoring.base.frozen import frozen
from scoring.base.time import DAY, SECOND, day_of, format_time, parse_time
from scoring.entries.field_types import ID_FORM, TIME, FactField, fact_fields, is_id, list_names
from scoring.entries.incidents import DERIVED_ID_PREFIX, derived_id
from scoring.entries.kinds.account import MAX_LINK_DAYS, LinkChanged
from scoring.entries.kinds.conduct import IncidentChanged, ProductViolationReported, StatusChanged, ViolationReported
from scoring.entries.kinds.decisions import (
    RULE_MEASURE_PREFIX,
    CaseChanged,
    EntryCorrected,
    MeasureChanged,
    OverrideImposed,
)
from scoring.entries.kinds.settlement import DepositChanged, FlowStated
from scoring.entries.kinds.table import KIND_BY_WORD, KIND_OF, KINDS, Fact, Need
from scoring.entries.kinds.trade import FAILURES, ExposureStated
from scoring.entries.violation_types import severity_of, violation_types

MAX_BATCH = 10_000

MAX_AHEAD = 5 * SECOND
"""Microseconds ahead of the ledger's clock that are worth a retry."""


@frozen
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
    [item] = _prepare_entries([entry], now, [path])
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
    return _prepare_entries(entries, now, [("entries", index) for index in range(len(entries))])


def _prepare_entries(entries: Sequence[Entry], now: int, paths: Sequence[FieldPath]) -> list[PreparedEntry]:
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
        _refuse_times_ahead(entry, now, path)
    return batch


def _refuse_times_ahead(entry: Entry, now: int, path: FieldPath) -> None:
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
    kind = KIND_BY_WORD[values.pop("kind")]
    head: dict[str, Any] = {name: values.pop(name) for name in ("seller", "origin") if name in values}
    head |= {name: parse_time(values.pop(name)) for name in ("occur_time", "report_time") if name in values}
    read, defaults = _READER_BY_KIND[kind]
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
    kind = f'"{KIND_OF[fact_type].word}"'
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
ERASED_TEXT = "[erased]"
"""Replaces a required text whose key was erased."""


def _build_reader(kind: Kind) -> tuple[dict[str, Callable[[Any], object]], dict[str, object]]:
    """Return a kind's readers by field, and the values of required fields that content omits."""
    fields = KINDS[kind].fields
    omissible = [f for f in fields if f.required and (f.shape.sealed or f.shape.kind == "count")]
    defaults: dict[str, object] = {f.name: ERASED_TEXT if f.shape.sealed else 0 for f in omissible}
    return {f.name: f.shape.read for f in fields}, defaults


_READER_BY_KIND = {kind: _build_reader(kind) for kind in KINDS}


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
        yield (kind.word, name), text
    if isinstance(entry.fact, LinkChanged) and entry.fact.other == entry.seller:
        yield (kind.word, "other"), "must be another seller"
    if (check := CHECKS.get(kind)) is not None:
        for name, text in check(entry.fact, entry.occur_time, now):
            yield (kind.word, name), text


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


Problems = Iterator[tuple[str, str]]
"""Wrong fields of a fact: (name, what it should be)."""

MAX_OVERRIDE_DAYS = 366
FLOW_VALUES = ("captured", "shipped", "delivered", "disputed", "refunded", "charged_back", "paid_out")
"""Flow states with orders and value, without `_orders` and `_minor`."""
_PLAIN_IDENTIFIER = re.compile(r"[0-9]{8,}|[A-Z]{2}[0-9]{2}[A-Z0-9]{10,}|([0-9]{1,3}\.){3}[0-9]|([0-9A-Fa-f]{2}:){5}")
"""An account, a telephone, an IBAN, or the address of a device."""
_ACTIONS_WITH_UNITS = frozenset({Action.CONFIRM, Action.REINSTATE})


def check_fields(fact: Any) -> Problems:
    """Yield (name, error) of each field that is wrong by itself."""
    values_of, rules = _FIELD_CHECKS[type(fact)]
    for (name, required, describe_error, missing_text), value in zip(rules, values_of(fact), strict=True):
        if not value and not required:
            continue
        try:
            error = describe_error(value)
        except (AttributeError, TypeError, ValueError):  # wrong type, from a Python caller
            error = "is of another type than the fact's"
        if error is not None:
            yield name, (missing_text or error) if not value else error


def initial_status(fact: ViolationReported | ProductViolationReported) -> Status:
    """Return CONFIRMED for an authority's final act with a verified identifier, else ALLEGED."""
    final_act = fact.final and fact.identifier_verified and fact.source in AUTHORITIES
    return Status.CONFIRMED if final_act else Status.ALLEGED


def _build_field_check(field: FactField) -> tuple[str, bool, Callable[[Any], str | None], str]:
    """Return (name, whether it is required, check, text if it is missing) of a field."""
    describe_error = field.shape.describe_error

    def describe_sentence_error(value: str) -> str | None:
        return field.missing_text if not value.strip() or describe_error(value) is not None else None

    is_sentence = field.shape.sealed and field.required
    return field.name, field.required, describe_sentence_error if is_sentence else describe_error, field.missing_text


_FIELD_CHECKS = {
    row.fact: (attrgetter(*(field.name for field in row.fields)), [_build_field_check(field) for field in row.fields])
    for row in KINDS.values()
}


def _check_violation(fact: ViolationReported | ProductViolationReported, occur_time: int | None, _: int) -> Problems:
    types = violation_types(occur_time or 0)
    if fact.violation_type not in types:
        near = get_close_matches(fact.violation_type, types, 2)
        advice = f"did you mean {' or '.join(near)}? All of them: " if near else "see "
        yield (
            "violation_type",
            f"{fact.violation_type[:80]!r} is not in the table of violation types;"
            f" {advice}docs/reference/violation-types.md",
        )
    if isinstance(fact, ViolationReported):
        yield from _check_amount(fact)


def _check_status(fact: StatusChanged, *_: object) -> Problems:
    if fact.action is Action.REDUCE:
        if fact.severity is None:
            yield "severity", f"is required to reduce: one of {list_names(Severity)}"
    elif fact.severity is not None:
        yield "severity", "must be empty unless the action is reduce"
    if fact.action is Action.REINSTATE and not fact.ground.strip():
        yield "ground", "is required to reinstate: the legal order"
    if fact.units and fact.action not in _ACTIONS_WITH_UNITS:
        yield "units", "are adjudicated by confirm or reinstate only"
    if fact.held_back and fact.action is not Action.REVIEW:
        yield "held_back", "must be false unless the action is review"


def _check_day(fact: ExposureStated | FlowStated, has_value: bool, now: int) -> Problems:
    if not 0 <= fact.day <= day_of(now):
        yield "day", "must lie between 1970-01-01 and today"
    if has_value and not fact.currency:
        yield "currency", "is required with a value, such as CNY"


def _check_exposure(fact: ExposureStated, _: int | None, now: int) -> Problems:
    yield from _check_day(fact, any((fact.value_minor, fact.value_in_claim_window_minor, fact.value_held_minor)), now)
    for name in FAILURES:
        if getattr(fact, name) > fact.settled_orders:
            yield name, "must be 0 to settled_orders"


def _check_flow(fact: FlowStated, _: int | None, now: int) -> Problems:
    values = [name for name in FLOW_VALUES if getattr(fact, f"{name}_minor")]
    yield from _check_day(fact, bool(values), now)
    for name in values:
        if not getattr(fact, f"{name}_orders"):
            yield f"{name}_orders", f"must be at least 1 with {name}_minor: a value is of some orders"


def _check_link(fact: LinkChanged, occur_time: int | None, now: int) -> Problems:
    begin = now if occur_time is None else occur_time
    if bool(fact.other) == bool(fact.identifier):
        yield "other", "must be stated, or identifier; not both"
    if fact.identifier and fact.link_kind is None:
        yield "link_kind", f"is required with an identifier: one of {list_names(LinkKind)}"
    if fact.link_kind is LinkKind.OPENED_AFTER_BAN and not fact.other:
        yield "other", "must name the banned seller"
    if fact.until is not None and not begin < fact.until <= begin + MAX_LINK_DAYS * DAY:
        yield "until", f"must lie after its begin, and at most {MAX_LINK_DAYS:,} days after"
    if begin < now - MAX_LINK_DAYS * DAY:
        yield "state", f"must be observed in the last {MAX_LINK_DAYS:,} days"
    if _PLAIN_IDENTIFIER.search(fact.basis):
        yield "basis", "looks like an identifier in the clear; state its keyed digest as identifier"


def _check_deposit(fact: DepositChanged, *_: object) -> Problems:
    if fact.change is DepositChange.DRAWN and not fact.claim:
        yield "claim", "is required to draw: the adjudicated claim that it is drawn for"
    if fact.change is not DepositChange.DRAWN and fact.claim:
        yield "claim", "must be empty unless the deposit is drawn"


def _check_amount(fact: Any, *_: object) -> Problems:
    if fact.amount_minor and not fact.currency:
        yield "currency", "is required with an amount, such as CNY"


def _check_measure_fields(fact: MeasureChanged, *_: object) -> Problems:
    if (fact.amount_minor or fact.at_most_minor) and not fact.currency:
        yield "currency", "is required with an amount, such as CNY"
    if fact.state is MeasureState.UPDATED and fact.measure.startswith(RULE_MEASURE_PREFIX) and not fact.rule:
        yield "state", "must be imposed or lifted: what a rule asks for is updated by the service alone"
    is_bar = fact.state is MeasureState.NOTICE_BARRED
    for name in ("ground", "until", "approver") if is_bar else ():
        if not getattr(fact, name):
            yield name, "is required to bar a letter: the legal basis, the end and a second person"
    if fact.approver and (not is_bar or fact.approver == fact.actor):
        yield "approver", "must be another person than the actor, and empty unless a letter is barred"
    is_told = fact.state in UNIMPOSING_STATES
    if fact.measure_kind is MeasureKind.SUSPENSION and not is_told and not fact.violations:
        yield "violations", "must name the confirmed violations that a suspension rests on"


def _check_case(fact: CaseChanged, *_: object) -> Problems:
    if fact.state is CaseState.CONFIRMED and not fact.violations:
        yield "violations", "must name the confirmed violations that it came to; to say that it is not so, end the case"
    if fact.state is not CaseState.CONFIRMED and fact.violations:
        yield "violations", "must be empty unless the case is confirmed"
    if fact.state is CaseState.EXTENDED:
        if not fact.rests_on:
            yield "rests_on", "must name the new facts on which the stop is extended, by entry_id"
        if fact.decide_by is None:
            yield "decide_by", "is required to extend: by when the case is decided"
    if fact.authority_order and fact.state is not CaseState.EXTENDED:
        yield "authority_order", "must be empty unless the case is extended"


def _check_override(fact: OverrideImposed, occur_time: int | None, now: int) -> Problems:
    if not fact.until:
        return
    begin = now if occur_time is None else occur_time
    if not begin < fact.until <= now + MAX_OVERRIDE_DAYS * DAY:
        yield "until", f"must lie after its begin and at most {MAX_OVERRIDE_DAYS} days after {format_time(now)}"


def _check_incident(fact: IncidentChanged, *_: object) -> Problems:
    is_merge = fact.change is IncidentChange.MERGED
    required, refused = ("incident", "violation") if is_merge else ("violation", "incident")
    if not getattr(fact, required):
        yield required, f"is required to {'merge' if is_merge else 'split'}"
    if getattr(fact, refused):
        yield refused, f"must be empty to {'merge' if is_merge else 'split'}"
    if is_merge and fact.incident and fact.incident == fact.into:
        yield "into", "must be another incident"


def _check_correction(fact: EntryCorrected, _: int | None, now: int) -> Problems:
    if fact.correction is CorrectionKind.MOVED:
        if fact.moved_to is None:
            yield "moved_to", "is required: when it happened"
        elif fact.moved_to > now:
            yield "moved_to", f"lies in the future: the ledger's clock says {format_time(now)}"
    elif fact.moved_to is not None:
        yield "moved_to", "must be empty unless the correction is moved"


CHECKS: Mapping[Kind, Callable[[Any, int | None, int], Problems]] = MappingProxyType(
    {
        Kind.VIOLATION: _check_violation,
        Kind.PRODUCT_VIOLATION: _check_violation,
        Kind.STATUS: _check_status,
        Kind.EXPOSURE: _check_exposure,
        Kind.DISPUTE: _check_amount,
        Kind.REMEDIATION: _check_amount,
        Kind.MEASURE: _check_measure_fields,
        Kind.CASE: _check_case,
        Kind.OVERRIDE: _check_override,
        Kind.INCIDENT: _check_incident,
        Kind.CORRECTION: _check_correction,
        Kind.FLOW: _check_flow,
        Kind.DEPOSIT: _check_deposit,
        Kind.LINK: _check_link,
    }
)
"""By kind: functions of (fact, occur_time, the ledger's now) that yield problems."""
