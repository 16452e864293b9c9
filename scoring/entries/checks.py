"""Checks of a fact: each field by its shape, and rules between several fields."""

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from scoring.base.enums import (
    AUTHORITIES,
    UNIMPOSING_STATES,
    Action,
    CaseState,
    CorrectionKind,
    DepositChange,
    IncidentChange,
    Kind,
    LinkKind,
    MeasureKind,
    MeasureState,
    Severity,
    Status,
)
from scoring.base.time import DAY, day_of, format_time
from scoring.entries.field_types import FactField, list_names
from scoring.entries.kinds.account import MAX_LINK_DAYS, LinkChanged
from scoring.entries.kinds.conduct import IncidentChanged, ProductViolationReported, StatusChanged, ViolationReported
from scoring.entries.kinds.decisions import (
    RULE_MEASURE_PREFIX,
    CaseChanged,
    EntryCorrected,
    MeasureChanged,
    OverrideImposed,
)
from scoring.entries.kinds.settlement import DepositChanged, FlowStated
from scoring.entries.kinds.table import KINDS
from scoring.entries.kinds.trade import FAILURES, ExposureStated
from scoring.entries.violation_types import violation_types

Problems = Iterator[tuple[str, str]]
"""Wrong fields of a fact: (name, what it should be)."""

MAX_OVERRIDE_DAYS = 366
FLOW_VALUES = ("captured", "shipped", "delivered", "disputed", "refunded", "charged_back", "paid_out")
"""Flow states with orders and value, without `_orders` and `_minor`."""
_IN_THE_CLEAR = re.compile(r"[0-9]{8,}|[A-Z]{2}[0-9]{2}[A-Z0-9]{10,}|([0-9]{1,3}\.){3}[0-9]|([0-9A-Fa-f]{2}:){5}")
"""An account, a telephone, an IBAN, or the address of a device."""
_ACTIONS_WITH_UNITS = frozenset({Action.CONFIRM, Action.REINSTATE})


def check_fields(fact: Any) -> Problems:
    """Yield (name, error) of each field that is wrong by itself."""
    values_of, rules = _RULES[type(fact)]
    for (name, required, describe_error, missing_text), value in zip(rules, values_of(fact), strict=True):
        if not value and not required:
            continue
        try:
            error = describe_error(value)
        except (AttributeError, TypeError, ValueError):  # wrong type, from a Python caller
            error = "is of another type than the fact's"
        if error is not None:
            yield name, (missing_text or error) if not value else error


def initial_status(fact: ViolationReported | ProductViolationReported) -> Status:
    """Return CONFIRMED for an authority's final act with a verified identifier, else ALLEGED."""
    final_act = fact.final and fact.identifier_verified and fact.source in AUTHORITIES
    return Status.CONFIRMED if final_act else Status.ALLEGED


def _build_rule(field: FactField) -> tuple[str, bool, Callable[[Any], str | None], str]:
    describe_error = field.shape.describe_error

    def describe_sentence_error(value: str) -> str | None:
        return field.missing_text if not value.strip() or describe_error(value) is not None else None

    is_sentence = field.shape.sealed and field.required
    return field.name, field.required, describe_sentence_error if is_sentence else describe_error, field.missing_text


_RULES = {
    row.fact: (attrgetter(*(field.name for field in row.fields)), [_build_rule(field) for field in row.fields])
    for row in KINDS.values()
}


def _check_violation(fact: ViolationReported | ProductViolationReported, occur_time: int | None, _: int) -> Problems:
    known = violation_types(occur_time or 0)
    if fact.violation_type not in known:
        near = get_close_matches(fact.violation_type, known, 2)
        advice = f"did you mean {' or '.join(near)}? All of them: " if near else "see "
        yield (
            "violation_type",
            f"{fact.violation_type[:80]!r} is not in the table of violation types;"
            f" {advice}docs/reference/violation-types.md",
        )
    if isinstance(fact, ViolationReported):
        yield from _check_amount(fact)


def _check_status(fact: StatusChanged, *_: object) -> Problems:
    if fact.action is Action.REDUCE:
        if fact.severity is None:
            yield "severity", f"is required to reduce: one of {list_names(Severity)}"
    elif fact.severity is not None:
        yield "severity", "must be empty unless the action is reduce"
    if fact.action is Action.REINSTATE and not fact.ground.strip():
        yield "ground", "is required to reinstate: the legal order"
    if fact.units and fact.action not in _ACTIONS_WITH_UNITS:
        yield "units", "are adjudicated by confirm or reinstate only"
    if fact.held_back and fact.action is not Action.REVIEW:
        yield "held_back", "must be false unless the action is review"


def _check_day(fact: ExposureStated | FlowStated, has_value: bool, now: int) -> Problems:
    if not 0 <= fact.day <= day_of(now):
        yield "day", "must lie between 1970-01-01 and today"
    if has_value and not fact.currency:
        yield "currency", "is required with a value, such as CNY"


def _check_exposure(fact: ExposureStated, _: int | None, now: int) -> Problems:
    yield from _check_day(fact, any((fact.value_minor, fact.value_in_claim_window_minor, fact.value_held_minor)), now)
    for name in FAILURES:
        if getattr(fact, name) > fact.settled_orders:
            yield name, "must be 0 to settled_orders"


def _check_flow(fact: FlowStated, _: int | None, now: int) -> Problems:
    values = [name for name in FLOW_VALUES if getattr(fact, f"{name}_minor")]
    yield from _check_day(fact, bool(values), now)
    for name in values:
        if not getattr(fact, f"{name}_orders"):
            yield f"{name}_orders", f"must be at least 1 with {name}_minor: a value is of some orders"


