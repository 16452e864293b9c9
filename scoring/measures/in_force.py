from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest

import numpy as np

from scoring.base.arrays import Ints
from scoring.base.enums import Kind, ScoreState
from scoring.base.frozen import frozen
from scoring.base.time import DAY
from scoring.features.columns import FactRow
from scoring.measures.imposed import ImpositionContext, list_imposed
from scoring.measures.listed import MeasureInForce
from scoring.measures.record import LinkInForce, MeasureLift, MeasureStatement, find_lifts, name_measure
from scoring.measures.waiting import TermsBefore, wait_for_notice
from scoring.policy.history import (
    EstablishedViolation,
    SumStep,
    add_up_incident,
    find_bounds,
    list_established,
    matches,
    trace_facts,
    value_at,
)
from scoring.policy.measures import Deposit, Measure, Suspension, Terms, combine
from scoring.policy.policy import Policy
from scoring.policy.rules import (
    AppliedRule,
    Counter,
    Ladder,
    MissingDays,
    Operand,
    Quantity,
    Rule,
    RuleBook,
    Situation,
    find_start_of_effect,
)
from scoring.policy.standing import StandingTable
from scoring.scores.answer import SellerScore
from scoring.scores.look_back import PastTiers
from scoring.scores.reasons import group_entries_by_violation
from scoring.scores.score import CoreAnswer
from scoring.scores.settled_value import (
    add_up_recent_settled,
    add_up_settled,
    count_good_orders,
    find_rates_and_missing_days,
)

MAX_LISTED_ENTRIES = 1_000
"""Most entries that one measure lists; it counts the others."""

MAX_LISTED_PARTS = 1_000


@frozen
class StandingPart:
    points: int
    until: int
    """The midnight when its youngest violation stops counting, in microseconds."""
    entries: tuple[str, ...]


@frozen
class MeasureInputs:
    """Inputs of one seller's measures that its score does not use."""

    statements: Sequence[MeasureStatement] = ()
    """About its measures, by sequence."""
    deposits_minor: Sequence[int] = (0,)
    """Placed now, then at the end of each earlier day, in minor units of the policy's currency."""
    links: Sequence[LinkInForce] = ()
    """The strongest first."""


NO_INPUTS = MeasureInputs()


@frozen
class InForce:
    score: SellerScore
    measures: tuple[MeasureInForce, ...]
    """In the order of the policy's rules; then cautions; then persons' measures."""
    terms: Terms
    """Terms of all measures that have begun and are neither waived nor lifted, cautions included."""
    terms_at_capture: Terms
    """The same without cautions: the lasting terms of an order that is captured now."""
    observe_time: int
    standing_parts: tuple[StandingPart, ...]
    """Incidents that add up to the standing, the largest first: at most MAX_LISTED_PARTS."""
    standing_parts_omitted: int = 0
    deposit_minor: int = 0
    settled_minor: int = 0
    """Over all product categories, in the policy's currency."""

    @property
    def ahead_limit_minor(self) -> int | None:
        return self.terms.find_ahead_limit(self.settled_minor)

    def find_terms_for_earlier(self, confirmed_time: int | None = None) -> Terms:
        """Return the terms that may make terms of earlier orders stricter after their capture.

        `confirmed_time`: when carrier or buyer confirmed the delivery of an undisputed order, in microseconds. No
        caution that began later reaches that order.
        """
        measures = (
            measure
            for measure in self.measures
            if measure.reaches_earlier_orders
            and not (measure.is_of_caution and confirmed_time is not None and confirmed_time < (measure.start or 0))
        )
        return _combine_begun(measures, self.observe_time)


def evaluate_measures(
    core: CoreAnswer,
    marketplace: str,
    inputs_by_seller: Mapping[str, MeasureInputs],
    require_caller: Callable[[], None] = lambda: None,
) -> list[InForce | None]:
    """Return the measures and terms in force for each seller of a marketplace; None for one without valid facts.

    `core`: an answer that looks back. Reviews and listings are as lax as by the
    earlier answers of `core`, unless a caution began since.
    """
    policy = core.policy
    if core.past is None and core.artifact is not None and any(rule.tiers for rule in policy.rule_book.rules):
        raise ValueError("measures need an answer that looks back")
    evaluation = _Evaluation(policy, core.known.observe_time, core.past)
    earlier = [evaluate_measures(answer.core, marketplace, inputs_by_seller, require_caller) for answer in core.earlier]
    in_force: list[InForce | None] = []
    for case, seller in enumerate(_list_sellers(core, marketplace, inputs_by_seller)):
        require_caller()
        if seller is None:
            in_force.append(None)
            continue
        began = max((caution.start for caution in seller.score.cautions), default=-1)
        terms_before = [
            TermsBefore(_combine_begun_by_rules(before), answer.until)
            for answer, measures_before in zip(core.earlier, earlier, strict=True)
            if answer.counts[case] and began < answer.time and (before := measures_before[case]) is not None
        ]
        in_force.append(evaluation.evaluate(seller, terms_before))
    return in_force


