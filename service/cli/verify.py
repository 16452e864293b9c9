import re
from collections.abc import Callable, Sequence
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoring.base.canonical import parse_json
from scoring.base.errors import SellertrustError, invalid
from service.bootstrap import open_ledger
from service.cli.common import open_client
from service.cli.options import Assumptions, OlderPolicies, PublicKey, Server
from service.cli.output import Exit, Format, Output, emit, emit_one, say
from service.cli.progress import StepProgress
from service.settings import Settings, load

if TYPE_CHECKING:
    from service.ledger.seals.verifying import VerificationReport


def verify(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="ledger, recovery, audit, or a file.")],
    checkpoints: Annotated[
        Path | None,
        typer.Argument(
            metavar="CHECKPOINTS", exists=True, dir_okay=False, help="With ledger or recovery: exported checkpoints."
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
    """Verify the ledger, a recovery, the audit file or another signed file.

    The kind of a file is read from its content. Exit code 4 on a mismatch.

    ledger: compares the ledger with its seals, and with exported checkpoints. Shows the first mismatch, the first entry
    with an unreadable sealed text that no erasure explains, and a source's position beyond the end.

    recovery: shows for each part of an installation that was restored whether it is sound: ledger (as above), policy,
    champion, grants, key of pseudonyms, audit file.

    audit: checks that no line of this installation's audit file was changed or removed. Keep the last hash elsewhere, to
    detect lines cut off at the end. With --server that server checks its own file.

    A file may be:

    an audit file that was moved away.

    a backup: restores it into a temporary ledger, which is deleted. That needs room for the whole ledger in the system's
    folder of temporary files (TMPDIR).

    a loss certificate: proves it again, edge by edge, with code that shares nothing with its maker. It needs --policy.
    It lists what no file can prove: assumptions, grants by persons, and acceptances.

    a case from network export: its signature, the proof of each entry, and the page beside it. It needs --public-key.

    an estimate from audit estimate: its signature, draw, shares and intervals, with code of its own. It needs
    --public-key, and the frame's CSV file beside it.
    """
    check = _SUBJECTS.get(what) or _find_check(Path(what))
    options: dict[str, Any] = {"checkpoints": checkpoints, "public_key": public_key, "policy": policy}
    options |= {"assumptions": assumptions, "after": after, "server": server}
    parameters = signature(check).parameters
    for name, value in options.items():
        if value and name not in parameters:
            shown = name.upper() if name == "checkpoints" else f"--{name.replace('_', '-')}"
            raise invalid(shown, f"does not belong to verify {what}; leave it out")
    arguments = options | {"file": Path(what), "output": output}
    check(**{name: arguments[name] for name in parameters})


def _find_check(file: Path) -> Callable[..., None]:
    if not file.is_file():
        problem = "is a directory" if file.is_dir() else "no such file"
        raise invalid("WHAT", f"{file}: {problem}; name a file, or ledger, recovery or audit")
    with file.open("rb") as opened:
        match = _BEGINNING.match(opened.read(_BEGINNING_BYTES))
    kind = match and (match["zip"] or match["key"]).decode()
    if kind == "sequence":
        raise invalid(
            "WHAT",
            f"{file} holds checkpoints; compare the ledger with them: sellertrust verify ledger {file} --public-key KEY",
        )
    if kind not in _CHECKS_OF_FILES:
        raise SellertrustError(
            f"{file} is no audit file, backup, loss certificate, case or estimate, or its beginning is damaged"
        )
    return _CHECKS_OF_FILES[kind]


_BEGINNING_BYTES = 4096
_BEGINNING = re.compile(rb'(?P<zip>PK)|\s*\{\s*"(?P<key>\w+)"')
"""A file's kind: an archive, or the first key of its JSON."""


def _verify_recovery(output: Format, checkpoints: Path | None, public_key: str | None) -> None:
    from service.cli.doctor import CHECKS, run_checks

    def check_ledger(_: Settings) -> str:
        row, report = _compare_ledger(checkpoints, public_key)
        if report.faults:
            raise SellertrustError(f"entry {report.faults[0].sequence}: {report.faults[0].problem}")
        return f"{row['entries']:,} entries, {row['checkpoints']} checkpoints, chain {row['chain'][:12]}"

    def check_audit(settings: Settings) -> str:
        lines, last = _read_audit(settings.audit_file)
        return f"{lines:,} lines, hash {last}"

    def check_key(settings: Settings) -> str:
        if not settings.pseudonym_key.exists():
            raise SellertrustError(
                f"{settings.pseudonym_key} is missing, so sellers of older logs cannot be found: restore it"
            )
        return str(CHECKS["pseudonym-key"](settings))

    checks = {"ledger": check_ledger, **{name: CHECKS[name] for name in ("policy", "champion", "grants")}}
    rows = run_checks(checks | {"pseudonym-key": check_key, "audit": check_audit}, load())
    emit(rows, output)
    failed = [row for row in rows if not row["ok"]]
    for row in failed:
        say(f"error: {row['check']}: {row['found']}")
    if failed:
        raise typer.Exit(Exit.REFUSED)


def _compare_ledger(checkpoints: Path | None, public_key: str | None) -> "tuple[dict[str, Any], VerificationReport]":
    from service.ledger.seals.checkpoints import read_checkpoints

    if (checkpoints is None) != (public_key is None):
        raise invalid("--public-key", "and CHECKPOINTS belong together: the key names their signer")
    exported = read_checkpoints(checkpoints, public_key) if checkpoints and public_key else []
    with open_ledger(load()) as ledger, StepProgress() as progress:
        report = ledger.seals.verify(exported, lambda done, total: progress("verify", done, total))
    row: dict[str, Any] = {
        "entries": report.entries,
        "sequence": report.sequence,
        "chain": report.chain.hex(),
        "checkpoints": len(exported),
        "intact": not report.faults,
    }
    return row, report


def _verify_ledger(output: Format, checkpoints: Path | None, public_key: str | None) -> None:
    row, report = _compare_ledger(checkpoints, public_key)
    if report.faults:
        row |= {"first_mismatch": report.faults[0].sequence, "problem": report.faults[0].problem}
    emit_one(row, output)
    if report.mismatch:
        say(f"error: from entry {report.mismatch.sequence} on the ledger does not match: {report.mismatch.problem}")
    for fault in (report.key_lost, report.key_wrong, report.position_ahead):
        if fault:
            say(f"error: entry {fault.sequence}: {fault.problem}")
    if report.faults:
        raise typer.Exit(Exit.REFUSED)


def _read_audit(path: Path) -> tuple[int, str]:
    from service.access.audit_reading import verify_audit

    try:
        return verify_audit(path)
    except ValueError as error:
        raise SellertrustError(f"{path}: {error}") from None


def _verify_audit(output: Format, server: str | None) -> None:
    if server is None:
        _verify_audit_file(output, load().audit_file)
        return
    with open_client(target=server) as (connection, _):
        report = connection.verify_audit()
    if report.problem:
        raise SellertrustError(f"the audit file of {server}: {report.problem}")
    emit([{"lines": report.line_count, "hash": report.last_hash}], output)


def _verify_audit_file(output: Format, file: Path) -> None:
    lines, last = _read_audit(file)
    emit([{"lines": lines, "hash": last}], output)


def _verify_backup(output: Format, file: Path) -> None:
    from service.cli.maintenance import show_backup
    from service.ledger.seals.backup import rehearse

    with StepProgress() as progress:
        manifest = rehearse(file, progress)
    show_backup(file, manifest, output)


def _verify_certificate(
    output: Format, file: Path, policy: Path | None, assumptions: Path | None, after: list[Path] | None
) -> None:
    from service.cli.certificate import check_certificate

    if policy is None:
        raise invalid("--policy", f"is missing: name the policy that the certificate {file} is of")
    check_certificate(file, policy, assumptions, after or [], output)


def _verify_case(file: Path, public_key: str | None) -> None:
    from service.contract.case_export import PAGE_HASH, find_faults

    key, page = _require_key(file, public_key), file.with_suffix(".html")
    page_text = f"no {page.name} lies beside it, so no page was checked"
    try:
        signed = parse_json(file.read_bytes())
        beside = page.read_bytes() if page.is_file() else None
        faults = find_faults(signed["bundle"].encode(), signed["signature"], key, beside)
        if not faults and PAGE_HASH not in parse_json(signed["bundle"]):
            page_text = "it states no page"
        elif beside is not None:
            page_text = f"{page.name} is the page that was signed"
    except (ValueError, KeyError, TypeError, AttributeError):
        faults = [f"{file} is damaged: it is no whole case of network export"]
    _end_by_faults(faults, f"signed by this key, and each entry is proven to be in its ledger; {page_text}")


def _verify_estimate(file: Path, public_key: str | None) -> None:
    from service.cli.audit import find_faults_of_estimate

    faults = find_faults_of_estimate(file, _require_key(file, public_key))
    _end_by_faults(faults, "the seed draws these listings from this frame, and the results give these shares")


def _require_key(file: Path, public_key: str | None) -> str:
    if public_key is None:
        raise invalid("--public-key", f"is missing: name the key that must have signed {file}, in hex")
    return public_key


def _end_by_faults(faults: Sequence[str], proven: str) -> None:
    for fault in faults:
        say(f"error: {fault}")
    if faults:
        raise typer.Exit(Exit.REFUSED)
    say(proven)


_SUBJECTS: dict[str, Callable[..., None]] = {
    "ledger": _verify_ledger,
    "recovery": _verify_recovery,
    "audit": _verify_audit,
}
_CHECKS_OF_FILES: dict[str, Callable[..., None]] = {
    "time": _verify_audit_file,
    "PK": _verify_backup,
    "accepted": _verify_certificate,
    "bundle": _verify_case,
    "document": _verify_estimate,
}
"""Checks by how a file begins. The parameters of a check are the options that belong to it."""
