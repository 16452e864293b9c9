"""Violations as they stand while a batch is appended: at the end of the ledger, then after each entry of the batch."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import Connection, Select, bindparam, select, text

from scoring.entries.entry import entry_from_content
from scoring.entries.kinds.conduct import ProductListed, ProductViolationReported, StatusChanged
from scoring.entries.lifecycle import allowed_actions, next_status
from scoring.enums import Action, Attribution, Kind, Severity, Status
from scoring.errors import LifecycleForbids, invalid
from service.ledger.expressions import Texts, among
from service.ledger.tables import ENTRY

_E = ENTRY.c
_HERE = _E.marketplace == bindparam("marketplace")
_ABOUT = (
    select(_E.violation, _E.kind, _E.seller, _E.severity, _E.status, _E.target, _E.occur_time, _E.report_time)
    .where(
        _HERE,
        _E.violation.is_not(None),  # said, so that the partial index serves
        among(_E.violation, bindparam("names", type_=Texts())),
    )
    .order_by(_E.violation, _E.sequence)
)
_PENDING = (
    select(_E.violation, _E.entry_id, _E.seller, _E.occur_time, _E.report_time, _E.content)
    .where(
        _HERE,
        text("kind = 2 AND status IS NULL"),  # no parameter, so that the partial index serves
        among(_E.violation, bindparam("names", type_=Texts())),
    )
    .order_by(_E.violation, _E.sequence)
)
_ABOUT_TARGETS = (
    select(_E.target, _E.kind, _E.entry_id, _E.seller, _E.occur_time, _E.report_time, _E.content)
    .where(_HERE, _E.target.is_not(None), among(_E.target, bindparam("names", type_=Texts())))
    .order_by(_E.target, _E.sequence)
)
_CHANGES = (
    select(_E.violation, _E.entry_id, _E.seller, _E.occur_time, _E.report_time, _E.content)
    .where(
        _HERE,
        _E.violation.is_not(None),
        among(_E.violation, bindparam("names", type_=Texts())),
        _E.kind == 2,
        _E.status.is_not(None),
    )
    .order_by(_E.violation, _E.sequence)
)
_CORRECTED_TO = (
    select(_E.target, _E.incident)
    .where(
        _HERE,
        _E.target.is_not(None),
        among(_E.target, bindparam("names", type_=Texts())),
        _E.kind == int(Kind.CORRECTION),
        _E.incident.is_not(None),
    )
    .order_by(_E.target, _E.sequence)
)
_REGROUPINGS = select(_E.seller, _E.incident, _E.target).where(
    _HERE,
    text("kind = 18"),  # no parameter, so that the partial index serves
    among(_E.seller, bindparam("names", type_=Texts())),
)


@dataclass(slots=True)
class Standing:
    """A violation: whose, of which kind, how severe, where it stands; `resolved` are the pending changes it took.

    `known`: when the last of the sources of all that had learned what it said (report time, microseconds). `is_away`:
    the goods were somebody else's. `decided`: when the last of the decisions happened that somebody took about it by
    itself (occur time, microseconds), those that the ledger derived left out; None if there is none.
    """

    seller: str
    kind: int
    severity: int = 0
    status: int = 0
    known: int = 0
    is_away: bool = False
    decided: int | None = None
    resolved: set[str] = field(default_factory=set)

    def decide(self, fact: StatusChanged, report_time: int, path: str) -> None:
        """Applies a change that its source knew at `report_time`. LifecycleForbids, under `path`."""
        status = Status(self.status)
        try:
            following = next_status(status, Action(fact.action))
        except LifecycleForbids as error:
            raise LifecycleForbids(f"{path}.status.action: {error.message}", error.metadata) from None
        if fact.severity is not None and fact.severity >= self.severity:
            allowed = ", ".join(a.name.lower() for a in allowed_actions(status))
            raise LifecycleForbids(
                f"{path}.status.severity: a reduction leaves less than the present severity,"
                f" {Severity(self.severity).name.lower()}",
                {"status": status.name, "allowed": allowed},
            )
        self.status = int(following)
        self.severity = int(fact.severity or self.severity)
        self.known = max(self.known, report_time)

    def attribute(self, outcome: Attribution, path: str) -> None:
        """Says whose the goods were. LifecycleForbids, under `path`: what was accepted is not contested again."""
        if self.is_away and outcome is Attribution.CONTESTED:
            raise LifecycleForbids(
                f"{path}.attribution.outcome: an attribution that is accepted cannot be contested; allowed: rejected",
                {"status": Attribution.ACCEPTED.name, "allowed": Attribution.REJECTED.name.lower()},
            )
        self.is_away = outcome is Attribution.ACCEPTED

    def decided_at(self, occur_time: int) -> None:
        """Notes when a decision happened that was taken about this violation by itself."""
        self.decided = occur_time if self.decided is None else max(self.decided, occur_time)

    def in_time(self, waiting: Sequence["Decision"]) -> list["Decision"]:
        """Of the pending changes of its seller those that may resolve yet, in the order in which they happened.

        One that happened before another decision that stands is retired for ever: it would undo what came after it.
        """
        mine = [p for p in waiting if p.seller == self.seller]
        last = max((p.occur_time for p in mine if p.entry_id in self.resolved), default=0)
        last = max(last, self.decided or 0)
        left = [p for p in mine if p.entry_id not in self.resolved and p.occur_time >= last]
        return sorted(left, key=lambda p: (p.occur_time, p.entry_id))


@dataclass(frozen=True, slots=True)
class Decision:
    """A status change that waits for its violation or for another change before it, or that was about a product."""

    entry_id: str
    seller: str
    occur_time: int
    report_time: int
    fact: StatusChanged


@dataclass(frozen=True, slots=True)
class Listing:
    """That a seller listed a product; times in microseconds."""

    seller: str
    occur_time: int
    report_time: int
    fact: ProductListed


@dataclass(frozen=True, slots=True)
class ProductReport:
    """A violation of a product; times in microseconds."""

    entry_id: str
    occur_time: int
    report_time: int
    fact: ProductViolationReported

    def concerns(self, listing: Listing) -> bool:
        """Whether the listed goods are the ones it is about; what one side leaves open matches anything."""
        pairs = ((self.fact.batch, listing.fact.batch), (self.fact.supplier, listing.fact.supplier))
        return all(not mine or not theirs or mine == theirs for mine, theirs in pairs)


def standings(connection: Connection, marketplace: str, names: Collection[str]) -> dict[str, Standing]:
    """The recorded violations of these ids, after every change so far."""
    found: dict[str, Standing] = {}
    for name, kind, seller, severity, status, target, occur, report in _rows(connection, _ABOUT, marketplace, names):
        if kind in (Kind.VIOLATION, Kind.PRODUCT_VIOLATION):
            found[name] = Standing(seller, kind, severity, status, report)
        elif kind == Kind.STATUS and status is not None and name in found:
            standing = found[name]
            standing.severity, standing.status = severity or standing.severity, status
            standing.known = max(standing.known, report)
            if target is None:
                standing.decided_at(occur)
            else:
                standing.resolved.add(target)
        elif kind == Kind.ATTRIBUTION and name in found:
            found[name].is_away = status == Attribution.ACCEPTED
    return found


def pending(connection: Connection, marketplace: str, names: Collection[str]) -> dict[str, list[Decision]]:
    """The changes of these violations that were appended as pending, resolved since or not."""
    return _decisions(connection, _PENDING, marketplace, names)


def changes(connection: Connection, marketplace: str, names: Collection[str]) -> dict[str, list[Decision]]:
    """The status changes of these violations, in their order."""
    return _decisions(connection, _CHANGES, marketplace, names)


def products(
    connection: Connection, marketplace: str, names: Collection[str]
) -> tuple[dict[str, list[Listing]], dict[str, list[ProductReport]]]:
    """Who listed these products, and which violations of them were reported."""
    listings: dict[str, list[Listing]] = {}
    reports: dict[str, list[ProductReport]] = {}
    for target, kind, entry_id, seller, occur, report, content in _rows(connection, _ABOUT_TARGETS, marketplace, names):
        if kind == Kind.PRODUCT:
            fact = cast(ProductListed, entry_from_content(entry_id, content).fact)
            listings.setdefault(target, []).append(Listing(seller, occur, report, fact))
        elif kind == Kind.PRODUCT_VIOLATION:
            about = cast(ProductViolationReported, entry_from_content(entry_id, content).fact)
            reports.setdefault(target, []).append(ProductReport(entry_id, occur, report, about))
    return listings, reports


def reached(connection: Connection, marketplace: str, names: Collection[str]) -> dict[str, dict[str, str]]:
    """The violations derived from these violations of products: by report, each seller's."""
    found: dict[str, dict[str, str]] = {}
    for target, kind, entry_id, seller, *_ in _rows(connection, _ABOUT_TARGETS, marketplace, names):
        if kind == Kind.VIOLATION:
            found.setdefault(target, {})[seller] = entry_id
    return found


