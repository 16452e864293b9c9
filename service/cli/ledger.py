import json
import re
import sys
import uuid
from pathlib import Path
from typing import Annotated, Any

import typer

from scoring.base.errors import invalid
from scoring.entries.entry import MAX_BATCH
from sellertrust.client import Client
from sellertrust.errors import SellertrustCallError
from sellertrust.names import marketplace_name
from sellertrust.v1.entry_pb2 import Entry
from sellertrust.v1.ledger_service_pb2 import AppendEntriesRequest
from service.bootstrap import open_ledger
from service.cli.common import open_client
from service.cli.options import KnownTime, Limit, Marketplace, ObserveTime, OfSeller, Propose, require_place
from service.cli.output import (
    INTERRUPTED,
    WAITS,
    Format,
    Output,
    ResumeHintShown,
    cut_to_limit,
    emit,
    format_count,
    say,
    write,
)
from service.cli.progress import StepProgress
from service.cli.proposals import propose
from service.cli.rows import row_of
from service.contract.entry_fields import STATED_KINDS, entry_of_fields
from service.contract.entry_json import entry_of_json, json_of_entry
from service.settings import Settings, load

SHOWN_REFUSALS = 20
MAX_DIGITS = 18

NumberedObjects = list[tuple[int, str]]
"""(line, text) of JSON objects."""


