"""A sum over incidents in time: since when a rule on confirmed facts holds, and until when at least.

A violation counts from its establishment (the decision that confirmed it, or the report of an authority's final act)
until it expires, by UTC days since it happened. An overturned violation has no effect, also in the past.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from scoring.base.enums import Kind
from scoring.base.time import DAY
from scoring.entries.lifecycle import COUNTING_STATUSES
from scoring.features.columns import FactRow
from scoring.features.facts import Facts
from scoring.features.violations import trace_statuses
from scoring.policy.policy import Policy
from scoring.policy.rules import Condition, Counter, Ladder, Operand, Quantity
from scoring.policy.standing import StandingTable


class EstablishedViolation(NamedTuple):
    violation: str
    incident: int
    category: int
    severity: int
    day: int
    """In days since 1970-01-01."""
    time: int
    """When it was established, in microseconds; at most the observe time."""
    violation_type: int = 0
    """0 if unknown."""


class SumStep(NamedTuple):
    """A sum's value from a time on, in microseconds, until the next step."""

    time: int
    value: int


def list_established(
    facts: Facts, rows: Sequence[FactRow], rows_by_case: Sequence[Sequence[FactRow]], observe_time: int
) -> list[list[EstablishedViolation]]:
    """List by seller the violations that count.

    `facts`: of `rows`, one case a seller; `rows_by_case`: the rows of each.
    """
    violations = facts.violations
    names = ("case", "row", "incident", "category", "severity", "day", "violation_type")
    columns = [getattr(violations, name).tolist() for name in names]
    by_case: list[list[EstablishedViolation]] = [[] for _ in rows_by_case]
    times: dict[int, dict[str, int]] = {}
    for case, row, incident, *values in zip(*columns, strict=True):
        if case not in times:
            times[case] = find_decision_times(rows_by_case[case])
        violation = str(rows[row].violation)
        category, severity, day, kind = values
        time = min(times[case].get(violation, observe_time), observe_time)
        by_case[case].append(EstablishedViolation(violation, incident, category, severity, day, time, kind))
    return by_case


def find_decision_times(rows: Sequence[FactRow]) -> dict[str, int]:
    """Find by id since when each violation counts without a break, in microseconds."""
    since: dict[str, int] = {}
    for name, row, status, is_elsewhere in trace_statuses(rows):
        if status in COUNTING_STATUSES and not is_elsewhere:
            since.setdefault(name, row.report_time if row.kind == Kind.VIOLATION else row.occur_time)
        else:
            since.pop(name, None)
    return since


def trace_facts(violations: Sequence[EstablishedViolation], policy: Policy) -> dict[Operand, list[SumStep]]:
    """Return how each standing and count that the policy asks for changed over time, the earliest step first."""
    operands = policy.rule_book.operands
    steps_of_operands: dict[Operand, list[SumStep]] = {
        operand: trace_counter(violations, operand) for operand in operands if isinstance(operand, Counter)
    }
    if (table := policy.standing) is not None:
        steps_of_operands[Quantity.STANDING] = trace_standing(violations, table)
        for operand in operands:
            if isinstance(operand, Ladder):
                steps_of_operands[operand] = trace_standing(
                    [v for v in violations if v.category in operand.categories], table
                )
    return steps_of_operands


def trace_standing(violations: Iterable[EstablishedViolation], table: StandingTable) -> list[SumStep]:
    """Return each change of the standing, also by expiry."""
    return _trace_sum(violations, table.find_expiry, lambda active: add_up_incident(active, table))


def add_up_incident(violations: Iterable[EstablishedViolation], table: StandingTable) -> int:
    """Return the points of one incident: of each category the largest, together at most `incident_cap`."""
    largest: dict[int, int] = {}
    for violation in violations:
        points = table.points_of(violation.violation_type, violation.category, violation.severity)
        largest[violation.category] = max(largest.get(violation.category, 0), points)
    return min(sum(largest.values()), table.incident_cap)


def trace_counter(violations: Iterable[EstablishedViolation], counter: Counter) -> list[SumStep]:
    """Return each change of a count of incidents.

    An incident counts while an established violation is younger than `counter.days`.
    """
    matching = [violation for violation in violations if matches(violation, counter)]
    return _trace_sum(matching, lambda day: day + counter.days, lambda active: int(bool(active)))


def matches(violation: EstablishedViolation, counter: Counter) -> bool:
    return violation.category in counter.categories and violation.severity >= counter.severity


def _trace_sum(
    violations: Iterable[EstablishedViolation],
    find_expiry: Callable[[int], int],
    value_of_incident: Callable[[Sequence[EstablishedViolation]], int],
) -> list[SumStep]:
    """Return the sum over incidents after each begin and each expiry."""
    events: list[tuple[int, int, EstablishedViolation]] = []
    for one in violations:
        expiry = int(find_expiry(one.day)) * DAY
        if one.time < expiry:
            events += [(one.time, 1, one), (expiry, 0, one)]
    events.sort(key=lambda event: event[0])
    active: dict[int, list[EstablishedViolation]] = {}
    worths: dict[int, int] = {}
    total = 0
    steps = []
    for time, group in groupby(events, key=lambda event: event[0]):
        touched = set()
        for _, begins, one in group:
            of_incident = active.setdefault(one.incident, [])
            of_incident.append(one) if begins else of_incident.remove(one)
            touched.add(one.incident)
        for incident in touched:
            now = value_of_incident(active[incident])
            total += now - worths.get(incident, 0)
            worths[incident] = now
        steps.append(SumStep(time, total))
    return steps


def value_at(steps: Sequence[SumStep], time: int) -> int:
    return next((step.value for step in reversed(steps) if step.time <= time), 0)


def holds_between(steps: Sequence[SumStep], least: int, time: int) -> tuple[int, int | None]:
    """Return (since, until) of the span around `time` in which the sum stays at least `least`.

    `steps` in order of time. `until` is when the sum falls by expiry alone, if it does. Worked: 12 from 3 March on, 24
    from 9 March and 12 again from 20 March until 1 May. Then 12 or more holds since 3 March until 1 May, for any `time`
    between.
    """
    since = time
    for step in reversed(steps):
        if step.time > time:
            continue
        if step.value < least:
            break
        since = step.time
    until = next((step.time for step in steps if step.time > time and step.value < least), None)
    return since, until


def find_bounds(
    conditions: Iterable[Condition], traced: Mapping[Operand, Sequence[SumStep]], time: int
) -> tuple[list[int], list[int]]:
    """Return (since when each condition on facts or days holds at `time`, when each ends by itself), in microseconds.

    The second list leaves out conditions without an end; both leave out other operands.
    """
    since, until = [], []
    for condition in conditions:
        if condition.operand is Quantity.DAY:
            since.append(condition.least * DAY)
            until += [] if condition.below is None else [condition.below * DAY]
        elif condition.operand in traced:
            begin, end = holds_between(traced[condition.operand], condition.least, time)
            since.append(begin)
            until += [] if end is None else [end]
    return since, until
