from dataclasses import replace
from functools import reduce
from typing import NamedTuple

from scoring.answers.whole import WholeAnswer
from scoring.base.enums import Attribution
from scoring.base.errors import LifecycleForbids, SellerNotFound, ViolationNotFound, invalid
from scoring.base.time import DAY
from scoring.entries.cases import trace_stops
from scoring.entries.lifecycle import COUNTING_STATUSES, OPEN_STATUSES
from scoring.measures.imposed import apply_corrections
from scoring.measures.order_payout import OrderPayout
from scoring.measures.restitution import (
    Restitution,
    add_up_captured,
    find_times_taken_back,
    list_restitution_items,
    list_spans_on_violation,
)
from scoring.policy.measures import MAX_HOLD_DAYS, NO_CAP, Terms
from scoring.policy.payout import Order, PayoutLimits, StopDays, find_last_unstopped_day, fix_terms, pay_out
from scoring.policy.policy import Policy, count_untracked_days
from scoring.scores.answer import Stamp
from service.ledger.records import Cut
from service.ledger.store import Ledger
from service.scores.scorer import Scorer


class Payouts:
    """Thread-safe, without state between calls."""

    def __init__(self, ledger: Ledger, scorer: Scorer) -> None:
        self._ledger = ledger
        self._scorer = scorer

    def evaluate(
        self, marketplace: str, seller: str, order: Order, day: int, product_category: str, now: Cut
    ) -> OrderPayout:
        """Return an order's payout on a day (days since 1970), by the terms at its capture and what later reaches
        earlier orders.

        `now` is the cut of all knowledge. Raises InvalidInput for each wrong amount, day or currency; SellerNotFound.
        """
        today = (now.observe_time - 1) // DAY
        if order.capture_day > today:
            raise invalid("capture_day", "must not lie in the future")
        if day < order.capture_day:
            raise invalid("day", "lies before the order's capture")
        cut = replace(now, observe_time=(day + 1) * DAY) if day < today else now
        answer = self._scorer.whole_answer(marketplace, seller, cut)
        in_force = answer.in_force
        captured = self._find_capture(marketplace, seller, order.capture_day, now, answer)
        confirmed_time = None if order.is_disputed else order.confirmed_time
        terms = fix_terms(captured.terms, in_force.find_terms_for_earlier(confirmed_time))
        if terms.delivery_hold_days and order.confirmed_time is None:
            order = replace(order, untracked_day=order.capture_day + count_untracked_days(captured.policy.trade))
        stops = trace_stops(
            answer.recorded.payout_statements,
            lambda violation: self._counts_against(marketplace, seller, violation, cut),
        )
        stopped = [StopDays(stop.begin // DAY, None if stop.end is None else stop.end // DAY) for stop in stops]
        currency = captured.policy.rule_book.currency
        # Value in another currency than the terms' does not count as settled.
        settled = in_force.settled_minor if answer.policy.rule_book.currency == currency else 0
        unstopped_day = find_last_unstopped_day(stopped, day)
        if terms.ahead_days and unstopped_day < day:  # what settles in a stop raises no limit before its end
            settled = min(settled, self._find_settled_value(marketplace, seller, (unstopped_day + 1) * DAY, currency))
        limit = terms.find_ahead_limit(settled)
        payout = pay_out(order, terms, day, currency, PayoutLimits(captured.hold_limit, stopped, limit))
        last = stops[-1] if stops and stops[-1].lasts_past((day + 1) * DAY - 1) else None
        caps = dict(captured.terms.value_caps)
        cap = min(caps.get("", NO_CAP), caps.get(product_category, NO_CAP))
        return OrderPayout(payout, terms, None if cap == NO_CAP else cap, last, limit, captured.stamp, answer.stamp)

    def _find_settled_value(self, marketplace: str, seller: str, until: int, currency: str) -> int:
        try:
            answer = self._scorer.whole_answer(marketplace, seller, self._ledger.cut(until, until))
        except SellerNotFound:
            return 0
        return answer.in_force.settled_minor if answer.policy.rule_book.currency == currency else 0

    def _counts_against(self, marketplace: str, seller: str, violation: str, cut: Cut) -> bool:
        try:
            view = self._ledger.violations.find(marketplace, violation, cut, seller)
        except ViolationNotFound:
            return False
        return view.status in COUNTING_STATUSES and view.attribution is not Attribution.ACCEPTED

    def _find_capture(
        self, marketplace: str, seller: str, capture_day: int, now: Cut, later: WholeAnswer
    ) -> "_CaptureAnswer":
        """Return what holds for an order by the last policy of its capture's day; `later` if nothing was known then.

        Hold and reserve are the strictest of all policies of that day: a commit eases them for no order captured before
        it.
        """
        begin, end, served = capture_day * DAY, (capture_day + 1) * DAY, self._scorer.policy
        moves = served.move_times(begin - 1, end - 1)
        digests = dict.fromkeys(served.digest_at(time) for time in (end, *reversed(moves)))
        policies = [served.find(digest) for digest in digests]
        limit = max(policy.rule_book.hold_limits.get(marketplace, MAX_HOLD_DAYS) for policy in policies)
        present = _CaptureAnswer(later.in_force.terms_at_capture, later.policy, later.stamp, limit)
        if end > now.observe_time and not moves:
            return present
        at_capture = replace(now, observe_time=min(end, now.observe_time))
        try:
            terms_and_stamps = [self._find_terms(marketplace, seller, at_capture, policy) for policy in policies]
        except SellerNotFound:
            return present
        terms = reduce(fix_terms, (terms for terms, _ in terms_and_stamps))
        return _CaptureAnswer(terms, policies[0], terms_and_stamps[0][1], limit)

    def _find_terms(self, marketplace: str, seller: str, cut: Cut, policy: Policy) -> tuple[Terms, Stamp]:
        """Return the terms at a cut's time by a policy, with the knowledge and model of then.

        Measures that rested on a violation overturned since are left out: each aspect is the laxer of then, and of then
        by what is known now.
        """
        until = cut.observe_time
        made_by = self._scorer.champion.at(until - 1), policy
        cuts = self._ledger.cut(until, until), cut
        at_time, corrected = (
            self._scorer.whole_answer(marketplace, seller, answer_cut, made_by=made_by) for answer_cut in cuts
        )
        return at_time.in_force.terms_at_capture.laxer_of(corrected.in_force.terms_at_capture), at_time.stamp

    def restitution(self, marketplace: str, seller: str, violation: str, cut: Cut) -> Restitution:
        """Return the recorded measures that rested on an overturned violation, how long, and what they held.

        Raises ViolationNotFound if the seller has no violation of this id; LifecycleForbids while it is open or valid,
        unless it is attributed to another seller.
        """
        view = self._ledger.violations.find(marketplace, violation, cut, seller)
        is_of_another = view.attribution is Attribution.ACCEPTED
        if view.status in COUNTING_STATUSES | OPEN_STATUSES and not is_of_another:
            status = view.status.word
            raise LifecycleForbids(
                f"{violation!r} is {status}; there is restitution once it is overturned, dismissed or withdrawn",
                {"status": view.status.name, "allowed": "overturn"},
                ("violation",),
            )
        seller_terms = self._ledger.measures.read_seller_terms(marketplace, seller, cut)
        [rows] = self._ledger.facts.table(marketplace, [seller], cut)[0].rows_by_case()
        statements = apply_corrections(seller_terms.statements, rows)
        spans = list_spans_on_violation(violation, statements, find_times_taken_back(violation, rows))
        currency = self._scorer.policy.now.rule_book.currency
        first_day = min((span.begin // DAY for span in spans), default=cut.observe_time // DAY)
        flow = self._ledger.measures.flows(marketplace, [seller], cut, first_day).get(seller, [])
        items = list_restitution_items(spans, flow, seller_terms.deposit_changes, cut.observe_time, currency)
        captured = add_up_captured(spans, flow, cut.observe_time, currency)
        return Restitution(violation, view.status, items, captured, currency)


class _CaptureAnswer(NamedTuple):
    terms: Terms
    policy: Policy
    stamp: Stamp
    hold_limit: int
    """The most days of a hold in the order's marketplace."""
