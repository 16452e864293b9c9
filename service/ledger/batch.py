"""A batch while it is appended: its rows, and the rows that the ledger derives from them.

Three things follow from an entry. A pending status change resolves when its violation, or the change it waited for,
comes. A violation of a product reaches every seller who listed it, before or after. What is decided about it is decided
about each of these. What follows is an entry of its own, with `origin`, of the seller it is about, so that a score rests
on the entries of its seller alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, bindparam, select

from scoring.entries.entry import Entry, PreparedEntry, entry_from_content, prepared
from scoring.entries.incidents import AUTO, derived_id, incident_of
from scoring.entries.kinds.conduct import (
    AttributionStated,
    IncidentChanged,
    ProductListed,
    ProductViolationReported,
    RemediationDone,
    StatusChanged,
    ViolationReported,
)
from scoring.entries.kinds.decisions import EntryCorrected, MeasureChanged
from scoring.entries.kinds.table import FIELD_OF, KIND_OF, Fact
from scoring.entries.lifecycle import COUNTING
from scoring.enums import CorrectionKind, Kind, MeasureKind, MeasureState, Status
from scoring.errors import EntryNotFound, LifecycleForbids, ViolationNotFound, invalid
from scoring.time import format_time
from service.ledger import standings as standing
from service.ledger.expressions import Texts, among
from service.ledger.records import Appended
from service.ledger.rows import PLACE, Row, row_of
from service.ledger.standings import Decision, Listing, ProductReport, Standing, other_seller
from service.ledger.tables import ENTRY

_E = ENTRY.c
_NAMED = select(_E.entry_id, _E.kind, _E.seller, _E.report_time, _E.incident, _E.content).where(
    _E.marketplace == bindparam("marketplace"), among(_E.entry_id, bindparam("ids", type_=Texts()))
)
_About = StatusChanged | AttributionStated | RemediationDone | IncidentChanged
_ABOUT_VIOLATION = (StatusChanged, AttributionStated, RemediationDone, IncidentChanged)
_VIOLATIONS = frozenset({Kind.VIOLATION, Kind.PRODUCT_VIOLATION})
_MEETS = (Kind.STATUS, Kind.ATTRIBUTION, Kind.PRODUCT, Kind.REMEDIATION, Kind.MEASURE, Kind.INCIDENT, Kind.CORRECTION)
_MEETS_NOTHING = frozenset(Kind) - _VIOLATIONS - frozenset(_MEETS)
"""Kinds that neither look at what is on record nor have anything follow from them."""
_NOT_CORRECTED = frozenset(
    {
        *(Kind.STATUS, Kind.ATTRIBUTION, Kind.EXPOSURE, Kind.CORRECTION, Kind.ERASURE, Kind.CLOCK),
        *(Kind.PRODUCT, Kind.PRODUCT_VIOLATION),
    }
)
"""Kinds that are stated anew, or from which entries have followed that would have to follow again."""
_STATED_BEFORE = "stated before the violation was on record"
_DECIDED_FOR_ALL = "decided about the product, for all who listed it"


@dataclass(slots=True)
class _Named:
    """An entry that is corrected. `report_time` in microseconds; `incident`: the one a report belongs to by now."""

    kind: int
    seller: str
    report_time: int
    incident: str | None
    entry: Entry


class Batch:
    """The rows of a batch, in order. `sealed` holds, by the row's place, what must be sealed in it."""

    def __init__(
        self, connection: Connection, marketplace: str, fresh: Sequence[PreparedEntry], sequence: int, record_time: int
    ) -> None:
        self.rows: list[Row] = []
        self.sealed: dict[int, str] = {}
        self._marketplace = marketplace
        self._first = sequence + 1
        self._record_time = record_time
        self._named: dict[str, _Named] = {}
        self._regrouped: set[tuple[str, str]] = set()
        self._corrected: set[str] = set()
        self._awaited: set[str] = set()
        self._standings: dict[str, Standing] = {}
        self._pending: dict[str, list[Decision]] = {}
        self._reached: dict[str, dict[str, str]] = {}
        self._listings: dict[str, list[Listing]] = {}
        self._reports: dict[str, list[ProductReport]] = {}
        self._changes: dict[str, list[Decision]] = {}
        self._load(connection, fresh)

    def add(self, item: PreparedEntry, index: int) -> Appended:
        """Appends one entry and what follows from it; where it stands. Errors as `append_batch`."""
        entry = item.entry
        if item.kind in _MEETS_NOTHING or (item.kind is Kind.VIOLATION and not self._pending):
            return self._append(item, entry.seller)
        fact, path = entry.fact, f"entries[{index}]"
        if isinstance(fact, StatusChanged):
            return self._change(item, fact, path)
        seller = entry.seller
        if isinstance(fact, EntryCorrected):
            seller = self._corrected_seller(fact, seller, path)
        elif isinstance(fact, MeasureChanged):
            self._check_measure(fact, seller, path)
        elif isinstance(fact, AttributionStated | RemediationDone | IncidentChanged) and fact.violation:
            found = self._standing_of(fact, seller, path)
            seller = found.seller
            if isinstance(fact, AttributionStated):
                found.attribute(fact.outcome, path)
        if isinstance(fact, IncidentChanged):
            self._regrouped |= {(seller, fact.incident), (seller, fact.into)}
        appended = self._append(item, seller)
        if isinstance(fact, ViolationReported):
            self._resolve(entry.entry_id)
        elif isinstance(fact, ProductListed):
            self._reach_seller(entry, fact)
        elif isinstance(fact, ProductViolationReported):
            self._reach_everybody(entry, fact)
        return appended

    def _load(self, connection: Connection, fresh: Sequence[PreparedEntry]) -> None:
        """Reads what the entries may meet: nothing for those that meet nothing."""
        facts = [
            item.entry.fact for item in fresh if item.kind not in _MEETS_NOTHING and item.kind is not Kind.VIOLATION
        ]
        about = {f.violation for f in facts if isinstance(f, _ABOUT_VIOLATION) and f.violation}
        about |= {name for f in facts if isinstance(f, MeasureChanged) for name in f.violations}
        reports = [i.entry.entry_id for i in fresh if i.kind in _VIOLATIONS]
        offered = {f.product for f in facts if isinstance(f, ProductListed | ProductViolationReported)}
        self._corrected = {f.entry for f in facts if isinstance(f, EntryCorrected)}
        where = self._marketplace
        self._listings, self._reports = standing.products(connection, where, offered)
        known = {report.entry_id for found in self._reports.values() for report in found}
        self._changes = standing.changes(connection, where, known)
        self._standings = standing.standings(connection, where, about | known)
        products = {name for name, found in self._standings.items() if found.kind == Kind.PRODUCT_VIOLATION}
        self._reached = standing.reached(connection, where, products)
        everyone = {name for sellers in self._reached.values() for name in sellers.values()}
        self._standings |= standing.standings(connection, where, everyone)
        self._pending = standing.pending(connection, where, {*about, *reports})
        self._awaited = {*about, *self._pending, *(f.entry_id for found in self._reports.values() for f in found)}
        self._awaited |= {item.entry.entry_id for item in fresh if item.kind is Kind.PRODUCT_VIOLATION}
        if self._corrected:
            self._load_corrected(connection)

    def _load_corrected(self, connection: Connection) -> None:
        where = self._marketplace
        rows = connection.execute(_NAMED, {"marketplace": where, "ids": list(self._corrected)})
        for entry_id, kind, seller, report_time, incident, content in rows:
            self._named[entry_id] = _Named(kind, seller, report_time, incident, entry_from_content(entry_id, content))
        moved = [name for name, named in self._named.items() if named.kind == Kind.VIOLATION]
        for name, incident in standing.corrected_to(connection, where, moved).items():
            self._named[name].incident = incident
        self._regrouped |= standing.regrouped(connection, where, {self._named[name].seller for name in moved})

    def _append(self, item: PreparedEntry, seller: str, status: int | None = None) -> Appended:
        """The entry as the next row; `status` is the one it leads to, if not its own on arrival."""
        row = row_of(item, self._first + len(self.rows), self._marketplace, seller, self._record_time)
        if item.kind is Kind.CORRECTION:
            row[PLACE["incident"]] = self._moved_incident(item.entry.fact)
        if status is not None:
            row[PLACE["status"]] = status
        if item.sealed:
            self.sealed[len(self.rows)] = item.sealed
        self.rows.append(row)
        entry_id = item.entry.entry_id
        if entry_id in self._corrected:
            reported, incident = row[PLACE["report_time"]], row[PLACE["incident"]]
            self._named[entry_id] = _Named(item.kind, seller, reported, incident, item.entry)
        if item.kind in _VIOLATIONS and (entry_id in self._awaited or item.entry.origin):
            severity, status = int(item.severity or 0), int(item.status or 0)
            self._standings[entry_id] = Standing(seller, item.kind, severity, status, row[PLACE["report_time"]])
        return Appended(entry_id, row[0], self._record_time, False)

    def _change(self, item: PreparedEntry, fact: StatusChanged, path: str) -> Appended:
        """A decision about a violation; pending if the violation is not on record and the seller is named."""
        entry = item.entry
        found = self._standings.get(fact.violation)
        occur_time = self._record_time if entry.occur_time is None else entry.occur_time
        decision = Decision(entry.entry_id, entry.seller, occur_time, self._reported(entry), fact)
        # An id of the ledger's own making is on record or a mistake: nobody can know it before.
        if found is None and entry.seller and not fact.violation.startswith(AUTO):
            self._pending.setdefault(fact.violation, []).append(decision)
            row = self._append(item, entry.seller)
            return row._replace(pending=True)
        found = self._standing_of(fact, entry.seller, path)
        if found.kind == Kind.PRODUCT_VIOLATION and fact.units:
            raise invalid(
                f"{path}.status.units",
                f"must be 0: {fact.violation!r} is of a product, and its units are not those of each seller; adjudicate"
                " units of the seller's own violation that was derived of it",
            )
        found.decide(fact, decision.report_time, path)
        found.decided_at(occur_time)
        appended = self._append(item, found.seller, found.status)
        if found.kind == Kind.PRODUCT_VIOLATION:
            self._changes.setdefault(fact.violation, []).append(decision)
            for violation in self._reached.get(fact.violation, {}).values():
                self._follow(decision, violation)
        self._resolve(fact.violation)
        return appended

    def _standing_of(self, fact: _About, seller: str, path: str) -> Standing:
        """The violation an entry is about, which is to be of the seller it names, if it names one."""
        violation = fact.violation
        found = self._standings.get(violation)
        if found is None:
            field = f"{path}.{FIELD_OF[KIND_OF[type(fact)]]}.violation"
            more = ", or name its seller to have it wait for the report" if isinstance(fact, StatusChanged) else ""
            raise ViolationNotFound(
                f"{field}: no violation {violation!r} is recorded; report it first{more}", {"violation": violation}
            )
        if seller not in {"", found.seller}:
            raise other_seller(path, found)
        if found.kind == Kind.PRODUCT_VIOLATION and not isinstance(fact, StatusChanged):
            raise invalid(
                f"{path}.{FIELD_OF[KIND_OF[type(fact)]]}.violation",
                f"{violation!r} is of a product, whoever sells it; name the seller's own violation that was derived of it",
            )
        return found

    def _check_measure(self, fact: MeasureChanged, seller: str, path: str) -> None:
        """A suspension rests on confirmed violations of its seller: the model never punishes alone."""
        if fact.measure_kind is not MeasureKind.SUSPENSION or fact.state is not MeasureState.IMPOSED:
            return
        for name in fact.violations:
            found = self._standings.get(name)
            if found is None or found.seller != seller or found.status not in COUNTING or found.is_away:
                stands = "not on record" if found is None else Status(found.status).name.lower()
                if found is not None and (found.seller != seller or found.is_away):
                    stands = "of another seller"
                raise LifecycleForbids(
                    f"{path}.measure.violations: {name!r} is {stands}; a suspension rests on confirmed violations of its"
                    " seller",
                    {"status": stands, "allowed": "confirmed"},
                )

    def _corrected_seller(self, fact: EntryCorrected, seller: str, path: str) -> str:
        """The seller of the entry that is corrected."""
        if fact.entry not in self._named:
            raise EntryNotFound(
                f"{path}.correction.entry: no entry {fact.entry!r} is recorded; append it first",
                {"entry_id": fact.entry},
            )
        named = self._named[fact.entry]
        kind, owner = named.kind, named.seller
        if kind in _NOT_CORRECTED or (kind == Kind.VIOLATION and fact.correction is CorrectionKind.VOID):
            raise invalid(
                f"{path}.correction.entry",
                f"{fact.entry!r} is of the kind {FIELD_OF[Kind(kind)]}, which is not corrected like this:"
                " overturn a violation, state exposure again with a higher revision, decide a status anew, correct or"
                " contest the violations that were derived of a product; of an attribution state REJECTED instead",
            )
        if kind == Kind.VIOLATION and fact.moved_to is not None and fact.moved_to > named.report_time:
            raise invalid(
                f"{path}.correction.moved_to",
                f"must not be later than {format_time(named.report_time)}, when the report's source knew of it",
            )
        if seller not in {"", owner}:
            raise invalid(f"{path}.seller", f"must be empty or the corrected entry's seller, {owner!r}")
        return owner

    def _moved_incident(self, fact: Fact) -> str | None:
        """The incident to which a report belongs from the time it is moved to: the rule goes by the week.

        One that was named in a merge or a split it keeps, else a corrected date would silently undo what was decided.
        """
        if not isinstance(fact, EntryCorrected) or fact.moved_to is None:
            return None
        named = self._named[fact.entry]
        if not isinstance(named.entry.fact, ViolationReported):
            return None
        if (named.seller, named.incident) not in self._regrouped:
            named.incident = incident_of(fact.entry, named.entry.fact, fact.moved_to)
        return named.incident

    def _reach_everybody(self, entry: Entry, fact: ProductViolationReported) -> None:
        report = ProductReport(entry.entry_id, entry.occur_time or 0, self._reported(entry), fact)
        self._reports.setdefault(fact.product, []).append(report)
        for listing in self._listings.get(fact.product, []):
            self._reach(report, listing)
        self._resolve(entry.entry_id)

    def _reach_seller(self, entry: Entry, fact: ProductListed) -> None:
        listing = Listing(entry.seller, entry.occur_time or 0, self._reported(entry), fact)
        self._listings.setdefault(fact.product, []).append(listing)
        for report in self._reports.get(fact.product, []):
            self._reach(report, listing)

    def _reach(self, report: ProductReport, listing: Listing) -> None:
        """Derives the violation of one seller from one of a product, and what was decided about it since."""
        reached = self._reached.setdefault(report.entry_id, {})
        if listing.seller in reached or not report.concerns(listing):
            return
        about = report.fact
        fact = ViolationReported(
            violation_type=about.violation_type,
            harm=about.harm,
            source=about.source,
            incident=report.entry_id,
            final=about.final,
            identifier_verified=about.identifier_verified,
            listing=listing.fact.listing,
            product_category=about.product_category or listing.fact.product_category,
            ground=about.ground,
            product=about.product,
            batch=about.batch or listing.fact.batch,
        )
        violation = derived_id(report.entry_id, listing.seller)
        # Who lists what is known to be unsafe does so when it lists it.
        occur, known = max(report.occur_time, listing.occur_time), max(report.report_time, listing.report_time)
        entry = Entry(violation, listing.seller, fact, occur, max(known, occur), origin=report.entry_id)
        self._append(prepared(entry, Kind.VIOLATION), listing.seller)
        reached[listing.seller] = violation
        for change in self._changes.get(report.entry_id, []):
            self._follow(change, violation)

    def _resolve(self, violation: str) -> None:
        """Applies the pending changes that the violation allows by now, in the order in which they happened."""
        if violation not in self._pending:
            return
        found = self._standings[violation]
        while any(self._take(p, violation, found) for p in found.in_time(self._pending[violation])):
            pass

    def _take(self, waiting: Decision, violation: str, found: Standing) -> bool:
        if self._derive(waiting, violation, _STATED_BEFORE):
            found.resolved.add(waiting.entry_id)
            return True
        return False

    def _follow(self, change: Decision, violation: str) -> None:
        """Decides a derived violation as the product's, until somebody has decided about it by itself."""
        if self._standings[violation].decided is None:
            self._derive(replace(change, fact=replace(change.fact, units=0)), violation, _DECIDED_FOR_ALL)

    def _derive(self, decision: Decision, violation: str, reason: str) -> bool:
        """Takes a decision for a violation, if that may be: as of when its source and those before it knew."""
        found, fact = self._standings[violation], decision.fact
        try:
            found.decide(fact, decision.report_time, "")
        except LifecycleForbids:
            return False
        entry = Entry(
            derived_id(decision.entry_id, violation),
            found.seller,
            replace(fact, violation=violation, reason=reason),
            min(decision.occur_time, found.known),
            found.known,
            origin=decision.entry_id,
        )
        self._append(prepared(entry, Kind.STATUS), found.seller, found.status)
        return True

    def _reported(self, entry: Entry) -> int:
        return self._record_time if entry.report_time is None else entry.report_time
