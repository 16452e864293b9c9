from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated

import typer

from scoring.base.errors import invalid
from service.cli.options import AgainstPolicy, PolicyOrDefault
from service.cli.output import Exit, Format, Output, emit, format_count, say, write
from service.settings import load

if TYPE_CHECKING:
    from scoring.policy.difference import CellChange
    from scoring.policy.policy import Policy as ReadPolicy

VALUES_SHOWN = 4

LINE = 120


def check(
    policy: PolicyOrDefault = None,
    against: AgainstPolicy = None,
    strict: Annotated[bool, typer.Option("--strict", help="End with 4 if anything odd is found.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Check a policy over every situation it distinguishes; show what is probably not meant.

    Rejects, with an example and exit code 6, a policy that is laxer for worse sellers or for UNRATED, or contradicts
    itself otherwise. Shows rules that never matter, rules that repeat others, and, if there are rules, tiers without
    one.

    Then it runs the cases in NAME.cases.toml beside the policy, if there is one: sellers, a day, and the expected
    outcome. Exit code 4 if one fails.

    With --against it shows instead where the policy differs from another policy in tier, badge or terms. It lists each
    aspect with an example, the aspect of most situations first. With -o json it lists each situation and each part. The
    result is exact, since policies are piecewise constant. Situations for which a search finds no seller are only
    counted.
    """
    from service.policy.policy_file import SHIPPED_POLICY, read_policy

    path = policy or load().policy or SHIPPED_POLICY
    new_policy = read_policy(path)
    if against is not None:
        if strict:
            raise invalid("--strict", "does not belong to --against; leave out one of them")
        _show_differences(read_policy(against), new_policy, output)
        return
    _show_oddities(new_policy, output, is_strict=strict)
    beside = path.with_suffix(".cases.toml")
    if beside.exists():
        _run_cases(new_policy, beside)


def _show_oddities(policy: "ReadPolicy", output: Format, *, is_strict: bool) -> None:
    from scoring.policy.checking import find_oddities
    from scoring.policy.space import build_space

    oddities = find_oddities(policy)
    if oddities or output is Format.JSON:
        emit([{"finding": oddity.kind, "rule": oddity.rule, "text": oddity.text} for oddity in oddities], output)
    rules = format_count(sum(not rule.secures for rule in policy.rule_book.rules), "rule")
    cells = format_count(len([*build_space(policy).cells()]), "situation")
    say(f"the policy {policy.name} version {policy.version} is sound: {rules}, {cells}, digest {policy.digest[:12]}")
    if oddities and is_strict:
        say(f"error: {format_count(len(oddities), 'finding')}, and --strict allows none")
        raise typer.Exit(Exit.REFUSED)


def _show_differences(old: "ReadPolicy", new: "ReadPolicy", output: Format) -> None:
    from scoring.policy.difference import find_changes
    from scoring.policy.value_changes import list_value_changes

    changes = find_changes(old, new)
    with_example = [change for change in changes if change.example is not None]
    if output is Format.JSON:
        rows = [
            {"where": change.where, "changes": "; ".join(change.aspects()), "example": str(change.example)}
            for change in with_example
        ]
        emit(rows, output)
    else:
        _print_changes(with_example)
    texts_by_part: dict[str, list[str]] = {}
    for text in list_value_changes(old, new):
        value_path = text.partition(" ")[0]
        part = value_path if output is Format.JSON else ".".join(value_path.split(".")[:2])
        texts_by_part.setdefault(part, []).append(text)
    for part, texts in texts_by_part.items():
        count_text = f"{len(texts):,} values of {part}, such as " if len(texts) > 1 else ""
        say(f"changed: {count_text}{texts[0]}")
    versions = [f"{policy.name} version {policy.version} ({policy.digest[:12]})" for policy in (old, new)]
    say(f"{format_count(len(with_example), 'situation')} of {versions[0]} changed by {versions[1]}")
    if others := len(changes) - len(with_example):
        say(f"{others:,} more changed, without an example: incidents of at most two violations were tried")


def _print_changes(changes: Sequence["CellChange"]) -> None:
    """Print together the aspects, such as `tier`, that change in the same situations."""
    situations: dict[str, dict[str, list[int]]] = {}
    for number, cell_change in enumerate(changes):
        for text in cell_change.aspects():
            aspect, _, change = text.partition(" ")
            situations.setdefault(aspect, {}).setdefault(change, []).append(number)
    aspects_by_situations: dict[frozenset[int], list[str]] = {}
    for aspect, by_change in situations.items():
        numbers_of_aspect = frozenset(number for numbers in by_change.values() for number in numbers)
        aspects_by_situations.setdefault(numbers_of_aspect, []).append(aspect)
    for numbers, aspects in sorted(aspects_by_situations.items(), key=lambda group: -len(group[0])):
        most_frequent = max(situations[aspects[0]].values(), key=len)
        first = min((changes[number] for number in most_frequent), key=_is_by_override)
        lines = [
            f"{format_count(len(numbers), 'situation')}: {'; '.join(_describe_aspect(a, situations[a]) for a in aspects)}",
            f"  {'such as' if len(numbers) > 1 else 'with'} {first.where}",
            f"  example: {first.example}",
        ]
        write("".join(fill(line, LINE, subsequent_indent="    ", break_long_words=False) + "\n" for line in lines))


def _is_by_override(change: "CellChange") -> bool:
    return change.example is not None and change.example.tier is not None


def _describe_aspect(aspect: str, by_change: dict[str, list[int]]) -> str:
    if len(by_change) == 1:
        return f"{aspect} {next(iter(by_change))}"
    ordered = sorted(by_change.items(), key=lambda group: -len(group[1]))
    values_text = ", ".join(f"{change} ({len(numbers):,})" for change, numbers in ordered[:VALUES_SHOWN])
    hidden_count = len(ordered) - VALUES_SHOWN
    return f"{aspect} {values_text}" + (
        f" and {format_count(hidden_count, 'other')} (-o json)" if hidden_count > 0 else ""
    )


def _run_cases(policy: "ReadPolicy", file: Path) -> None:
    from scoring.policy.cases import run_cases
    from service.policy.policy_file import read_policy_cases

    outcomes = run_cases(policy, read_policy_cases(file))
    failed = [outcome for outcome in outcomes if outcome.faults]
    for outcome in failed:
        say(f"{outcome.name}: {'; '.join(outcome.faults)}")
    say(f"{format_count(len(outcomes) - len(failed), 'case')} of {len(outcomes):,} hold")
    if failed:
        say(f"error: {format_count(len(failed), 'case')} failed")
        raise typer.Exit(Exit.REFUSED)
