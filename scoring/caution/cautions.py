"""Caution: the fast signal from all facts, alleged or confirmed.

It begins when a visible fact completes a rule's trigger on facts that the rule has not used. A report taken back counts
as never made, also in the past; but past days under caution count toward the 30 of 180 without a confirmed violation.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from scoring.base.arrays import NEVER, Bools, Ints
from scoring.base.enums import CautionSignal, Kind, Source
from scoring.base.frozen import frozen
from scoring.base.time import DAY, SECOND
from scoring.caution.flow_signals import FlowMeasurement, FlowTable, list_days_at_trigger
from scoring.caution.history import (
    MAX_LATE_DAYS,
    KnownSigns,
    OnsetsBySigns,
    choose_first_day,
    find_spans,
    list_ended_cases,
    list_onsets_by_flow,
    take_back_ended_cases,
)
from scoring.caution.signs import Sign, list_signs
from scoring.entries.cases import name_case
from scoring.entries.flow import FlowDay
from scoring.features.columns import FactRow
from scoring.features.resolved import SellerFacts
from scoring.policy.caution import MAX_CAUTION_DAYS, Burst, CautionTable, ControlSign, Jump, Reports
from scoring.policy.history import find_decision_times
from scoring.policy.measures import Measure

Flows = Mapping[str, Sequence[FlowDay]]

NO_FLOWS: Flows = MappingProxyType({})


@frozen
class Caution:
    rule: str
    reference: str
    signal: CautionSignal
    start: int
    """When its last fact became visible, in microseconds."""
    end: int
    """When it ends if no person ends it, in microseconds."""
    decide_by: int
    """When a person must have decided its case, in microseconds."""
    measures: tuple[Measure, ...]
    """Empty if it rests on reports of crowds, which only open a case."""
    entries: tuple[str, ...]
    """By visibility, or by day of flow; the last one set it off."""
    measured: FlowMeasurement

    @property
    def case(self) -> str:
        """Return the id of its case, `RULE~ENTRY`: a restart gives the same."""
        return name_case(self.rule, self.entries[-1])


def find_cautions(
    seller_facts: SellerFacts,
    table: CautionTable,
    flows: Flows = NO_FLOWS,
    require_caller: Callable[[], None] = lambda: None,
    among: Container[str] | None = None,
) -> Mapping[int, tuple[Caution, ...]]:
    """Return the cautions in force by place of the seller, in the order of the rules, then by start; others are left out.

    `flows`: by seller, from `choose_first_day` on. `among`: the sellers, by default all.
    """
    if among is None:
        chosen = _find_cases_to_examine(seller_facts, table)
        chosen |= np.array([seller in flows for seller in seller_facts.sellers], dtype=np.bool_)
    else:
        chosen = np.array([seller in among for seller in seller_facts.sellers], dtype=np.bool_)
    columns = seller_facts.table.columns
    cautions_by_case: dict[int, tuple[Caution, ...]] = {}
    for case in np.flatnonzero(chosen).tolist():
        require_caller()
        row_numbers = columns.row[columns.case == case].tolist()
        corrected_columns = seller_facts.columns.take(seller_facts.columns.case == case)
        seller_rows = {number: seller_facts.table.rows[number] for number in row_numbers}
        signs = list_signs(corrected_columns, seller_rows)
        flow = flows.get(seller_facts.sellers[case], ())
        if cautions := _find_cautions_of_seller(
            signs, [*seller_rows.values()], seller_facts.observe_time, table, flow, require_caller
        ):
            cautions_by_case[case] = cautions
    return cautions_by_case


def _find_cases_to_examine(seller_facts: SellerFacts, table: CautionTable) -> Bools:
    """Return whether a case's entries could set off a caution in force; never miss one."""
    columns, time = seller_facts.columns, seller_facts.observe_time
    is_possible: Bools = np.zeros(columns.cases, dtype=np.bool_)
    days = max((rule.days for rule in table.rules if isinstance(rule.trigger, ControlSign)), default=0)
    if days:
        control_columns = columns.take((columns.kind == Kind.CONTROL) | (columns.kind == Kind.IDENTITY))
        is_new = np.maximum(control_columns.occur_time, control_columns.report_time) >= time - days * DAY
        is_sign = (control_columns.kind == Kind.CONTROL) | (
            np.bincount(control_columns.case, minlength=columns.cases)[control_columns.case] > 1
        )
        is_possible[control_columns.case[is_new & is_sign]] = True
    judged = seller_facts.visible.judged
    reports = judged.reports
    known_time = np.maximum(reports.occur_time, reports.report_time)
    for rule in table.rules:
        if isinstance(trigger := rule.trigger, Reports):
            counts = judged.stands & (known_time >= time - (rule.days + trigger.days) * DAY)
            counts &= (judged.severity >= trigger.severity) & np.isin(reports.category, [*trigger.categories])
            places = np.flatnonzero(counts)
            places = places[np.lexsort((known_time[places], reports.case[places]))]
            case, second = reports.case[places], known_time[places] // SECOND
            reached = (
                _weigh_reports_up_to_each(case, second, reports.source[places], trigger.days, table) >= trigger.weight
            )
            is_possible[case[reached & (second >= time // SECOND - rule.days * DAY // SECOND)]] = True
    return is_possible


def _weigh_reports_up_to_each(case: Ints, second: Ints, source: Ints, days: int, table: CautionTable) -> Ints:
    """Reports must be sorted by case and second."""
    weights, limits = np.zeros((2, max(Source) + 1), dtype=np.int64)
    for name, row in table.weights.items():
        weights[name], limits[name] = row.weight, row.at_most
    weight_by_source = np.zeros((len(case) + 1, len(weights)), dtype=np.int64)
    weight_by_source[np.arange(len(case)) + 1, source] = weights[source]
    running_weights = np.cumsum(weight_by_source, axis=0)
    span = days * DAY // SECOND
    shifted_second = second - second.min(initial=NEVER) + span
    order_keys = case * (shifted_second.max(initial=0) + 1) + shifted_second
    sums = running_weights[1:] - running_weights[np.searchsorted(order_keys, order_keys - span)]
    weighed: Ints = np.minimum(sums, limits).sum(axis=1)
    return weighed


def choose_first_recent_day(observe_time: int, table: CautionTable) -> int:
    """Return the first UTC day (since 1970-01-01) whose flow may still set off a caution."""
    return observe_time // DAY - MAX_CAUTION_DAYS - MAX_LATE_DAYS - table.flow_days


def may_be_set_off(flow: Sequence[FlowDay], observe_time: int, caution_table: CautionTable) -> bool:
    """Return whether recent flow of a seller reaches a trigger, as each caution by flow that is in force requires."""
    first = choose_first_recent_day(observe_time, caution_table)
    table = FlowTable(flow, caution_table.currency, has_earlier=True)
    return any(
        list_days_at_trigger(table, rule.trigger, first)
        for rule in caution_table.rules
        if isinstance(rule.trigger, Burst | Jump)
    )


def _find_cautions_of_seller(
    signs: Sequence[Sign],
    rows: Sequence[FactRow],
    observe_time: int,
    table: CautionTable,
    flow: Sequence[FlowDay],
    require_caller: Callable[[], None],
) -> tuple[Caution, ...]:
    ended_cases = list_ended_cases(rows, observe_time)
    signs = [sign for sign in signs if sign.time <= observe_time]
    known_signs = KnownSigns(signs, flow, choose_first_day(observe_time, table), (), ended_cases)
    known_signs = take_back_ended_cases(table, known_signs) if ended_cases else known_signs
    onsets = [*OnsetsBySigns(table, known_signs).list_onsets(), *list_onsets_by_flow(table, known_signs)]
    if not any(onset.end > observe_time for onset in onsets):
        return ()
    # For SPAN_DAYS after a violation is confirmed, cautions are not cut to the days left.
    stands = {sign.entry for sign in signs if sign.retracted == NEVER}
    confirmed = sorted(time for violation, time in find_decision_times(rows).items() if violation in stands)
    known_signs = replace(known_signs, confirmed=confirmed)
    order = {rule.id: number for number, rule in enumerate(table.rules)}
    cautions = [
        Caution(
            rule=onset.rule.id,
            reference=onset.rule.reference,
            signal=onset.rule.trigger.signal,
            start=span.start,
            end=span.end,
            decide_by=min(span.start + table.decide_days * DAY, span.end),
            measures=onset.rule.measures if onset.imposes else (),
            entries=onset.entries,
            measured=onset.measured,
        )
        for onset, span in find_spans(table, known_signs, onsets, observe_time, require_caller)
    ]
    return tuple(sorted(cautions, key=lambda caution: (order[caution.rule], caution.start)))
