"""Measures in force for a seller, each with its rule, its times and the entries behind it."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scoring.base.enums import Kind, ScoreState
from scoring.base.time import DAY
from scoring.caution.cautions import NO_FLOWS, Caution, Flows
from scoring.features.columns import NOTHING_OMITTED, FactRow, FactTable, Omitted, tabulate
from scoring.features.facts import apply_changes
from scoring.measures.imposed import list_imposed
from scoring.measures.listed import MeasureInForce
from scoring.measures.record import NO_LIFTS, Lift, MeasureStatement, find_lifts, name_measure
from scoring.model.artifact import Artifact
from scoring.policy.history import (
    Established,
    establish,
    find_bounds,
    matches,
    trace_facts,
    trace_standing,
    value_at,
)
from scoring.policy.measures import Deposit, Measure, Suspension, Terms, combine
from scoring.policy.policy import Policy
from scoring.policy.rules import Applied, Counter, Rule, RuleBook, Situation
from scoring.scores.answer import TrustScore
from scoring.scores.look_back import LookBack
from scoring.scores.reasons import group_entries_by_violation
from scoring.scores.score import MAX_CELLS, score_with_facts
from scoring.scores.settled_value import NO_VALUES, add_up_settled

MAX_LISTED_ENTRIES = 1_000
"""Most entries that one measure lists; it counts the others."""

MAX_LISTED_PARTS = 1_000


@dataclass(frozen=True, slots=True)
class StandingPart:
    points: int
    until: int
    """The midnight when its youngest violation stops counting, in microseconds."""
    entries: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Beside:
    """Inputs of one seller's measures that its score does not use."""

    settled_minor: Mapping[str, int]
    """By product category, and of all under the empty text; empty if no rule asks for it."""
    statements: Sequence[MeasureStatement] = ()
    deposit_minor: int = 0
    """In minor units of the policy's currency."""


NOTHING_BESIDE = Beside(NO_VALUES)


@dataclass(frozen=True, slots=True)
class InForce:
    score: TrustScore
    measures: tuple[MeasureInForce, ...]
    """In the order of the policy's rules; then cautions; then persons' measures."""
    terms: Terms
    """Terms of all measures that have begun and are neither waived nor lifted, cautions included."""
    terms_at_capture: Terms
    """The same without cautions: the lasting terms of an order that is captured now."""
    observe_time: int
    standing_parts: tuple[StandingPart, ...]
    """Incidents that add up to the standing, the largest first: at most MAX_LISTED_PARTS."""
    standing_parts_omitted: int = 0
    deposit_minor: int = 0

    def find_terms_for_earlier(self, confirmed_time: int | None = None) -> Terms:
        """Return the terms that may make those of earlier orders stricter after their capture.

        `confirmed_time`: when carrier or buyer confirmed the delivery of an undisputed order, in microseconds. No
        caution that began later reaches that order.
        """
        found = (
            one
            for one in self.measures
            if one.reaches_earlier_orders
            and not (one.is_of_caution and confirmed_time is not None and confirmed_time < (one.start or 0))
        )
        return _combine(found, self.observe_time)


def evaluate_measures(
    rows: Sequence[FactRow],
    seller: str,
    observe_time: int,
    artifact: Artifact | None,
    policy: Policy,
    marketplace: str,
    settled_minor: Mapping[str, int] = NO_VALUES,
    check: Callable[[], None] = lambda: None,
    omitted: Mapping[str, Omitted] = NOTHING_OMITTED,
    statements: Sequence[MeasureStatement] = (),
    deposit_minor: int = 0,
    flows: Flows = NO_FLOWS,
) -> InForce | None:
    """Return the measures and terms in force for a seller; None if no valid fact of the seller is recorded.

    `settled_minor`: by entry id of exposure its value in minor units of the policy's currency, if a cap grows
    (`settled_value`). `statements`: about its measures, by sequence. `deposit_minor`: the deposit that is placed. All
    else as for `score`.
    """
    settled = add_up_settled(rows, seller, observe_time, settled_minor)
    beside = {seller: Beside(settled, statements, deposit_minor)}
    table = tabulate(rows, [seller])
    [found] = evaluate_measures_of(
        table, [seller], observe_time, artifact, policy, marketplace, beside, check, omitted, flows
    )
    return found


