import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoring.base.errors import invalid
from scoring.base.money import format_amount
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

DEFAULT_DAYS = 90

MAX_VIOLATIONS = 1_000

SHOWN = 15

SAMPLE = 300
"""Sellers of the first estimate."""


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

    Begins with an estimate from a sample; Ctrl-C ends it there. For each segment it states the money of sellers that
    waits for its payout at a time, and the deposits that are asked of them. It assumes average sales, and arrival on
    the latest promised day.

    It compares with the served policy, or with --against. For the past span it shows, by the knowledge of then, which
    violations the policy would have prevented. It also shows which sellers without violations would have had stricter
    terms. It changes nothing.
    """
    from service.policy.policy_file import read_policy
    from service.policy.preview import preview as run_preview

    # A server on the same machine goes first.
    os.nice(10)
    settings, after = load(), read_policy(policy)
    with open_ledger(settings) as ledger:
        question = _make_question(settings, ledger, after, against, since)
        places = [marketplace] if marketplace else ledger.sellers.list_marketplaces()
        with StepProgress() as progress:
            if output is Format.TABLE:
                _print_sample(
                    question, run_preview(ledger, places, replace(question, max_violations=0), progress, SAMPLE)
                )
            result = run_preview(ledger, places, question, progress)
    if output is Format.JSON:
        emit_one(_describe_preview(question, result), output)
    else:
        _print_preview(question, result)


def _make_question(
    settings: Settings, ledger: "Ledger", after: "ReadPolicy", against: Path | None, since: str | None
) -> "Question":
    from service.policy.history import PolicyHistory
    from service.policy.policy_file import load_policy, read_policy
    from service.policy.preview import Question

    last = ledger.policies.find_last()
    before = (
        read_policy(against) if against else PolicyHistory(ledger).load(last.digest) if last else load_policy(settings)
    )
    registry = open_registry(settings)
    champion = registry.champion_digest()
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


def _print_sample(question: "Question", result: "Preview") -> None:
    if result.sellers < result.recorded:
        say(f"estimated from {result.sellers:,} of {result.recorded:,} sellers:")
        emit(_list_segments(question, result, result.recorded / max(result.sellers, 1)), Format.TABLE)


def _list_segments(question: "Question", result: "Preview", factor: float = 1) -> list[dict[str, Any]]:
    currency, rows = question.currency, []
    for kind, name, counts in result.segment_rows():
        scaled = {total: round(count * factor) for total, count in counts.items()}
        pairs = {total: (scaled.pop(f"{total}_before"), scaled.pop(f"{total}_after")) for total in ("held", "deposits")}
        row = {"by": kind, "segment": name, **scaled}
        if currency:
            row |= {
                total: " -> ".join(format_amount(amount, currency) for amount in pair) for total, pair in pairs.items()
            }
        rows.append(row)
    return rows


_TABLES = ("segments", "changes", "tiers", "bands", "rules", "examples", "hurt_examples")


def _print_preview(question: "Question", result: "Preview") -> None:
    before, after = (f"{policy.name} version {policy.version} ({policy.digest[:12]})" for policy in question.policies())
    say(f"{format_count(result.sellers, 'seller')}, from {before} to {after}")
    if days := max(policy.notice_days for policy in question.policies()):
        noticed = format_count(result.segments["all", "all"]["noticed"], "seller")
        say(f"{noticed} with a stricter tier, reviews or listings, after a notice of {format_count(days, 'day')}")
    if result.partly_valued:
        sold = format_count(result.partly_valued, "seller")
        say(f"{sold} with orders without a value in {question.currency}, which the sums leave out")
    as_json = _describe_preview(question, result)
    as_json["segments"] = _list_segments(question, result)
    for name in _TABLES:
        if rows := as_json[name]:
            say(f"{name.replace('_', ' ')}:")
            emit(rows[:SHOWN], Format.TABLE)
        if len(rows) > SHOWN:
            say(f"and {len(rows) - SHOWN:,} more, with -o json")
    stopped, freed = result.list_stopped_only(by_new=True), result.list_stopped_only(by_new=False)
    looked = format_count(len(result.violations), "violation")
    omitted = f" ({result.violations_omitted:,} earlier ones not looked at)" if result.violations_omitted else ""
    since = as_json["since"]
    say(f"since {since}, {looked} to look at{omitted}: {len(stopped):,} would have been stopped beforehand by")
    say(f"{after} alone, {len(freed):,} by {before} alone")
    good = format_count(result.good, "seller")
    say(f"of {good} without one since {since}, {result.hurt:,} would have had stricter terms")


def _describe_preview(question: "Question", result: "Preview") -> dict[str, Any]:
    before, after = (
        {"policy": policy.name, "version": policy.version, "digest": policy.digest} for policy in question.policies()
    )
    stopped = [asdict(violation) | {"time": format_time(violation.time)} for violation in result.violations]
    return {
        "before": before,
        "after": after,
        "model": question.artifact.digest if question.artifact else None,
        "sequence": question.cut.sequence,
        "sellers": result.sellers,
        "partly_valued": result.partly_valued,
        "segments": [{"by": kind, "segment": name, **counts} for kind, name, counts in result.segment_rows()],
        **{
            name: [{"before": old, "after": new, "sellers": n} for (old, new), n in sorted(pairs.items())]
            for name, pairs in (("tiers", result.tiers), ("bands", result.bands))
        },
        "changes": [{"change": name, "sellers": count} for name, count in result.aspects.most_common()],
        "rules": [{"rule": name, "sellers": count, "note": note} for name, count, note in result.rule_rows()],
        "examples": [asdict(example) for example in result.examples],
        "since": format_day(question.since_day),
        "violations": stopped,
        "violations_omitted": result.violations_omitted,
        "good": result.good,
        "hurt": result.hurt,
        "hurt_examples": [asdict(example) for example in result.hurt_examples],
    }