def _combine_begun_by_rules(in_force: InForce) -> Terms:
    return _combine_begun(
        (measure for measure in in_force.measures if measure.rule and not measure.is_of_caution), in_force.observe_time
    )


def _list_sellers(
    core: CoreAnswer, marketplace: str, inputs_by_seller: Mapping[str, MeasureInputs]
) -> Iterator["_Seller | None"]:
    seller_facts, facts, policy = core.known, core.facts, core.policy
    rule_book = policy.rule_book
    rows_by_case = seller_facts.table.rows_by_case()
    established = list_established(facts, seller_facts.table.rows, rows_by_case, seller_facts.observe_time)
    settled = {
        name: values.tolist() for name, values in add_up_settled(facts, seller_facts.table, rule_book.currency).items()
    }
    deposits = _tabulate_deposits(seller_facts.sellers, inputs_by_seller)
    measured = find_rates_and_missing_days(facts, seller_facts.table, rule_book, deposits)
    recent = add_up_recent_settled(facts, seller_facts.table, rule_book).tolist()
    good_orders = count_good_orders(facts).tolist()
    tenure_days = facts.tenure_days.tolist()
    is_thin = policy.is_thin(facts.settled_orders, facts.tenure_days).tolist()
    for case, (name, score) in enumerate(zip(seller_facts.sellers, core.scores, strict=True)):
        if score is None:
            yield None
            continue
        violations, inputs = established[case], inputs_by_seller.get(name, NO_INPUTS)
        traced = trace_facts(violations, policy)
        unlinked = Situation(
            tier=score.own_tier,
            standing=score.standing or 0,
            incidents=_count_incidents(traced, seller_facts.observe_time),
            settled_minor={category: values[case] for category, values in settled.items()},
            measured={operand: int(values[case]) for operand, values in measured.items()},
            recent_minor=recent[case],
            day=seller_facts.observe_time // DAY,
            marketplace=marketplace,
            tenure_days=tenure_days[case],
            deposit_minor=inputs.deposits_minor[0],
            link_percent=max((link.percent for link in inputs.links), default=0),
            good_orders=good_orders[case],
            rated_by_violation=score.state is ScoreState.RATED and not score.override and is_thin[case],
        )
        newcomer = rule_book.newcomer_link_percent
        bans = [link for link in inputs.links if link.fact.accounts and newcomer and link.percent >= newcomer]
        situation = _apply_bans(unlinked, bans)
        yield _Seller(
            name=name,
            case=case,
            rows=rows_by_case[case],
            entries=group_entries_by_violation(rows_by_case[case]),
            established=violations,
            violations_with_points=_list_violations_with_points(violations, policy, seller_facts.observe_time),
            traced=traced,
            score=score,
            situation=situation,
            unlinked=unlinked,
            newcomer_since=min((ban.start for ban in bans), default=None),
            applied=rule_book.apply(_assume_deposits_overdue(situation, rule_book.refill_days)),
            statements=inputs.statements,
            lifts=find_lifts(inputs.statements),
            links=inputs.links,
        )


def _tabulate_deposits(sellers: Sequence[str], inputs_by_seller: Mapping[str, MeasureInputs]) -> Ints:
    """Return the sums placed by (day, seller); of a seller without stated ones 0."""
    deposits = (inputs_by_seller.get(name, NO_INPUTS).deposits_minor for name in sellers)
    return np.array([*zip_longest(*deposits, fillvalue=0)], dtype=np.int64)


def _apply_bans(seller: Situation, bans: Sequence[LinkInForce]) -> Situation:
    """Return an account of suspended sellers as a newcomer, over which it gains nothing."""
    if not bans:
        return seller
    return replace(seller, settled_minor={}, tenure_days=0, shared_by=max(ban.fact.accounts for ban in bans))


def _assume_deposits_overdue(seller: Situation, refill_days: int) -> Situation:
    """Return the seller as if each deposit were missing for too long."""
    measured = {
        operand: days and refill_days + 1 if isinstance(operand, MissingDays) else days
        for operand, days in seller.measured.items()
    }
    return replace(seller, measured=measured)


