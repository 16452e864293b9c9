from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoring.base.errors import CertificateRefused, invalid
from service.cli.options import Assumptions, OlderPolicies, Policy, require_folder_of
from service.cli.output import Exit, Format, Output, emit_one, format_count, say, wrap_line, write
from service.cli.progress import StepProgress
from service.settings import load

if TYPE_CHECKING:
    from scoring.loss_certificate.assumptions import Assumptions
    from scoring.loss_certificate.certificate import GrantedExceptions
    from scoring.loss_certificate.contradictions import ObservedCases


def certify(
    policy: Policy,
    assumptions: Annotated[Path, Assumptions],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE",
            callback=require_folder_of,
            help="The certificate's file; one that is there is replaced.",
        ),
    ],
    accept: Annotated[
        list[str] | None,
        typer.Option(
            "--accept", metavar="VERDICT=NAME", help="Name of the person who accepts a verdict that does not hold."
        ),
    ] = None,
    ledger: Annotated[
        bool,
        typer.Option(
            "--ledger",
            help="Certify also what persons granted, by the configured ledger; check its cases.",
        ),
    ] = False,
    after: OlderPolicies = None,
    output: Output = Format.TABLE,
) -> None:
    """State the most that a seller who runs with the buyers' money can take under a policy, and prove it.

    Writes the certificate. Shows as a page the most that one seller and one day cost, what is not covered, both
    verdicts with their margins, and the terms and assumptions. Exit code 4, with the certificate written, if a verdict
    fails and no one accepts it by name. Also if the ledger contradicts an assumption, or if persons granted a seller
    more than the policy allows and no one accepts `granted`.
    """
    from scoring.loss_certificate import certificate as making
    from scoring.loss_certificate.sensitivity import find_sensitivity
    from service.cli.certificate_page import list_lines
    from service.policy.certificate_file import read_assumptions, write_certificate
    from service.policy.policy_file import read_policy

    found_policy, assumed = read_policy(policy), read_assumptions(assumptions)
    older = [read_policy(file) for file in after or []]
    observed, granted = _read_runs_and_exceptions() if ledger else (None, None)
    with StepProgress() as progress:
        certificate = making.certify(found_policy, assumed, _parse_accepted(accept or []), progress, granted, older)
    write_certificate(certificate, out)
    if output is Format.JSON:
        _show_as_json(certificate)
    else:
        limits = find_sensitivity(found_policy, assumed)
        write("".join(map(wrap_line, list_lines(certificate, found_policy, assumed, limits))))
    failed = making.list_failed(certificate)
    for name in failed:
        say(f"error: {name} does not hold. Name who accepts it: --accept {name}=NAME")
    if failed or (observed is not None and _report_contradictions(assumed, observed)):
        raise typer.Exit(Exit.REFUSED)


def check_certificate(
    file: Path, policy: Path, assumptions: Path | None, older: Sequence[Path], output: Format
) -> None:
    """Prove a certificate again; list what it cannot prove. Raises CertificateRefused with the first fault."""
    from scoring.loss_certificate.independent import checking
    from scoring.loss_certificate.independent.world import NotProven
    from service.policy.certificate_file import read_certificate
    from service.policy.policy_file import read_toml

    certificate, data = read_certificate(file), read_toml(policy)
    assumed = read_toml(assumptions) if assumptions is not None else None
    try:
        with StepProgress() as progress:
            before = [read_toml(path) for path in older]
            proof = checking.check_certificate(data, certificate, assumed, progress, before)
    except NotProven as error:
        raise CertificateRefused(f"{file} is not proven: {error}") from None
    verdicts = certificate["verdicts"].items()
    emit_one(
        {"digest": certificate["digest"], "states": proof.states, "edges": proof.edges}
        | {name: "holds" if verdict["holds"] else "does not hold" for name, verdict in verdicts}
        | ({"not_proven": [*proof.not_proven]} if output is Format.JSON else {}),
        output,
    )
    say(f"proven: {format_count(proof.states, 'state')}, {format_count(proof.edges, 'edge')}")
    for statement in proof.not_proven:
        say(f"not proven: {statement}")
    for statement in certificate["not_covered"]:
        say(f"not covered: {statement}")


def _read_runs_and_exceptions() -> tuple["ObservedCases", "GrantedExceptions"]:
    from service.bootstrap import open_ledger

    with open_ledger(load()) as ledger:
        cut = ledger.cut()
        return ledger.runs.find_runs(cut), ledger.runs.find_granted(cut)


def _report_contradictions(assumptions: "Assumptions", observed: "ObservedCases") -> bool:
    from scoring.loss_certificate.contradictions import bound_stop_days, find_contradictions

    bound = bound_stop_days(observed.cases)
    stopped = "that is too few for a bound of 99 %" if bound is None else f"99 % are stopped within {bound:,} days"
    say(f"the ledger has {format_count(len(observed.cases), 'case')} of a run: {stopped}")
    contradictions = find_contradictions(assumptions, observed)
    for contradiction in contradictions:
        say(f"error: the ledger contradicts the assumption {contradiction.assumption}: {contradiction.text}")
    return bool(contradictions)


def _parse_accepted(texts: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    if not all(verdict and person for verdict, _, person in pairs):
        raise invalid("--accept", "must be VERDICT=NAME, such as unconditional=r.head")
    return {verdict: person for verdict, _, person in pairs}


def _show_as_json(certificate: dict[str, Any]) -> None:
    keys = (
        *("digest", "currency", "takes", "not_covered", "assumptions", "overturned_ppm", "run_days", "granted"),
        *("sequence", "accepted"),
    )
    verdicts = {
        name: {key: verdict[key] for key in ("holds", "most_minor", "attack")}
        for name, verdict in certificate["verdicts"].items()
    }
    emit_one({key: certificate[key] for key in keys} | {"verdicts": verdicts}, Format.JSON)
