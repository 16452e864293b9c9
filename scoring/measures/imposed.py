from collections.abc import Callable, Iterable, Iterator, Sequence

from scoring.base.enums import CorrectionKind, Kind, MeasureKind, MeasureState
from scoring.base.frozen import frozen
from scoring.base.time import DAY
from scoring.entries.kinds.common import MAX_VALUE_MINOR
from scoring.entries.kinds.decisions import RULE_MEASURE_PREFIX, MeasureChanged
from scoring.entries.lifecycle import RETRACTED_STATUSES
from scoring.features.columns import FactRow
from scoring.features.violations import trace_statuses
from scoring.measures.record import MeasureStatement
from scoring.policy.measures import (
    FOR_GOOD,
    MAX_HOLD_DAYS,
    RESTRICTIONS,
    DeliveryHold,
    Deposit,
    IntakeCap,
    ListingCap,
    Measure,
    PaidAheadLimit,
    Restriction,
    RollingReserve,
    SettlementHold,
    Suspension,
    UnvaluedMeasure,
    ValueCap,
)
from scoring.policy.rules import RuleBook


@frozen
class ImposedMeasure:
    measure: str
    original: Measure
    """As last stated."""
    current: Measure
    """Within the marketplace's limit; of a deposit the part still to be placed."""
    start: int
    end: int | None
    """In microseconds, if it has an own end."""
    entries: tuple[str, ...]
    """Since it was imposed."""
    violations: tuple[str, ...]
    """Those that were not taken back."""


@frozen
class ImpositionContext:
    observe_time: int
    """In microseconds."""
    rules: RuleBook
    marketplace: str
    deposit_minor: int = 0
    """That is placed."""


def list_imposed(
    statements: Sequence[MeasureStatement], rows: Sequence[FactRow], context: ImpositionContext
) -> Iterator[ImposedMeasure]:
    """Yield persons' measures that are or will be in force, in the order in which they were imposed.

    `statements`: about a seller's measures, by sequence. `rows`: its facts. If all its violations were taken back, a
    measure counts as never imposed.
    """
    if not statements:
        return
    rules, observe_time = context.rules, context.observe_time
    retracted = _find_retracted_violations(rows)
    histories: dict[str, list[MeasureStatement]] = {}
    for statement in apply_corrections(statements, rows):
        name, time = statement.fact.measure, statement.occur_time
        if statement.fact.rule or name.startswith(RULE_MEASURE_PREFIX) or time >= observe_time:
            continue
        state, history = statement.fact.state, histories.pop(name, [])
        if state is MeasureState.UPDATED and history and (_find_end(history) or time + 1) > time:
            histories[name] = [*history, statement]
        elif state is not MeasureState.LIFTED:  # after a lift or its own end it begins again
            histories[name] = [statement]
    for name, history in histories.items():
        fact, start, end = history[-1].fact, _find_start(history), _find_end(history)
        if (end is not None and end <= observe_time) or (fact.violations and retracted.issuperset(fact.violations)):
            continue
        original = _read_measure(fact, start, rules.currency)
        current = rules.limit_days(original, context.marketplace)
        if isinstance(current, Deposit):
            current = current.less(context.deposit_minor)
        violations = tuple(violation for violation in fact.violations if violation not in retracted)
        yield ImposedMeasure(
            name, original, current, start, end, tuple(statement.entry_id for statement in history), violations
        )


def apply_corrections(statements: Iterable[MeasureStatement], rows: Iterable[FactRow]) -> Iterator[MeasureStatement]:
    """Yield the statements without voided ones, others at their corrected times. `rows`: by sequence."""
    corrections = {row.target: row for row in rows if row.kind == Kind.CORRECTION}
    for statement in statements:
        correction = corrections.get(statement.entry_id)
        if correction is None:
            yield statement
        elif correction.status != CorrectionKind.VOID:
            yield statement._replace(occur_time=correction.occur_time)


def _find_retracted_violations(rows: Iterable[FactRow]) -> set[str]:
    last = {step.violation: step for step in trace_statuses(rows)}
    return {name for name, step in last.items() if step.is_elsewhere or step.status in RETRACTED_STATUSES}


def _find_start(history: Sequence[MeasureStatement]) -> int:
    return max(history[0].occur_time, history[0].fact.since or 0)


def _find_end(history: Sequence[MeasureStatement]) -> int | None:
    fact, start = history[-1].fact, _find_start(history)
    served = start + fact.days * DAY if fact.measure_kind is MeasureKind.SUSPENSION and fact.days else None
    return min((end for end in (fact.until, served) if end is not None), default=None)


def _read_measure(fact: MeasureChanged, start: int, currency: str) -> Measure:
    """Return a person's measure; unvalued if its amount is not in the policy's currency."""
    reader = _READ_BY_KIND.get(fact.measure_kind)
    is_money = fact.measure_kind in (MeasureKind.DEPOSIT, MeasureKind.VALUE_CAP)
    is_money |= fact.measure_kind is MeasureKind.PAID_AHEAD_LIMIT and (fact.amount_minor or fact.at_most_minor) > 0
    if reader is None or (is_money and (not fact.currency or fact.currency != currency)):
        return UnvaluedMeasure(fact.measure_kind)
    return reader(fact, start)


def _read_settlement_hold(fact: MeasureChanged, _: int) -> Measure:
    if fact.amount_minor and not fact.days:
        return UnvaluedMeasure(fact.measure_kind)
    return SettlementHold(min(fact.days or MAX_HOLD_DAYS, MAX_HOLD_DAYS))


def _read_rolling_reserve(fact: MeasureChanged, _: int) -> Measure:
    if not fact.ppm:
        return UnvaluedMeasure(fact.measure_kind)
    return RollingReserve(fact.ppm, min(fact.days or MAX_HOLD_DAYS, MAX_HOLD_DAYS))


def _read_paid_ahead_limit(fact: MeasureChanged, _: int) -> Measure:
    days = min(fact.days or MAX_HOLD_DAYS, MAX_HOLD_DAYS)
    return PaidAheadLimit(days, fact.amount_minor, fact.ppm, fact.at_most_minor or MAX_VALUE_MINOR)


def _read_suspension(fact: MeasureChanged, start: int) -> Measure:
    if fact.days:
        return Suspension(fact.days)
    return Suspension(FOR_GOOD if fact.until is None else max(-(-(fact.until - start) // DAY), 1))


_READ_BY_KIND: dict[MeasureKind, Callable[[MeasureChanged, int], Measure]] = {
    MeasureKind.DEPOSIT: lambda fact, _: Deposit(fact.amount_minor),
    MeasureKind.SETTLEMENT_HOLD: _read_settlement_hold,
    MeasureKind.DELIVERY_HOLD: lambda fact, _: DeliveryHold(min(fact.days or MAX_HOLD_DAYS, MAX_HOLD_DAYS)),
    MeasureKind.PAID_AHEAD_LIMIT: _read_paid_ahead_limit,
    MeasureKind.ROLLING_RESERVE: _read_rolling_reserve,
    MeasureKind.VALUE_CAP: lambda fact, _: ValueCap(fact.amount_minor, fact.product_category),
    MeasureKind.LISTING_CAP: lambda fact, _: ListingCap(fact.listings, fact.product_category),
    MeasureKind.INTAKE_CAP: lambda fact, _: IntakeCap(fact.listings, fact.product_category),
    MeasureKind.SUSPENSION: _read_suspension,
    **{kind: lambda fact, _: Restriction(fact.measure_kind) for kind in RESTRICTIONS},
}