def _count_incidents(traced: Mapping[Operand, Sequence[SumStep]], time: int) -> dict[Counter | Ladder, int]:
    return {
        operand: value_at(steps, time) for operand, steps in traced.items() if isinstance(operand, Counter | Ladder)
    }


def _list_violations_with_points(
    violations: Sequence[EstablishedViolation], policy: Policy, observe_time: int
) -> list[EstablishedViolation]:
    table, today = policy.standing, observe_time // DAY
    if table is None:
        return []
    return [
        violation
        for violation in violations
        if today < table.find_expiry(violation.day)
        and table.points_of(violation.violation_type, violation.category, violation.severity)
    ]


def _combine_begun(measures: Iterable[MeasureInForce], time: int) -> Terms:
    measures_now: list[Measure] = []
    for measure in measures:
        if isinstance(measure.current, Suspension):
            # A termination already binds in its notice.
            if measure.has_begun(time) or (measure.has_effect and measure.current.terminates):
                measures_now.append(measure.current.seen_at(measure.start, time))
        elif measure.has_begun(time):
            measures_now.append(measure.current)
    return combine(measures_now)


def _list_caution_measures(seller: "_Seller", rules: RuleBook) -> Iterator[MeasureInForce]:
    reported = {row.entry_id for row in seller.rows if row.kind == Kind.VIOLATION} if seller.score.cautions else ()
    for caution in seller.score.cautions:
        for measure in caution.measures:
            name = name_measure(seller.name, f"caution~{caution.rule}", measure)
            lift = seller.lifts.get(name)
            yield MeasureInForce(
                measure=name,
                lifted="" if lift is None or caution.start > lift.time else lift.entry_id,
                rule=caution.rule,
                reference=caution.reference,
                original=measure,
                current=rules.limit_days(measure, seller.situation.marketplace),
                start=caution.start,
                end=caution.end,
                entries=caution.entries[:MAX_LISTED_ENTRIES],
                entries_omitted=max(len(caution.entries) - MAX_LISTED_ENTRIES, 0),
                is_of_caution=True,
                reaches_earlier_orders=True,
                violations=tuple(entry for entry in caution.entries if entry in reported),
            )


@frozen
class _Seller:
    """One seller, with all that its measures follow from."""

    name: str
    case: int
    rows: Sequence[FactRow]
    entries: Mapping[str, Sequence[str]]
    """By violation."""
    established: Sequence[EstablishedViolation]
    violations_with_points: Sequence[EstablishedViolation]
    """Those that add to the standing."""
    traced: Mapping[Operand, Sequence[SumStep]]
    score: SellerScore
    situation: Situation
    """As a newcomer if it is an account of suspended sellers; `unlinked`: as if it were none."""
    unlinked: Situation
    newcomer_since: int | None
    """In microseconds."""
    applied: Sequence[AppliedRule]
    """Also rules that stop sales only once a deposit is overdue."""
    statements: Sequence[MeasureStatement]
    lifts: Mapping[str, MeasureLift]
    links: Sequence[LinkInForce]

    @property
    def override(self) -> FactRow | None:
        return next((row for row in self.rows if self.score.override and row.entry_id == self.score.override), None)

    def list_entries(self, violations: Iterable[EstablishedViolation]) -> list[str]:
        ordered = sorted(set(violations), key=lambda one: (one.day, one.violation))
        return [entry for one in ordered for entry in self.entries.get(one.violation, ())]

    def view_at(self, time: int) -> Situation:
        """Return its situation with the confirmed violations that counted at a time, in microseconds."""
        standing = value_at(self.traced.get(Quantity.STANDING, ()), time)
        return replace(self.situation, standing=standing, incidents=_count_incidents(self.traced, time))

    def list_counted_violations(self, rule: Rule) -> list[EstablishedViolation]:
        violations, today = [], self.situation.day
        for operand in rule.facts:
            if isinstance(operand, Counter):
                violations += [v for v in self.established if matches(v, operand) and today - v.day < operand.days]
            elif isinstance(operand, Ladder):
                violations += [v for v in self.violations_with_points if v.category in operand.categories]
            else:
                violations += self.violations_with_points
        return violations


@frozen
class _RuleBasis:
    """The basis of a rule's measures for one seller."""

    start: int | None
    """In microseconds; None for before the days looked back."""
    end: int | None
    """By itself."""
    facts: Sequence[EstablishedViolation]
    violations: Sequence[EstablishedViolation]
    """By day."""
    entries: tuple[str, ...]