def append(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|KIND", help="Entries as JSON objects, one after another (- for stdin); or a kind."
        ),
    ],
    fields: Annotated[
        list[str] | None, typer.Argument(metavar="FIELD=VALUE", help="With KIND: the fields of one entry.")
    ] = None,
    proposes: Propose = False,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Append one entry by its fields, or entries as JSON: the contract's Entry, one after another, all or none.

    By its fields: ledger append deposit seller=s-1 change=placed "amount_minor=500.00 EUR" actor=finance. A wrong field
    lists the kind's fields. Give entry_id=ID to make a retry safe.

    As JSON: {"entry_id": "v-1", "seller": "s-1", "occur_time": "2026-03-01T12:00:00Z", "violation":
    {"violation_type": "counterfeit_goods", "harm": "high", "source": "brand"}}. A date alone means its first moment.

    A file holds at most 10,000 entries. After an error append it again: nothing is added twice.
    """
    with open_client(marketplace) as (connection, market):
        if fields or (source in STATED_KINDS and not Path(source).exists()):
            objects, entries = [], [_parse_fields(source, fields or [], market)]
        else:
            objects, entries = _read_objects(Path(source)), []
        if len(objects) > MAX_BATCH:
            raise invalid("FILE", f"has more than {MAX_BATCH:,} entries; split it, or use `sellertrust ledger import`")
        try:
            entries = entries or _parse_entries(objects, market)
            if proposes:
                _propose_entries(connection, market, entries, output)
                return
            results = connection.append_entries(market, entries)
        except SellertrustCallError as error:
            error.message = _name_lines_of_entries(error.message, objects)
            error.fields = [(_name_lines_of_entries(path, objects), description) for path, description in error.fields]
            raise
    emit(
        [row_of(result, "entry_id sequence record_time already_present waits=pending") for result in results],
        output,
    )
    if waiting := [result.entry_id for result in results if result.pending]:
        say(
            f"{format_count(len(waiting), 'decision')} about violations that are not on record: {WAITS}:"
            f" {', '.join(waiting[:SHOWN_REFUSALS])}"
        )


def _propose_entries(connection: Client, marketplace: str, entries: list[Entry], output: Format) -> None:
    request = AppendEntriesRequest(parent=marketplace_name(marketplace), entries=entries)
    first: Any = getattr(entries[0], entries[0].WhichOneof("fact") or "", None) if entries else None
    decider = {name: str(getattr(first, name, "")) for name in ("actor", "reason")}
    propose(connection, request, **decider, output=output)


def list_entries(
    seller: OfSeller = None,
    limit: Limit = 100,
    everything: Annotated[bool, typer.Option("--all", help="All there are, however many.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show entries as they are recorded, as JSON lines, until Ctrl-C.")
    ] = False,
    after: Annotated[
        str,
        typer.Option("--after", help="With --follow: only entries after this sequence, or where another one ended."),
    ] = "",
    observe_time: ObserveTime = None,
    known_time: KnownTime = None,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """List entries in the order of their sequence.

    With JSON, ledger append and ledger import read each line as an entry. --follow resumes broken connections, and
    shows at its end where to resume.
    """
    if after and not follow:
        raise invalid("--after", "belongs to --follow")
    if follow and (everything or observe_time or known_time):
        raise invalid("--follow", "shows all entries as they come; leave out --all and the times")
    with open_client(marketplace) as (connection, market):
        if follow:
            _print_new_entries(connection, market, seller, after)
            return
        size = 1000 if everything else min(limit + 1, 1000)
        all_entries = connection.list_entries(
            market, seller=seller, page_size=size, observe_time=observe_time, known_time=known_time
        )
        entries = all_entries if everything else cut_to_limit(limit, all_entries)
        if output is Format.JSON:
            for entry in entries:
                write(_format_json_line(entry))
            return
        rows = [_make_entry_row(entry) for entry in entries]
    for row in rows:
        row["fact"] = json.dumps(row["fact"], ensure_ascii=False)
    emit(rows, output)


def _print_new_entries(connection: Client, marketplace: str, seller: str | None, after: str) -> None:
    start: dict[str, Any] = {"resume_token": after}
    if not after or (after.isdecimal() and len(after) <= MAX_DIGITS):
        start = {"after_sequence": int(after or 0)}
    position, is_under_way = after, False
    try:
        for response in connection.watch_entries(marketplace, seller, **start):
            write("".join(map(_format_json_line, response.entries)))
            position, is_under_way = response.resume_token or str(response.sequence), True
    except KeyboardInterrupt:
        is_under_way = True
        raise ResumeHintShown(INTERRUPTED) from None
    finally:
        if is_under_way:
            say(f"go on from there with --after {position}")


def export_command(
    target: Annotated[
        str,
        typer.Argument(metavar="FILE.parquet|FOLDER", callback=require_place, help="The file to write, or a folder."),
    ],
    observe_time: ObserveTime = None,
    known_time: KnownTime = None,
    marketplace: Marketplace = None,
) -> None:
    """Export a marketplace's entries as Parquet, for training, tasks or your own engine.

    FILE.parquet gets everything recorded by the known time. With an observe time, only what had happened and was
    reported by then.

    Any other name is a folder or a URL (s3://...): files of whole sellers in buckets, for tasks and for engines such as
    Spark. Repeating it adds what is new. An interrupted export goes on.
    """
    settings = load()
    market = marketplace or settings.marketplace
    times = (observe_time, known_time)
    observe, known = (None if time is None else round(time.timestamp() * 1_000_000) for time in times)
    if not target.endswith(".parquet"):
        _export_folder(settings, target, market, is_bounded=bool(observe or known))
        return
    file = Path(target)
    from training.observation.export import write_export

    with open_ledger(settings) as ledger, StepProgress() as progress:
        cut = ledger.cut(observe, known)
        progress("export", 0, 1)
        rows = write_export(ledger.entries.export(market, cut, bounded=observe is not None), file)
        progress("export", 1, 1)
    say(f"{rows:,} entries of {market} written to {file}")


def _export_folder(settings: Settings, target: str, marketplace: str, *, is_bounded: bool) -> None:
    from service.scale.export import export_entries
    from service.shared_files import Store

    if is_bounded:
        raise invalid("--observe-time", "and --known-time belong to one file; name one that ends in .parquet")
    with open_ledger(settings) as ledger, StepProgress() as progress:
        exported = export_entries(ledger, Store(target), marketplace, ledger.cut(), progress)
    say(f"{exported.rows:,} entries of {marketplace} are in {target}, up to sequence {exported.sequence}")


def _parse_fields(kind: str, fields: list[str], marketplace: str) -> Entry:
    if kind not in STATED_KINDS:
        other_commands = "'ledger erase' writes erasure, and 'ledger mend-clock' writes clock"
        raise invalid("KIND", f"{kind!r} is no kind of entry. Use {', '.join(STATED_KINDS)}; {other_commands}.")
    return entry_of_fields(kind, fields, marketplace, f"{kind}-{uuid.uuid4()}")


def _read_objects(file: Path) -> NumberedObjects:
    name = "stdin" if str(file) == "-" else "FILE"
    try:
        data = sys.stdin.buffer.read() if name == "stdin" else file.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise invalid("FILE", f"{file} cannot be read: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError:
        raise invalid(name, f"{file} is not text in UTF-8") from None
    objects: NumberedObjects = []
    decode, position, line = json.JSONDecoder().raw_decode, 0, 1
    while begin := _NOT_BLANK.search(text, position):
        line += text.count("\n", position, begin.start())
        try:
            _, position = decode(text, begin.start())
        except json.JSONDecodeError as error:
            raise invalid(name, _describe_incomplete(line, error)) from None
        except RecursionError:
            raise invalid(name, f"The object on line {line} is nested too deep.") from None
        objects.append((line, text[begin.start() : position]))
        line += text.count("\n", begin.start(), position)
    if not objects:
        raise invalid(name, "has 0 entries. Write one JSON object after another.")
    return objects


_NOT_BLANK = re.compile(r"[^ \t\r\n]")


def _describe_incomplete(line: int, error: json.JSONDecodeError) -> str:
    place = f"column {error.colno}" if error.lineno == line else f"line {error.lineno}, column {error.colno}"
    return (
        f"Line {line} is no complete JSON object. At {place}: {error.msg[0].lower()}{error.msg[1:]}. Write one object after"
        " another, each complete."
    )


def read_entries(file: Path, marketplace: str) -> list[Entry]:
    """Return the entries of a file, or of stdin (`-`). Raises InvalidInput."""
    return _parse_entries(_read_objects(file), marketplace)


def _parse_entries(objects: NumberedObjects, marketplace: str) -> list[Entry]:
    entries = []
    for line, text in objects:
        try:
            entries.append(entry_of_json(text, marketplace))
        except ValueError as error:
            raise invalid(f"line {line}", f"is not an entry: {error}") from None
    return entries


def _name_lines_of_entries(text: str, objects: NumberedObjects) -> str:
    """Return a server's error with `line 17` of the user's file in place of `entries[3]`."""

    def name_line(match: "re.Match[str]") -> str:
        if not objects:  # one entry by its fields
            return ""
        return f"line {objects[int(match[1])][0]}" + (", " if match[2] else "")

    return re.sub(r"entries\[(\d+)\](\.?)", name_line, text)


def _format_json_line(entry: Entry) -> str:
    return json.dumps(json_of_entry(entry), ensure_ascii=False) + "\n"


def _make_entry_row(entry: Entry) -> dict[str, Any]:
    values = json_of_entry(entry)
    kind = entry.WhichOneof("fact") or ""
    return {
        "sequence": entry.sequence,
        "entry_id": entry.entry_id,
        "seller": values.get("seller", ""),
        "kind": kind,
        "occur_time": values.get("occur_time") or values[kind].get("day", values["record_time"]),
        "report_time": values["report_time"],
        "record_time": values["record_time"],
        "fact": values[kind],
    }