def _check_link(fact: LinkChanged, occur_time: int | None, now: int) -> Problems:
    begin = now if occur_time is None else occur_time
    if bool(fact.other) == bool(fact.identifier):
        yield "other", "must be stated, or identifier; not both"
    if fact.identifier and fact.link_kind is None:
        yield "link_kind", f"is required with an identifier: one of {list_names(LinkKind)}"
    if fact.link_kind is LinkKind.OPENED_AFTER_BAN and not fact.other:
        yield "other", "must name the banned seller"
    if fact.until is not None and not begin < fact.until <= begin + MAX_LINK_DAYS * DAY:
        yield "until", f"must lie after its begin, and at most {MAX_LINK_DAYS:,} days after"
    if begin < now - MAX_LINK_DAYS * DAY:
        yield "state", f"must be observed in the last {MAX_LINK_DAYS:,} days"
    if _IN_THE_CLEAR.search(fact.basis):
        yield "basis", "looks like an identifier in the clear; state its keyed digest as identifier"


def _check_deposit(fact: DepositChanged, *_: object) -> Problems:
    if fact.change is DepositChange.DRAWN and not fact.claim:
        yield "claim", "is required to draw: the adjudicated claim that it is drawn for"
    if fact.change is not DepositChange.DRAWN and fact.claim:
        yield "claim", "must be empty unless the deposit is drawn"


def _check_amount(fact: Any, *_: object) -> Problems:
    if fact.amount_minor and not fact.currency:
        yield "currency", "is required with an amount, such as CNY"


def _check_measure_fields(fact: MeasureChanged, *_: object) -> Problems:
    if (fact.amount_minor or fact.at_most_minor) and not fact.currency:
        yield "currency", "is required with an amount, such as CNY"
    if fact.state is MeasureState.UPDATED and fact.measure.startswith(RULE_MEASURE_PREFIX) and not fact.rule:
        yield "state", "must be imposed or lifted: what a rule asks for is updated by the service alone"
    is_bar = fact.state is MeasureState.NOTICE_BARRED
    for name in ("ground", "until", "approver") if is_bar else ():
        if not getattr(fact, name):
            yield name, "is required to bar a letter: the legal basis, the end and a second person"
    if fact.approver and (not is_bar or fact.approver == fact.actor):
        yield "approver", "must be another person than the actor, and empty unless a letter is barred"
    is_told = fact.state in UNIMPOSING_STATES
    if fact.measure_kind is MeasureKind.SUSPENSION and not is_told and not fact.violations:
        yield "violations", "must name the confirmed violations that a suspension rests on"


def _check_case(fact: CaseChanged, *_: object) -> Problems:
    if fact.state is CaseState.CONFIRMED and not fact.violations:
        yield "violations", "must name the confirmed violations that it came to; to say that it is not so, end the case"
    if fact.state is not CaseState.CONFIRMED and fact.violations:
        yield "violations", "must be empty unless the case is confirmed"
    if fact.state is CaseState.EXTENDED:
        if not fact.rests_on:
            yield "rests_on", "must name the new facts on which the stop is extended, by entry_id"
        if fact.decide_by is None:
            yield "decide_by", "is required to extend: by when the case is decided"
    if fact.authority_order and fact.state is not CaseState.EXTENDED:
        yield "authority_order", "must be empty unless the case is extended"


def _check_override(fact: OverrideImposed, occur_time: int | None, now: int) -> Problems:
    if not fact.until:
        return
    begin = now if occur_time is None else occur_time
    if not begin < fact.until <= now + MAX_OVERRIDE_DAYS * DAY:
        yield "until", f"must lie after its begin and at most {MAX_OVERRIDE_DAYS} days after {format_time(now)}"


def _check_incident(fact: IncidentChanged, *_: object) -> Problems:
    merge = fact.change is IncidentChange.MERGED
    required, refused = ("incident", "violation") if merge else ("violation", "incident")
    if not getattr(fact, required):
        yield required, f"is required to {'merge' if merge else 'split'}"
    if getattr(fact, refused):
        yield refused, f"must be empty to {'merge' if merge else 'split'}"
    if merge and fact.incident and fact.incident == fact.into:
        yield "into", "must be another incident"


def _check_correction(fact: EntryCorrected, _: int | None, now: int) -> Problems:
    if fact.correction is CorrectionKind.MOVED:
        if fact.moved_to is None:
            yield "moved_to", "is required: when it happened"
        elif fact.moved_to > now:
            yield "moved_to", f"lies in the future: the ledger's clock says {format_time(now)}"
    elif fact.moved_to is not None:
        yield "moved_to", "must be empty unless the correction is moved"


CHECKS: Mapping[Kind, Callable[[Any, int | None, int], Problems]] = MappingProxyType(
    {
        Kind.VIOLATION: _check_violation,
        Kind.PRODUCT_VIOLATION: _check_violation,
        Kind.STATUS: _check_status,
        Kind.EXPOSURE: _check_exposure,
        Kind.DISPUTE: _check_amount,
        Kind.REMEDIATION: _check_amount,
        Kind.MEASURE: _check_measure_fields,
        Kind.CASE: _check_case,
        Kind.OVERRIDE: _check_override,
        Kind.INCIDENT: _check_incident,
        Kind.CORRECTION: _check_correction,
        Kind.FLOW: _check_flow,
        Kind.DEPOSIT: _check_deposit,
        Kind.LINK: _check_link,
    }
)
"""By kind: functions of (fact, occur_time, the ledger's now) that yield problems."""