@frozen
class _Evaluation:
    policy: Policy
    observe_time: int
    past: PastTiers | None
    """Set with a model, if a rule asks for a tier."""

    def evaluate(self, seller: _Seller, notices: Sequence[TermsBefore] = ()) -> InForce:
        rules = {applied.rule.id: applied.rule for applied in seller.applied}
        bases = {name: self._find_basis(rule, seller) for name, rule in rules.items()}
        with_bases = [
            *((applied, bases[applied.rule.id]) for applied in seller.applied),
            *self._list_running_suspensions(seller, rules),
        ]
        by_rules = ((self._build_measure(applied, basis, seller), applied.rule) for applied, basis in with_bases)
        waiting = (measure and wait_for_notice(measure, rule, notices) for measure, rule in by_rules)
        measures = tuple(
            [measure for measure in waiting if measure is not None]
            + [*_list_caution_measures(seller, self.policy.rule_book)]
            + [*self._list_imposed_by_persons(seller)]
        )
        at_capture = [m for m in measures if not m.is_of_caution]
        terms = _combine_begun(measures, self.observe_time)
        parts = _list_standing_parts(seller, self.policy.standing)
        return InForce(
            score=seller.score,
            measures=measures,
            terms=terms,
            terms_at_capture=terms
            if len(at_capture) == len(measures)
            else _combine_begun(at_capture, self.observe_time),
            observe_time=self.observe_time,
            standing_parts=parts[:MAX_LISTED_PARTS],
            standing_parts_omitted=max(len(parts) - MAX_LISTED_PARTS, 0),
            deposit_minor=seller.situation.deposit_minor,
            settled_minor=seller.situation.settled_minor.get("", 0),
        )

    def _list_running_suspensions(
        self, seller: _Seller, holding: Collection[str]
    ) -> Iterator[tuple[AppliedRule, _RuleBasis]]:
        """Yield the suspensions whose rule held when a violation was confirmed, and no longer does since a reset."""
        table = self.policy.standing
        for rule in self.policy.rule_book.rules if table is not None and table.reset is not None else ():
            suspension = next(
                (measure for measure in rule.measures if isinstance(measure, Suspension) and not measure.terminates),
                None,
            )
            if suspension is None or rule.id in holding:
                continue
            running = [one.time for one in seller.established if one.time + suspension.days * DAY > self.observe_time]
            begin = max((time for time in running if rule.holds(seller.view_at(time))), default=None)
            if begin is not None and table is not None:
                before = [one for one in seller.established if one.time <= begin]
                # A rule by `confirmed` holds for a violation that a reset ended before its decision.
                facts = [one for one in before if one.time == begin or begin < table.find_expiry(one.day) * DAY]
                basis = _RuleBasis(begin, None, facts, facts, tuple(seller.list_entries(facts)))
                yield AppliedRule(rule, suspension, suspension, False), basis

    def _build_measure(self, applied: AppliedRule, basis: _RuleBasis, seller: _Seller) -> MeasureInForce | None:
        """Return a rule's measure in force; None if a suspension is served."""
        span = self._find_start_and_end(applied.stated, basis)
        if span is None:
            return None
        start, end = span
        rule, current = applied.rule, applied.current
        if isinstance(current, Deposit):
            current = current.less(seller.situation.deposit_minor, seller.situation.recent_minor)
        name = name_measure(seller.name, rule.id, applied.stated)
        lift = seller.lifts.get(name)
        if rule.secures:  # a lift of the deposit also lifts the rule that awaits it
            lift = lift or seller.lifts.get(name_measure(seller.name, rule.secures, Deposit(0)))
        if rule.refill_days:
            start = _find_stop_of_sales(rule, basis, seller, lift)
        if lift is not None and max([basis.start or 0, *(one.time for one in basis.violations)]) > lift.time:
            lift = None  # the measure stands again
        return MeasureInForce(
            rule=rule.id,
            reference=rule.reference,
            legal_ground=rule.group.legal_ground if rule.group else "",
            original=applied.stated,
            current=current,
            waived=applied.waived,
            measure=name,
            lifted="" if lift is None else lift.entry_id,
            start=start,
            end=end,
            entries=basis.entries[:MAX_LISTED_ENTRIES],
            entries_omitted=max(len(basis.entries) - MAX_LISTED_ENTRIES, 0),
            reaches_earlier_orders=rule.names_confirmed_facts,
            violations=tuple(dict.fromkeys(violation.violation for violation in basis.violations)),
        )

    def _find_start_and_end(self, measure: Measure, basis: _RuleBasis) -> tuple[int | None, int | None] | None:
        if not isinstance(measure, Suspension) or basis.start is None:
            return basis.start, basis.end
        if measure.terminates:
            return measure.find_start(basis.start), basis.end
        start = max(fact.time for fact in basis.facts)  # each further violation suspends again
        served = start + measure.days * DAY
        end = served if basis.end is None else min(basis.end, served)
        return None if end <= self.observe_time else (start, end)

    def _list_imposed_by_persons(self, seller: _Seller) -> Iterator[MeasureInForce]:
        counting = {one.violation for one in seller.established}
        context = ImpositionContext(
            self.observe_time, self.policy.rule_book, seller.situation.marketplace, seller.situation.deposit_minor
        )
        for one in list_imposed(seller.statements, seller.rows, context):
            entries = (*one.entries, *(entry for name in one.violations for entry in seller.entries.get(name, ())))
            yield MeasureInForce(
                measure=one.measure,
                original=one.original,
                current=one.current,
                start=one.start,
                end=one.end,
                entries=entries[:MAX_LISTED_ENTRIES],
                entries_omitted=max(len(entries) - MAX_LISTED_ENTRIES, 0),
                reaches_earlier_orders=not counting.isdisjoint(one.violations),
                violations=one.violations,
            )

    def _find_basis(self, rule: Rule, seller: _Seller) -> _RuleBasis:
        starts: list[int] = []
        ends: list[int] = []
        score, facts = seller.score, seller.list_counted_violations(rule)
        entry_ids, violations = [], facts
        if rule.tiers:
            override = seller.override
            if override is not None:
                ends.append(override.until_time or 0)
                entry_ids.append(override.entry_id)
            elif score.state is ScoreState.RATED and score.tier_points is not None:
                is_bound = score.own_tier is not self.policy.tier(score.tier_points)
                violations = [*(seller.violations_with_points if is_bound else seller.established), *facts]
            override_time = None if override is None else override.occur_time
            is_thin = seller.situation.rated_by_violation
            if self.past is not None:
                tier_start = self.past.find_tier_start(seller.case, rule.tiers, is_thin, override_time)
                starts += [] if tier_start is None else [tier_start]
        starts_of_conditions, ends_of_conditions = find_bounds(rule.conditions, seller.traced, self.observe_time)
        starts, ends = [*starts, *starts_of_conditions], [*ends, *ends_of_conditions]
        if (least := rule.condition(Quantity.LINK).least) and seller.links:
            links_in_force = [link for link in seller.links if link.percent >= least]
            starts.append(min(one.start for one in links_in_force))
            ends.append(max(one.end for one in links_in_force))
            entry_ids += [one.entry_id for one in links_in_force]
        ordered = sorted(set(violations), key=lambda one: (one.day, one.violation))
        entries = tuple(dict.fromkeys([*entry_ids, *seller.list_entries(ordered)]))
        return _RuleBasis(max(starts, default=None), min(ends, default=None), facts, ordered, entries)


