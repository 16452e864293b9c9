"""Checks of a policy over every cell that it distinguishes."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from scoring.base.enums import RATED_TIERS, Tier
from scoring.base.frozen import frozen
from scoring.base.money import show_amount
from scoring.entries.cases import LINK_RULE, PAYOUTS_RULE
from scoring.policy.measures import (
    MAX_GROUP_DAYS,
    NO_CAP,
    NO_TERMS,
    IntakeCap,
    SettlementHold,
    Suspension,
    Terms,
    combine,
    show_aspect,
)
from scoring.policy.policy import Policy
from scoring.policy.rules import AppliedRule, Quantity, Rule, RuleBook, SettledValue, Situation, is_worse_with_more
from scoring.policy.space import MAX_CELLS, Cell, Space, build_space

MAX_MESSAGES = 5

_MORE_THAN_ANY = 10**18
"""Exceeds every value of a seller."""


def find_contradictions(policy: Policy) -> list[str]:
    """Return the reasons why a policy is unsound; empty if it may be served.

    Terms must never become laxer with fewer points, more standing or count, or less settled value, tenure or deposit,
    nor for UNRATED than for the lowest rated tier. Groups of one product category last at most MAX_GROUP_DAYS together.
    Too many situations are unsound, too.
    """
    messages = [
        f"caution.rules must give no rule the id {rule.id}, which names the ledger's own cases"
        for rule in (policy.caution.rules if policy.caution else ())
        if rule.id in (PAYOUTS_RULE, LINK_RULE)
    ]
    if not policy.rule_book.rules:
        return messages
    messages += [*_find_long_groups(policy.rule_book)][:MAX_MESSAGES]
    space = build_space(policy)
    if len(space) > MAX_CELLS:
        return [
            *messages,
            f"rules tell {len(space):,} situations apart, and at most {MAX_CELLS:,} can be checked; state fewer"
            " different values of standing, incidents, steps and dates",
        ]
    answers = {cell: _find_terms_and_stops(policy.rule_book, space.situation(0, cell)) for cell in space.cells()}
    message_by_fault: dict[tuple[str, str], str] = {}
    for better, worse in _list_worse_neighbours(space, answers):
        if worse not in answers or answers[worse] == answers[better]:
            continue
        (terms, stops), (stricter_terms, stricter_stops) = answers[worse], answers[better]
        laxer_aspects = [
            *_find_laxer_aspects(terms, stricter_terms, space),
            *_find_escaped_stops(stops, stricter_stops),
        ]
        for aspect, value, stricter in laxer_aspects:
            if (fault := (aspect, stricter)) not in message_by_fault:  # one fault, though several situations show it
                rules = _name_rules_behind(policy, aspect, space.situation(0, better))
                message_by_fault[fault] = (
                    f"rules are laxer for who is worse: {aspect} is {value} with {space.describe(worse)}, and {stricter} with"
                    f" {space.describe(better)} (by {rules})"
                )
    return messages + list(message_by_fault.values())[:MAX_MESSAGES]


def _find_long_groups(rules: RuleBook) -> Iterator[str]:
    ids: dict[str, list[str]] = {}
    days: dict[str, set[int]] = {}
    for rule in rules.rules:
        if (group := rule.group) is not None:
            on = rule.condition(Quantity.DAY)
            ids.setdefault(group.product_category, []).append(rule.id)
            days.setdefault(group.product_category, set()).update(range(on.least, on.below or 0))
    for category, named in days.items():
        if len(named) > MAX_GROUP_DAYS:
            yield (
                f"rules {' and '.join(ids[category])} are for the group {category} on {len(named):,} days together; groups of"
                f" one product category must be within {MAX_GROUP_DAYS} days in one policy"
            )


def _list_worse_neighbours(space: Space, cells: Iterable[Cell]) -> Iterator[tuple[Cell, Cell]]:
    """Yield pairs of a cell and one that is worse in a single number."""
    worse_points = dict(zip(space.points[1:], (None, *space.points[1:]), strict=False))
    for cell in cells:
        if cell.points is not None:
            yield cell, cell._replace(points=worse_points[cell.points])
    for index, axis in enumerate(space.axes):
        if axis.operand is Quantity.DAY:
            continue
        rising = axis.values if is_worse_with_more(axis.operand) else axis.values[::-1]
        worse = dict(itertools.pairwise(rising))
        for cell in cells:
            if (value := worse.get(cell.values[index])) is not None:
                yield cell, cell._replace(values=(*cell.values[:index], value, *cell.values[index + 1 :]))


def _find_laxer_aspects(worse: Terms, better: Terms, space: Space) -> Iterator[tuple[str, str, str]]:
    """Yield (aspect, its laxer value for the worse, its value for the better)."""
    categories = {axis.operand.product_category for axis in space.axes if isinstance(axis.operand, SettledValue)}
    for one in (worse, better):
        categories |= {name for name, _ in (*one.value_caps, *one.listing_caps, *one.intake_caps)}
    stricter = better.strictness(categories)
    for aspect, value in worse.strictness(categories).items():
        if value < stricter[aspect]:
            currency = space.currency
            yield (
                aspect,
                show_aspect(aspect, abs(value), currency),
                show_aspect(aspect, abs(stricter[aspect]), currency),
            )


class _Stops(NamedTuple):
    suspensions: list[tuple[Rule, Suspension]]
    awaiting: list[Rule]


def _find_terms_and_stops(rules: RuleBook, seller: Situation) -> tuple[Terms, _Stops]:
    applied = rules.apply(seller)
    suspensions = [(one.rule, one.stated) for one in applied if isinstance(one.stated, Suspension)]
    awaiting = [one.rule for one in applied if one.rule.refill_days]
    return combine(one.current for one in applied if not one.waived), _Stops(suspensions, awaiting)


def _find_escaped_stops(of_worse: _Stops, of_better: _Stops) -> Iterator[tuple[str, str, str]]:
    """Yield each stop of a better seller that a worse one escapes some day, as (aspect, worse's value, better's).

    Another rule replaces a suspension only if it lasts as long on at least the same violations. None replaces a notice,
    or the days for a deposit.
    """
    if any(suspension.terminates and not suspension.notice_days for _, suspension in of_worse.suspensions):
        return
    for rule in of_better.awaiting:
        if rule not in of_worse.awaiting:
            yield "value_caps", "counted anew", f"awaiting the deposit of {rule.secures}"
    others_close = any(suspension.terminates for _, suspension in of_worse.suspensions)
    for rule, suspension in of_better.suspensions:
        replacements = [
            (rule_of_worse, replacing)
            for rule_of_worse, replacing in of_worse.suspensions
            if rule_of_worse is rule or rule.facts <= rule_of_worse.facts
        ]
        if suspension.terminates and others_close and all(other is not rule for other, _ in of_worse.suspensions):
            yield "closes_in_days", "counted anew", f"running by {rule.id}"
        longest = max((replacing.days for _, replacing in replacements if not replacing.terminates), default=0)
        if not suspension.terminates and suspension.days > longest:
            yield "suspension_days", str(longest), str(suspension.days)


def _name_rules_behind(policy: Policy, aspect: str, seller: Situation) -> str:
    name = aspect.partition("[")[0]
    return " and ".join(
        rule.id
        for rule in policy.rule_book.rules
        if rule.holds(seller) and getattr(combine(rule.measures), name) != getattr(NO_TERMS, name)
    )


@frozen
class Oddity:
    kind: str
    """`shadowed`, `overlap`, `gap` or `newcomers`."""
    rule: str
    """Empty for a gap and for newcomers."""
    text: str


def find_oddities(policy: Policy) -> list[Oddity]:
    """Return probable mistakes in a sound policy: rules without effect, equal rules, tiers without a measure,
    newcomers that do not start small.
    """
    book = policy.rule_book
    if not book.rules:
        return []
    space = build_space(policy, with_overrides=True)
    idle_rules = {rule.id: rule for rule in book.rules}
    overlaps: dict[tuple[str, str], str] = {}
    tiers_without_measure = {Tier.UNRATED, *RATED_TIERS[:-1]}
    for cell in space.cells():
        seller = space.situation(0, cell)
        applied = book.apply(seller)
        if any(not one.rule.group for one in applied) and not space.has_violations(cell):
            tiers_without_measure.discard(seller.tier or RATED_TIERS[-1])
        terms = book.terms(seller)
        for name in {one.rule.id for one in applied} & set(idle_rules):
            without_rule = replace(book, rules=tuple(rule for rule in book.rules if rule.id != name))
            if without_rule.terms(seller) != terms:
                del idle_rules[name]
        explicit = [one for one in applied if not _is_added_on_reading(one)]
        for one, other in itertools.combinations(explicit, 2):
            if one.rule.id != other.rule.id and one.current == other.current:
                overlaps.setdefault((one.rule.id, other.rule.id), space.describe(cell))
    return [
        *(
            Oddity("shadowed", name, "never changes the terms of any seller: others are at least as strict")
            for name in idle_rules
        ),
        *(
            Oddity("overlap", one, f"states the same as {other} with {where}")
            for (one, other), where in overlaps.items()
            if one not in idle_rules and other not in idle_rules
        ),
        *(Oddity("gap", "", f"no rule holds in tier {tier.word}") for tier in sorted(tiers_without_measure)),
        *_find_large_newcomers(book),
    ]


def _is_added_on_reading(applied: AppliedRule) -> bool:
    closes = any(isinstance(measure, Suspension) and measure.terminates for measure in applied.rule.measures)
    return bool(applied.rule.secures) or (closes and isinstance(applied.stated, IntakeCap | SettlementHold))


def _find_large_newcomers(book: RuleBook) -> Iterator[Oddity]:
    settled_most = {"": _MORE_THAN_ANY} | {
        operand.product_category: _MORE_THAN_ANY for operand in book.operands if isinstance(operand, SettledValue)
    }
    best = Situation(
        RATED_TIERS[-1],
        settled_minor=settled_most,
        tenure_days=_MORE_THAN_ANY,
        deposit_minor=_MORE_THAN_ANY,
        good_orders=_MORE_THAN_ANY,
    )
    newcomer = Situation(Tier.UNRATED, deposit_minor=_MORE_THAN_ANY)
    newcomer_cap, best_cap = (dict(book.terms(seller).value_caps).get("", NO_CAP) for seller in (newcomer, best))
    if newcomer_cap >= best_cap:
        value = "any value" if newcomer_cap == NO_CAP else show_amount(newcomer_cap, book.currency)
        yield Oddity("newcomers", "", f"a new name may sell {value} a day, as much as the best: no value_cap grows")
