"""Changes that a policy brings for a ledger's sellers, by segment, now and in a past span, in bounded memory.

The past span shows, by the knowledge of then, violations that the new policy would have stopped, and good sellers that
it would have burdened.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from scoring.base.arrays import Bools, Ints
from scoring.base.enums import Tier
from scoring.base.errors import invalid
from scoring.base.frozen import frozen
from scoring.base.progress import Progress
from scoring.base.time import DAY
from scoring.entries.accounts import list_balances
from scoring.features.resolved import SellerFacts, resolve_as_reported, resolve_sellers
from scoring.measures.in_force import InForce, MeasureInputs, evaluate_measures
from scoring.measures.waiting import WAITING
from scoring.model.artifact import Artifact
from scoring.policy.measures import PPM, Suspension, Terms, Waiver, combine
from scoring.policy.payout import schedule_release
from scoring.policy.policy import Policy
from scoring.policy.rules import MissingDays, Quantity
from scoring.scores.population import (
    Placement,
    Population,
    add_cautions,
    observe,
    place,
)
from scoring.scores.score import compute_answer
from scoring.scores.settled_value import add_up_recent_settled, add_up_settled, list_exposure_values
from scoring.scores.tiers import NO_TIER, find_cases_with_violation
from service.ledger.records import Cut
from service.ledger.store import Ledger
from service.policy.caution_flows import read_cautions

MAX_SELLERS = 2_000
MAX_EXAMPLES = 20
SIZES = ((10_000, "10,000 or more"), (1_000, "1,000 to 9,999"), (100, "100 to 999"), (1, "1 to 99"), (0, "none"))
"""By their lower end, of settled orders."""


@frozen
class SellerChange:
    marketplace: str
    seller: str
    tiers: tuple[str, str]
    """Before and after. `none` if the model is missing."""
    aspects: tuple[str, ...]
    """Such as `hold_days 7 -> 14`."""


@frozen
class PastViolation:
    """With each policy's terms for its seller then."""

    marketplace: str
    seller: str
    violation: str
    time: int
    """In microseconds."""
    stopped_before: bool
    """Whether the old policy barred the seller from selling, or from listing new goods."""
    stopped_after: bool


class _PastReport(NamedTuple):
    time: int
    marketplace: str
    seller: str
    violation: str


@dataclass(slots=True)
class Preview:
    recorded: int = 0
    """Sellers of the marketplaces; a sample looks at some."""
    sellers: int = 0
    segments: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    """By (`all`, `marketplace`, `settled_orders`, `product_category` or `tier`, its name): counts of `sellers`,
    `tier_up`, `tier_down`, `stricter`, `laxer` and `mixed` terms. `noticed` counts sellers whose tier, reviews or
    listings get stricter. In minor units: `held_before` and `held_after`, sellers' money that waits, `deposits_before`
    and `deposits_after`.
    """
    partly_valued: int = 0
    """Sellers with settled orders without a value in the policies' currency."""
    tiers: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By (before, after)."""
    bands: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Likewise, if a policy names bands; `none` for a seller without one."""
    aspects: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    """Sellers by the new policy's rule, of caution as `caution~ID`; for a group's rule, sellers in its category."""
    unsold: dict[str, set[str]] = field(default_factory=dict)
    """By rule, product categories that no seller sells."""
    examples: list[SellerChange] = field(default_factory=list)
    violations: list[PastViolation] = field(default_factory=list)
    violations_omitted: int = 0
    good: int = 0
    """Recorded at the span's beginning, without a violation since."""
    hurt: int = 0
    """Those whose terms would have been stricter then."""
    hurt_examples: list[SellerChange] = field(default_factory=list)

    def segment_rows(self) -> list[tuple[str, str, Counter[str]]]:
        """Return (kind, name, counts) as in `segments`: kinds as they first appeared, most sellers first."""
        order = list(dict.fromkeys(kind for kind, _ in self.segments))
        rows = [(kind, name, counts) for (kind, name), counts in self.segments.items()]
        return sorted(rows, key=lambda row: (order.index(row[0]), -row[2]["sellers"], row[1]))

    def rule_rows(self) -> list[tuple[str, int, str]]:
        """Return (rule, sellers it applies to, a warning or ""), in the policy's order."""
        return [(rule, count, self._note(rule, count)) for rule, count in self.rules.items()]

    def _note(self, rule: str, count: int) -> str:
        if unsold := self.unsold.get(rule):
            return f"nobody sells {', '.join(sorted(unsold))}"
        return "nobody" if count == 0 else "everybody" if count == self.sellers else ""

    def list_stopped_only(self, *, by_new: bool) -> list[PastViolation]:
        """Return the violations that only the new policy would have stopped, or without `by_new`, only the old one."""
        return [v for v in self.violations if v.stopped_after != v.stopped_before and v.stopped_after == by_new]


