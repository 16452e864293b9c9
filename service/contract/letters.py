import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from html import escape

from scoring.answers.forecast import count_recent_orders
from scoring.answers.statements import StatementOfReasons, find_bars
from scoring.answers.whole import WholeAnswer
from scoring.base.enums import AUTHORITIES, Automation, CautionSignal, MeasureKind
from scoring.base.frozen import frozen
from scoring.base.money import format_amount
from scoring.base.time import DAY
from scoring.entries.lifecycle import COUNTING_STATUSES
from scoring.measures.listed import MeasureInForce, list_binding
from scoring.policy.history import find_decision_times
from scoring.policy.measures import DeliveryHold, Deposit, RollingReserve, SettlementHold, Suspension, combine
from scoring.policy.rules import FailureRate, MissingDays, Operand, Quantity
from scoring.scores.reasons import THIN_FILE
from sellertrust.v1 import answer_service_pb2 as answer_pb
from service.contract.answers import path_message
from service.contract.audiences import tell_effect, tell_reason, tell_source, tell_violation
from service.contract.dsa_records import DSA, write_dsa_record
from service.contract.fields import message_of, timestamp
from service.contract.resource_names import parse_seller
from service.contract.texts import DEFAULT_LANGUAGE, Texts
from service.ledger.queries.facts import HeldBack
from service.ledger.records import ViolationView

MAX_NAMED = 100
"""Violations that one letter names; it counts the others."""

_HOLDING_BACK = (
    *(MeasureKind.SETTLEMENT_HOLD, MeasureKind.DELIVERY_HOLD, MeasureKind.PAID_AHEAD_LIMIT),
    MeasureKind.ROLLING_RESERVE,
)
"""Measures that hold back money; a suspension holds back none."""


@frozen
class Redress:
    laws: Collection[str]
    """That apply."""
    contest_link: str = ""
    """For complaints; `{measure}` in it is the case. Empty if unknown, as `bodies_link`."""
    bodies_link: str = ""

    def list_links(self, measure: str = "") -> list[str]:
        return [link for link in (self.contest_link.replace("{measure}", measure), self.bodies_link) if link]


@frozen
class LetterFacts:
    seller: str
    """A resource name."""
    answer: WholeAnswer
    violations: Mapping[str, ViolationView]
    """By id, all that the statements name."""
    held_back: HeldBack | None = None


def statement_messages(
    facts: LetterFacts, statements: Sequence[StatementOfReasons], texts: Texts, redress: Redress, *, for_seller: bool
) -> Iterator[answer_pb.StatementOfReasons]:
    """Yield the letters of one seller.

    If the DSA applies, each has its record of the transparency database, but not `for_seller`.
    """
    letters = _LetterWriter(facts, texts, redress)
    is_recorded = DSA in redress.laws and not for_seller
    records = _LetterWriter(facts, Texts(DEFAULT_LANGUAGE), redress) if is_recorded else None
    for statement in statements:
        message = letters.write(statement, is_hidden=for_seller and statement.measure.is_of_caution)
        message.record = "" if records is None else records.write_record(statement)
        yield message


def notice_letter(answer: WholeAnswer, texts: Texts, redress: Redress) -> answer_pb.StatementOfReasons | None:
    """Return the letter about a tier that falls by new rules after their notice, if it does."""
    notice = answer.score.notice
    if notice is None or answer.score.tier is None:
        return None
    now, later = (texts.say(f"tier.{tier.name}") for tier in (answer.score.tier, notice.tier))
    title = texts.say("letter.title", what=texts.say("letter.notice", day=texts.say_day(notice.until), tier=later))
    why, until = texts.say("letter.notice_why"), texts.say("letter.notice_until", tier=now)
    begin = timestamp(notice.until)
    message = answer_pb.StatementOfReasons(start_time=begin, notice_end_time=begin, next_action=until)
    return _fill_letter(
        message, title, [[why], [until], _tell_redress_bodies(texts, redress)], texts, redress.list_links()
    )


