"""Abstract states of a seller, and the terms that the most trusting model grants in each.

A state is a bucket of settled value and one of tenure, with the deposit left or the age of a run. A bucket grants the
terms of its upper edge and costs its lower one, at the laxest of all tiers, days and marketplaces without violations.
"""

import itertools
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from scoring.base.arrays import Ints
from scoring.base.enums import Tier
from scoring.base.errors import CertificateRefused
from scoring.base.frozen import frozen
from scoring.loss_certificate.assumptions import Assumptions
from scoring.policy.measures import MAX_HOLD_DAYS, PPM, SettlementHold, Suspension, Terms
from scoring.policy.payout import Release, schedule_release
from scoring.policy.policy import Policy, TradeLimits
from scoring.policy.rules import Condition, Quantity, Rule, RuleBook, SettledValue, Situation

MAX_STATES = 4_000_000
PIECES = (4, 2, 1)
"""Most buckets per day's sales below a value that makes terms laxer."""

ANY_VALUE = 2**62
"""Beyond all that a policy asks for."""

TIERS: tuple[Tier | None, ...] = (None, *Tier)
"""All tiers, and None: no model is served."""


class AheadLimit(NamedTuple):
    """The most that is paid out on young orders together; the default is nothing."""

    minor: int = 0
    """Without settled value."""
    ppm: int = 0
    """The share of the settled value that is added."""
    at_most_minor: int = 0
    hold_days: int = MAX_HOLD_DAYS
    """The days of the holds, which also bind young orders."""

    def bound(self, low: int, top: int, cost_ppm: int) -> int:
        """Return the most of the limit less the cost of a history beyond `low`, in a bucket of settled value.

        `cost_ppm`: the least cost of settled value. Worked: 100 and 50,000 ppm, at most 180, in a bucket from 1,000 to
        1,999. The result is 150 at a cost of 60,000 ppm, and 180 at 0.
        """
        needed = max(self.at_most_minor - self.minor, 0)
        full = -(-needed * PPM // self.ppm) if self.ppm else low
        return max(
            min(self.minor - (-settled * self.ppm // PPM), self.at_most_minor) - (settled - low) * cost_ppm // PPM
            for settled in (low, min(max(full, low), top), top)
        )


NOTHING_AHEAD = AheadLimit()


def find_laxest(limits: Iterable[AheadLimit]) -> AheadLimit:
    """Return one limit as lax as each given one: the largest amounts, the shortest hold."""
    minor, ppm, at_most_minor, hold_days = zip(*limits, strict=True)
    return AheadLimit(max(minor), max(ppm), max(at_most_minor), min(hold_days))


@frozen
class GrantedTerms:
    """The most that a model grants, in minor units."""

    cap_minor: int
    deposit_minor: int
    release: Release
    """The release of orders that are no longer young."""
    ahead: AheadLimit = NOTHING_AHEAD

    def find_most_released(self, age_days: int, smallest_order_minor: int) -> int:
        """Return the most that is paid out of a full day's orders by an age in days; small orders round each reserve."""
        return self.cap_minor - self.release.find_held(self.cap_minor, age_days, self.cap_minor // smallest_order_minor)


@frozen
class States:
    settled: tuple[int, ...]
    """Lower edges from 0, in minor units."""
    tenure: tuple[int, ...]
    """Lower edges from 0, in days."""
    deposits: tuple[int, ...]
    """In minor units, rising from 0."""
    granted: tuple[tuple[GrantedTerms, ...], ...]
    run_days: int
    trade: TradeLimits
    notice_days: int = 0
    """Days of a notice with orders after a run."""

    def __len__(self) -> int:
        return 2 + len(self.settled) * len(self.tenure) * (len(self.deposits) + self.run_days)

    def bound_ahead(self, cost_ppm: int) -> Ints:
        """Return the most that is paid out on young orders of a run that ends in a state; shape (buckets, tenures).

        An order keeps the limit of its capture, so each earlier state's limit counts. `cost_ppm`: the least cost of
        settled value before a run's first orders settle.
        """
        cost_ppm = 0 if self.run_days > self.trade.claim_days else cost_ppm
        tops = [*(edge - 1 for edge in self.settled[1:]), ANY_VALUE]
        bounds = np.zeros((len(self.settled), len(self.tenure)), dtype=np.int64)
        laxest_of_lower_buckets = [NOTHING_AHEAD] * len(self.tenure)
        for bucket, (low, top, row) in enumerate(zip(self.settled, tops, self.granted, strict=True)):
            laxest = NOTHING_AHEAD
            for tenure, one in enumerate(row):
                laxest_of_lower_buckets[tenure] = laxest = find_laxest(
                    [one.ahead, laxest_of_lower_buckets[tenure], laxest]
                )
                if laxest.hold_days < self.run_days:
                    bounds[bucket, tenure] = laxest.bound(low, top, cost_ppm)
        return bounds

    def find_farthest_bucket(self, bucket: int, tenure: int) -> int:
        """Return the last bucket of settled value that a run reaches within a day: one beyond a day's sales from the
        upper edge.
        """
        if bucket + 1 == len(self.settled):
            return bucket
        top = self.settled[bucket + 1] - 1 + self.granted[bucket][tenure].cap_minor
        return min(bisect_right(self.settled, top), len(self.settled) - 1)


def build_states(policy: Policy, assumptions: Assumptions) -> States:
    """Return the states of a seller of any tier and past.

    Raise CertificateRefused without limits of trade, for another currency, or if nothing bounds a day's sales.
    """
    return build_stages([policy], assumptions)[0]


def build_stages(policies: Sequence[Policy], assumptions: Assumptions) -> list[States]:
    """Return each policy's states in common buckets, with the longest run and the laxest trade limits of all.

    Raises CertificateRefused beyond MAX_STATES.
    """
    trades = [_require_trade(policy, assumptions) for policy in policies]
    trade = _join_laxest_trade_limits(trades)
    run_days = count_run_days(trade, assumptions)
    thresholds, tenure = (sorted({0}.union(*axis)) for axis in zip(*map(_find_thresholds, policies), strict=True))
    grants = [_grant_by_threshold(policy, assumptions, thresholds, tenure, TIERS) for policy in policies]
    deposits = sorted({0, *(one.deposit_minor for grant in grants for row in grant for one in row)})
    notices = [
        count_notice_days(policy.rule_book, count_run_days(trade_limits, assumptions))
        for policy, trade_limits in zip(policies, trades, strict=True)
    ]
    for pieces in PIECES:
        rows = [[one for row in rows for one in row] for rows in zip(*grants, strict=True)]
        settled = _cut_buckets(rows, thresholds, run_days, pieces)
        stages = [
            States(
                settled,
                tuple(tenure),
                tuple(deposits),
                _spread_to_buckets(grant, thresholds, settled),
                run_days,
                trade,
                notice,
            )
            for grant, notice in zip(grants, notices, strict=True)
        ]
        if len(stages[0]) <= MAX_STATES:
            return stages
    raise CertificateRefused(
        f"a certificate of this policy has {len(stages[0]):,} states, and at most {MAX_STATES:,} can be proven: state fewer"
        " steps of settled value, or a shorter stop"
    )


def _join_laxest_trade_limits(trades: Sequence[TradeLimits]) -> TradeLimits:
    """Return limits under which a run is the longest and takes the most. The allowed loss is the last policy's."""
    return TradeLimits(
        delivery_promise_days=max(trade.delivery_promise_days for trade in trades),
        claim_days=min(trade.claim_days for trade in trades),
        deposit_returned_after_days=min(trade.deposit_returned_after_days for trade in trades),
        deposit_is_refilled=all(trade.deposit_is_refilled and not trade.deposit_refill_days for trade in trades),
        smallest_order_minor=min(trade.smallest_order_minor for trade in trades),
        most_loss_minor=trades[-1].most_loss_minor,
    )


def _spread_to_buckets(
    grant: Sequence[tuple[GrantedTerms, ...]], thresholds: Sequence[int], settled: Sequence[int]
) -> tuple[tuple[GrantedTerms, ...], ...]:
    return tuple(grant[bisect_right(thresholds, low) - 1] for low in settled)


def count_run_days(trade: TradeLimits, assumptions: Assumptions) -> int:
    """Return the days of a run until its confirmation; caution never shortens it, since it can be used up."""
    return trade.delivery_promise_days + assumptions.stop_days + assumptions.confirm_days


def count_notice_days(book: RuleBook, run_days: int) -> int:
    """Return the most days of a notice on which a seller may take orders, less the days of an accompanying suspension.

    Raise CertificateRefused if orders of a notice are paid out before their run is stopped.
    """
    most = 0
    for rule in book.rules:
        if not (notice := max((m.notice_days for m in rule.measures if isinstance(m, Suspension)), default=0)):
            continue
        suspensions = (m for other in book.rules if _always_suspends_beside(other, rule) for m in other.measures)
        days = notice - max((m.days for m in suspensions if isinstance(m, Suspension) and not m.terminates), default=0)
        holds = (m.days for m in rule.measures if isinstance(m, SettlementHold))
        hold = min(max(holds, default=0), *book.hold_limits.values(), MAX_HOLD_DAYS)
        if days > 0 and hold < run_days:
            raise CertificateRefused(
                f"rule {rule.id} lets a seller take orders for {days:,} days of its notice and pays them out after"
                f" {hold:,}, before a run of {run_days:,} days is stopped. Suspend for {notice:,} days, too, or hold longer."
            )
        most = max(most, days)
    return most


def _always_suspends_beside(other: Rule, rule: Rule) -> bool:
    if other is rule:
        return not rule.tiers
    least = rule.condition(Quantity.STANDING).least
    reached = (Condition(Quantity.STANDING, other.condition(Quantity.STANDING).least),)
    rests_alone = other.conditions == reached and reached[0].least <= least and not other.tiers
    return rests_alone and rule.facts == {Quantity.STANDING} and not rule.tiers


def restrict_to_tier(states: States, policy: Policy, assumptions: Assumptions, tier: Tier | None) -> States:
    """Return the states with the terms of one tier alone; None: sellers without a model's tier."""
    thresholds, tenure = _find_thresholds(policy)
    by_threshold = _grant_by_threshold(policy, assumptions, thresholds, tenure, (tier,))
    return replace(states, granted=_spread_to_buckets(by_threshold, thresholds, states.settled))


def _grant_by_threshold(
    policy: Policy,
    assumptions: Assumptions,
    thresholds: Sequence[int],
    tenure: Sequence[int],
    tiers: Sequence[Tier | None],
) -> tuple[tuple[GrantedTerms, ...], ...]:
    return tuple(
        tuple(_find_laxest_grant(policy, assumptions, top - 1, last - 1, tiers) for last in (*tenure[1:], ANY_VALUE))
        for top in (*thresholds[1:], ANY_VALUE)
    )


def _require_trade(policy: Policy, assumptions: Assumptions) -> TradeLimits:
    book = policy.rule_book
    wrong = []
    if policy.trade is None:
        wrong.append("it states no [trade]: how late an order may be promised, and when a deposit is returned")
    if book.currency != assumptions.currency:
        wrong.append(
            f"the assumptions are in {assumptions.currency}, the policy's amounts in {book.currency or 'none'}"
        )
    if policy.trade is None or wrong:
        raise CertificateRefused(f"there is no certificate of the policy {policy.name}: " + "; ".join(wrong))
    return policy.trade


def _find_thresholds(policy: Policy) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return (settled values, days of tenure) that may make terms laxer, both from 0.

    Every seller counts as having placed enough of a deposit.
    """
    lasting = tuple(rule for rule in policy.rule_book.rules if rule.condition(Quantity.DEPOSIT).below is None)
    edges = [*replace(policy.rule_book, rules=lasting).list_edges()]
    settled = {0, *(value for operand, value in edges if isinstance(operand, SettledValue))}
    tenure = {0, *(value for operand, value in edges if operand is Quantity.TENURE)}
    return tuple(sorted(settled)), tuple(sorted(tenure))


def _cut_buckets(
    granted: Sequence[Sequence[GrantedTerms]], thresholds: Sequence[int], run_days: int, pieces: int
) -> tuple[int, ...]:
    """Return the lower edges of buckets: fine below each threshold, as far as a run can sell."""
    edges = set(thresholds)
    for (low, high), row in zip(itertools.pairwise(thresholds), granted, strict=False):
        step = max(max(one.cap_minor for one in row) // pieces, 1)
        edges |= {high - n * step for n in range(1, run_days * pieces + 1) if high - n * step > low}
    return tuple(sorted(edges))


def _find_laxest_grant(
    policy: Policy, assumptions: Assumptions, settled: int, tenure_days: int, tiers: Iterable[Tier | None]
) -> GrantedTerms:
    """Return the laxest terms over tiers, seasons and marketplaces."""
    all_terms = list(_list_possible_terms(policy, settled, tenure_days, tiers))
    caps = [dict(terms.value_caps).get("") for _, _, terms in all_terms]
    for (tier, _, _), cap in zip(all_terms, caps, strict=True):
        if cap is None:
            name = "a seller without a tier" if tier is None else f"tier {tier.word}"
            raise CertificateRefused(
                f"nothing bounds what {name} takes in a day, having settled {settled:,}: state a value_cap without"
                " product_category in a rule that holds for every tier"
            )
    limits = policy.rule_book.hold_limits
    payouts = [
        _split_off_young_orders(terms, assumptions.carrier_days, limits.get(marketplace, MAX_HOLD_DAYS))
        for _, marketplace, terms in all_terms
    ]
    releases, aheads = zip(*payouts, strict=True)
    return GrantedTerms(
        cap_minor=max(cap for cap in caps if cap is not None),
        deposit_minor=min(terms.deposit_minor for _, _, terms in all_terms),
        release=Release(*map(min, zip(*releases, strict=True))),
        ahead=find_laxest(aheads),
    )


def _split_off_young_orders(terms: Terms, carrier_days: int, hold_limit_days: int) -> tuple[Release, AheadLimit]:
    """Return the release of older orders, and the limit on young ones."""
    release = schedule_release(terms, carrier_days, hold_limit_days)
    young_days = min(terms.ahead_days, hold_limit_days)
    if young_days <= release.hold_days:
        return release, NOTHING_AHEAD
    limit = AheadLimit(terms.ahead_minor, terms.ahead_ppm, terms.ahead_at_most_minor, release.hold_days)
    return release._replace(hold_days=young_days), limit


def _list_possible_terms(
    policy: Policy, settled: int, tenure_days: int, tiers: Iterable[Tier | None]
) -> Iterator[tuple[Tier | None, str, Terms]]:
    """Yield (tier, marketplace, terms) of each tier, season and marketplace with own limits, and of another
    marketplace.

    Each season counts as endless, since a cheat chooses its days.
    """
    book = policy.rule_book
    categories = {"", *(operand.product_category for operand in book.operands if isinstance(operand, SettledValue))}
    days = {day for season in book.seasons for day in (season.first_day, season.last_day + 1)} or {0}
    for tier, marketplace, day in itertools.product(tiers, ("", *book.hold_limits), days):
        seller = Situation(
            tier,
            settled_minor=dict.fromkeys(categories, settled),
            marketplace=marketplace,
            tenure_days=tenure_days,
            deposit_minor=ANY_VALUE,
            good_orders=ANY_VALUE,
            day=day,
        )
        yield tier, marketplace, book.terms(seller)
