"""Reading what a policy states of caution from the data of its file. What is wrong is noted by its path."""

from types import MappingProxyType

from scoring.enums import MeasureKind, Source
from scoring.policy.caution import (
    CONTROL_SIGNS,
    CROWD,
    MAX_CAUTION_DAYS,
    CautionRule,
    CautionTable,
    ControlSign,
    Reports,
    ReportWeight,
    Trigger,
)
from scoring.policy.measures import Measure, ValueCap
from scoring.policy.parts import Part
from scoring.policy.rule_reading import RULE_ID, RULE_ID_FORM, read_counted, read_measure

MAX_RULES = 20
MAX_MEASURES = 10
MAX_WEIGHT = 1_000
MAX_WINDOW_DAYS = 90
TRIGGERS = ("reports", "control")
"""Parts of a rule that state what sets it off; a rule has one of them."""

REVERSIBLE_KINDS = (
    *(MeasureKind.SETTLEMENT_HOLD, MeasureKind.ROLLING_RESERVE, MeasureKind.VALUE_CAP, MeasureKind.INTAKE_CAP),
    MeasureKind.MANUAL_REVIEW,
)
"""Kinds of measures that are as if they had not been, once they end: no suspension or deposit, and no listing is lost."""


def read_caution(root: Part, taken: frozenset[str]) -> CautionTable | None:
    """Read the table `caution` of a policy; None if it states none.

    `taken`: the ids of the policy's other rules, which no rule of caution may have. Errors are noted in `root`.
    """
    if "caution" not in root:
        return None
    part = root.part("caution")
    rules = tuple(_read_rule(one) for one in part.list_of_parts("rules", MAX_RULES))
    ids = [rule.id for rule in rules]
    for twice in sorted({name for name in ids if name and (name in taken or ids.count(name) > 1)}):
        part.refuse("rules", f"has an id that another rule has: {twice}")
    if not rules:
        part.refuse("rules", "must state one rule or more")
    shortest = min((rule.days for rule in rules), default=MAX_CAUTION_DAYS)
    table = CautionTable(
        decide_days=part.number("decide_days", 1, max(shortest, 1)),
        weights=_read_weights(part),
        rules=rules,
    )
    _refuse_crowds(part, table)
    return table


def _read_weights(part: Part) -> MappingProxyType[Source, ReportWeight]:
    """Return what reports weigh, by source."""
    sources, found = part.part("sources"), {}
    for source in Source:
        row = sources.part(source.name.lower())
        found[source] = ReportWeight(row.number("weight", 0, MAX_WEIGHT), row.number("at_most", 0, MAX_WEIGHT))
        row.require_rising(("weight", "at_most"), "from weight to at_most", strictly=False)
    return MappingProxyType(found)


def _refuse_crowds(part: Part, table: CautionTable) -> None:
    """Note the rules that reports of sources in whose name many can report would set off by themselves."""
    together = sum(table.weights[source].at_most for source in CROWD)
    names = ", ".join(source.name.lower() for source in sorted(CROWD))
    for index, rule in enumerate(table.rules):
        if isinstance(rule.trigger, Reports) and rule.trigger.weight <= together:
            part.refuse(
                f"rules[{index}].reports.weight",
                f"must be more than {together:,}, what {names} weigh together at most: a crowd alone sets off nothing",
            )


def _read_rule(part: Part) -> CautionRule:
    """Return one rule; of what is wrong the parts that hold together are returned."""
    name = part.text("id")
    if not RULE_ID.fullmatch(name):
        part.refuse("id", RULE_ID_FORM)
    measures = part.list_of_parts("measures", MAX_MEASURES)
    if not measures:
        part.refuse("measures", "must state one measure or more")
    read = [measure for one in measures if (measure := read_measure(one)) is not None]
    for index, measure in enumerate(read):
        _refuse_lasting(part, index, measure)
    return CautionRule(
        id=name,
        reference=part.text("reference", 1),
        trigger=_read_trigger(part),
        days=part.number("days", 1, MAX_CAUTION_DAYS),
        measures=tuple(read),
    )


def _refuse_lasting(part: Part, index: int, measure: Measure) -> None:
    """Note a measure that is more than a protection for a few days."""
    if measure.kind not in REVERSIBLE_KINDS:
        kinds = ", ".join(kind.name.lower() for kind in REVERSIBLE_KINDS)
        part.refuse(f"measures[{index}]", f"is not reversible; caution may ask for {kinds}")
    elif isinstance(measure, ValueCap) and measure.grows:
        part.refuse(f"measures[{index}].grows", "has no meaning for a cap of a few days")


def _read_trigger(part: Part) -> Trigger:
    """Return what sets a rule off; one that nothing sets off, with an error, unless exactly one is stated."""
    stated = [name for name in TRIGGERS if name in part]
    if len(stated) != 1:
        for name in stated or [""]:
            part.refuse(name, f"must state what sets the rule off by one of {', '.join(TRIGGERS)}, and by no other")
        return ControlSign(frozenset())
    if stated == ["control"]:
        return ControlSign(frozenset(part.words("control", CONTROL_SIGNS)))
    reports = part.part("reports")
    categories, severity = read_counted(reports)
    return Reports(
        categories, severity, reports.number("weight", 1, MAX_WEIGHT), reports.number("days", 1, MAX_WINDOW_DAYS)
    )
