from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from scoring.measures.listed import MeasureInForce
from scoring.policy.measures import RESTRICTIONS, IntakeCap, ListingCap, Restriction, Suspension, Terms
from scoring.policy.rules import Rule

WAITING = ("listing_caps", "intake_caps", *(kind.word for kind in RESTRICTIONS))
"""The aspects of terms that wait."""


class TermsBefore(NamedTuple):
    """The terms of a seller by the rules that were served before a move, on the same facts."""

    terms: Terms
    until: int
    """When the notice of the move ends, in microseconds."""


def wait_for_notice(one: MeasureInForce, rule: Rule, notices: Iterable[TermsBefore]) -> MeasureInForce | None:
    """Return a rule's measure as it is while notices run; None if it ends before it would begin.

    Rules that suspend, and rules for groups, which name a legal ground, do not wait. Worked: a cap of 200 listings in
    place of 500 is 500 until the notice ends; in place of none it begins then.
    """
    if rule.group is not None or any(isinstance(measure, Suspension) for measure in rule.measures):
        return one
    for terms, until in notices:
        original = one
        match one.current:
            case ListingCap(listings=cap, product_category=name) if name in (caps := dict(terms.listing_caps)):
                one = replace(one, current=ListingCap(max(cap, caps[name]), name))
            case IntakeCap(new_listings=cap, product_category=name) if name in (caps := dict(terms.intake_caps)):
                one = replace(one, current=IntakeCap(max(cap, caps[name]), name))
            case Restriction(kind=kind) if getattr(terms, kind.word):
                pass
            case ListingCap() | IntakeCap() | Restriction():
                one = replace(one, start=max(one.start or 0, until))
        if one != original and (one.end is None or until < one.end):
            one = replace(one, notice_until=max(one.notice_until or 0, until))
    is_over = one.start is not None and one.end is not None and one.end <= one.start
    return None if is_over else one