def corrected_to(connection: Connection, marketplace: str, names: Collection[str]) -> dict[str, str]:
    """The incidents to which these reports belong since they were moved in time; of the others nothing."""
    return dict(tuple(row) for row in _rows(connection, _CORRECTED_TO, marketplace, names))


def regrouped(connection: Connection, marketplace: str, sellers: Collection[str]) -> set[tuple[str, str]]:
    """(seller, incident) of each incident that was named in a merge or a split."""
    rows = _rows(connection, _REGROUPINGS, marketplace, sellers)
    return {(seller, name) for seller, *names in rows for name in names if name is not None}


def other_seller(path: str, standing: Standing) -> Exception:
    """The refusal of an entry that names another seller than its violation's."""
    return invalid(f"{path}.seller", f"must be empty or the violation's seller, {standing.seller!r}")


def _decisions(
    connection: Connection, query: Select[Any], marketplace: str, names: Collection[str]
) -> dict[str, list[Decision]]:
    found: dict[str, list[Decision]] = {}
    for name, entry_id, seller, occur, report, content in _rows(connection, query, marketplace, names):
        fact = cast(StatusChanged, entry_from_content(entry_id, content).fact)
        found.setdefault(name, []).append(Decision(entry_id, seller, occur, report, fact))
    return found


def _rows(connection: Connection, query: Select[Any], marketplace: str, names: Collection[str]) -> Iterator[Any]:
    if names:
        values = {"marketplace": marketplace, "names": list(names)}
        yield from connection.execute(query, values)
