"""The record of measures: the rules' measures, and persons' statements about them, in the ledger.

One seller, rule, kind and product category have one measure id. A measure lifted by a person stays lifted on the same
facts.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from scoring.base.enums import CaseState, MeasureState
from scoring.base.time import DAY
from scoring.caution.cautions import Caution
from scoring.entries.cases import LINK_RULE, PayoutStatement
from scoring.entries.entry import Entry
from scoring.entries.field_types import is_id
from scoring.entries.incidents import derived_id
from scoring.entries.kinds.decisions import RULE_MEASURE_PREFIX, CaseChanged, MeasureChanged
from scoring.entries.kinds.settlement import DepositChanged
from scoring.policy.measures import (
    FOR_GOOD,
    UNTIL_PLAN,
    DeliveryHold,
    Deposit,
    IntakeCap,
    ListingCap,
    Measure,
    PaidAheadLimit,
    RollingReserve,
    SettlementHold,
    Suspension,
    ValueCap,
)

MECHANISM = "mechanism"
"""The actor of the service's own statements."""

MAX_VIOLATIONS = 100


class MeasureStatement(NamedTuple):
    entry_id: str
    sequence: int
    occur_time: int
    fact: MeasureChanged
    record_time: int = 0


class MeasureLift(NamedTuple):
    entry_id: str
    time: int
    """It stays lifted on the facts established by then, in microseconds."""


class MeasureRecord(NamedTuple):
    active: Mapping[str, MeasureChanged]
    """By measure, the last statement if it is not lifted."""
    counts: Mapping[str, int]
    at_sequence: int
    """The sequence it follows from; 0 without one."""
    time: int
    """Time of the state behind the last statement, in microseconds; 0 without one."""


class WantedMeasure(NamedTuple):
    name: str
    rule: str
    reference: str
    measure: Measure
    start: int | None
    end: int | None
    violations: tuple[str, ...]


def name_measure(seller: str, rule: str, measure: Measure) -> str:
    """Return the recorded id of a rule's measure, the same for the same seller.

    `name_measure("s-1", "newcomers", SettlementHold(14))` is `rule~newcomers~settlement_hold~` and 16 hexadecimal
    digits.
    """
    kind, category = measure.kind.word, getattr(measure, "product_category", "")
    key = sha256("\x1f".join((seller, rule, kind, category)).encode()).hexdigest()[:16]
    return f"{RULE_MEASURE_PREFIX}{rule}~{kind}~{key}"


def find_lifts(statements: Iterable[MeasureStatement]) -> dict[str, MeasureLift]:
    """Return by rule's measure a person's lift, if it is the last statement of a person about it.

    `statements`: about one seller, by sequence.
    """
    lifts: dict[str, MeasureLift] = {}
    for entry_id, _, time, fact, _ in statements:
        if fact.rule or not fact.measure.startswith(RULE_MEASURE_PREFIX):
            continue
        lifts.pop(fact.measure, None)
        if fact.state is MeasureState.LIFTED:
            lifts[fact.measure] = MeasureLift(entry_id, time)
    return lifts


def read_record(statements: Iterable[MeasureStatement]) -> MeasureRecord:
    """Return what the ledger records of rules' measures, by one seller's statements in order; persons' own are left out."""
    active: dict[str, MeasureChanged] = {}
    counts: dict[str, int] = {}
    at_sequence = last_time = 0
    for _, _, time, fact, _ in statements:
        if not fact.rule:
            continue
        counts[fact.measure] = counts.get(fact.measure, 0) + 1
        at_sequence, last_time = max((at_sequence, last_time), (fact.at_sequence, time))
        active.pop(fact.measure, None)
        if fact.state is not MeasureState.LIFTED:
            active[fact.measure] = fact
    return MeasureRecord(active, counts, at_sequence, last_time)


class RecordStamp(NamedTuple):
    time: int
    """Of the wanted state, in microseconds."""
    at_sequence: int
    policy: str
    """Its digest."""


def list_changes(
    seller: str, wanted: Iterable[WantedMeasure], record: MeasureRecord, stamp: RecordStamp, currency: str
) -> list[Entry]:
    """Return the entries that make the record state the wanted measures, in the order of the policy; lifts come first.

    Empty if the record states them already. Worked: a hold of 14 days, with one of 7 recorded, gives one update.
    """
    facts: dict[str, MeasureChanged] = {}
    for wanted_measure in wanted:
        name = wanted_measure.name
        before = record.active.get(name)
        state = MeasureState.IMPOSED if before is None else MeasureState.UPDATED
        fact = _state_measure(name, wanted_measure, state, stamp, currency)
        if before is None or _list_compared_values(before, stamp.time) != _list_compared_values(fact, stamp.time):
            facts[name] = fact
        else:
            facts[name] = before
    changes = [_state_lift(before, stamp) for name, before in record.active.items() if name not in facts]
    changes += [fact for name, fact in facts.items() if fact is not record.active.get(name)]
    return [
        _build_entry(seller, fact.measure, fact, record.counts.get(fact.measure, 0) + 1, stamp.time) for fact in changes
    ]


