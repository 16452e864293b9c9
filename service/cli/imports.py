from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from scoring.base.errors import ConfigurationWrong, invalid
from scoring.base.parts import parse_toml
from service.bootstrap import is_absent, open_ledger
from service.cli.options import Marketplace, Rejects
from service.cli.output import WAITS, Exit, Format, emit, format_count, say
from service.cli.progress import StepProgress
from service.ingest.mapping.rules import ForeignMapping, compile_mapping
from service.ledger.clock.server_clock import wall_clock
from service.settings import load

if TYPE_CHECKING:
    from service.ingest.file_import import ImportReport


MAX_REASONS = 10

TABLES = (".csv", ".csv.gz", ".tsv", ".parquet", ".xlsx")


Matched = Annotated[
    Path | None,
    typer.Option(
        "--matched",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="Import only the rows of this queue that a person has matched.",
    ),
]
DataFolder = Annotated[Path | None, typer.Option("--data", help="Folder of the files; default: the mapping's.")]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Append nothing: read all, check each entry by itself, and show what there is by kind, from when to when,"
        " and what is rejected, by reason.",
    ),
]


def import_command(
    mapping: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="TOML mapping that says how rows become entries, or entries as JSON lines.",
        ),
    ],
    data: DataFolder = None,
    rejects: Rejects = None,
    matched: Matched = None,
    dry_run: DryRun = False,
    marketplace: Marketplace = None,
) -> None:
    """Import files through a mapping (CSV, CSV.gz, Parquet), or entries (JSONL, JSONL.gz).

    Safe to rerun, also after an interruption: nothing is added twice. Rejected rows go to NAME.rejects.csv in the working
    folder, unless --rejects names a file.

    The output of ledger list --all --output json is imported with its report times, so a marketplace moves from one
    ledger to another. Entries that the ledger derives are left out: the new ledger derives them again.

    An authority's rows without a seller wait in a queue, NAME.unmatched.csv in the working folder. Fill it in; then import
    it with --matched.
    """
    from service.garbage_collection import freeze_loaded_objects
    from service.ingest.file_import import ENTRY_FILES, import_entries
    from service.ingest.unmatched_queue import import_and_queue, import_matched

    freeze_loaded_objects()
    settings = load()
    compiled = None if mapping.name.endswith(ENTRY_FILES) else mapping_of_file(mapping, marketplace)
    if compiled is None and matched:
        raise invalid("--matched", "belongs to a mapping, and entries as JSON lines need none; leave it out")
    market = marketplace or settings.marketplace if compiled is None else compiled.marketplace
    for name, path in {"--matched": matched, "--rejects": rejects}.items():
        if dry_run and path:
            raise invalid(name, "writes a file, and --dry-run writes none; leave out one of them")
    if dry_run:
        return _dry_run(mapping, compiled, data or mapping.parent, market)
    queue = matched or Path(f"{mapping.name.removesuffix('.toml')}.unmatched.csv")
    with open_ledger(settings, create=True) as ledger, StepProgress() as progress:
        if compiled is None:
            report = import_entries(ledger, market, mapping, progress)
        elif matched:
            report = import_matched(ledger, compiled, queue)
        else:
            report = import_and_queue(ledger, compiled, data or mapping.parent, queue, progress)
    return _report_import(report, market, queue, rejects or Path(f"{mapping.name.removesuffix('.toml')}.rejects.csv"))


def outcomes_command(
    mapping: Annotated[
        Path, typer.Argument(metavar="MAPPING", exists=True, dir_okay=False, help="The office's mapping.")
    ],
    data: DataFolder = None,
    marketplace: Marketplace = None,
) -> None:
    """Write each report of an office's files with its status: NAME.outcomes.csv in the working folder."""
    from service.ingest.outcomes import write_outcomes

    with open_ledger(load()) as ledger:
        for path in write_outcomes(ledger, mapping_of_file(mapping, marketplace), data or mapping.parent, Path()):
            say(f"written: {path}")


