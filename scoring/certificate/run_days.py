"""How long a run goes on: until it is stopped, or confirmed where no caution of the policy keeps it stopped until then."""

from scoring.certificate.assumptions import Assumptions
from scoring.policy.caution import CautionRule
from scoring.policy.measures import SettlementHold, ValueCap
from scoring.policy.policy import Policy, TradeLimits


def count_run_days(policy: Policy, trade: TradeLimits, assumptions: Assumptions) -> int:
    """Return for how many days a run goes on: orders of these days are captured, none of later ones.

    A caution that ends before the violation is confirmed, or under which orders are captured or paid out, stops nothing.
    Any rule of caution may be the one that is set off, so that the weakest of them counts, and none where there is none.
    """
    stopped = trade.delivery_promise_days + assumptions.stop_days
    confirmed = stopped + assumptions.confirm_days
    rules = policy.caution.rules if policy.caution is not None else ()
    longest_hold = min(policy.rule_book.hold_limits.values(), default=confirmed)
    lasting = min((rule.days if _stops(rule, confirmed, longest_hold) else 0 for rule in rules), default=0)
    return confirmed if lasting < assumptions.confirm_days else stopped


def _stops(rule: CautionRule, run_days: int, longest_hold: int) -> bool:
    """Return whether nothing is captured under a caution, nor paid out of the orders of as many days before."""
    hold = max((m.days for m in rule.measures if isinstance(m, SettlementHold)), default=0)
    is_capped = any(isinstance(m, ValueCap) and m.value_minor == 0 and not m.product_category for m in rule.measures)
    return is_capped and min(hold, longest_hold) >= run_days
