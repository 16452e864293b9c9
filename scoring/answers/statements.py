"""Statements of reasons: on what each measure that restricts a seller rests, and what the seller can do about it."""

from collections.abc import Callable, Iterator, Sequence

from scoring.answers.forecast import TierPath, find_paths, forecast
from scoring.answers.leads import Lead, list_untested_leads, score_variants
from scoring.answers.variants import Variant
from scoring.answers.whole import WholeAnswer
from scoring.base.enums import Automation, MeasureState, Tier
from scoring.base.frozen import frozen
from scoring.base.time import DAY
from scoring.caution.cautions import Caution
from scoring.entries.contests import COMPLAINT_DAYS
from scoring.measures.imposed import apply_corrections
from scoring.measures.listed import MeasureInForce
from scoring.measures.record import MeasureStatement
from scoring.policy.measures import Deposit, Waiver
from scoring.policy.rules import Operand, Quantity, Rule, is_of_facts
from scoring.scores.answer import SellerScore
from scoring.scores.reasons import OVERRIDDEN, THIN_FILE
from scoring.scores.score import explain


@frozen
class StatementOfReasons:
    measure: MeasureInForce
    decided_by: Automation
    violations: tuple[str, ...]
    """Confirmed, of a caution reported; by the day they happened."""
    reasons: tuple[Lead, ...] = ()
    """Other grounds of a measure by tier."""
    conditions: tuple[Operand, ...] = ()
    """Other grounds of a rule."""
    caution: Caution | None = None
    alike: tuple[MeasureInForce, ...] = ()
    """Others of its kind in force, without barred ones: they hold on."""
    path: TierPath | None = None
    """The shortest way out of a measure by tier."""
    statement: MeasureStatement | None = None
    """The last one on record."""
    notice: MeasureStatement | None = None
    bar: MeasureStatement | None = None
    """An entry that forbids to send the seller the letter."""

    @property
    def is_by_rule_without_violation(self) -> bool:
        return not self.violations and bool(self.measure.rule)

    @property
    def contest_until(self) -> int | None:
        """Return the end of the time to contest it, in microseconds; None if unrecorded."""
        if self.statement is None:
            return None
        sent = 0 if self.notice is None else self.notice.record_time
        return max(self.statement.record_time, self.statement.fact.since or 0, sent) + COMPLAINT_DAYS * DAY


def list_statements(answer: WholeAnswer, require_caller: Callable[[], None] = lambda: None) -> list[StatementOfReasons]:
    """Return a statement for each measure with an effect that restricts the seller, in the order of the measures.

    Terms that every seller has, or every seller of a tier from TRUSTED on, restrict nobody.
    """
    rules = {rule.id: rule for rule in answer.policy.rule_book.rules}
    last_statements = {statement.fact.measure: statement for statement in answer.recorded.statements}
    notices, bars = _find_last_notices(answer, MeasureState.NOTICE_SENT), find_bars(answer)
    sent_notices = {
        name: one
        for name, one in notices.items()
        if name in last_statements and one.sequence >= last_statements[name].sequence
    }
    cautions = {(caution.rule, caution.start): caution for caution in answer.score.cautions}
    by_id = {  # a rule's cautions share it
        measure.measure: measure
        for measure in answer.in_force.measures
        if _is_restricting(measure, None if measure.is_of_caution else rules.get(measure.rule))
    }
    measures = [*by_id.values()]
    by_tier = [one for one in measures if not one.is_of_caution and one.rule and rules[one.rule].tiers]
    reasons = _list_reasons_of_tier(answer) if by_tier else []
    violations = frozenset(name for one in by_tier for name in one.violations)
    [score_without] = score_variants(answer, [Variant(without=violations)], require_caller) if violations else [None]
    forecasts = forecast(answer.core, require_caller) if by_tier else None
    paths = [] if forecasts is None else find_paths(forecasts, require_caller)
    statements = []
    for measure in measures:
        rule = None if measure.is_of_caution else rules.get(measure.rule)
        chosen = tuple(_choose_reasons(reasons, rule, answer))
        statements.append(
            StatementOfReasons(
                measure=measure,
                decided_by=_find_automation(measure, rule, answer.score.override),
                violations=() if chosen and _reaches_rule_without(rule, score_without) else measure.violations,
                reasons=chosen,
                conditions=_list_conditions(rule),
                caution=cautions.get((measure.rule, measure.start or 0)) if measure.is_of_caution else None,
                alike=tuple(
                    other
                    for other in measures
                    if other is not measure and other.current.kind is measure.current.kind and other.measure not in bars
                ),
                path=next((path for path in paths if rule and rule.tiers and path.tier not in rule.tiers), None),
                statement=last_statements.get(measure.measure),
                notice=sent_notices.get(measure.measure),
                bar=bars.get(measure.measure),
            )
        )
    return statements


