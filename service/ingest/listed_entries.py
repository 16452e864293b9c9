"""Listed entries that are sent back, to the same ledger or another one."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from scoring.entries.entry import Entry
from scoring.entries.field_types import is_id
from sellertrust.v1 import entry_pb2
from service.contract.entries import ListedEntry, entries_of
from service.ledger.records import AppendedEntry, RecordedEntry
from service.ledger.store import Ledger


def append_messages(
    ledger: Ledger,
    marketplace: str,
    messages: Sequence[entry_pb2.Entry],
    prepare: Callable[[str, Sequence[Entry]], None],
) -> list[AppendedEntry]:
    """Append a batch of messages as AppendEntries does: all or none.

    `prepare` gets the marketplace and the entries first.
    """
    entries = strip_listed_defaults(ledger, marketplace, entries_of(marketplace, messages), keeps_report_time=False)
    prepare(marketplace, entries)
    return ledger.append(marketplace, entries, imported=True)


def strip_listed_defaults(
    ledger: Ledger, marketplace: str, entries: Sequence[Entry], *, keeps_report_time: bool
) -> list[Entry]:
    """Return entries without the defaults that this ledger added when it listed them: it then recognises them.

    Entries that another ledger listed lose their report time unless `keeps_report_time`.
    """
    listed = [entry for entry in entries if isinstance(entry, ListedEntry)]
    if not listed:
        return list(entries)
    recorded_entries = ledger.entries.list_by_id(
        marketplace, [entry.entry_id for entry in listed if is_id(entry.entry_id)], ledger.cut()
    )
    recorded_by_sequence = {recorded.sequence: recorded for recorded in recorded_entries}

    def strip(entry: Entry) -> Entry:
        if not isinstance(entry, ListedEntry):
            return entry
        recorded = recorded_by_sequence.get(entry.sequence)
        is_same = recorded is not None and recorded.entry.entry_id == entry.entry_id
        if recorded is None or not is_same or recorded.record_time != entry.record_time:
            return entry if keeps_report_time else replace(entry, report_time=None)
        return _remove_defaults(entry, recorded, keeps_report_time=keeps_report_time)

    return [strip(entry) for entry in entries]


def _remove_defaults(entry: ListedEntry, recorded: RecordedEntry, *, keeps_report_time: bool) -> Entry:
    as_sent = recorded.entry
    is_other_report = keeps_report_time and entry.report_time != recorded.report_time
    return replace(
        entry,
        seller=as_sent.seller if entry.seller == recorded.seller else entry.seller,
        occur_time=as_sent.occur_time if entry.occur_time == recorded.occur_time else entry.occur_time,
        report_time=entry.report_time if is_other_report else as_sent.report_time,
    )