def evaluate_measures_of(
    table: FactTable,
    sellers: Sequence[str],
    observe_time: int,
    artifact: Artifact | None,
    policy: Policy,
    marketplace: str,
    beside: Mapping[str, Beside],
    check: Callable[[], None] = lambda: None,
    omitted: Mapping[str, Omitted] = NOTHING_OMITTED,
    flows: Flows = NO_FLOWS,
) -> list[InForce | None]:
    """Return the measures and terms in force for each of some sellers of a marketplace, whose facts are resolved once.

    `table`: their entries, one case a seller. All else as for `evaluate_measures`.
    """
    if len(sellers) > 1 and len(table) * (policy.clear_days + 2) > MAX_CELLS:
        middle = len(sellers) // 2
        parts = [
            evaluate_measures_of(
                *(table.part(first, end), sellers[first:end], observe_time, artifact, policy, marketplace, beside),
                *(check, omitted, flows),
            )
            for first, end in ((0, middle), (middle, len(sellers)))
        ]
        return [found for part in parts for found in part]
    answers, facts = score_with_facts(table, sellers, observe_time, artifact, policy, check, omitted, flows)
    past = LookBack(table, observe_time, artifact, policy, apply_changes(table.columns), check)
    rows_of = table.rows_by_case()
    established = establish(facts, table.rows, rows_of, observe_time)
    orders = np.zeros(facts.cases, dtype=np.int64)
    np.add.at(orders, facts.exposure_case, facts.exposure_orders)
    tenures = zip((facts.observe_day - facts.start_day).tolist(), orders.tolist(), strict=True)
    found: list[InForce | None] = []
    for case, (seller, answer, (tenure_days, settled)) in enumerate(zip(sellers, answers, tenures, strict=True)):
        check()
        if answer is None:
            found.append(None)
            continue
        work = _Work(rows_of[case], observe_time, policy, past, case, established[case])
        work.seller = seller
        if answer.state is ScoreState.RATED and not answer.override and policy.is_thin(settled, tenure_days):
            work.is_rated_by_violation = True
        found.append(work.evaluate(answer, beside.get(seller, NOTHING_BESIDE), tenure_days, marketplace))
    return found


def _combine(measures: Iterable[MeasureInForce], time: int) -> Terms:
    """Merge what has begun, and closures whose notice runs."""
    found: list[Measure] = []
    for one in measures:
        if isinstance(one.current, Suspension):
            if one.has_begun(time) or (one.has_effect and one.current.terminates):
                found.append(one.current.seen_at(one.start, time))
        elif one.has_begun(time):
            found.append(one.current)
    return combine(found)


def _list_protections(
    cautions: Iterable[Caution],
    rules: RuleBook,
    marketplace: str,
    seller: str,
    lifts: Mapping[str, Lift],
    reported: Container[str],
) -> Iterator[MeasureInForce]:
    for caution in cautions:
        for measure in caution.measures:
            name = name_measure(seller, f"caution~{caution.rule}", measure)
            lift = lifts.get(name)
            yield MeasureInForce(
                measure=name,
                lifted="" if lift is None or caution.start > lift.time else lift.entry_id,
                rule=caution.rule,
                reference=caution.reference,
                legal_ground="",
                original=measure,
                current=rules.limit_days(measure, marketplace),
                waived=False,
                start=caution.start,
                end=caution.end,
                entries=caution.entries[:MAX_LISTED_ENTRIES],
                entries_omitted=max(len(caution.entries) - MAX_LISTED_ENTRIES, 0),
                is_of_caution=True,
                reaches_earlier_orders=True,
                violations=tuple(entry for entry in caution.entries if entry in reported),
            )