@frozen
class Question:
    before: Policy
    after: Policy
    artifact: Artifact | None
    cut: Cut
    since_day: int
    """Since 1970-01-01."""
    max_violations: int
    """The latest first."""

    def __post_init__(self) -> None:
        before, after = (policy.rule_book.currency for policy in self.policies())
        if before and after and before != after:
            raise invalid("currency", f"is {after}, and {before} in the policy before it; compare sums in one currency")

    def policies(self) -> tuple[Policy, Policy]:
        return self.before, self.after

    def list_exposure_values(self) -> set[str]:
        """Return the currencies and failures that either policy reads."""
        return list_exposure_values(self.policies()) | ({self.currency} - {""})

    @property
    def currency(self) -> str:
        """Return the one currency of both policies, or "" if neither states one."""
        return self.after.rule_book.currency or self.before.rule_book.currency


def preview(
    ledger: Ledger, marketplaces: Sequence[str], question: Question, progress: Progress, sample_size: int | None = None
) -> Preview:
    """Place sellers by the policies before and after, and count what changes; the ledger stays as it is.

    `sample_size`: about so many sellers, evenly by id; None: all.
    """
    rules = question.after.rule_book.rules
    result = Preview(
        rules=Counter(dict.fromkeys((rule.id for rule in rules), 0)),
        unsold={rule.id: rule.product_categories for rule in rules},
    )
    reports: list[_PastReport] = []
    sellers = {name: [*_list_sellers(ledger, name)] for name in marketplaces}
    result.recorded = sum(map(len, sellers.values()))
    if sample_size is not None:
        sellers = {
            name: seller_names[:: max(result.recorded // sample_size, 1)] for name, seller_names in sellers.items()
        }
    total, done_count = sum(map(len, sellers.values())), 0
    for marketplace, names in sellers.items():
        for part in _split_sellers(ledger, marketplace, names):
            _place_part(ledger, marketplace, part, question, result, reports)
            progress("sellers", done_count := done_count + len(part), total)
    reports.sort(reverse=True)
    result.violations_omitted = max(len(reports) - question.max_violations, 0)
    latest = reports[: question.max_violations]
    policies = [*map(keep_stopping_rules, question.policies())]
    for number, report in enumerate(latest, 1):
        result.violations.append(_look_back(ledger, question, policies, report))
        progress("violations of the past", number, len(latest))
    return result


def _list_sellers(ledger: Ledger, marketplace: str) -> Iterator[str]:
    after = ""
    while page := ledger.sellers.list(marketplace, after, 10_000):
        yield from page
        after = page[-1]


def _split_sellers(ledger: Ledger, marketplace: str, sellers: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(sellers), MAX_SELLERS):
        yield from ledger.facts.batches(marketplace, sellers[first : first + MAX_SELLERS])


def _place_part(
    ledger: Ledger,
    marketplace: str,
    sellers: Sequence[str],
    question: Question,
    totals: Preview,
    reports: list[_PastReport],
) -> None:
    cut = question.cut
    table, _ = ledger.facts.table(marketplace, sellers, cut, question.list_exposure_values())
    now = resolve_sellers(sellers, table, cut.observe_time)
    people, before, after = _place_both(ledger, marketplace, now, question)
    exists = people.exists
    totals.sellers += int(exists.sum())
    changes = _Changes(before, after, question)
    _count_segments(totals, people, changes, question)
    totals.rules.update(after.by_rule)
    for unsold_products in totals.unsold.values():
        unsold_products.difference_update(table.products)
    for rule in question.after.rule_book.rules:
        if rule.group is not None:
            totals.rules[rule.id] += (
                int((people.sells(rule.group.product_category) & exists).sum()) - after.by_rule[rule.id]
            )
    _collect_examples(totals.examples, marketplace, sellers, changes, changes.moved & exists)
    violations = people.facts.violations
    recent = violations.take(violations.day >= question.since_day)
    for case, row in zip(recent.case.tolist(), recent.row.tolist(), strict=True):
        entry = table.rows[row]
        reports.append(_PastReport(entry.occur_time, marketplace, sellers[case], str(entry.violation)))
    since_time = question.since_day * DAY
    sellers_then = resolve_as_reported(sellers, table, since_time)
    people, before, after = _place_both(ledger, marketplace, sellers_then, question)
    good = people.exists & (np.bincount(recent.case, minlength=len(sellers)) == 0)
    changes = _Changes(before, after, question)
    hurt = good & changes.stricter
    totals.good += int(good.sum())
    totals.hurt += int(hurt.sum())
    _collect_examples(totals.hurt_examples, marketplace, sellers, changes, hurt)


def _place_both(
    ledger: Ledger, marketplace: str, seller_facts: SellerFacts, question: Question
) -> tuple[Population, Placement, Placement]:
    people = observe(seller_facts, marketplace, question.artifact, question.policies())
    cut = replace(question.cut, observe_time=seller_facts.observe_time)
    operands = {operand for policy in question.policies() for operand in policy.rule_book.operands}
    needs_deposits = any(one is Quantity.DEPOSIT or isinstance(one, MissingDays) for one in operands)
    violators = (
        seller_facts.sellers[case] for case in np.flatnonzero(find_cases_with_violation(people.facts)).tolist()
    )
    known_by_seller = ledger.measures.of_sellers(
        marketplace, [*(seller_facts.sellers if needs_deposits else violators)], cut
    )
    placed = []
    for policy in question.policies():
        book = policy.rule_book
        deposits = np.zeros((book.refill_days + 1, people.facts.cases), dtype=np.int64)
        for case, seller in enumerate(seller_facts.sellers):
            if seller in known_by_seller and (changes := known_by_seller[seller].deposit_changes):
                deposits[:, case] = list_balances(changes, book.currency, cut.observe_time, book.refill_days)
        placement = place(policy, people, deposits)
        if policy.caution is not None:
            cautions = read_cautions(ledger, marketplace, seller_facts, cut, policy)
            of_existing = {case: cautions[case] for case in cautions if people.exists[case]}
            placement = add_cautions(policy, placement, marketplace, of_existing)
        placed.append(placement)
    if lifted := [seller for seller, terms in known_by_seller.items() if terms.lifts]:
        cases = [seller_facts.sellers.index(seller) for seller in lifted]
        evaluated = _evaluate(ledger, question, marketplace, lifted, cut, question.policies())
        placed = [
            _replace_terms(placement, cases, in_force) for placement, in_force in zip(placed, evaluated, strict=True)
        ]
    before, after = placed
    return people, before, after


def _replace_terms(placed: Placement, cases: Sequence[int], in_force: Sequence[InForce | None]) -> Placement:
    """Give the cases the terms of the measures evaluated for them."""
    places = {terms: number for number, terms in enumerate(placed.terms)}
    terms_of, by_rules_of = placed.terms_of.copy(), placed.by_rules_of.copy()
    for case, measures in zip(cases, in_force, strict=True):
        if measures is not None:
            terms_of[case] = places.setdefault(measures.terms, len(places))
            by_rules_of[case] = places.setdefault(measures.terms_at_capture, len(places))
    return replace(placed, terms=[*places], terms_of=terms_of, by_rules_of=by_rules_of)


class _Changes:
    def __init__(self, before: Placement, after: Placement, question: Question) -> None:
        self.before, self.after = before, after
        self.pair = before.terms_of * len(after.terms) + after.terms_of
        pairs = np.unique(self.pair).tolist()
        terms_by_pair = {
            pair: (before.terms[pair // len(after.terms)], after.terms[pair % len(after.terms)]) for pair in pairs
        }
        currencies = question.currency, question.currency
        self.aspects = {pair: tuple(old.list_changes(new, currencies)) for pair, (old, new) in terms_by_pair.items()}
        comparisons = {pair: _compare(*terms) for pair, terms in terms_by_pair.items()}
        by_rules = [*zip(before.by_rules_of.tolist(), after.by_rules_of.tolist(), strict=True)]
        waiting = {pair: _compare(before.terms[pair[0]], after.terms[pair[1]]).waits for pair in {*by_rules}}
        self.waits = (after.tier < before.tier) | np.array([waiting[pair] for pair in by_rules], dtype=np.bool_)
        self.stricter = np.isin(self.pair, [pair for pair, comparison in comparisons.items() if comparison.is_stricter])
        self.laxer = np.isin(self.pair, [pair for pair, comparison in comparisons.items() if comparison.is_laxer])
        self.moved = self.stricter | self.laxer | (before.tier != after.tier)


class _TermsComparison(NamedTuple):
    """Whether later terms are stricter in any aspect, laxer in any, and stricter in any that waits for a notice."""

    is_stricter: bool
    is_laxer: bool
    waits: bool


def _compare(before: Terms, after: Terms) -> _TermsComparison:
    caps = [name for terms in (before, after) for kind in _CAPS for name, _ in getattr(terms, kind)]
    old, new = before.strictness(caps), after.strictness(caps)
    stricter = [name.partition("[")[0] for name, value in old.items() if new[name] > value]
    is_laxer = any(new[name] < value for name, value in old.items())
    return _TermsComparison(bool(stricter), is_laxer, not set(WAITING).isdisjoint(stricter))


_CAPS = ("value_caps", "listing_caps", "intake_caps")


def _count_segments(totals: Preview, people: Population, changes: _Changes, question: Question) -> None:
    exists = people.exists
    tiers = changes.before.tier, changes.after.tier
    settled, is_partial = _find_settled(people, question.currency)
    totals.partly_valued += int((is_partial & exists).sum())
    counts: dict[str, np.ndarray] = {
        "sellers": exists,
        "tier_up": tiers[1] > tiers[0],
        "tier_down": tiers[1] < tiers[0],
        "stricter": changes.stricter & ~changes.laxer,
        "laxer": changes.laxer & ~changes.stricter,
        "mixed": changes.laxer & changes.stricter,
        "noticed": changes.waits,
    }
    for when, policy, placed in zip(
        ("before", "after"), question.policies(), (changes.before, changes.after), strict=True
    ):
        counts[f"held_{when}"] = _find_held(policy, people, placed, settled)
        recent = add_up_recent_settled(people.facts, people.known.table, policy.rule_book).tolist()
        rows = zip(recent, placed.terms_of.tolist(), strict=True)
        counts[f"deposits_{when}"] = np.array([placed.terms[number].find_deposit(sold) for sold, number in rows])
    names = {
        "all": ["all"] * len(exists),
        "marketplace": [people.marketplace] * len(exists),
        "settled_orders": [
            next(name for least, name in SIZES if n >= least) for n in people.facts.settled_orders.tolist()
        ],
        "product_category": [name or "none" for name in people.largest_products()],
        "tier": [_name_tier(number) for number in tiers[0].tolist()],
    }
    for kind, seller_names in names.items():
        codes, code_index = np.unique(np.array(seller_names), return_inverse=True)
        sums = {what: np.zeros(len(codes), dtype=np.int64) for what in counts}
        for what, values in counts.items():
            np.add.at(sums[what], code_index[exists], values[exists])
        for number, name in enumerate(codes.tolist()):
            segment = totals.segments.setdefault((kind, name), Counter())
            segment.update({what: int(by_name[number]) for what, by_name in sums.items()})
    if any(policy.bands for policy in question.policies()):
        placements = zip(question.policies(), (changes.before, changes.after), strict=True)
        before, after = ([*_list_bands(policy, placed, exists)] for policy, placed in placements)
        totals.bands.update(zip(before, after, strict=True))
    for (old, new), number in _count_pairs(tiers[0][exists], tiers[1][exists]):
        totals.tiers[_name_tier(old), _name_tier(new)] += number
    for pair, number in zip(*(a.tolist() for a in np.unique(changes.pair[exists], return_counts=True)), strict=True):
        totals.aspects.update(dict.fromkeys(changes.aspects[pair], number))


def _list_bands(policy: Policy, placed: Placement, exists: Bools) -> Iterator[str]:
    for tier, points in zip(placed.tier[exists].tolist(), placed.tier_points[exists].tolist(), strict=True):
        band = policy.find_band(None if tier == NO_TIER else Tier(tier), points if points >= 0 else None)
        yield band or "none"


def _find_settled(people: Population, currency: str) -> tuple[Ints, Bools]:
    """Return each seller's settled value in minor units, and whether some of its orders state no value."""
    facts, table = people.facts, people.known.table
    settled = add_up_settled(facts, table, currency).get("", np.zeros(facts.cases, dtype=np.int64))
    is_partial = np.zeros(facts.cases, dtype=np.bool_)
    if currency in table.values:
        lacks_value = (table.values[currency][facts.exposure_row] == 0) & (facts.exposure_orders > 0)
        is_partial[facts.exposure_case[lacks_value]] = True
    return settled, is_partial


def _find_held(policy: Policy, people: Population, placed: Placement, settled_minor: Ints) -> Ints:
    """Return what each seller waits for at a time, if it sells each day what it settled a day on average.

    In minor units, shape (n,); each order arrives on the latest promised day. Worked: 100 a day, paid 7 days after an
    arrival on day 7, are 1,400; with a hold of 30 days 3,000.
    """
    promise = 0 if policy.trade is None else policy.trade.delivery_promise_days
    settled = settled_minor.tolist()
    a_day = [value // max(days, 1) for value, days in zip(settled, people.facts.tenure_days.tolist(), strict=True)]
    amounts = []
    for value, sold, terms_index in zip(settled, a_day, placed.terms_of.tolist(), strict=True):
        terms = placed.terms[terms_index]
        release, limit = schedule_release(terms, promise), terms.find_ahead_limit(value)
        young = max(terms.ahead_days - release.hold_days, 0) * sold
        reserved = max(release.reserve_days - release.hold_days, 0) * sold * release.reserve_ppm // PPM
        amounts.append(release.hold_days * sold + max(young - (young if limit is None else limit), 0) + reserved)
    return np.array(amounts, dtype=np.int64)


def _count_pairs(old: Ints, new: Ints) -> Iterator[tuple[tuple[int, int], int]]:
    values, numbers = np.unique(np.stack([old, new], axis=1), axis=0, return_counts=True)
    for pair, number in zip(values.tolist(), numbers.tolist(), strict=True):
        yield (pair[0], pair[1]), number


def _collect_examples(
    examples: list[SellerChange], marketplace: str, sellers: Sequence[str], changes: _Changes, is_example: np.ndarray
) -> None:
    counts = Counter(example.tiers for example in examples)
    for case in np.flatnonzero(is_example).tolist():
        tiers = _name_tier(int(changes.before.tier[case])), _name_tier(int(changes.after.tier[case]))
        if counts[tiers] < MAX_EXAMPLES:
            counts[tiers] += 1
            examples.append(SellerChange(marketplace, sellers[case], tiers, changes.aspects[int(changes.pair[case])]))


def _name_tier(number: int) -> str:
    return "none" if number == NO_TIER else Tier(number).word


def _look_back(
    ledger: Ledger,
    question: Question,
    policies: Sequence[Policy],
    report: _PastReport,
) -> PastViolation:
    time, marketplace, seller, violation = report
    cut = replace(question.cut, observe_time=time)
    evaluated = _evaluate(ledger, question, marketplace, [seller], cut, policies)
    stopped = [measures is not None and _stops(measures.terms) for [measures] in evaluated]
    return PastViolation(marketplace, seller, violation, time, *stopped)


def _evaluate(
    ledger: Ledger, question: Question, marketplace: str, sellers: Sequence[str], cut: Cut, policies: Sequence[Policy]
) -> Iterator[list[InForce | None]]:
    """Yield, by policy, the measures in force on each seller at a cut's time."""
    table, _ = ledger.facts.table(marketplace, sellers, question.cut, question.list_exposure_values())
    seller_facts = resolve_as_reported(sellers, table, cut.observe_time)
    known_by_seller = ledger.measures.of_sellers(marketplace, sellers, cut)
    for policy in policies:
        currency, asks_for_tier = policy.rule_book.currency, any(rule.tiers for rule in policy.rule_book.rules)
        cautions = read_cautions(ledger, marketplace, seller_facts, cut, policy)
        answer = compute_answer(
            seller_facts, question.artifact if asks_for_tier else None, policy, cautions, looks_back=True
        )
        days = policy.rule_book.refill_days
        inputs = {
            seller: MeasureInputs(
                known.statements, list_balances(known.deposit_changes, currency, cut.observe_time, days)
            )
            for seller, known in known_by_seller.items()
        }
        yield evaluate_measures(answer, marketplace, inputs)


def keep_stopping_rules(policy: Policy) -> Policy:
    """Return a policy with only the rules that bar a seller from selling or listing, or waive."""
    rules = [
        rule
        for rule in policy.rule_book.rules
        if any(isinstance(measure, Suspension | Waiver) or _stops(combine([measure])) for measure in rule.measures)
    ]
    return replace(policy, rule_book=replace(policy.rule_book, rules=tuple(rules)))


def _stops(terms: Terms) -> bool:
    return terms.suspension_days > 0 or dict(terms.intake_caps).get("") == 0 or dict(terms.value_caps).get("") == 0
