from collections.abc import Callable
from enum import StrEnum
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoring.base.errors import SellertrustError, invalid
from service.bootstrap import open_ledger
from service.cli.common import client
from service.cli.options import Assumptions, OlderPolicies, PublicKey, Server
from service.cli.output import Exit, Format, Output, emit, emit_one, say
from service.cli.progress import StepProgress
from service.settings import Settings, load

if TYPE_CHECKING:
    from service.ledger.seals.verifying import VerificationReport


app = typer.Typer()


class Subject(StrEnum):
    LEDGER = "ledger"
    AUDIT = "audit"
    BACKUP = "backup"
    CERTIFICATE = "certificate"
    RECOVERY = "recovery"


@app.command("verify")
def verify(
    subject: Annotated[Subject, typer.Argument(metavar="WHAT", help="What is verified.")],
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="The exported checkpoints, an audit file, a backup, or a certificate.",
        ),
    ] = None,
    public_key: Annotated[str | None, PublicKey] = None,
    policy: Annotated[
        Path | None,
        typer.Option("--policy", metavar="POLICY", exists=True, dir_okay=False, help="The policy of the certificate."),
    ] = None,
    assumptions: Annotated[Path | None, Assumptions] = None,
    after: OlderPolicies = None,
    server: Server = None,
    output: Output = Format.TABLE,
) -> None:
    """Verify the ledger, the audit file, a backup, a loss certificate or a recovery.

    Exit code 4 on a mismatch.

    ledger: compares the ledger with its seals, and with exported checkpoints if FILE has them. Shows the first
    mismatch, the first entry with an unreadable sealed text that no erasure explains, and a source's position beyond
    the end.

    audit: checks that no line of an audit file was changed or removed. Keep the last hash elsewhere, to detect lines
    cut off at the end. With --server that server checks its own file.

    backup: restores FILE into a temporary ledger, which is deleted. That needs room for the whole ledger in the
    system's folder of temporary files (TMPDIR).

    certificate: proves a loss certificate again, edge by edge, with code that shares nothing with its maker. It needs
    --policy. It lists what no file can prove: assumptions, grants by persons, and acceptances.

    recovery: shows for each part of an installation that was restored whether it is sound: ledger (as above, with FILE),
    policy, champion, grants, key of pseudonyms, audit file.
    """
    check = _CHECKS[subject]
    options: dict[str, Any] = {"file": file, "public_key": public_key, "policy": policy}
    options |= {"assumptions": assumptions, "after": after, "server": server}
    taken = signature(check).parameters
    for name, value in options.items():
        if value and name not in taken:
            shown = "FILE" if name == "file" else f"--{name.replace('_', '-')}"
            raise invalid(shown, f"does not belong to verify {subject}; leave it out")
    check(output, **{name: value for name, value in options.items() if name in taken})


def _verify_recovery(output: Format, file: Path | None, public_key: str | None) -> None:
    from service.cli.doctor import CHECKS, run_checks

    def ledger(_: Settings) -> str:
        row, report = _compare_ledger(file, public_key)
        if report.faults:
            raise SellertrustError(f"entry {report.faults[0].sequence}: {report.faults[0].problem}")
        return f"{row['entries']:,} entries, {row['checkpoints']} checkpoints, chain {row['chain'][:12]}"

    def audit(settings: Settings) -> str:
        lines, last = _read_audit(settings.audit_file)
        return f"{lines:,} lines, hash {last}"

    def key(settings: Settings) -> str:
        if not settings.pseudonym_key.exists():
            raise SellertrustError(
                f"{settings.pseudonym_key} is missing, so sellers of older logs cannot be found: restore it"
            )
        return str(settings.pseudonym_key)

    checks = {"ledger": ledger, **{name: CHECKS[name] for name in ("policy", "champion", "grants")}}
    rows = run_checks(checks | {"pseudonym-key": key, "audit": audit}, load())
    emit(rows, output)
    failed = [row for row in rows if not row["ok"]]
    for row in failed:
        say(f"error: {row['check']}: {row['found']}")
    if failed:
        raise typer.Exit(Exit.REFUSED)


def _compare_ledger(file: Path | None, public_key: str | None) -> "tuple[dict[str, Any], VerificationReport]":
    from service.ledger.seals.checkpoints import read_checkpoints

    if (file is None) != (public_key is None):
        raise invalid("--public-key", "and FILE belong together: the key names the signer of the checkpoints in FILE")
    exported = read_checkpoints(file, public_key) if file and public_key else []
    with open_ledger(load()) as ledger, StepProgress() as progress:
        found = ledger.seals.verify(exported, lambda done, total: progress("verify", done, total))
    row: dict[str, Any] = {
        "entries": found.entries,
        "sequence": found.sequence,
        "chain": found.chain.hex(),
        "checkpoints": len(exported),
        "intact": not found.faults,
    }
    return row, found


def _verify_ledger(output: Format, file: Path | None, public_key: str | None) -> None:
    row, found = _compare_ledger(file, public_key)
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


def _read_audit(path: Path) -> tuple[int, str]:
    from service.access.audit_reading import verify_audit

    try:
        return verify_audit(path)
    except ValueError as error:
        raise SellertrustError(f"{path}: {error}") from None


def _verify_audit(output: Format, file: Path | None, server: str | None) -> None:
    if server is not None:
        if file is not None:
            raise invalid("--server", "checks the file of that server; give it or FILE, not both")
        with client(target=server) as (connection, _):
            found = connection.verify_audit()
        if found.problem:
            raise SellertrustError(f"the audit file of {server}: {found.problem}")
        lines, last = found.line_count, found.last_hash
    else:
        lines, last = _read_audit(file or load().audit_file)
    emit([{"lines": lines, "hash": last}], output)


def _verify_backup(output: Format, file: Path | None) -> None:
    from service.cli.backups import show_backup
    from service.ledger.seals.restore import rehearse

    if file is None:
        raise invalid("FILE", "is missing: name the backup")
    with StepProgress() as progress:
        manifest = rehearse(file, progress)
    show_backup(file, manifest, output)


def _verify_certificate(
    output: Format, file: Path | None, policy: Path | None, assumptions: Path | None, after: list[Path] | None
) -> None:
    from service.cli.certificate import check_certificate

    if file is None or policy is None:
        raise invalid("FILE", "and --policy are both needed: name the certificate and the policy that it is of")
    check_certificate(file, policy, assumptions, after or [], output)


_CHECKS: dict[Subject, Callable[..., None]] = {
    Subject.LEDGER: _verify_ledger,
    Subject.AUDIT: _verify_audit,
    Subject.BACKUP: _verify_backup,
    Subject.CERTIFICATE: _verify_certificate,
    Subject.RECOVERY: _verify_recovery,
}
"""The parameters of a check are the options that belong to it."""