class _Work:
    def __init__(
        self,
        rows: Sequence[FactRow],
        observe_time: int,
        policy: Policy,
        past: LookBack,
        case: int,
        established: list[Established],
    ) -> None:
        self._rows, self._observe_time, self._policy, self._established = rows, observe_time, policy, established
        self._entries = group_entries_by_violation(rows)
        self._past, self._case = past, case
        self._of_rule: dict[str, tuple[int | None, int | None, tuple[str, ...], list[Established]]] = {}
        self.seller, self.placed_minor = "", 0
        self.is_rated_by_violation = False
        self.lifts: Mapping[str, Lift] = NO_LIFTS
        self.traced = trace_facts(established, policy)

    def evaluate(self, answer: TrustScore, beside: Beside, tenure_days: int, marketplace: str) -> InForce:
        self.lifts, self.placed_minor = find_lifts(beside.statements), beside.deposit_minor
        situation = Situation(
            tier=answer.tier,
            standing=answer.standing or 0,
            incidents={
                asked: value_at(steps, self._observe_time)
                for asked, steps in self.traced.items()
                if isinstance(asked, Counter)
            },
            settled_minor=beside.settled_minor,
            day=self._observe_time // DAY,
            marketplace=marketplace,
            tenure_days=tenure_days,
            deposit_minor=beside.deposit_minor,
            rated_by_violation=self.is_rated_by_violation,
        )
        measures = tuple(
            measure
            for applied in self._policy.rule_book.apply(situation)
            if (measure := self.measure(applied, answer)) is not None
        )
        reported = {row.entry_id for row in self._rows if row.kind == Kind.VIOLATION}
        of_seller = (marketplace, self.seller, self.lifts, reported)
        measures += tuple(_list_protections(answer.cautions, self._policy.rule_book, *of_seller))
        measures += tuple(self.imposed(beside.statements, situation))
        at_capture = [m for m in measures if not m.is_of_caution]
        terms = _combine(measures, self._observe_time)
        parts = self.standing_parts()
        return InForce(
            score=answer,
            measures=measures,
            terms=terms,
            terms_at_capture=terms if len(at_capture) == len(measures) else _combine(at_capture, self._observe_time),
            observe_time=self._observe_time,
            standing_parts=parts[:MAX_LISTED_PARTS],
            standing_parts_omitted=max(len(parts) - MAX_LISTED_PARTS, 0),
            deposit_minor=beside.deposit_minor,
        )

    def measure(self, applied: Applied, answer: TrustScore) -> MeasureInForce | None:
        """Return one measure of a rule that holds; None for a served suspension."""
        rule = applied.rule
        if rule.id not in self._of_rule:  # a rule's measures share its times and entries
            self._of_rule[rule.id] = (*self._span(rule, answer), *self._list_behind(rule, answer))
        begun, end, entries, behind = self._of_rule[rule.id]
        start = begun
        if isinstance(applied.stated, Suspension) and start is not None:
            if applied.stated.terminates:
                start = applied.stated.find_start(start)
            else:  # each further violation suspends again
                start = max(one.time for one in self._list_facts(rule))
                served = start + applied.stated.days * DAY
                end = served if end is None else min(end, served)
                if end <= self._observe_time:
                    return None
        current = applied.current
        if isinstance(current, Deposit):
            current = current.less(self.placed_minor)
        name = name_measure(self.seller, rule.id, applied.stated)
        lift = self.lifts.get(name)
        if rule.secures:  # a lift of the deposit also lifts the rule that awaits it
            lift = lift or self.lifts.get(name_measure(self.seller, rule.secures, Deposit(0)))
        stands = lift is None or (begun or 0) > lift.time or any(one.time > lift.time for one in behind)
        return MeasureInForce(
            rule=rule.id,
            reference=rule.reference,
            legal_ground=rule.group.legal_ground if rule.group else "",
            original=applied.stated,
            current=current,
            waived=applied.waived,
            measure=name,
            lifted="" if lift is None or stands else lift.entry_id,
            start=start,
            end=end,
            entries=entries[:MAX_LISTED_ENTRIES],
            entries_omitted=max(len(entries) - MAX_LISTED_ENTRIES, 0),
            reaches_earlier_orders=rule.names_confirmed_facts,
            violations=tuple(dict.fromkeys(one.violation for one in behind)),
        )

    def imposed(self, statements: Sequence[MeasureStatement], seller: Situation) -> Iterator[MeasureInForce]:
        """Yield persons' measures; one reaches earlier orders if it rests on a violation that counts."""
        rules, counting = self._policy.rule_book, {one.violation for one in self._established}
        place = (self._rows, self._observe_time, rules, seller.marketplace, seller.deposit_minor)
        for one in list_imposed(statements, *place):
            entries = (*one.entries, *(entry for name in one.violations for entry in self._entries.get(name, ())))
            yield MeasureInForce(
                measure=one.measure,
                lifted="",
                rule="",
                reference="",
                legal_ground="",
                original=one.original,
                current=one.current,
                waived=False,
                start=one.start,
                end=one.end,
                entries=entries[:MAX_LISTED_ENTRIES],
                entries_omitted=max(len(entries) - MAX_LISTED_ENTRIES, 0),
                reaches_earlier_orders=not counting.isdisjoint(one.violations),
                violations=one.violations,
            )

    def _span(self, rule: Rule, answer: TrustScore) -> tuple[int | None, int | None]:
        """Return (since when a rule holds, None for before the days looked back; until when by itself)."""
        starts: list[int | None] = []
        ends: list[int] = []
        if rule.tiers:
            override = next((row for row in self._rows if answer.override and row.entry_id == answer.override), None)
            imposed = None if override is None else override.occur_time
            starts.append(self._past.tier_since(self._case, rule.tiers, self.is_rated_by_violation, imposed))
            ends += [] if override is None else [override.until_time or 0]
        since, until = find_bounds(rule.conditions, self.traced, self._observe_time)
        starts, ends = [*starts, *since], [*ends, *until]
        known = [start for start in starts if start is not None]
        return max(known) if known else None, min(ends, default=None)

    def _list_behind(self, rule: Rule, answer: TrustScore) -> tuple[tuple[str, ...], list[Established]]:
        """Return (entries, violations by day) behind a rule."""
        behind: list[Established] = []
        found: list[str] = []
        if rule.tiers and answer.override:
            found.append(answer.override)
        elif rule.tiers and answer.state is ScoreState.RATED:
            bound = answer.tier_points is not None and answer.tier is not self._policy.tier(answer.tier_points)
            behind += self._with_points() if bound else self._established
        behind += self._list_facts(rule)
        ordered = sorted(set(behind), key=lambda one: (one.day, one.violation))
        return tuple(dict.fromkeys([*found, *self._list_entries(ordered)])), ordered

    def _list_facts(self, rule: Rule) -> list[Established]:
        found, today = [], self._observe_time // DAY
        for asked in rule.facts:
            if isinstance(asked, Counter):
                found += [v for v in self._established if matches(v, asked) and today - v.day < asked.days]
            else:
                found += self._with_points()
        return found

    def _list_entries(self, violations: Iterable[Established]) -> list[str]:
        ordered = sorted(set(violations), key=lambda one: (one.day, one.violation))
        return [entry for one in ordered for entry in self._entries.get(one.violation, ())]

    def _with_points(self) -> list[Established]:
        table, today = self._policy.standing, self._observe_time // DAY
        if table is None:
            return []
        return [
            one
            for one in self._established
            if today - one.day < table.expiry_days and table.points_of(one.violation_type, one.category, one.severity)
        ]

    def standing_parts(self) -> tuple[StandingPart, ...]:
        table = self._policy.standing
        if table is None:
            return ()
        by_incident: dict[int, list[Established]] = {}
        for one in self._with_points():
            by_incident.setdefault(one.incident, []).append(one)
        parts = [
            StandingPart(
                points=value_at(trace_standing(violations, table), self._observe_time),
                until=(max(one.day for one in violations) + table.expiry_days) * DAY,
                entries=tuple(self._list_entries(violations)),
            )
            for violations in by_incident.values()
        ]
        return tuple(sorted(parts, key=lambda part: (-part.points, part.until, part.entries)))
