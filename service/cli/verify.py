from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from scoring.base.errors import ConfigurationWrong, invalid
from service.bootstrap import open_ledger
from service.cli.common import client, marketplace_of
from service.cli.options import LedgerServer, Marketplace
from service.cli.output import Exit, Format, Output, emit, emit_one, say
from service.cli.progress import StepProgress
from service.settings import load

app = typer.Typer()


class Subject(StrEnum):
    LEDGER = "ledger"
    AUDIT = "audit"
    BACKUP = "backup"
    BOOK = "book"
    RESCORED = "rescored"


_TAKES = {
    Subject.LEDGER: {"FILE", "--public-key"},
    Subject.AUDIT: {"FILE", "--server"},
    Subject.BACKUP: {"FILE"},
    Subject.BOOK: {"--sample", "--marketplace"},
    Subject.RESCORED: {"--sample"},
}


@app.command("verify")
def verify(
    subject: Annotated[Subject, typer.Argument(metavar="WHAT", help="What is verified.")],
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="The ledger's exported checkpoints, an audit file, or a backup."),
    ] = None,
    public_key: Annotated[
        str | None, typer.Option("--public-key", help="Who signed the checkpoints, in hex; required with them.")
    ] = None,
    sample: Annotated[
        int, typer.Option("--sample", min=0, help="Compare so many scores, drawn by chance; 0: every one.")
    ] = 0,
    server: LedgerServer = None,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Verify the ledger, the audit file, a backup or remembered scores. Exit code 4 if it is not what it should be.

    ledger: compares the ledger with its seals, and with exported checkpoints if FILE has them. Shows the first
    mismatch, the first entry with an unreadable sealed text that no erasure explains, and a source's position beyond
    the end.

    audit: checks that no line of an audit file was changed or removed. Keep the last hash elsewhere, to detect lines
    cut off at the end. With --server that server checks its own file. Exit code 6 if a line is wrong.

    backup: restores FILE into a temporary ledger, which is deleted. That needs room for the whole ledger in the
    system's folder of temporary files (TMPDIR).

    book: recomputes the scores that a server remembers, each at its stamp. `changed`: the model or policy changed in
    between; `unknown`: the server had no score. Exit code 3 if no seller is recorded; 5 if nothing was compared.

    rescored: compares each file of `rescore` with its checksums, and its scores with the ledger.
    """
    given = {"FILE": file, "--public-key": public_key, "--sample": sample, "--server": server}
    for name, value in (given | {"--marketplace": marketplace}).items():
        if value and name not in _TAKES[subject]:
            raise invalid(name, f"does not belong to verify {subject}; leave it out")
    if subject is Subject.LEDGER:
        _verify_ledger(file, public_key, output)
    elif subject is Subject.AUDIT:
        _verify_audit(file, server, output)
    elif subject is Subject.BACKUP:
        _verify_backup(file, output)
    elif subject is Subject.BOOK:
        from service.cli.book import verify_book

        with client() as (connection, settings):
            verify_book(connection, marketplace_of(marketplace, settings), sample, output)
    else:
        from service.cli.generations import verify_generations

        verify_generations(sample, output)


def _verify_ledger(checkpoints: Path | None, public_key: str | None, output: Format) -> None:
    from service.ledger.seals.checkpoints import read_checkpoints

    if (checkpoints is None) != (public_key is None):
        raise invalid("--public-key", "belongs to a file of checkpoints, which proves nothing without who signed it")
    exported = read_checkpoints(checkpoints, public_key) if checkpoints and public_key else []
    with open_ledger(load()) as ledger, StepProgress() as progress:
        found = ledger.seals.verify(exported, lambda done, total: progress("verify", done, total))
    row: dict[str, Any] = {
        "entries": found.entries,
        "sequence": found.sequence,
        "chain": found.chain.hex(),
        "checkpoints": len(exported),
        "intact": not found.faults,
    }
    if found.faults:
        row |= {"first_mismatch": found.faults[0].sequence, "problem": found.faults[0].problem}
    emit_one(row, output)
    if found.mismatch:
        say(f"error: from entry {found.mismatch.sequence} on the ledger does not match: {found.mismatch.problem}")
    for fault in (found.key_lost, found.key_wrong, found.position_ahead):
        if fault:
            say(f"error: entry {fault.sequence}: {fault.problem}")
    if found.faults:
        raise typer.Exit(Exit.REFUSED)


def _verify_audit(file: Path | None, server: str | None, output: Format) -> None:
    from sellertrust.audit import AuditClient
    from service.access.audit_reading import verify_audit

    if server is not None:
        if file is not None:
            raise invalid("--server", "checks the file of that server; give it or FILE, not both")
        with client(server) as (connection, _):
            found = AuditClient(connection).verify_audit()
        if found.problem:
            raise ConfigurationWrong(f"the audit file of {server}: {found.problem}")
        lines, last = found.line_count, found.last_hash
    else:
        path = file or load().audit_file
        try:
            lines, last = verify_audit(path)
        except ValueError as error:
            raise ConfigurationWrong(f"{path}: {error}") from None
    emit([{"lines": lines, "hash": last}], output)


def _verify_backup(file: Path | None, output: Format) -> None:
    from service.cli.backups import show_backup
    from service.ledger.seals.restore import rehearse

    if file is None:
        raise invalid("FILE", "is missing: name the backup")
    with StepProgress() as progress:
        manifest = rehearse(file, progress)
    show_backup(file, manifest, output)
