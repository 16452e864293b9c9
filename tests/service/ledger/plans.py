from collections.abc import Callable
from typing import Protocol

from hypothesis import strategies as st

from scoring.base.enums import (
    Action,
    Attribution,
    ControlReason,
    CorrectionKind,
    Harm,
    IdentityLevel,
    IncidentChange,
    Severity,
    Source,
    Tier,
)
from scoring.base.time import DAY
from scoring.entries.entry import Entry
from scoring.entries.kinds.account import ControlChanged, IdentityVerified
from scoring.entries.kinds.conduct import (
    AttributionStated,
    IncidentChanged,
    ProductListed,
    ProductViolationReported,
    RemediationDone,
    StatusChanged,
    ViolationReported,
)
from scoring.entries.kinds.decisions import EntryCorrected, OverrideImposed
from scoring.entries.kinds.trade import ExposureStated, RatingGiven
from tests.helpers.builders import Clock
from tests.service.ledger.reference import Reference
from tests.service.ledger.reference_words import LEADS

SELLERS = ("s0", "s1", "s2")


class World(Protocol):
    clock: Clock
    reference: Reference

    def serial(self, prefix: str) -> str: ...
    def fresh(self, name: str) -> str: ...
    def pick_violation(self, which: int) -> str: ...


Plan = Callable[["World"], Entry]

few = st.integers(0, 3)
sellers = st.sampled_from(SELLERS)
units = st.sampled_from([0, 4, 9, 10, 999, 1000])
ago = st.one_of(st.integers(0, 9).map(lambda days: days * DAY), st.integers(0, 20 * DAY))
types = st.sampled_from(["counterfeit_goods", "misleading_listing"])


def _id(prefix: str, number: int, empty_at: int = 0) -> str:
    return "" if number == empty_at else f"{prefix}{number}"


def a_violation(n, seller, kind, harm, final, unit, incident, notifier, listing, right, before) -> Plan:
    source = Source.CUSTOMS if final else Source.BRAND
    fact = ViolationReported(
        kind, harm, source, _id("x", incident), _id("n", notifier), final, final, _id("l", listing), units=unit,
        right=_id("r", right),
    )  # fmt: skip
    return lambda self: Entry(self.fresh(f"v{n}"), seller, fact, self.clock.now - before)


def a_decision(which, choice, severity, unit, named, unseen, before) -> Plan:
    def entry(self: "World") -> Entry:
        name = f"v{which % 8}" if unseen else self.pick_violation(which)
        found = self.reference.violation(name)
        allowed = [Action[a.upper()] for s, a in LEADS if found is not None and s == found.status]
        # Mostly valid actions, at times invalid ones.
        action = allowed[choice % len(allowed)] if allowed and choice < 12 else list(Action)[choice % len(Action)]
        less = Severity(max(found.severity - 1, 1)) if found is not None and choice < 10 else severity
        left = less if action is Action.REDUCE else None
        counted = unit if action in (Action.CONFIRM, Action.REINSTATE) else 0
        fact = StatusChanged(name, action, "staff", "examined", left, "order 7", counted)
        seller = found.seller if found is not None and named else SELLERS[which % 3] if named or unseen else ""
        return Entry(self.serial("d"), seller, fact, None if before is None else self.clock.now - before)

    return entry


def an_attribution(which, outcome) -> Plan:
    return lambda self: Entry(
        self.serial("a"), "", AttributionStated(self.pick_violation(which), outcome, "staff", "examined")
    )


def a_remediation(which, named) -> Plan:
    def entry(self: "World") -> Entry:
        name = self.pick_violation(which)
        found = self.reference.violation(name)
        seller = found.seller if found is not None and found.seller else SELLERS[named]
        return Entry(self.serial("m"), seller, RemediationDone(name, "refund"))

    return entry


