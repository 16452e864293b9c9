"""Payouts of orders, and restitution after an overturn."""

from scoring.entries.cases import trace_stops
from scoring.entries.lifecycle import COUNTING_STATUSES, OPEN_STATUSES
from scoring.enums import Attribution
from scoring.errors import LifecycleForbids, SellerNotFound, ViolationNotFound, invalid
from scoring.measures.imposed import apply_corrections
from scoring.measures.order_payout import OrderPayout
from scoring.measures.restitution import Restitution, captured_in, find_times_away, list_items, list_stood_on
from scoring.policy.measures import MAX_HOLD_DAYS, NO_CAP, Terms
from scoring.policy.payout import Order, Stopped, fix_terms, pay_out
from scoring.scores.answer import Stamp
from scoring.time import DAY
from service.ledger.records import Cut
from service.ledger.store import Ledger
from service.scores.scorer import MAX_ALLEGATIONS, Scorer


class Payouts:
    """Evaluates orders and restitution over one ledger. Thread-safe, without state between calls."""

    def __init__(self, ledger: Ledger, scorer: Scorer) -> None:
        self._ledger = ledger
        self._scorer = scorer

    def evaluate(
        self, marketplace: str, seller: str, order: Order, day: int, product_category: str, now: Cut
    ) -> OrderPayout:
        """Return an order's payout on a day (days since 1970), by the terms at its capture and what later reaches
        earlier orders.

        `now` is the cut of all knowledge. InvalidInput names each wrong amount, day or currency; SellerNotFound if the
        seller has no valid entries.
        """
        today = (now.observe_time - 1) // DAY
        if order.capture_day > today:
            raise invalid("capture_day", "must not lie in the future")
        if day < order.capture_day:
            raise invalid("day", "lies before the order's capture")
        cut = self._ledger.cut((day + 1) * DAY, None) if day < today else now
        later, policy, stamp = self._scorer.measures(marketplace, seller, cut)
        first, currency, capture_stamp = self._at_capture(
            marketplace, seller, order.capture_day, today, (later.terms_at_capture, policy.rule_book.currency, stamp)
        )
        confirmed_time = None if order.is_disputed else order.confirmed_time
        terms = fix_terms(first, later.find_terms_for_earlier(confirmed_time))
        stops = trace_stops(
            self._ledger.measures.of_seller(marketplace, seller, cut).on_payouts,
            lambda violation: self._counts(marketplace, seller, violation, cut),
        )
        payout = pay_out(
            order,
            terms,
            day,
            currency,
            policy.rule_book.hold_limits.get(marketplace, MAX_HOLD_DAYS),
            [Stopped(one.begin // DAY, None if one.end is None else one.end // DAY) for one in stops],
        )
        last = stops[-1] if stops and stops[-1].stands((day + 1) * DAY - 1) else None
        caps = dict(first.value_caps)
        cap = min(caps.get("", NO_CAP), caps.get(product_category, NO_CAP))
        return OrderPayout(payout, terms, None if cap == NO_CAP else cap, last, capture_stamp, stamp)

    def _counts(self, marketplace: str, seller: str, violation: str, cut: Cut) -> bool:
        """Return whether a violation of a seller is confirmed, and its own, as of the cut."""
        try:
            view = self._ledger.violations.find(marketplace, violation, cut, seller)
        except ViolationNotFound:
            return False
        return view.status in COUNTING_STATUSES and view.attribution is not Attribution.ACCEPTED

    def _at_capture(
        self, marketplace: str, seller: str, capture_day: int, today: int, later: tuple[Terms, str, Stamp]
    ) -> tuple[Terms, str, Stamp]:
        """Return the terms and their currency at the end of a day by that day's knowledge, policy and model; `later` if
        nothing was known then.

        Measures that rested on a violation overturned since are left out: of each aspect the laxer of then, and of then by
        what is known now.
        """
        if capture_day >= today:
            return later
        end = (capture_day + 1) * DAY
        served = self._scorer.policy
        policy = served.find(served.digest_at(end))
        try:
            found, _, stamp = self._scorer.measures(marketplace, seller, self._ledger.cut(end, end), policy, end - 1)
            corrected, _, _ = self._scorer.measures(marketplace, seller, self._ledger.cut(end), policy, end - 1)
        except SellerNotFound:
            return later
        terms = found.terms_at_capture.laxer_of(corrected.terms_at_capture)
        return terms, policy.rule_book.currency, stamp

    def restitution(self, marketplace: str, seller: str, violation: str, cut: Cut) -> Restitution:
        """Return the recorded measures that rested on an overturned violation, how long, and what they held.

        ViolationNotFound if the seller has no violation of this id, even if another seller has; LifecycleForbids while
        it is valid.
        """
        view = self._ledger.violations.find(marketplace, violation, cut, seller)
        is_elsewhere = view.attribution is Attribution.ACCEPTED
        if view.status in COUNTING_STATUSES | OPEN_STATUSES and not is_elsewhere:
            status = view.status.name.lower()
            raise LifecycleForbids(
                f"{violation!r} is {status}; there is restitution once it is overturned, dismissed or withdrawn",
                {"status": view.status.name, "allowed": "overturn"},
                ("violation",),
            )
        known = self._ledger.measures.of_seller(marketplace, seller, cut)
        rows, _ = self._ledger.facts.of_seller(marketplace, seller, cut, MAX_ALLEGATIONS)
        statements = apply_corrections(known.statements, rows)
        spans = list_stood_on(violation, statements, find_times_away(violation, rows))
        currency = self._scorer.policy.now.rule_book.currency
        first_day = min((span.begin // DAY for span in spans), default=cut.observe_time // DAY)
        flow = self._ledger.measures.flows(marketplace, [seller], cut, first_day).get(seller, [])
        items = list_items(spans, flow, known.deposit_changes, cut.observe_time, currency)
        captured = captured_in(spans, flow, cut.observe_time, currency)
        return Restitution(violation, view.status, items, captured, currency)
