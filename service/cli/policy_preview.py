from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoring.base.errors import invalid
from scoring.base.time import DAY, format_day, format_time, parse_day
from service.bootstrap import open_ledger, open_registry
from service.cli.options import AgainstPolicy, OneMarketplace, Policy
from service.cli.output import Format, Output, emit, emit_one, format_count, say
from service.cli.progress import StepProgress
from service.settings import Settings, load

if TYPE_CHECKING:
    from scoring.policy.policy import Policy as ReadPolicy
    from service.ledger.store import Ledger
    from service.policy.preview import Preview, Question

app = typer.Typer()

DEFAULT_DAYS = 90

MAX_VIOLATIONS = 1_000

SHOWN = 15


@app.command("preview")
def preview(
    policy: Policy,
    against: AgainstPolicy = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="DAY", help=f"First day of the past span; default: {DEFAULT_DAYS} days ago."),
    ] = None,
    marketplace: OneMarketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Show which sellers of the ledger another policy would move, by segment, and to whom each of its rules applies.

    It compares with the served policy, or with --against. For the past span, with the knowledge of that time, it shows
    the violations that the policy would have prevented. It also shows the sellers without violations who would have had
    stricter terms. It reads the ledger and the registry's champion, and changes nothing.
    """
    from service.policy.policy_file import read_policy
    from service.policy.preview import preview as look

    settings, after = load(), read_policy(policy)
    with open_ledger(settings) as ledger:
        asked = _make_question(settings, ledger, after, against, since)
        places = [marketplace] if marketplace else ledger.sellers.list_marketplaces()
        with StepProgress() as progress:
            found = look(ledger, places, asked, progress)
    if output is Format.JSON:
        emit_one(_preview_as_json(asked, found), output)
    else:
        _print_preview(asked, found)


def _make_question(
    settings: Settings, ledger: "Ledger", after: "ReadPolicy", against: Path | None, since: str | None
) -> "Question":
    from service.policy.history import PolicyHistory
    from service.policy.policy_file import load_policy, read_policy
    from service.policy.preview import Question

    last = PolicyHistory(ledger).last()
    before = (
        read_policy(against) if against else PolicyHistory(ledger).load(last.digest) if last else load_policy(settings)
    )
    registry = open_registry(settings)
    champion = registry.champion()
    if champion is None:
        say("there is no champion: without a model no seller has a tier, and only rules on confirmed facts hold")
    cut = ledger.cut()
    today = cut.observe_time // DAY
    try:
        first = today - DEFAULT_DAYS if since is None else parse_day(since)
    except ValueError as error:
        raise invalid("--since", str(error)) from None
    if first > today:
        raise invalid("--since", "must not lie in the future")
    return Question(before, after, None if champion is None else registry.load(champion), cut, first, MAX_VIOLATIONS)


_TABLES = ("segments", "changes", "tiers", "rules", "examples", "hurt_examples")


def _print_preview(asked: "Question", found: "Preview") -> None:
    before, after = (f"{policy.name} version {policy.version} ({policy.digest[:12]})" for policy in asked.policies())
    say(f"{format_count(found.sellers, 'seller')}, from {before} to {after}")
    whole = _preview_as_json(asked, found)
    for name in _TABLES:
        if rows := whole[name]:
            say(f"{name.replace('_', ' ')}:")
            emit(rows[:SHOWN], Format.TABLE)
        if len(rows) > SHOWN:
            say(f"and {len(rows) - SHOWN:,} more, with -o json")
    stopped, freed = found.stopped_by(new=True), found.stopped_by(new=False)
    looked = format_count(len(found.violations), "violation")
    omitted = f" ({found.violations_omitted:,} earlier ones not looked at)" if found.violations_omitted else ""
    since = whole["since"]
    say(f"since {since}, of {looked} that counts{omitted}: {len(stopped):,} would have been stopped beforehand by")
    say(f"{after} alone, {len(freed):,} by {before} alone")
    good = format_count(found.good, "seller")
    say(f"of {good} without one since {since}, {found.hurt:,} would have had stricter terms")


def _preview_as_json(asked: "Question", found: "Preview") -> dict[str, Any]:
    before, after = (
        {"policy": policy.name, "version": policy.version, "digest": policy.digest} for policy in asked.policies()
    )
    stopped = [asdict(one) | {"time": format_time(one.time)} for one in found.violations]
    return {
        "before": before,
        "after": after,
        "model": asked.artifact.digest if asked.artifact else None,
        "sequence": asked.cut.sequence,
        "sellers": found.sellers,
        "segments": [{"by": kind, "segment": name, **counts} for kind, name, counts in found.segment_rows()],
        "tiers": [{"before": old, "after": new, "sellers": n} for (old, new), n in sorted(found.tiers.items())],
        "changes": [{"change": name, "sellers": count} for name, count in found.aspects.most_common()],
        "rules": [{"rule": name, "sellers": count, "note": note} for name, count, note in found.rule_rows()],
        "examples": [asdict(one) for one in found.examples],
        "since": format_day(asked.since_day),
        "violations": stopped,
        "violations_omitted": found.violations_omitted,
        "good": found.good,
        "hurt": found.hurt,
        "hurt_examples": [asdict(one) for one in found.hurt_examples],
    }
