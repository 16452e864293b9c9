"""Entries between protobuf and domain.

Enums of the contract and of the domain have equal numbers. All errors of a request are collected and named by path, as
in `entries[17].violation.harm`.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields as dataclass_fields
from typing import Any, cast

from google.protobuf.message import Message

from scoring.base.enums import Kind
from scoring.base.errors import FieldPath, FieldViolation, invalid
from scoring.base.frozen import frozen
from scoring.entries.entry import MAX_BATCH, Entry, is_by_rule
from scoring.entries.field_types import FactField
from scoring.entries.kinds.table import BY_COMMAND, KIND_BY_WORD, KIND_OF, KINDS, Fact, Need
from sellertrust.names import seller_name
from sellertrust.v1 import entry_pb2, ledger_service_pb2
from service.contract.fields import FieldErrors, date_of, message_of, optional_time, timestamp
from service.contract.resource_names import seller_of
from service.ledger.records import AppendedEntry, RecordedEntry


@frozen
class ListedEntry(Entry):
    """An entry as a ledger listed it, with that ledger's defaults."""

    sequence: int = 0
    record_time: int = 0
    is_ledgers_own: bool = False
    """True for consequences of entries and erasures. Another ledger makes its own."""


def entries_of(marketplace: str, messages: Sequence[entry_pb2.Entry]) -> list[Entry]:
    """Convert the entries of a batch, in order.

    Raises InvalidInput for an oversized batch, for all fields that cannot be converted, and for report times of entries
    that no ledger has listed. The ledger validates the result by `scoring.entries.entry.prepare_batch`.
    """
    if len(messages) > MAX_BATCH:
        raise invalid("entries", f"has {len(messages):,} entries; a batch holds 1 to {MAX_BATCH:,}, so split it")
    wrong = FieldErrors()
    entries = [entry_of(marketplace, message, ("entries", index), wrong) for index, message in enumerate(messages)]
    wrong.fields += [
        FieldViolation(("entries", index, "report_time"), "must be empty: only imports may set it")
        for index, entry in enumerate(entries)
        if entry is not None and entry.report_time is not None and not isinstance(entry, ListedEntry)
    ]
    wrong.raise_if_any()
    return cast(list[Entry], entries)


def entry_of(marketplace: str, message: entry_pb2.Entry, path: FieldPath, wrong: FieldErrors) -> Entry | None:
    """Convert one entry of `marketplace`; return None, and add the errors to `wrong`, if that fails.

    Output-only fields are ignored, so listed entries can be appended elsewhere; they give a ListedEntry.
    """
    occur_time = wrong.convert(optional_time, message, "occur_time", (*path, "occur_time"))
    report_time = wrong.convert(optional_time, message, "report_time", (*path, "report_time"))
    kind = KIND_BY_WORD.get(message.WhichOneof("fact") or "")
    if kind is None:
        text = f"must state one fact: {', '.join(KIND_BY_WORD)}"
        wrong.fields.append(FieldViolation((*path, "fact"), text))
        return None
    fact = wrong.convert(fact_of, kind, message, path)
    seller: str | None = ""
    if message.seller or KINDS[kind].seller is Need.REQUIRED:
        seller = wrong.convert(seller_of, message.seller, marketplace, (*path, "seller"))
    if fact is None or seller is None:
        return None
    if not (message.sequence or message.HasField("record_time")):
        return Entry(message.entry_id, seller, fact, occur_time, report_time)
    record_time = wrong.convert(optional_time, message, "record_time", (*path, "record_time")) or 0
    is_ledgers_own = bool(message.origin) or kind in BY_COMMAND or is_by_rule(fact)
    return ListedEntry(
        message.entry_id,
        seller,
        fact,
        occur_time,
        report_time,
        sequence=message.sequence,
        record_time=record_time,
        is_ledgers_own=is_ledgers_own,
    )


def fact_of(kind: Kind, message: entry_pb2.Entry, path: FieldPath) -> Fact:
    """Convert an entry's fact, field by field by its shape.

    Raises InvalidInput, with fields below `path`, for a malformed day or time.
    """
    row = KINDS[kind]
    fact_message = getattr(message, kind.word)
    return cast(Fact, row.fact(*[read(fact_message, (*path, kind.word, name)) for name, read in _READERS[kind]]))


Reader = Callable[[Any, FieldPath], Any]


def _make_reader(field: FactField) -> Reader:
    name, shape, required = field.name, field.shape, field.required
    if shape.words is not None:
        members = {int(member): member for member in shape.words}
        # Keep an unknown number: `prepare` reports it with all other errors.
        return lambda message, _: (
            members.get(n := getattr(message, name), n) if (getattr(message, name) or required) else None
        )
    match shape.kind:
        case "ids":
            return lambda message, _: tuple(getattr(message, name))
        case "attributes":
            return lambda message, _: dict(getattr(message, name))
        case "time":
            return lambda message, path: optional_time(message, name, path)
        case "day":
            return lambda message, path: date_of(getattr(message, name), path)
    return lambda message, _: getattr(message, name)


_MESSAGES: dict[str, type[Message]] = {key: type(getattr(entry_pb2.Entry(), key)) for key in KIND_BY_WORD}
_FIELDS_BY_NAME = {kind: {field.name: field for field in row.fields} for kind, row in KINDS.items()}
_READERS = {
    kind: [(f.name, _make_reader(_FIELDS_BY_NAME[kind][f.name])) for f in dataclass_fields(row.fact)]
    for kind, row in KINDS.items()
}


def entry_message(marketplace: str, recorded: RecordedEntry) -> entry_pb2.Entry:
    """Return a recorded entry as a message. An exposure has its day and no `occur_time`, as stated."""
    entry, fact = recorded.entry, recorded.entry.fact
    kind = KIND_OF[type(fact)]
    key = kind.word
    fact_field: dict[str, Any] = {key: message_of(_MESSAGES[key], fact)}
    return entry_pb2.Entry(  # by name, not by `message_of`: a list has millions
        entry_id=entry.entry_id,
        seller=seller_name(marketplace, recorded.seller) if recorded.seller else "",
        occur_time=None if KINDS[kind].occur_time is Need.REFUSED else timestamp(recorded.occur_time),
        report_time=timestamp(recorded.report_time),
        record_time=timestamp(recorded.record_time),
        sequence=recorded.sequence,
        pending=recorded.pending,
        origin=entry.origin,
        erased=recorded.erased,
        principal=recorded.principal,
        **fact_field,
    )


def appended_response(appended: Sequence[AppendedEntry]) -> ledger_service_pb2.AppendEntriesResponse:
    response = ledger_service_pb2.AppendEntriesResponse
    return response(
        results=[message_of(response.Result, entry) for entry in appended],
        sequence=max(entry.sequence for entry in appended),
    )