def _dry_run(path: Path, mapping: ForeignMapping | None, data: Path, marketplace: str) -> None:
    from service.ingest.file_import import import_entries, import_files

    settings = load()
    with TemporaryDirectory() as folder, ExitStack() as stack:
        if is_absent(settings):  # a look makes no ledger
            settings = settings.model_copy(update={"database_url": f"sqlite:///{folder}/ledger.db"})
        ledger = stack.enter_context(open_ledger(settings, create=is_absent(settings)))
        progress = stack.enter_context(StepProgress())
        if mapping is None:
            report = import_entries(ledger, marketplace, path, progress, dry_now=wall_clock())
        else:
            report = import_files(ledger, mapping, data, progress, dry_now=wall_clock())
    emit(report.spans.rows(), Format.TABLE)
    _warn_of_doubt(report)
    if report.unmatched:
        say(f"{format_count(len(report.unmatched), 'row')} found no seller")
    reasons = _report_reasons(report)
    say(f"nothing was appended to {marketplace}: a dry run, which does not ask what the ledger's state would refuse")
    if report.rejects:
        rows = len({(file, line) for file, line, _ in report.rejects})
        say(f"error: {format_count(rows, 'row')} would be rejected, for {format_count(reasons, 'reason')}")
        raise typer.Exit(Exit.REFUSED)


def _report_reasons(report: "ImportReport") -> int:
    from service.ingest.reject_summary import group_rejects

    groups = group_rejects(report.rejects)
    for group in groups[:MAX_REASONS]:
        say(f"{group.file}: {format_count(group.number, 'row')}: {group.reason} (first in line {group.line:,})")
        if group.remedy:
            say(f"    {group.remedy}")
    if len(groups) > MAX_REASONS:
        say(f"and {format_count(len(groups) - MAX_REASONS, 'other reason')}")
    return len(groups)


def _warn_of_doubt(report: "ImportReport") -> None:
    if report.spans.doubt:
        say(f"warning: {report.spans.doubt}")


def _report_import(report: "ImportReport", marketplace: str, queue: Path, rejects: Path) -> None:
    from service.ingest.file_import import write_rejects

    before = report.already_present - report.repeated
    repeated = f", {report.repeated:,} repeated in this import" if report.repeated else ""
    say(f"{format_count(report.appended, 'entry')} appended to {marketplace}, {before:,} were there already{repeated}")
    if report.left_out:
        say(
            f"{format_count(report.left_out, 'entry')} left out, which a ledger makes by itself: what follows, and erasures"
        )
    _warn_of_doubt(report)
    if report.waiting:
        say(f"{format_count(report.waiting, 'decision')} about violations that were not on record: {WAITS}")
    if waiting := len(report.unmatched):
        wait = "waits" if waiting == 1 else "wait"
        say(f"{format_count(waiting, 'row')} found no seller and {wait} for a person: {queue}")
    if report.rejects:
        write_rejects(report, rejects)
        reasons = format_count(_report_reasons(report), "reason")
        rows = len({(file, line) for file, line, _ in report.rejects})
        say(f"error: {format_count(rows, 'row')} rejected, for {reasons}; mend them and import again: {rejects}")
        raise typer.Exit(Exit.REFUSED)


def mapping_of_file(path: Path, marketplace: str | None = None) -> ForeignMapping:
    """Compile a mapping's TOML file; `marketplace` overrides the file's.

    Raises InvalidInput for a table of rows and a faulty mapping.
    """
    if path.name.endswith(TABLES):
        raise invalid(
            "FILE",
            f"{path} is a table, and needs a mapping that says what its rows are: write one"
            " (docs/reference/kinds.md has an example), and import that",
        )
    try:
        content = parse_toml(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise invalid("FILE", f"{path} is not TOML: {error}") from None
    try:
        return compile_mapping(content | ({"marketplace": marketplace} if marketplace else {}))
    except ConfigurationWrong as error:
        raise invalid("FILE", f"{path}: {error.message}") from None
