from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from scoring.base.enums import CautionSignal, MeasureKind, Source
from scoring.base.parts import Part, read_fields
from scoring.policy.caution import (
    CONTROL_SIGNS,
    CROWD,
    MAX_CAUTION_DAYS,
    MAX_FLOW_DAYS,
    Burst,
    CautionRule,
    CautionTable,
    ControlSign,
    Jump,
    Reports,
    ReportWeight,
    Trigger,
)
from scoring.policy.measures import RESTRICTIONS, Measure, ValueCap
from scoring.policy.rule_reading import RULE_ID, RULE_ID_FORM, read_measures, stops_all_trade
from scoring.policy.rules import RuleBook

MAX_RULES = 20
MAX_MEASURES = 10
REVERSIBLE_KINDS = (
    *(MeasureKind.SETTLEMENT_HOLD, MeasureKind.ROLLING_RESERVE, MeasureKind.VALUE_CAP, MeasureKind.INTAKE_CAP),
    *RESTRICTIONS,
)
"""Kinds that leave no trace when they end."""


def read_caution(root: Part, rule_book: RuleBook) -> CautionTable | None:
    """Read a policy's table `caution`, if it has one. Note errors in `root`.

    `rule_book`: the policy's other rules. No rule of caution may have one of their ids.
    """
    if "caution" not in root:
        return None
    part, errors_before = root.part("caution"), len(root.errors)
    parts = part.list_of_parts("rules", MAX_RULES, "id")
    rules = tuple(map(_read_rule, parts))
    ids, rule_ids = [rule.id for rule in rules], {rule.id for rule in rule_book.rules}
    has_value_caps = any(isinstance(m, ValueCap) for rule in rules for m in rule.measures)
    if "currency" not in root and (has_value_caps or any(isinstance(rule.trigger, Jump) for rule in rules)):
        root.refuse("currency", "must be stated, since caution names amounts: three capital letters, such as EUR")
    for repeated_id in sorted({name for name in ids if name and (name in rule_ids or ids.count(name) > 1)}):
        part.refuse("rules", f"has an id that another rule has: {repeated_id}")
    if part.data.get("rules") in (None, []):
        part.refuse("rules", "must state one rule or more")
    shortest = min((rule.days for rule in rules), default=MAX_CAUTION_DAYS)
    table = CautionTable(
        decide_days=part.number("decide_days", 1, max(shortest, 1)),
        weights=_read_weights(part),
        rules=rules,
        currency=rule_book.currency,
    )
    if len(part.errors) == errors_before:
        _refuse_triggers_by_crowds(parts, table)
    return table


def _read_weights(part: Part) -> MappingProxyType[Source, ReportWeight]:
    sources, weights = part.part("sources"), {}
    for source in Source:
        row = sources.part(source.word)
        weights[source] = read_fields(ReportWeight, row)
        row.require_rising(("weight", "at_most"), "from weight to at_most", strictly=False)
    return MappingProxyType(weights)


def _refuse_triggers_by_crowds(parts: Sequence[Part], table: CautionTable) -> None:
    crowd_weight = sum(table.weights[source].at_most for source in CROWD)
    names = ", ".join(source.word for source in sorted(CROWD))
    for part, rule in zip(parts, table.rules, strict=True):
        if isinstance(rule.trigger, Reports) and rule.trigger.weight <= crowd_weight:
            part.refuse(
                "reports.weight",
                f"must be more than {crowd_weight:,}, what {names} weigh together at most: a crowd alone sets off nothing",
            )


def _read_rule(part: Part) -> CautionRule:
    parts_and_measures = read_measures(part, MAX_MEASURES)
    for measure_part, measure in parts_and_measures:
        _refuse_irreversible(measure_part, measure)
    return CautionRule(
        id=part.code("id", RULE_ID, RULE_ID_FORM),
        reference=part.text("reference", 1),
        trigger=_read_trigger(part),
        days=part.number("days", 1, MAX_CAUTION_DAYS),
        measures=tuple(measure for _, measure in parts_and_measures),
    )


def _refuse_irreversible(part: Part, measure: Measure) -> None:
    if measure.kind not in REVERSIBLE_KINDS:
        kinds = ", ".join(kind.word for kind in REVERSIBLE_KINDS)
        part.refuse("", f"is not reversible; caution may ask for {kinds}")
    elif stops_all_trade(part):
        part.refuse(
            "", "lets nobody sell, which suspends under another name; caution may only protect: state more than 0"
        )
    elif isinstance(measure, ValueCap) and measure.grows:
        part.refuse("grows", "has no meaning for a cap of a few days")


def _read_trigger(part: Part) -> Trigger:
    """Read the only trigger; else note an error, and return one that never fires."""
    names = [name for name in _READERS if name in part]
    if len(names) != 1:
        for name in names or [""]:
            part.refuse(name, f"must state what sets the rule off by one of {', '.join(_READERS)}, and by no other")
        return ControlSign(frozenset())
    return _READERS[names[0]](part)


def _read_burst(part: Part) -> Trigger:
    burst, grace_days = part.part("burst"), 0
    signal = burst.member("of", (CautionSignal.UNDELIVERED, CautionSignal.DISPUTED))
    if signal is CautionSignal.UNDELIVERED:
        grace_days = burst.number("grace_days", 1, MAX_FLOW_DAYS)
    elif "grace_days" in burst:
        burst.refuse("grace_days", "is of undelivered orders alone")
    return read_fields(Burst, burst, signal=signal, grace_days=grace_days)


def _read_jump(part: Part) -> Trigger:
    jump = part.part("jump")
    days = jump.number("days", 1, MAX_FLOW_DAYS)
    return read_fields(Jump, jump, days=days, before_days=jump.number("before_days", days, MAX_FLOW_DAYS))


_READERS: Mapping[str, Callable[[Part], Trigger]] = {
    "reports": lambda part: read_fields(Reports, part.part("reports")),
    "control": lambda part: ControlSign(frozenset(part.words("control", CONTROL_SIGNS))),
    "burst": _read_burst,
    "jump": _read_jump,
}
