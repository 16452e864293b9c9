"""`sellertrust ledger ...`: append and list over gRPC; import and export run where the database is."""

import json
import sys
import tomllib
import uuid
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf import json_format

from scoring.errors import ConfigurationWrong, invalid
from scoring.mapping import ForeignMapping, mapping_of
from scoring.time import format_time
from sellertrust.v1.entry_pb2 import Entry
from service.cli.common import KnownTime, Marketplace, ObserveTime, client, marketplace_of, moment, open_ledger
from service.cli.feed import feed_command
from service.cli.output import Exit, Format, Output, emit, emit_one, say, training_missing
from service.entry_json import entry_of_json
from service.progress import StepProgress
from service.settings import load

app = typer.Typer(help="The ledger: what each seller did.", no_args_is_help=True)
MAX_LINES = 10_000


@app.command("append")
def append(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Entries, one JSON object a line; - for stdin.")],
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Append entries: the contract's Entry as JSON, one a line, all of them or none.

    For example: {"entry_id": "v-1", "seller": "s-1", "occur_time": "2026-03-01T12:00:00Z", "violation":
    {"violation_type": "counterfeit_goods", "harm": "high", "source": "brand"}}
    """
    with client() as (connection, settings):
        where = marketplace_of(marketplace, settings)
        results = connection.append_entries(where, _read_entries(file, where))
    emit(
        [
            {
                "entry_id": result.entry_id,
                "sequence": result.sequence,
                "record_time": result.record_time.ToJsonString(),
                "already_present": result.already_present,
            }
            for result in results
        ],
        output,
    )


@app.command("list")
def list_entries(
    seller: Annotated[str | None, typer.Option("--seller", help="Only this seller's.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 100,
    observe_time: ObserveTime = None,
    known_time: KnownTime = None,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """List entries in the order of their sequence."""
    rows: list[dict[str, Any]] = []
    with client() as (connection, settings):
        entries = connection.list_entries(
            marketplace_of(marketplace, settings),
            seller=seller,
            observe_time=moment(observe_time, "--observe-time"),
            known_time=moment(known_time, "--known-time"),
            page_size=min(limit, 1000),
        )
        for entry in entries:
            rows.append(_entry_row(entry))
            if len(rows) == limit:
                break
    if output is Format.TABLE:
        for row in rows:
            row["fact"] = json.dumps(row["fact"], ensure_ascii=False)
    emit(rows, output)


@app.command("import")
def import_command(
    mapping: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="TOML mapping that says how rows become entries, or entries as JSON lines."
        ),
    ],
    data: Annotated[Path | None, typer.Option("--data", help="Folder of the files; default: the mapping's.")] = None,
    rejects: Annotated[
        Path | None, typer.Option("--rejects", help="Where rejected rows go; default: NAME.rejects.csv here.")
    ] = None,
    marketplace: Marketplace = None,
) -> None:
    """Import somebody's own files through a mapping (CSV, CSV.gz, Parquet), or entries as they are (JSONL, JSONL.gz).

    Safe to rerun: nothing is added twice. An import that was interrupted goes on where it was, if nothing changed.
    """
    from service.importing import ENTRY_FILES, import_entries, import_files, write_rejects

    settings = load()
    journal = settings.data_dir / "imports"
    compiled = None if mapping.name.endswith(ENTRY_FILES) else mapping_of_file(mapping, marketplace)
    where = marketplace_of(marketplace, settings) if compiled is None else compiled.marketplace
    with open_ledger(settings, create=True) as ledger, StepProgress() as progress:
        try:
            if compiled is None:
                report = import_entries(ledger, where, mapping, progress, journal)
            else:
                report = import_files(ledger, compiled, data or mapping.parent, progress, journal)
        except ModuleNotFoundError as error:
            raise training_missing(error) from None
    for name, line in report.resumed.items():
        say(f"{name}: went on at line {line:,}, where an earlier import was interrupted")
    say(f"{report.appended:,} entries appended to {where}, {report.already_present:,} were there already")
    if report.rejects:
        path = rejects or Path(f"{mapping.name.removesuffix('.toml')}.rejects.csv")
        write_rejects(report, path)
        say(f"error: {len(report.rejects):,} rows were rejected; mend them and import again: {path}")
        raise typer.Exit(Exit.REFUSED)


app.command("feed")(feed_command)


@app.command("export")
def export_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Parquet file to write.")],
    known_time: KnownTime = None,
    marketplace: Marketplace = None,
) -> None:
    """Export a marketplace's entries as Parquet, the one source of training."""
    try:
        from training.export import write_export
    except ImportError as error:
        raise training_missing(error) from None

    settings = load()
    where = marketplace_of(marketplace, settings)
    known = moment(known_time, "--known-time")
    with open_ledger(settings) as ledger, StepProgress() as progress:
        cut = ledger.cut(known_time=None if known is None else round(known.timestamp() * 1_000_000))
        progress("export", 0, 1)
        rows = write_export(ledger.export_rows(where, cut), file)
        progress("export", 1, 1)
    say(f"{rows:,} entries of {where} written to {file}")


@app.command("erase")
def erase_command(
    seller: Annotated[str, typer.Argument(metavar="SELLER", help="The seller's id.")],
    actor: Annotated[str, typer.Option("--actor", help="Who decided: a pseudonym or a role, an id.")],
    ground: Annotated[str, typer.Option("--ground", help="The legal ground, such as an article.")] = "",
    entry_id: Annotated[str | None, typer.Option("--entry-id", help="Makes a retry of this very command safe.")] = None,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Erase the sealed texts of a seller (reasons, where evidence is kept). What counts stays, and still verifies.

    On PostgreSQL by a role that may delete keys. Backups keep keys for as long as they are kept.
    """
    settings = load()
    where = marketplace_of(marketplace, settings)
    with open_ledger(settings) as ledger:
        done = ledger.erase(where, seller, actor=actor, ground=ground, entry_id=entry_id or uuid.uuid4().hex)
    emit_one({"seller": seller, "entry_id": done.entry_id, "sequence": done.sequence}, output)


@app.command("checkpoint")
def checkpoint_command(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where to append it, out of the database owner's reach.")
    ],
    key: Annotated[
        Path | None, typer.Option("--key", help="Signing key, made if absent; default: in the data folder.")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Append a signed checkpoint: with it, any later change of what is recorded by now can be proven."""
    from service.checkpoints import load_or_make_key, write_checkpoint
    from service.ledger import wall_clock

    settings = load()
    with open_ledger(settings) as ledger:
        sequence, chain = ledger.checkpoint()
    signer = load_or_make_key(key or settings.data_dir / "checkpoint-key.pem")
    emit_one(write_checkpoint(file, signer, sequence, chain, format_time(wall_clock())), output)


@app.command("verify")
def verify_command(
    checkpoints: Annotated[Path | None, typer.Option("--checkpoints", help="File of exported checkpoints.")] = None,
    public_key: Annotated[
        str | None, typer.Option("--public-key", help="Who signed them, in hex; required with them.")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Verify the whole ledger against its seals and exported checkpoints; names the first entry that does not match."""
    from service.checkpoints import read_checkpoints

    if (checkpoints is None) != (public_key is None):
        raise invalid("--public-key", "belongs to --checkpoints: a checkpoint proves nothing without who signed it")
    exported = read_checkpoints(checkpoints, public_key) if checkpoints and public_key else []
    with open_ledger(load()) as ledger, StepProgress() as progress:
        found = ledger.verify(exported, lambda done, total: progress("verify", done, total))
    row: dict[str, Any] = {
        "entries": found.entries,
        "sequence": found.sequence,
        "chain": found.chain.hex(),
        "checkpoints": len(exported),
        "intact": found.mismatch is None,
    }
    if found.mismatch:
        row |= {"first_mismatch": found.mismatch.sequence, "problem": found.mismatch.problem}
    emit_one(row, output)
    if found.mismatch:
        say(f"error: from entry {found.mismatch.sequence} on the ledger does not match: {found.mismatch.problem}")
        raise typer.Exit(Exit.REFUSED)


def mapping_of_file(path: Path, marketplace: str | None = None) -> ForeignMapping:
    """The mapping in a TOML file, for another marketplace if told so. ConfigurationWrong says what is wrong with it."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise ConfigurationWrong(f"there is no file {path} that can be read") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationWrong(f"{path} is not TOML: {error}") from None
    return mapping_of(content | ({"marketplace": marketplace} if marketplace else {}))


def _read_entries(file: Path, marketplace: str) -> list[Entry]:
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        text = data.decode()
    except (OSError, UnicodeDecodeError):
        raise invalid("FILE", f"{file} cannot be read as text in UTF-8") from None
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not 1 <= len(lines) <= MAX_LINES:
        raise invalid(
            "FILE", f"has {len(lines):,} entries; append 1 to {MAX_LINES:,} at a time, or use ledger import for more"
        )
    entries = []
    for number, line in lines:
        try:
            entries.append(entry_of_json(line, marketplace))
        except ValueError as error:
            raise invalid(f"line {number}", f"is not an entry: {error}") from None
    return entries


def _entry_row(entry: Entry) -> dict[str, Any]:
    kind = entry.WhichOneof("fact") or ""
    values = json_format.MessageToDict(getattr(entry, kind), preserving_proto_field_name=True)
    return {
        "sequence": entry.sequence,
        "entry_id": entry.entry_id,
        "seller": entry.seller.rsplit("/", 1)[-1],
        "kind": kind,
        "occur_time": entry.occur_time.ToJsonString(),
        "report_time": entry.report_time.ToJsonString(),
        "record_time": entry.record_time.ToJsonString(),
        "fact": values,
    }