def an_exposure(seller, days, category, revision, orders) -> Plan:
    return lambda self: Entry(
        self.serial("e"), seller, ExposureStated(self.clock.now // DAY - days, orders, _id("c", category), revision)
    )


def an_identity(seller, level, before) -> Plan:
    return lambda self: Entry(self.serial("i"), seller, IdentityVerified(level), self.clock.now - before)


def a_rating(seller, before) -> Plan:
    return lambda self: Entry(self.serial("r"), seller, RatingGiven(5), self.clock.now - before)


def a_change_of_control(seller, before) -> Plan:
    fact = ControlChanged(ControlReason.SOLD, "staff", "register")
    return lambda self: Entry(self.serial("k"), seller, fact, self.clock.now - before)


def a_listing(seller, product, batch, supplier, before) -> Plan:
    fact = ProductListed(f"p{product % 2}", _id("b", batch), _id("u", supplier))
    return lambda self: Entry(self.serial("l"), seller, fact, self.clock.now - before)


def a_product_violation(product, kind, final, batch, supplier, before) -> Plan:
    source = Source.QUALITY_REGULATOR if final else Source.RANDOM_AUDIT
    fact = ProductViolationReported(
        kind, Harm.HIGH, source, f"p{product % 2}", _id("b", batch), _id("u", supplier), "", final, final
    )
    return lambda self: Entry(self.serial("p"), "", fact, self.clock.now - before)


def a_merge(seller, one, other) -> Plan:
    def entry(self: "World") -> Entry:
        mine = [row for row in self.reference.rows if row.seller == seller]
        weeks = [self.reference.incident(r.id, r.sequence) for r in mine if isinstance(r.fact, ViolationReported)]
        names = ["x1", "x2", "x3", *weeks, *weeks, *(row.id for row in mine)]
        incident, into = names[one % len(names)], names[other % len(names)]
        into = "x4" if incident == into else into
        return Entry(self.serial("g"), seller, IncidentChanged(IncidentChange.MERGED, into, "staff", "one", incident))

    return entry


def a_split(which, into, other) -> Plan:
    def entry(self: "World") -> Entry:
        name = self.pick_violation(which)
        found = self.reference.violation(name)
        seller = (found and found.seller) or "s0"
        mine = [r for r in self.reference.rows if r.seller == seller and isinstance(r.fact, ViolationReported)]
        weeks = [self.reference.incident(row.id, row.sequence) for row in mine]
        names = [f"x{into}", *weeks]
        fact = IncidentChanged(IncidentChange.SPLIT, names[other % len(names)], "staff", "two", violation=name)
        return Entry(self.serial("g"), seller, fact)

    return entry


def a_correction(which, to_void, before) -> Plan:
    def entry(self: "World") -> Entry:
        ids = [row.id for row in self.reference.rows] or ["none"]
        kind = CorrectionKind.VOID if to_void else CorrectionKind.MOVED
        moved_to = None if to_void else self.clock.now - before
        return Entry(self.serial("c"), "", EntryCorrected(ids[which % len(ids)], kind, "staff", "wrong date", moved_to))

    return entry


def an_override(seller, tier, before, days) -> Plan:
    def entry(self: "World") -> Entry:
        begin = self.clock.now - before
        fact = OverrideImposed(tier, begin + days * DAY + 1, "head", "agreed")
        return Entry(self.serial("o"), seller, fact, begin)

    return entry


flags, many = st.booleans(), st.integers(0, 50)
VIOLATION = st.builds(
    a_violation, st.integers(0, 7), sellers, types, st.sampled_from(Harm), flags, units, few, few, few, few, ago
)
DECISION = st.builds(
    a_decision, many, st.integers(0, 15), st.sampled_from(Severity), units, flags,
    st.sampled_from([False, False, False, False, True]), st.none() | ago,
)  # fmt: skip
OTHERS = st.one_of(
    st.builds(an_attribution, many, st.sampled_from(Attribution)),
    st.builds(a_remediation, many, st.integers(0, 2)),
    st.builds(an_exposure, sellers, st.integers(0, 9), few, few, st.integers(1, 100)),
    st.builds(an_identity, sellers, st.sampled_from(IdentityLevel), ago),
    st.builds(a_rating, sellers, ago),
    st.builds(a_change_of_control, sellers, ago),
    st.builds(a_merge, sellers, many, many),
    st.builds(a_split, many, few, many),
    st.builds(a_correction, many, flags, ago),
    st.builds(an_override, sellers, st.sampled_from(Tier), ago, st.integers(0, 40)),
)
PRODUCTS = st.one_of(
    st.builds(a_listing, sellers, few, few, few, ago),
    st.builds(a_product_violation, few, types, flags, few, few, ago),
)
PLANS = st.sampled_from([VIOLATION, VIOLATION, DECISION, DECISION, DECISION, OTHERS, OTHERS, PRODUCTS]).flatmap(
    lambda p: p
)
