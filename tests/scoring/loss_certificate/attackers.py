"""Adaptive attackers: plans played on the marketplace; the best are varied and played again."""

import random
from bisect import bisect_right

from scoring.base.enums import Category, Severity, Tier
from scoring.loss_certificate.states import GrantedTerms, States
from scoring.policy.measures import Terms
from scoring.policy.policy import Policy
from scoring.policy.sample import Breach
from tests.helpers.lives import Life, cap_of

TIERS = (None, *Tier)
BREACHES = [(category, severity) for category in (Category.COUNTERFEIT, Category.SERVICE) for severity in Severity]


def is_paid_sooner(terms: Terms, granted: GrantedTerms) -> bool:
    """Return whether real terms pay out sooner, or more on young orders, than an abstract state's."""
    hold = max(terms.hold_days, terms.delivery_hold_days)
    limit = (terms.ahead_minor, terms.ahead_ppm, terms.ahead_at_most_minor)
    is_above = terms.ahead_days > hold and any(one > most for one, most in zip(limit, granted.ahead[:3], strict=True))
    return is_above or max(hold, terms.ahead_days) < granted.release.hold_days


def live_at_random(policy: Policy, states: States, life: Life, chance: random.Random, days: int) -> int:
    """Live some days at random; return on how many days the real terms were laxer than the abstract state's.

    Days also count on which a name without refunds moved farther during a run than an edge leads.
    """
    laxer, place, takes_back = 0, (0, 0), chance.random() < 0.5
    for season in policy.rule_book.seasons:
        life.origin = season.first_day - chance.randrange(days)
    misbehaves, pauses = chance.random() < 0.3, chance.random() < 0.3
    for number in range(days):
        if misbehaves and chance.random() < 0.1:
            life.breach(f"v{number}", Breach(*chance.choice(BREACHES), incident=chance.randrange(3)))
        if misbehaves and chance.random() < 0.05 and life.breaches:
            life.overturn(chance.choice([*life.breaches]))
        if pauses and life.started is None and chance.random() < 0.1:
            life.day += chance.randrange(1, 400)
            life.sleep()
        life.tier = chance.choice((None, *Tier))
        if life.started is None:
            life.refill()
        terms = life.terms
        bucket = bisect_right(states.settled, life.settled) - 1
        tenure = bisect_right(states.tenure, life.day) - 1
        granted = states.granted[bucket][tenure]
        laxer += (
            cap_of(terms) > granted.cap_minor
            or is_paid_sooner(terms, granted)
            or (terms.reserve_ppm < granted.release.reserve_ppm or terms.reserve_days < granted.release.reserve_days)
            or terms.deposit_minor < granted.deposit_minor
        )
        if life.started is not None and not takes_back:
            laxer += bucket > states.find_farthest_bucket(*place) or tenure > place[1] + 1
        place = bucket, tenure
        share = chance.choice([0, 1, chance.random()])
        if chance.random() < 0.15:
            life.keep_none([int(life.room() * share)])
        else:
            life.sell(int(life.room() * share), to_itself=chance.random() < 0.5)
        if takes_back and chance.random() < 0.2:
            life.refund(chance.randrange(1, 2 + life.settled))
        life.sleep()
    return laxer