def _find_stop_of_sales(rule: Rule, basis: _RuleBasis, seller: _Seller, lift: MeasureLift | None) -> int | None:
    """Return when sales stop for want of a deposit, in microseconds; None: long ago."""
    starts = [] if basis.start is None else [basis.start]
    if lift is not None and lift.time >= (basis.start or 0):
        starts += sorted(one.time for one in basis.violations if one.time > lift.time)[:1]
    if seller.newcomer_since is not None and not rule.holds(
        _assume_deposits_overdue(seller.unlinked, rule.refill_days)
    ):
        starts.append(seller.newcomer_since)
    start = max(starts, default=None)
    missing = next(one.operand for one in rule.conditions if isinstance(one.operand, MissingDays))
    days, today = seller.situation.value(missing), seller.situation.day
    if days <= rule.refill_days:
        start = max(start or 0, (today + 1 - days) * DAY)
    elif start is not None and start // DAY < today - rule.refill_days:
        start = None
    return None if start is None else find_start_of_effect(start, rule.refill_days)


def _list_standing_parts(seller: _Seller, table: StandingTable | None) -> tuple[StandingPart, ...]:
    if table is None:
        return ()
    by_incident: dict[int, list[EstablishedViolation]] = {}
    for one in seller.violations_with_points:
        by_incident.setdefault(one.incident, []).append(one)
    parts = [
        StandingPart(
            points=add_up_incident(violations, table),
            until=int(table.find_expiry(max(violation.day for violation in violations))) * DAY,
            entries=tuple(seller.list_entries(violations)),
        )
        for violations in by_incident.values()
    ]
    return tuple(sorted(parts, key=lambda part: (-part.points, part.until, part.entries)))