def find_bars(answer: WholeAnswer) -> dict[str, MeasureStatement]:
    """Return, by measure, the entry that now forbids to send its letter to the seller."""
    last = _find_last_notices(answer, MeasureState.NOTICE_BARRED)
    return {name: bar for name, bar in last.items() if (bar.fact.until or 0) > answer.stamp.observe_time}


def find_barred_violations(answer: WholeAnswer) -> set[str]:
    bars, measures = find_bars(answer), answer.in_force.measures
    hidden = {name for one in measures if one.measure in bars for name in one.violations}
    return hidden.difference(*(one.violations for one in measures if one.measure not in bars))


def _find_last_notices(answer: WholeAnswer, state: MeasureState) -> dict[str, MeasureStatement]:
    [rows] = answer.core.known.table.rows_by_case()
    notices = apply_corrections(answer.recorded.notices, rows)
    return {notice.fact.measure: notice for notice in notices if notice.fact.state is state}


def _is_restricting(measure: MeasureInForce, rule: Rule | None) -> bool:
    is_fully_placed = isinstance(measure.current, Deposit) and not measure.current.amount_minor
    if not measure.has_effect or isinstance(measure.current, Waiver) or is_fully_placed:
        return False
    if rule is None or _list_conditions(rule) or rule.names_confirmed_facts:
        return True  # it is about this seller, whatever its tier
    return bool(rule.tiers) and max(rule.tiers) < Tier.TRUSTED


def _list_conditions(rule: Rule | None) -> tuple[Operand, ...]:
    """Return what a rule asks about besides the day and confirmed facts."""
    operands = [] if rule is None else [condition.operand for condition in rule.conditions]
    return tuple(operand for operand in operands if operand is not Quantity.DAY and not is_of_facts(operand))


def _find_automation(measure: MeasureInForce, rule: Rule | None, override: str) -> Automation:
    """Return the part of software. `override`: the entry of a person who set the tier, if any."""
    if not measure.rule:
        return Automation.NONE
    by_people = rule is not None and (rule.names_confirmed_facts or bool(override and rule.tiers))
    return Automation.PARTIAL if by_people else Automation.FULL


def _list_reasons_of_tier(answer: WholeAnswer) -> list[Lead]:
    explanation, facts, policy = explain(answer.core), answer.core.facts, answer.policy
    reasons = (
        []
        if explanation is None
        else [reason for reason in list_untested_leads(answer, explanation) if reason.category is None]
    )
    [orders], [days] = facts.settled_orders.tolist(), facts.tenure_days.tolist()
    if policy.is_thin(orders, days) and all(one.reason_code != THIN_FILE for one in reasons):
        reasons.append(Lead(THIN_FILE, 0, counted=orders, compared=policy.thin_file_orders))
    return reasons


def _reaches_rule_without(rule: Rule | None, score_without: SellerScore | None) -> bool:
    """Return whether the rule by tier holds also without the violations."""
    if rule is None or score_without is None or rule.names_confirmed_facts:
        return False
    return score_without.own_tier in rule.tiers


def _choose_reasons(reasons: Sequence[Lead], rule: Rule | None, answer: WholeAnswer) -> Iterator[Lead]:
    """Yield the reasons of one rule: an override stands alone, and a thin file is a reason only of what it decides."""
    if rule is None or not rule.tiers:
        return
    for reason in reasons:
        is_of_override = reason.reason_code == OVERRIDDEN
        if is_of_override == bool(answer.score.override) and (
            reason.reason_code != THIN_FILE or Tier.UNRATED in rule.tiers
        ):
            yield reason