class _LetterWriter:
    def __init__(self, facts: LetterFacts, texts: Texts, redress: Redress) -> None:
        self._seller = facts.seller
        self._redress = redress
        self._held_back = facts.held_back
        self._answer = answer = facts.answer
        self._violations = facts.violations
        self._texts = texts
        self._say, self._say_day = texts.say, texts.say_day
        self._time = answer.stamp.observe_time
        self._confirmation_times = find_decision_times(answer.core.known.table.rows)
        bars = find_bars(answer)
        self._shown_measures = [
            measure for measure in answer.in_force.measures if measure.has_effect and measure.measure not in bars
        ]
        self._binding = list_binding(self._shown_measures, self._time)

    def write(self, statement: StatementOfReasons, *, is_hidden: bool) -> answer_pb.StatementOfReasons:
        measure = statement.measure
        views = self._list_views(statement)
        action = self._tell_next_action(statement, views)
        message = message_of(
            answer_pb.StatementOfReasons,
            measure,
            kind=measure.current.kind,
            violations=() if is_hidden else statement.violations,
            reason_codes=[reason.reason_code for reason in statement.reasons],
            automation=statement.decided_by,
            automated_detection=not is_hidden and any(view.automated for view in views),
            credit_risk=statement.is_by_rule_without_violation,
            contest_until_time=statement.contest_until,
            alike=[other.measure for other in statement.alike],
            binding=measure.measure in self._binding,
            notice_end_time=measure.notice_until,
            next_action=action,
            notice_sent_time=None if statement.notice is None else statement.notice.record_time,
            barred_until_time=None if statement.bar is None else statement.bar.fact.until or 0,
            bar_ground="" if statement.bar is None else statement.bar.fact.ground,
        )
        facts_of_caution = self._tell_caution(statement, views)
        facts = [facts_of_caution] if facts_of_caution else self._tell_facts(statement, views)
        paragraphs = [
            [
                self._say(
                    "letter.head", name=parse_seller(self._seller, "seller").marketplace, day=self._say_day(self._time)
                )
            ],
            [*self._tell_whether_open(statement)],
            [*self._tell_notice(measure)],
            [self._tell_end(statement), *self._tell_held_back(statement)],
            *self._tell_similar_measures(statement),
            *facts,
            self._tell_ground(statement),
            [self._say(f"letter.by_{statement.decided_by.word}")],
            [self._say("letter.actions", action=action)],
            self._tell_redress(statement),
            _tell_redress_bodies(self._texts, self._redress),
            [self._say("letter.case", measure=measure.measure)],
        ]
        links = self._redress.list_links(measure.measure)
        return _fill_letter(message, self._make_title(measure), paragraphs, self._texts, links)

    def write_record(self, statement: StatementOfReasons) -> str:
        views = self._list_views(statement)
        sentences = self._tell_caution(statement, views)
        for view in views:
            opening, *_, closing = self._tell_violation(view)
            sentences += [opening, tell_source(view, self._texts), closing]
        title, facts = self._make_title(statement.measure), self._texts.join(sentences)
        return write_dsa_record(self._seller, statement, views, self._answer, title, facts)

    def _list_views(self, statement: StatementOfReasons) -> list[ViolationView]:
        return [self._violations[name] for name in statement.violations if name in self._violations]

    def _make_title(self, measure: MeasureInForce) -> str:
        begin, end = measure.start, measure.end
        is_ahead = begin is not None and begin > self._time
        key = f"letter.title{'_from' * is_ahead}{'_until' * (end is not None)}"
        if key == "letter.title_until" and isinstance(measure.current, Deposit):
            key = "letter.title_until_deposit"
        what = tell_effect(measure.current, self._answer.policy.rule_book.currency, self._texts)
        return self._say(key, what=what, begin=self._say_day(begin or 0), day=self._say_day(end or 0))

    def _tell_caution(self, statement: StatementOfReasons, views: Sequence[ViolationView]) -> list[str]:
        caution = statement.caution
        if caution is None:
            return []
        sentences = [self._say(f"signal.{caution.signal.name}")]
        if caution.signal is CautionSignal.REPORTS:
            confirmed = sum(view.status in COUNTING_STATUSES for view in views)
            decided = "all_confirmed" if confirmed == len(views) else "partly_decided"
            sentences.append(self._say(f"letter.{decided if confirmed else 'undecided'}"))
        return [*sentences, self._say("letter.caution", day=self._say_day(caution.decide_by))]

    def _tell_facts(self, statement: StatementOfReasons, views: Sequence[ViolationView]) -> list[list[str]]:
        sentences: list[str] = []
        if statement.reasons:
            tier = self._answer.score.own_tier
            sentences += [self._say("letter.tier", tier=self._say(f"tier.{tier.name}"))] if tier else []
            sentences += [tell_reason(reason, self._texts) for reason in statement.reasons]
        sentences += [self._say(f"condition.{_choose_condition_key(operand)}") for operand in statement.conditions]
        more = [self._say("letter.more", count=len(views) - MAX_NAMED)] if len(views) > MAX_NAMED else []
        return [sentences, *([*self._tell_violation(view)] for view in views[:MAX_NAMED]), more]

    def _tell_violation(self, view: ViolationView) -> Iterator[str]:
        category, severity = self._say(f"category.{view.category.name}"), self._say(f"severity.{view.severity.name}")
        yield self._say("letter.violation", category=category, severity=severity, day=self._say_day(view.occur_time))
        yield from tell_violation(view, self._texts)
        if (time := self._confirmation_times.get(view.violation)) is not None:
            is_final = view.source in AUTHORITIES and time == view.report_time
            yield self._say("letter.final" if is_final else "letter.confirmed", day=self._say_day(time))

    def _tell_ground(self, statement: StatementOfReasons) -> list[str]:
        sentences = []
        if not statement.measure.rule and statement.statement is not None:
            ground = statement.statement.fact.ground
            sentences += [self._say("ground", ground=ground)] if ground else []
        if statement.measure.reference:
            sentences.append(self._say("letter.reference", reference=statement.measure.reference))
        if statement.measure.legal_ground:
            sentences.append(self._say("letter.legal", ground=statement.measure.legal_ground))
        return sentences

    def _tell_whether_open(self, statement: StatementOfReasons) -> Iterator[str]:
        measure = statement.measure
        is_suspension = isinstance(measure.current, Suspension)
        begun, coming = self._list_suspensions()
        if not self._is_shop_shut():
            yield self._say("letter.open")
        elif not begun or (is_suspension and measure.has_begun(self._time)):
            yield self._say("letter.shut")
        else:
            yield self._say("letter.shut_by_other")
            if not is_suspension:
                yield from self._list_titles([begun[-1], *coming])

    def _is_shop_shut(self) -> bool:
        terms = self._answer.in_force.terms
        return bool(terms.suspension_days) or terms.closes_in_days == 0

    def _list_suspensions(self) -> tuple[list[MeasureInForce], list[MeasureInForce]]:
        suspensions = self._sort_by_date(
            [measure for measure in self._shown_measures if isinstance(measure.current, Suspension)]
        )
        begun = [measure for measure in suspensions if measure.has_begun(self._time)]
        return begun, suspensions[len(begun) :]

    def _sort_by_date(self, measures: Sequence[MeasureInForce]) -> list[MeasureInForce]:
        def find_dates(measure: MeasureInForce) -> tuple[int, bool, int]:
            return max(measure.start or 0, self._time), measure.end is None, measure.end or 0

        return sorted(measures, key=find_dates)

    def _list_titles(self, measures: Sequence[MeasureInForce]) -> list[str]:
        return list(dict.fromkeys(self._make_title(measure) for measure in self._sort_by_date(measures)))

    def _tell_held_back(self, statement: StatementOfReasons) -> Iterator[str]:
        held_back, begin = self._held_back, statement.measure.start or 0
        kinds = (*_HOLDING_BACK, MeasureKind.SUSPENSION)
        if held_back is not None and statement.measure.current.kind in kinds and (held_back.day + 1) * DAY > begin:
            amount = format_amount(held_back.amount_minor, held_back.currency)
            yield self._say("letter.held", amount=amount, day=self._say_day(held_back.day * DAY))

    def _tell_next_action(self, statement: StatementOfReasons, views: Sequence[ViolationView]) -> str:
        if isinstance(statement.measure.current, Deposit):
            return self._texts.join(self._tell_deposit(statement.measure, statement.measure.current))
        if isinstance(statement.measure.current, Suspension) and statement.measure.current.until_plan:
            return self._say("letter.plan")
        if statement.path is not None:
            orders, today = count_recent_orders(self._answer.core.facts), self._time // DAY
            sentence = path_message(statement.path, orders, today, self._texts).sentence
            return self._texts.join([sentence, self._say("letter.path_end")])
        if any(view.status in COUNTING_STATUSES for view in views) and statement.caution is None:
            return self._say("letter.appeal")
        return self._say(f"letter.{_choose_remedy_key(statement)}")

    def _tell_deposit(self, measure: MeasureInForce, required: Deposit) -> Iterator[str]:
        policy = self._answer.policy
        yield self._say("letter.deposit", amount=format_amount(required.amount_minor, policy.rule_book.currency))
        awaiting = {rule.id for rule in policy.rule_book.rules if measure.rule and rule.secures == measure.rule}
        stops = [measure for measure in self._shown_measures if measure.rule in awaiting]
        yield from (self._say("letter.deposit_without", what=self._make_title(stop)) for stop in stops)
        if not stops:
            yield self._say("letter.deposit_no_day")
        if self._is_shop_shut():
            yield self._say("letter.deposit_stays_shut")
        if policy.trade is not None:
            yield self._say("letter.deposit_back", days=policy.trade.deposit_returned_after_days)

    def _tell_notice(self, measure: MeasureInForce) -> Iterator[str]:
        if measure.notice_until is not None:
            what = tell_effect(measure.original, self._answer.policy.rule_book.currency, self._texts)
            yield self._say("letter.stricter", day=self._say_day(measure.notice_until), what=what)

    def _tell_end(self, statement: StatementOfReasons) -> str:
        measure, end = statement.measure, statement.measure.end
        if end is None:
            return self._say("letter.no_end" if measure.rule else "letter.no_end_by_person")
        overlapping = [other for other in statement.alike if (other.start or 0) // DAY <= end // DAY]
        is_followed = any(other.end is None or other.end > end for other in overlapping)
        sentences = [self._say("letter.end_followed" if is_followed else "letter.end", day=self._say_day(end))]
        is_wait = isinstance(measure.current, SettlementHold | DeliveryHold | RollingReserve)
        if is_wait and not measure.is_of_caution:  # an order keeps no caution's wait
            sentences.append(self._say("letter.end_orders"))
        return self._texts.join(sentences)

    def _tell_similar_measures(self, statement: StatementOfReasons) -> Iterator[list[str]]:
        measure, key, alike = statement.measure, "alike", [*statement.alike]
        binding = self._list_titles([other for other in alike if other.measure in self._binding])
        begun = [other.current for other in alike if other.has_begun(self._time)]
        if measure.has_begun(self._time) and combine([measure.current, *begun]) == measure.current.terms:
            key = "strictest"
        if isinstance(measure.current, SettlementHold | DeliveryHold):
            key, alike = "alike_holds", [*alike, *self._list_longest_waits()]
        elif isinstance(measure.current, Suspension):
            key = "alike_shut"
        titles = [title for title in self._list_titles(alike) if title != self._make_title(measure)]
        if titles:
            yield [self._say(f"letter.{key}")]
        yield from ([title] for title in sorted(titles, key=lambda title: title not in binding))

    def _list_longest_waits(self) -> list[MeasureInForce]:
        waits = [
            measure for measure in self._shown_measures if isinstance(measure.current, SettlementHold | DeliveryHold)
        ]
        waits.sort(key=lambda measure: getattr(measure.current, "days", 0))
        return list({measure.current.kind: measure for measure in waits}.values())

    def _tell_redress(self, statement: StatementOfReasons) -> list[str]:
        sentences = []
        if statement.contest_until is not None:
            sentences.append(self._say("letter.contest", day=self._say_day(statement.contest_until)))
            sentences.append(self._say("letter.other_person"))
        if statement.decided_by is Automation.FULL:
            sentences.append(self._say("letter.human_review"))
        right = "if_right_held" if statement.measure.current.kind in _HOLDING_BACK else "if_right"
        sentences.append(self._say(f"letter.{right}"))
        if self._redress.contest_link:
            link, *_ = self._redress.list_links(statement.measure.measure)
            sentences.append(self._say("letter.link", link=link))
        return sentences


def _fill_letter(
    message: answer_pb.StatementOfReasons,
    title: str,
    sentences: Sequence[Sequence[str]],
    texts: Texts,
    links: Sequence[str],
) -> answer_pb.StatementOfReasons:
    paragraphs = [texts.join(sentence) for sentence in sentences if sentence]
    body = "".join(f"<p>{escape(paragraph)}</p>\n" for paragraph in paragraphs)
    if links:
        pattern = "|".join(re.escape(escape(link)) for link in sorted(links, key=len, reverse=True))
        body = re.sub(pattern, r'<a href="\g<0>">\g<0></a>', body)
    head = f'<!doctype html>\n<html lang="{texts.language}">\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
    message.language, message.title = texts.language, title
    message.paragraphs.extend(paragraphs)
    message.text = "\n\n".join([title, *paragraphs]) + "\n"
    message.html = f"{head}<h1>{escape(title)}</h1>\n{body}</html>\n"
    return message


def _tell_redress_bodies(texts: Texts, redress: Redress) -> list[str]:
    bodies = texts.say("law.comma").join(texts.say(f"law.{name}") for name in (*redress.laws, "court"))
    sentences = [texts.say("law.others", bodies=bodies)]
    return [*sentences, texts.say("law.link", link=redress.bodies_link)] if redress.bodies_link else sentences


def _choose_remedy_key(statement: StatementOfReasons) -> str:
    conditions = {_choose_condition_key(operand) for operand in statement.conditions}
    if "deposit" in conditions:
        return "place"
    if any(reason.reason_code == THIN_FILE for reason in statement.reasons):
        return "history"
    if "linked" in conditions:
        return "linked"
    return "trade" if conditions - {"tenure"} else "nothing"


def _choose_condition_key(operand: Operand) -> str:
    if isinstance(operand, FailureRate):
        return "failures"
    if isinstance(operand, MissingDays):
        return "deposit"
    names: dict[Operand, str] = {Quantity.TENURE: "tenure", Quantity.DEPOSIT: "deposit", Quantity.LINK: "linked"}
    return names.get(operand, "settled")