def _state_measure(
    name: str, wanted: WantedMeasure, state: MeasureState, stamp: RecordStamp, currency: str
) -> MeasureChanged:
    amount = days = ppm = listings = at_most = 0
    category = getattr(wanted.measure, "product_category", "")
    match wanted.measure:
        case Deposit(amount_minor=amount, ppm=ppm, days=days):
            pass
        case SettlementHold(days=days) | DeliveryHold(days=days):
            pass
        case PaidAheadLimit(days=days, value_minor=amount, ppm=ppm, at_most_minor=at_most):
            pass
        case RollingReserve(ppm=ppm, days=days):
            pass
        case ValueCap(value_minor=amount):
            pass
        case ListingCap(listings=listings) | IntakeCap(new_listings=listings):
            pass
        case Suspension(days=days):
            days = 0 if days in (FOR_GOOD, UNTIL_PLAN) else days
    return MeasureChanged(
        measure=name,
        measure_kind=wanted.measure.kind,
        state=state,
        actor=MECHANISM,
        reason=wanted.reference.strip() or wanted.rule,
        until=wanted.end,
        amount_minor=amount,
        currency=currency if amount or at_most else "",
        violations=wanted.violations[-MAX_VIOLATIONS:],
        rule=wanted.rule,
        policy=stamp.policy,
        at_sequence=stamp.at_sequence,
        since=wanted.start,
        days=days,
        ppm=ppm,
        listings=listings,
        at_most_minor=at_most,
        product_category=category if is_id(category) else "",  # other texts name no product category of a sale
    )


def _list_compared_values(fact: MeasureChanged, time: int) -> tuple[object, ...]:
    value = (fact.amount_minor, fact.currency, fact.days, fact.ppm, fact.listings, fact.at_most_minor)
    # A condition, such as a tier's, moves its end day by day; only the final day counts.
    begin = max(fact.since or 0, time)  # a past one moves day by day, too
    return (*value, begin, None if fact.until is None else fact.until // DAY, frozenset(fact.violations))


def _state_lift(before: MeasureChanged, stamp: RecordStamp) -> MeasureChanged:
    return MeasureChanged(
        before.measure,
        before.measure_kind,
        MeasureState.LIFTED,
        MECHANISM,
        f"the rule {before.rule} does not hold any more",
        violations=before.violations,
        rule=before.rule,
        policy=stamp.policy,
        at_sequence=stamp.at_sequence,
        product_category=before.product_category,
    )


def _build_entry(seller: str, name: str, fact: MeasureChanged | CaseChanged, number: int, time: int) -> Entry:
    """Return a statement as an entry; `number`: among those about its measure or case."""
    about = "\x1f".join((seller, str(number), fact.state.name, *sorted(fact.violations)))
    return Entry(derived_id(name, about), seller, fact, time)


MAX_RESTS_ON = 100


class CaseStatement(NamedTuple):
    entry_id: str
    occur_time: int
    fact: CaseChanged


class LinkInForce(NamedTuple):
    entry_id: str
    start: int
    end: int
    """In microseconds."""
    fact: CaseChanged

    @property
    def percent(self) -> int:
        return self.fact.strength_ppm // 10_000


def list_links(statements: Iterable[CaseStatement], time: int) -> tuple[LinkInForce, ...]:
    """Return a seller's links in force at a time (microseconds), the strongest first.

    `statements`: about its cases, by sequence; the last about a case counts. No link counts whose case a person decided.
    """
    last_by_case = {
        statement.fact.case: statement for statement in statements if statement.fact.case.startswith(f"{LINK_RULE}~")
    }
    links = [
        LinkInForce(one.entry_id, one.occur_time, one.fact.caution_end or 0, one.fact)
        for one in last_by_case.values()
        if one.fact.state is CaseState.OPENED and one.occur_time <= time < (one.fact.caution_end or 0)
    ]
    return tuple(sorted(links, key=lambda one: -one.fact.strength_ppm))


def list_case_changes(
    seller: str, cautions: Iterable[Caution], statements: Sequence[CaseStatement], stamp: RecordStamp
) -> list[Entry]:
    """Return the entries that give each caution in force a recorded case; withdrawals come first.

    An open case is withdrawn if its caution ended early; an undecided case stays open. `statements`: about the seller's
    cases, by sequence.
    """
    last = {statement.fact.case: statement.fact for statement in statements}
    opened = {
        statement.fact.case: statement.fact for statement in statements if statement.fact.state is CaseState.OPENED
    }
    counts: dict[str, int] = {}
    for statement in statements:
        counts[statement.fact.case] = counts.get(statement.fact.case, 0) + 1
    current = {caution.case: caution for caution in cautions}
    facts = [
        CaseChanged(
            name,
            CaseState.WITHDRAWN,
            MECHANISM,
            "the caution is over before its time",
            rule=opened[name].rule,
            policy=stamp.policy,
            at_sequence=stamp.at_sequence,
        )
        for name, fact in last.items()
        if fact.state is CaseState.OPENED and fact.rule and name not in current and stamp.time < (fact.caution_end or 0)
    ]
    facts += [
        CaseChanged(
            name,
            CaseState.OPENED,
            MECHANISM,
            one.reference.strip() or one.rule,
            rule=one.rule,
            decide_by=one.decide_by,
            caution_end=one.end,
            rests_on=one.entries[-MAX_RESTS_ON:],
            policy=stamp.policy,
            at_sequence=stamp.at_sequence,
        )
        for name, one in current.items()
        if name not in last or last[name].state is CaseState.WITHDRAWN
    ]
    return [_build_entry(seller, fact.case, fact, counts.get(fact.case, 0) + 1, stamp.time) for fact in facts]


class SellerTerms(NamedTuple):
    """The record of a seller's measures, payouts and cases."""

    statements: list[MeasureStatement]
    payout_statements: list[PayoutStatement]
    cases: list[CaseStatement]
    deposit_changes: list[tuple[int, DepositChanged]]
    notices: list[MeasureStatement]
    """That a letter about a measure was sent or barred."""

    @property
    def lifts(self) -> Mapping[str, MeasureLift]:
        return find_lifts(self.statements)
