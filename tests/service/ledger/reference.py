"""The ledger and the fold again, short, slow and plain, as a reference.

The whole state is a list of rows that every query scans. The reference imports only the facts of callers and their
words from the code under test.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from scoring.base.enums import Attribution, CorrectionKind, IncidentChange
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
from scoring.entries.kinds.decisions import EntryCorrected, OverrideImposed, SellerErased
from scoring.entries.kinds.trade import ExposureStated
from tests.service.ledger.reference_rows import Answer, Refused, Row, Violation, decided, derived_id, reported
from tests.service.ledger.reference_words import TYPES

SECOND = 1_000_000
DAY = 86_400 * SECOND
MONDAY = 4  # 1970-01-05, in days since 1970-01-01


class Reference:
    def __init__(self, sequence: int = 0, record_time: int = 0) -> None:
        self.rows: list[Row] = []
        self.before, self.last_time, self.now, self.date = sequence, record_time, 0, 0

    def append(self, entries: Sequence[Entry], clock: int) -> list[tuple[str, int, bool, bool]]:
        """Return (entry id, sequence, already recorded, pending) of each entry; raise Refused without a change."""
        kept, last_time = list(self.rows), self.last_time
        self.now = max(clock, last_time + 1)
        self.date = self.now if self.now <= clock + SECOND else clock
        try:
            results = [self._append(entry) for entry in entries]
            self._check_revisions()
        except Refused:
            self.rows, self.last_time = kept, last_time
            raise
        if len(self.rows) > len(kept):
            self.last_time = self.now
        return results

    def _append(self, entry: Entry) -> tuple[str, int, bool, bool]:
        for row in self.rows:
            if row.id == entry.entry_id:
                if row.entry != entry and not (
                    self.is_erased(row) and self._unsealed(row.entry) == self._unsealed(entry)
                ):
                    raise Refused("EntryContentDiffers")
                return row.id, row.sequence, True, row.waits
        fact, seller, waits = entry.fact, entry.seller, False
        if isinstance(fact, EntryCorrected):
            seller = self._corrected(fact, seller)
        elif isinstance(fact, StatusChanged | AttributionStated | RemediationDone) or (
            isinstance(fact, IncidentChanged) and fact.violation
        ):
            about = self.violation(fact.violation)
            is_guess = fact.violation.startswith("auto~")
            waits = about is None and isinstance(fact, StatusChanged) and bool(seller) and not is_guess
            if (about is None and not waits) or (about is not None and seller not in ("", about.seller)):
                raise Refused("ViolationNotFound")
            if about is not None and not (about.seller or isinstance(fact, StatusChanged)):
                raise Refused("InvalidInput")
            if about is not None and not about.seller and getattr(fact, "units", 0):
                raise Refused("InvalidInput")
            if about is not None and isinstance(fact, StatusChanged) and decided(about, fact, 0) is None:
                raise Refused("LifecycleForbids")
            if isinstance(fact, AttributionStated) and fact.outcome is Attribution.CONTESTED:
                said = [r.fact.outcome for r in self._about(fact.violation) if isinstance(r.fact, AttributionStated)]
                if said[-1:] == [Attribution.ACCEPTED]:
                    raise Refused("LifecycleForbids")
            seller = seller if about is None else about.seller
        row = self._add(entry, seller, waits)
        self._follow(row)
        return row.id, row.sequence, False, waits

    def is_erased(self, row: Row) -> bool:
        later = [r for r in self.rows if isinstance(r.fact, SellerErased) and r.sequence > row.sequence]
        return hasattr(row.fact, "reason") and row.seller in {r.seller for r in later}

    @staticmethod
    def _unsealed(entry: Entry) -> Entry:
        return replace(entry, fact=replace(entry.fact, reason="")) if hasattr(entry.fact, "reason") else entry

    def _add(self, entry: Entry, seller: str, waits: bool = False) -> Row:
        occur = self.date if entry.occur_time is None else entry.occur_time
        if isinstance(entry.fact, ExposureStated):
            occur = entry.fact.day * DAY
        if isinstance(entry.fact, EntryCorrected) and entry.fact.moved_to is not None:
            occur = entry.fact.moved_to
        report = self.date if entry.report_time is None else entry.report_time
        row = Row(self.before + len(self.rows) + 1, self.now, seller, entry, occur, report, waits)
        self.rows.append(row)
        return row

    def _corrected(self, fact: EntryCorrected, seller: str) -> str:
        found = next((row for row in self.rows if row.id == fact.entry), None)
        if found is None:
            raise Refused("EntryNotFound")
        fixed = (StatusChanged, ExposureStated, EntryCorrected, SellerErased, ProductListed, ProductViolationReported)
        if isinstance(found.fact, (*fixed, AttributionStated)):
            raise Refused("InvalidInput")
        if isinstance(found.fact, ViolationReported) and fact.correction is CorrectionKind.VOID:
            raise Refused("InvalidInput")
        if seller not in ("", found.seller):
            raise Refused("InvalidInput")
        if isinstance(found.fact, ViolationReported) and fact.moved_to > found.report_time:
            raise Refused("InvalidInput")
        return found.seller

    def _check_revisions(self) -> None:
        stated = [
            (r.seller, r.fact.day, r.fact.product_category, r.fact.revision)
            for r in self.rows
            if isinstance(r.fact, ExposureStated)
        ]
        if len(set(stated)) < len(stated):
            raise Refused("ExposureRevisionTaken")

    def erase(self, seller: str, entry_id: str, clock: int) -> None:
        self.append([Entry(entry_id, seller, SellerErased("officer"))], clock)

    def _follow(self, row: Row) -> None:
        fact = row.fact
        if isinstance(fact, ViolationReported):
            self._settle(row.id)
        elif isinstance(fact, ProductListed):
            for report in [r for r in self.rows if isinstance(r.fact, ProductViolationReported)]:
                self._reach(report, row)
        elif isinstance(fact, ProductViolationReported):
            for listing in [r for r in self.rows if isinstance(r.fact, ProductListed)]:
                self._reach(row, listing)
        elif isinstance(fact, StatusChanged) and not row.waits:
            for derived in [r for r in self.rows if r.entry.origin == fact.violation and self._is_report(r)]:
                self._pass_on(row, derived.id)
            self._settle(fact.violation)

    def _reach(self, report: Row, listing: Row) -> None:
        """Derive the violation of the seller who listed the reported product, once for each seller."""
        about, goods = report.fact, listing.fact
        if about.product != goods.product or self._get(derived_id(report.id, listing.seller)):
            return
        for mine, its in ((about.batch, goods.batch), (about.supplier, goods.supplier)):
            if mine and its and mine != its:
                return
        fact = ViolationReported(
            about.violation_type, about.harm, about.source, report.id, "", about.final, about.identifier_verified
        )
        occur, known = (max(getattr(report, t), getattr(listing, t)) for t in ("occur_time", "report_time"))
        name = derived_id(report.id, listing.seller)
        self._add(Entry(name, listing.seller, fact, occur, max(occur, known), report.id), listing.seller)
        for row in [r for r in self.rows if isinstance(r.fact, StatusChanged) and r.fact.violation == report.id]:
            if not row.waits:
                self._pass_on(row, name)

    def _pass_on(self, row: Row, violation: str) -> None:
        """Apply a product's decision to one seller, until that seller has its own decision."""
        if all(r.entry.origin for r in self._about(violation) if isinstance(r.fact, StatusChanged)):
            self._take(row, violation)

    def _settle(self, violation: str) -> None:
        """Apply the pending decisions by time of occurrence while one is allowed.

        Skip a decision that happened before an applied one.
        """
        while any(self._take(row, violation) for row in self._waiting(violation)):
            pass

    def _waiting(self, violation: str) -> list[Row]:
        v = self.violation(violation)
        rows = [r for r in self._about(violation) if r.waits and r.seller == v.seller]
        taken = [self._get(r.entry.origin) or r for r in self._about(violation) if not r.waits]
        last = max((r.occur_time for r in taken if isinstance(r.fact, StatusChanged)), default=0)
        rows = [r for r in rows if r.occur_time >= last]
        return sorted(rows, key=lambda r: (r.occur_time, r.id))

    def _take(self, row: Row, violation: str) -> bool:
        v, name = self.violation(violation), derived_id(row.id, violation)
        after = decided(v, row.fact, row.report_time)
        if after is None or self._get(name):
            return False
        fact = replace(row.fact, violation=violation)
        times = (min(row.occur_time, after.known), after.known)
        self._add(Entry(name, v.seller, fact, *times, origin=row.id), v.seller)
        return True

    def _get(self, entry_id: str) -> Row | None:
        return next((row for row in self.rows if row.id == entry_id), None)

    def _about(self, violation: str) -> list[Row]:
        return [r for r in self.rows if getattr(r.fact, "violation", "") == violation]

    @staticmethod
    def _is_report(row: Row) -> bool:
        return isinstance(row.fact, ViolationReported | ProductViolationReported)

    def violation(self, name: str) -> Violation | None:
        report = self._get(name)
        if report is None or not self._is_report(report):
            return None
        return self._history(report, self.rows)

    @staticmethod
    def _history(report: Row, rows: Iterable[Row]) -> Violation:
        v = reported(report)
        for row in rows:
            if isinstance(row.fact, StatusChanged) and row.fact.violation == report.id and not row.waits:
                v = decided(v, row.fact, row.report_time) or v
        return v

    def answer(self, seller: str, observe_time: int, sequence: int, *, upheld: bool = False) -> Answer:
        rows = self._standing([r for r in self.rows if r.seller == seller and r.sequence <= sequence])
        seen = [r for r in rows if r.occur_time < observe_time and r.report_time < observe_time]
        today = observe_time // DAY
        counted, allegations, stands = self._counted(rows, seen, upheld)
        groups = self._incidents(rows, [row for row, _ in counted])
        units = {
            name: sum(v.units for row, v in counted if groups[row.id] == name and not v.reduced)
            for name in set(groups.values())
        }
        violations = {
            (row.id, v.raised(units[groups[row.id]]), row.occur_time // DAY, TYPES[row.fact.violation_type][0])
            for row, v in counted
        }
        sold = self._exposure([r for r in rows if r.report_time < observe_time], today)
        identities = [r for r in seen if isinstance(r.fact, IdentityVerified)]
        starts = [day for day, _ in sold] + [r.occur_time // DAY for r in identities]
        changes = [r.occur_time // DAY for r in seen if isinstance(r.fact, ControlChanged)]
        since = max(changes, default=-(10**9))
        overrides = [r for r in seen if isinstance(r.fact, OverrideImposed)]
        in_force = overrides and overrides[-1].fact.until > observe_time
        latest = max(identities, key=lambda r: (r.occur_time, r.sequence), default=None)
        return Answer(
            violations=frozenset(violations),
            incidents=frozenset(
                frozenset(name for name in groups if groups[name] == group) for group in set(groups.values())
            ),
            allegations=allegations,
            orders=tuple(sorted(pair for pair in sold if pair[0] >= since)),
            start_day=max(min(starts), since) if starts else today,
            level=0 if latest is None else int(latest.fact.level),
            tier=int(overrides[-1].fact.tier) if in_force else 0,
            exists=bool(starts) or stands,
        )

    @staticmethod
    def _standing(rows: list[Row]) -> list[Row]:
        last = {row.fact.entry: row.fact for row in rows if isinstance(row.fact, EntryCorrected)}
        kept = [r for r in rows if r.id not in last or last[r.id].correction is not CorrectionKind.VOID]
        return [replace(r, occur_time=last[r.id].moved_to) if r.id in last else r for r in kept]

    def _counted(self, rows: list[Row], seen: list[Row], upheld: bool) -> tuple[list[tuple[Row, Violation]], int, bool]:
        counted, allegations, stands = [], 0, False
        for row in seen:
            if not isinstance(row.fact, ViolationReported):
                continue
            v = self._history(row, rows)
            said = [
                r.fact.outcome for r in rows if isinstance(r.fact, AttributionStated) and r.fact.violation == row.id
            ]
            if v.status in {"dismissed", "withdrawn", "overturned"} or said[-1:] == [Attribution.ACCEPTED]:
                continue
            stands = True
            is_open = v.status in {"alleged", "under_review"}
            allegations += is_open
            if is_open and upheld:
                v = replace(v, units=max(v.units, row.fact.units))
            if upheld or not is_open:
                counted.append((row, v))
        return counted, allegations, stands

    def _incidents(self, rows: list[Row], reports: list[Row]) -> dict[str, str]:
        """Return the incident of each report: stated or by rule, then as assigned, then as merged."""
        changes = [r.fact for r in rows if isinstance(r.fact, IncidentChanged)]
        last = max((row.sequence for row in rows), default=0)
        names = {row.id: self.incident(row.id, last) for row in reports}
        names |= {c.violation: c.into for c in changes if c.change is IncidentChange.SPLIT and c.violation in names}
        together = [{name} for name in {*names.values(), *(c.into for c in changes), *(c.incident for c in changes)}]
        for change in changes:
            if change.change is IncidentChange.MERGED:
                one, other = (next(s for s in together if n in s) for n in (change.incident, change.into))
                if one is not other:
                    together.remove(other)
                    one |= other
        return {violation: min(next(s for s in together if n in s)) for violation, n in names.items()}

    def incident(self, report: str, last: int) -> str:
        """Return a report's incident: stated, or by the week of its time as corrected up to entry `last`.

        A merge or an assignment fixes the incident, unless its violation is gone.
        """
        found = self._get(report)
        name = self._of_week(found, found.occur_time)
        named: set[str] = set()
        rows = [r for r in self.rows if r.seller == found.seller and r.sequence <= last]
        last_said = {row.fact.entry: row.fact.correction for row in rows if isinstance(row.fact, EntryCorrected)}
        for row in rows:
            if isinstance(row.fact, IncidentChanged):
                is_gone = row.fact.violation and self._is_gone(row.fact.violation, rows)
                if is_gone or last_said.get(row.id) is CorrectionKind.VOID:
                    continue
                named |= {row.fact.incident, row.fact.into}
            elif isinstance(row.fact, EntryCorrected) and row.fact.entry == report and name not in named:
                name = self._of_week(found, row.fact.moved_to)
        return name

    def _is_gone(self, violation: str, rows: list[Row]) -> bool:
        """Return True if a violation counts as never reported, by these rows."""
        said = [r.fact.outcome for r in rows if isinstance(r.fact, AttributionStated) and r.fact.violation == violation]
        status = self._history(self._get(violation), rows).status
        return status in {"dismissed", "withdrawn", "overturned"} or said[-1:] == [Attribution.ACCEPTED]

    @staticmethod
    def _of_week(row: Row, moment: int) -> str:
        fact = row.fact
        if fact.incident:
            return fact.incident
        if not fact.notifier or not (fact.right or fact.listing):
            return row.id
        key = (fact.notifier, fact.right, fact.listing, str((moment // DAY - MONDAY) // 7))
        return "auto~" + hashlib.sha256("\x1f".join(key).encode()).hexdigest()[:24]

    @staticmethod
    def _exposure(rows: list[Row], today: int) -> list[tuple[int, int]]:
        stated = sorted(
            (r.fact.revision, r.fact.day, r.fact.product_category, r.fact.settled_orders)
            for r in rows
            if isinstance(r.fact, ExposureStated) and r.fact.day < today
        )
        highest = {(day, category): orders for _, day, category, orders in stated}
        return [(day, orders) for (day, _), orders in highest.items()]
