"""Letters: statements of reasons in words, as text and as HTML."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from html import escape

from scoring.answers.forecast import daily_volume
from scoring.answers.statements import StatementOfReasons
from scoring.answers.whole import WholeAnswer
from scoring.base.enums import AUTHORITIES, Automation
from scoring.base.money import format_amount
from scoring.base.time import DAY
from scoring.entries.lifecycle import COUNTING_STATUSES
from scoring.policy.history import find_decision_times
from scoring.policy.measures import Deposit, Suspension
from scoring.policy.rules import Asked, FailureRate, Quantity
from sellertrust.v1 import answer_service_pb2 as answer_pb
from sellertrust.v1 import entry_pb2
from service.contract.answers import path_message
from service.contract.audiences import tell_reason, tell_source, tell_violation, tell_what
from service.contract.dsa_records import DSA, find_record
from service.contract.fields import timestamp
from service.contract.texts import DEFAULT_LANGUAGE, Texts
from service.ledger.records import ViolationView

MAX_TOLD = 100
"""Violations that one letter names; it counts the others."""


def statement_messages(
    seller: str,
    whole: WholeAnswer,
    stated: Sequence[StatementOfReasons],
    violations: Mapping[str, ViolationView],
    texts: Texts,
    laws: Collection[str],
    *,
    for_seller: bool,
) -> Iterator[answer_pb.StatementOfReasons]:
    """Yield the letters of one seller, a resource name; `violations`: by id, all that the statements name.

    If the DSA is among the `laws` that apply, each has its record of the transparency database, but not `for_seller`.
    """
    letters = _Letters(whole, violations, texts, laws)
    records = None if for_seller or DSA not in laws else _Letters(whole, violations, Texts(DEFAULT_LANGUAGE), laws)
    for one in stated:
        message = letters.write(one, is_hidden=for_seller and one.measure.is_of_caution)
        message.record = "" if records is None else records.write_record(seller, one)
        yield message


def notice_letter(whole: WholeAnswer, texts: Texts, laws: Collection[str]) -> answer_pb.StatementOfReasons | None:
    """Return the letter about a tier that falls by new rules after their notice, if it does."""
    notice = whole.score.notice
    if notice is None or whole.score.tier is None:
        return None
    now, then = (texts.say(f"tier.{tier.name}") for tier in (whole.score.tier, notice.tier))
    title = texts.say("letter.title", what=texts.say("letter.notice", day=texts.say_day(notice.until), tier=then))
    why, until = texts.say("letter.notice_why"), texts.say("letter.notice_until", tier=now)
    message = answer_pb.StatementOfReasons(start_time=timestamp(notice.until), next_action=until)
    return _set_letter(message, title, [[why], [until], _tell_bodies(texts, laws)], texts)


class _Letters:
    def __init__(
        self, whole: WholeAnswer, violations: Mapping[str, ViolationView], texts: Texts, laws: Collection[str]
    ) -> None:
        self._laws = laws
        self._whole = whole
        self._violations = violations
        self._texts = texts
        self._say, self._day = texts.say, texts.say_day
        self._time = whole.stamp.observe_time
        self._confirmed = find_decision_times(whole.given.known.table.rows)

    def write(self, one: StatementOfReasons, *, is_hidden: bool) -> answer_pb.StatementOfReasons:
        """Return the message of a statement; `is_hidden`: without the reports behind a caution."""
        measure, until = one.measure, one.contest_until
        views = self._list_views(one)
        action = self._tell_next_action(one, views)
        message = answer_pb.StatementOfReasons(
            measure=measure.measure,
            kind=entry_pb2.MeasureKind.ValueType(measure.current.kind),
            start_time=None if measure.start is None else timestamp(measure.start),
            end_time=None if measure.end is None else timestamp(measure.end),
            violations=() if is_hidden else one.violations,
            reason_codes=[reason.reason_code for reason in one.reasons],
            automation=answer_pb.Automation.ValueType(one.decided_by),
            automated_detection=not is_hidden and any(view.automated for view in views),
            credit_risk=one.is_credit_risk,
            contest_until_time=None if until is None else timestamp(until),
            alike=[other.measure for other in one.alike],
            next_action=action,
            notice_sent_time=None if one.notice is None else timestamp(one.notice.record_time),
            barred_until_time=None if one.bar is None else timestamp(one.bar.fact.until or 0),
            bar_ground="" if one.bar is None else one.bar.fact.ground,
        )
        facts = [self._tell_caution(one)] if one.caution is not None else self._tell_facts(one, views)
        case = [self._say("letter.case", measure=measure.measure)]
        paragraphs = [*facts, self._tell_ground(one), self._tell_means(one), self._tell_redress(one, action), case]
        return _set_letter(message, self._title(one), paragraphs, self._texts)

    def write_record(self, seller: str, one: StatementOfReasons) -> str:
        views = self._list_views(one)
        told = self._tell_caution(one)
        for view in views:
            opening, *_, closing = self._tell_violation(view)
            told += [opening, tell_source(view, self._texts), closing]
        found = find_record(seller, one, views, self._whole, self._title(one), self._texts.join(told))
        return "" if found is None else found.model_dump_json(exclude_defaults=True)

    def _list_views(self, one: StatementOfReasons) -> list[ViolationView]:
        return [self._violations[name] for name in one.violations if name in self._violations]

    def _title(self, one: StatementOfReasons) -> str:
        begin, end = one.measure.start, one.measure.end
        is_ahead = begin is not None and begin > self._time
        key = f"letter.title{'_from' * is_ahead}{'_until' * (end is not None)}"
        what = tell_what(one.measure.current, self._whole.policy.rule_book.currency, self._texts)
        return self._say(key, what=what, begin=self._day(begin or 0), day=self._day(end or 0))

    def _tell_caution(self, one: StatementOfReasons) -> list[str]:
        if one.caution is None:
            return []
        decide_by = self._day(one.caution.decide_by)
        return [self._say(f"signal.{one.caution.signal.name}"), self._say("letter.caution", day=decide_by)]

    def _tell_facts(self, one: StatementOfReasons, views: Sequence[ViolationView]) -> list[list[str]]:
        told: list[str] = []
        if one.reasons:
            tier = self._whole.score.own_tier
            told += [self._say("letter.tier", tier=self._say(f"tier.{tier.name}"))] if tier else []
            told += [tell_reason(reason, self._texts) for reason in one.reasons]
        told += [self._say(f"condition.{_name_condition(asked)}") for asked in one.conditions]
        more = [self._say("letter.more", count=len(views) - MAX_TOLD)] if len(views) > MAX_TOLD else []
        return [told, *([*self._tell_violation(view)] for view in views[:MAX_TOLD]), more]

    def _tell_violation(self, view: ViolationView) -> Iterator[str]:
        category, severity = self._say(f"category.{view.category.name}"), self._say(f"severity.{view.severity.name}")
        yield self._say("letter.violation", category=category, severity=severity, day=self._day(view.occur_time))
        yield from tell_violation(view, self._texts)
        if (time := self._confirmed.get(view.violation)) is not None:
            is_final = view.source in AUTHORITIES and time == view.report_time
            yield self._say("letter.final" if is_final else "letter.confirmed", day=self._day(time))

    def _tell_ground(self, one: StatementOfReasons) -> list[str]:
        told = []
        if not one.measure.rule and one.statement is not None:
            ground = one.statement.fact.ground
            told += [self._say("ground", ground=ground)] if ground else []
        if one.measure.reference:
            told.append(self._say("letter.reference", reference=one.measure.reference))
        if one.measure.legal_ground:
            told.append(self._say("letter.legal", ground=one.measure.legal_ground))
        told += [self._say("letter.alike", measure=other.measure) for other in one.alike]
        terms = self._whole.in_force.terms
        return told if terms.suspension_days or terms.closes_in_days == 0 else [*told, self._say("letter.open")]

    def _tell_means(self, one: StatementOfReasons) -> list[str]:
        return [self._say(f"letter.by_{one.decided_by.name.lower()}")]

    def _tell_next_action(self, one: StatementOfReasons, views: Sequence[ViolationView]) -> str:
        if isinstance(one.measure.current, Deposit):
            currency = self._whole.policy.rule_book.currency
            return self._say("letter.deposit", amount=format_amount(one.measure.current.amount_minor, currency))
        if isinstance(one.measure.current, Suspension) and one.measure.current.until_plan:
            return self._say("letter.plan")
        if one.path is not None:
            orders, today = daily_volume(self._whole.given.facts), self._time // DAY
            return path_message(one.path, orders, today, self._texts).sentence
        if any(view.status in COUNTING_STATUSES for view in views) and one.caution is None:
            return self._say("letter.appeal")
        return self._say("letter.trade" if one.conditions else "letter.nothing")

    def _tell_redress(self, one: StatementOfReasons, action: str) -> list[str]:
        told = [self._say("letter.actions", action=action)]
        end = one.measure.end
        told.append(self._say("letter.no_end") if end is None else self._say("letter.end", day=self._day(end)))
        if one.contest_until is not None:
            told.append(self._say("letter.contest", day=self._day(one.contest_until)))
            told.append(self._say("letter.other_person"))
        if one.decided_by is Automation.FULL:
            told.append(self._say("letter.human_review"))
        return [*told, *_tell_bodies(self._texts, self._laws), self._say("letter.if_right")]


def _set_letter(
    message: answer_pb.StatementOfReasons, title: str, sentences: Sequence[Sequence[str]], texts: Texts
) -> answer_pb.StatementOfReasons:
    paragraphs = [texts.join(one) for one in sentences if one]
    body = "".join(f"<p>{escape(one)}</p>\n" for one in paragraphs)
    head = f'<!doctype html>\n<html lang="{texts.language}">\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
    message.language, message.title = texts.language, title
    message.paragraphs.extend(paragraphs)
    message.text = "\n\n".join([title, *paragraphs]) + "\n"
    message.html = f"{head}<h1>{escape(title)}</h1>\n{body}</html>\n"
    return message


def _tell_bodies(texts: Texts, laws: Collection[str]) -> list[str]:
    return [texts.say(f"law.{name}") for name in (*laws, "court")]


def _name_condition(asked: Asked) -> str:
    if isinstance(asked, FailureRate):
        return "failures"
    names: dict[Asked, str] = {Quantity.TENURE: "tenure", Quantity.DEPOSIT: "deposit", Quantity.LINK: "linked"}
    return names.get(asked, "settled")
