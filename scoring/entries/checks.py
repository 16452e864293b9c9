"""What a fact must satisfy: each field by its shape, and what several fields say together."""

from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from scoring.entries.field_types import Stated, names
from scoring.entries.kinds.conduct import IncidentChanged, ProductViolationReported, StatusChanged, ViolationReported
from scoring.entries.kinds.decisions import EntryCorrected, MeasureChanged, OverrideImposed
from scoring.entries.kinds.table import KINDS
from scoring.entries.kinds.trade import ExposureStated
from scoring.entries.violation_types import violation_types
from scoring.enums import (
    AUTHORITIES,
    Action,
    CorrectionKind,
    IncidentChange,
    Kind,
    MeasureKind,
    MeasureState,
    Severity,
    Status,
)
from scoring.time import DAY, day_of, format_time

Problems = Iterator[tuple[str, str]]
MAX_OVERRIDE_DAYS = 366
_UNITS_DECIDED = frozenset({Action.CONFIRM, Action.REINSTATE})


def check_fields(fact: Any) -> Problems:
    """Every field of a fact that is wrong by itself: (name, what it should be)."""
    values_of, rules = _RULES[type(fact)]
    for (name, required, wrong, needed), value in zip(rules, values_of(fact), strict=True):
        if not value and not required:
            continue
        try:
            text = wrong(value)
        except (AttributeError, TypeError, ValueError):  # a value of another type, from a caller in Python
            text = "is of another type than the fact's"
        if text is not None:
            yield name, (needed or text) if not value else text


def status_on_arrival(fact: ViolationReported | ProductViolationReported) -> Status:
    """Confirmed for a final act of an authority that was matched by a verified identifier; all else is alleged."""
    final_act = fact.final and fact.identifier_verified and fact.source in AUTHORITIES
    return Status.CONFIRMED if final_act else Status.ALLEGED


def _rule(field: Stated) -> tuple[str, bool, Callable[[Any], str | None], str]:
    wrong = field.shape.wrong

    def sentence(value: str) -> str | None:
        return field.needed if not value.strip() or wrong(value) is not None else None

    is_sentence = field.shape.sealed and field.required
    return field.name, field.required, sentence if is_sentence else wrong, field.needed


_RULES = {
    row.fact: (attrgetter(*(field.name for field in row.fields)), [_rule(field) for field in row.fields])
    for row in KINDS.values()
}


def _violation(fact: ViolationReported | ProductViolationReported, occur_time: int | None, _: int) -> Problems:
    if fact.violation_type not in violation_types(occur_time or 0):
        yield "violation_type", "is not in the table of violation types; see: sellertrust violation types"
    if isinstance(fact, ViolationReported):
        yield from _amount(fact)


def _status(fact: StatusChanged, *_: object) -> Problems:
    if fact.action is Action.REDUCE:
        if fact.severity is None:
            yield "severity", f"is required to reduce: one of {names(Severity)}"
    elif fact.severity is not None:
        yield "severity", "must be empty unless the action is reduce"
    if fact.action is Action.REINSTATE and not fact.ground.strip():
        yield "ground", "is required to reinstate: the legal order"
    if fact.units and fact.action not in _UNITS_DECIDED:
        yield "units", "are adjudicated by confirm or reinstate only"
    if fact.held_back and fact.action is not Action.REVIEW:
        yield "held_back", "must be false unless the action is review"


def _exposure(fact: ExposureStated, _: int | None, now: int) -> Problems:
    if not 0 <= fact.day <= day_of(now):
        yield "day", "must lie between 1970-01-01 and today"
    values = fact.value_minor or fact.value_in_claim_window_minor or fact.value_held_minor
    if values and not fact.currency:
        yield "currency", "is required with a value, such as CNY"
    for name in ("cancelled", "late", "returned", "not_received"):
        if getattr(fact, name) > fact.settled_orders:
            yield name, "must be 0 to settled_orders"


def _amount(fact: Any, *_: object) -> Problems:
    if fact.amount_minor and not fact.currency:
        yield "currency", "is required with an amount, such as CNY"


def _measure(fact: MeasureChanged, *_: object) -> Problems:
    yield from _amount(fact)
    suspended = fact.measure_kind is MeasureKind.SUSPENSION and fact.state is MeasureState.IMPOSED
    if suspended and not fact.violations:
        yield "violations", "must name the confirmed violations that a suspension rests on"


def _override(fact: OverrideImposed, occur_time: int | None, now: int) -> Problems:
    if not fact.until:
        return  # of which it is said already that it is required
    begin = now if occur_time is None else occur_time
    if not begin < fact.until <= now + MAX_OVERRIDE_DAYS * DAY:
        yield "until", f"must lie after its begin and at most {MAX_OVERRIDE_DAYS} days after {format_time(now)}"


def _incident(fact: IncidentChanged, *_: object) -> Problems:
    merge = fact.change is IncidentChange.MERGED
    needed, refused = ("incident", "violation") if merge else ("violation", "incident")
    if not getattr(fact, needed):
        yield needed, f"is required to {'merge' if merge else 'split'}"
    if getattr(fact, refused):
        yield refused, f"must be empty to {'merge' if merge else 'split'}"
    if merge and fact.incident and fact.incident == fact.into:
        yield "into", "must be another incident"


def _correction(fact: EntryCorrected, _: int | None, now: int) -> Problems:
    if fact.correction is CorrectionKind.MOVED:
        if fact.moved_to is None:
            yield "moved_to", "is required: when it happened"
        elif fact.moved_to > now:
            yield "moved_to", f"lies in the future: the ledger's clock says {format_time(now)}"
    elif fact.moved_to is not None:
        yield "moved_to", "must be empty unless the correction is moved"


CHECKS: Mapping[Kind, Callable[[Any, int | None, int], Problems]] = MappingProxyType(
    {
        Kind.VIOLATION: _violation,
        Kind.PRODUCT_VIOLATION: _violation,
        Kind.STATUS: _status,
        Kind.EXPOSURE: _exposure,
        Kind.DISPUTE: _amount,
        Kind.REMEDIATION: _amount,
        Kind.MEASURE: _measure,
        Kind.OVERRIDE: _override,
        Kind.INCIDENT: _incident,
        Kind.CORRECTION: _correction,
    }
)
"""What several fields of a kind must say together: (fact, occur_time, the ledger's now) to problems."""
