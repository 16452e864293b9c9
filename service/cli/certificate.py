from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoring.base.errors import CertificateRefused, invalid
from service.cli.options import Assumptions, OlderPolicies, Policy, require_folder_of
from service.cli.output import Exit, Format, Output, emit, emit_one, format_count, say
from service.cli.progress import StepProgress
from service.settings import load

if TYPE_CHECKING:
    from scoring.loss_certificate.assumptions import Assumptions
    from scoring.loss_certificate.contradictions import Seen
    from scoring.loss_certificate.exceptions import Granted

app = typer.Typer()


@app.command("certify")
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

    Writes the certificate. Shows both verdicts, the best attack if one fails, the largest take by tier, and the
    assumptions with their sources. Exit code 4, with the certificate written, if a verdict fails and no one accepts it
    by name. Also if the ledger contradicts an assumption, or if persons granted a seller more than the policy allows
    and no one accepts `granted`.
    """
    from scoring.loss_certificate import certificate as making
    from scoring.loss_certificate.sensitivity import find_sensitivity
    from service.policy.certificate_file import read_assumptions, write_certificate
    from service.policy.policy_file import read_policy

    found_policy, assumed = read_policy(policy), read_assumptions(assumptions)
    older = [read_policy(file) for file in after or []]
    seen, granted = _look_at_ledger() if ledger else (None, None)
    with StepProgress() as progress:
        found = making.certify(found_policy, assumed, _read_accepted(accept or []), progress, granted, older)
    write_certificate(found, out)
    _show_certificate(found, output)
    for verdict, turns in find_sensitivity(found_policy, assumed).items():
        say(f"{verdict} {describe_turns(asdict(turns))}")
    failed = making.list_failed(found)
    if failed:
        say(f"error: {', '.join(failed)} does not hold; who accepts that is named by --accept VERDICT=NAME")
    if failed or (seen is not None and _is_contradicted(assumed, seen)):
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
    stated = read_toml(assumptions) if assumptions is not None else None
    try:
        with StepProgress() as progress:
            before = [read_toml(one) for one in older]
            found = checking.check_certificate(data, certificate, stated, progress, before)
    except NotProven as error:
        raise CertificateRefused(f"{file} is not proven: {error}") from None
    verdicts = certificate["verdicts"].items()
    emit_one(
        {"digest": certificate["digest"], "states": found.states, "edges": found.edges}
        | {name: "holds" if one["holds"] else "does not hold" for name, one in verdicts}
        | ({"not_proven": [*found.not_proven]} if output is Format.JSON else {}),
        output,
    )
    say(f"proven: {format_count(found.states, 'state')}, {format_count(found.edges, 'edge')}")
    for statement in found.not_proven:
        say(f"not proven: {statement}")


def _look_at_ledger() -> tuple["Seen", "Granted"]:
    from service.bootstrap import open_ledger

    with open_ledger(load()) as ledger:
        cut = ledger.cut()
        return ledger.runs.seen(cut), ledger.runs.granted(cut)


def _is_contradicted(assumptions: "Assumptions", seen: "Seen") -> bool:
    from scoring.loss_certificate.contradictions import bound_stop_days, find_contradictions

    bound = bound_stop_days(seen.cases)
    stopped = "that is too few for a bound of 99 %" if bound is None else f"99 % are stopped within {bound:,} days"
    say(f"the ledger has {format_count(len(seen.cases), 'case')} of a run: {stopped}")
    found = find_contradictions(assumptions, seen)
    for one in found:
        say(f"error: the ledger contradicts the assumption {one.assumption}: {one.text}")
    return bool(found)


def _show_granted(granted: dict[str, Any] | None) -> None:
    if granted is None:
        say("what persons granted sellers was not looked at: --ledger does")
        return
    number = format_count(len(granted["sellers"]), "seller")
    say(f"persons granted {number} a tier, or lifted measures of theirs, by entry {granted['sequence']:,}")
    for one in granted["sellers"]:
        what = ", ".join(
            [*([] if one["tier"] is None else [f"tier {one['tier']} until {one['until']}"])]
            + [f"without {each['kind']} of {each['rule']}" for each in one["lifted"]]
        )
        most = "any sum" if one["most"] is None else f"at most {one['most']['after_refunds_minor']:,} after refunds"
        beyond = "" if one["is_within"] else ", more than is certified of all others"
        say(f"  {one['marketplace']}/{one['seller']}: {what}: {most}{beyond}")


def _read_accepted(stated: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in stated]
    if not all(verdict and by for verdict, _, by in pairs):
        raise invalid("--accept", "must be VERDICT=NAME, such as unconditional=r.head")
    return {verdict: by for verdict, _, by in pairs}


def _show_certificate(certificate: dict[str, Any], output: Format) -> None:
    if output is Format.JSON:
        shown = (
            "digest",
            "currency",
            "assumptions",
            "overturned_ppm",
            "run_days",
            "takes",
            "granted",
            "sequence",
            "accepted",
        )
        emit_one({key: certificate[key] for key in shown} | {
            "verdicts": {
                name: {key: one[key] for key in ("holds", "most_minor", "attack")}
                for name, one in certificate["verdicts"].items()
            }
        }, output)  # fmt: skip
        return
    takes = certificate["takes"]
    emit([{"tier": name, **take} for name, take in takes["by_tier"].items()], output)
    unit = f"minor units of {certificate['currency']}"
    for name, one in certificate["verdicts"].items():
        say(f"{name}: {'holds' if one['holds'] else 'does not hold: one name gets ' + format(one['most_minor'], ',')}")
        if not one["holds"]:
            say(f"  {describe_attack(one['attack'])}")
    if sequence := certificate["sequence"]:
        most = ", ".join(f"{sum_:,} ({name})" for name, sum_ in sequence["most_minor"].items())
        say(f"in a run of {sequence['run_days']:,} days that began under a policy before one name gets {most}")
    for whose, one in ((f"if {takes['runners']:,} sellers run on one day", takes["runners_on_one_day"]),
                       ("by one seller", takes["largest"])):  # fmt: skip
        gross, net = one["gross_minor"], one["after_refunds_minor"]
        say(f"buyers lose at most {net:,} {whose}, after refunds from what is held, of {gross:,} that they paid")
    say(f"all in {unit}")
    _show_granted(certificate["granted"])
    say(f"a run goes on for {certificate['run_days']:,} days, and for {certificate['notice_days']:,} days of a notice")
    say(
        f"of confirmed violations {certificate['overturned_ppm']:,} ppm are overturned: how often a stop is wrong. Assumed:"
    )
    for line in describe_assumptions(certificate["assumptions"]):
        say(f"  {line}")
    say(f"digest {certificate['digest'][:12]}; check it: sellertrust verify certificate FILE --policy POLICY")


def describe_assumptions(assumptions: dict[str, Any]) -> list[str]:
    lines = []
    for name, part in assumptions.items():
        if isinstance(part, dict):
            rows = {f"{key} of {row}": value for row, values in part.get("by_product_category", {}).items()
                    for key, value in values.items()}  # fmt: skip
            numbers = {key: value for key, value in part.items() if isinstance(value, int)} | rows
            lines.append(
                f"{name}: {', '.join(f'{key} {value:,}' for key, value in numbers.items())} ({part['source']})"
            )
    return lines


def describe_turns(turns: dict[str, int | None]) -> str:
    """Return in one line the latest stop time and the least costs, each alone, at which a verdict holds."""
    stop, wash, name = turns["largest_stop_days"], turns["smallest_wash_ppm"], turns["smallest_identity_minor"]
    parts = [
        "at no stop time" if stop is None else f"up to a stop of {stop:,} days",
        "at no cost of faked sales" if wash is None else f"from a cost of faked sales of {wash:,} ppm on",
        "at no price of a name" if name is None else f"from a price of a name of {name:,} on",
    ]
    return f"holds {', '.join(parts)}, each by itself"


def describe_attack(attack: dict[str, Any]) -> str:
    """Return an attack in one line: entry, build-up and run, each step's gain, and the sum."""
    days, first = attack["days"], attack["days"][0]
    total = (
        attack["entry_cash_minor"] + attack["history_cash_minor"] + attack["run_cash_minor"] - attack["deposit_minor"]
    )
    entered = f"enter with {attack['entered_with_minor']:,} settled ({attack['entry_cash_minor']:+,})"
    built = f"settle {first['settled_minor']:,} ({attack['history_cash_minor']:+,})"
    ran = f"run for {len(days)} days at {first['captured_minor']:,} a day ({attack['run_cash_minor']:+,})"
    lost = f", lose the deposit ({-attack['deposit_minor']:+,})" if attack["deposit_minor"] else ""
    return f"{entered}, {built}, {ran}{lost}, come back under a new name: {total:+,}"
