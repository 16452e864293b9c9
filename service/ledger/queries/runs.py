from sqlalchemy import bindparam, select, text

from scoring.base.enums import Category, CorrectionKind, Kind, MeasureState, Status, Tier
from scoring.base.frozen import frozen
from scoring.base.time import DAY
from scoring.entries.cases import trace_stops
from scoring.loss_certificate.certificate import GrantedExceptions, GrantedSeller, read_lifted
from scoring.loss_certificate.contradictions import RUN_TYPES, ObservedCases, RunCase
from service.ledger.clock.ledger_clock import LedgerClock
from service.ledger.database.tables import (
    COUNTING,
    ENTRY,
    HERE,
    ON_TERMS,
    SELLERS_HERE,
    UP_TO_LAST,
    among_kinds,
    of_kind,
)
from service.ledger.queries.measures import MeasureQueries
from service.ledger.queries.sellers import SellerQueries
from service.ledger.queries.violations import ViolationQueries
from service.ledger.records import Cut, ViolationView

MAX_NAMES = 5_000

_E = ENTRY.c
_REPORTS = select(_E.entry_id).where(
    HERE,
    of_kind(Kind.VIOLATION),
    _E.category.in_([int(Category.INTEGRITY), int(Category.SERVICE)]),
    UP_TO_LAST,
)
_VOIDED_ENTRIES = select(_E.target).where(
    HERE,
    _E.target.is_not(None),
    among_kinds(Kind.CORRECTION),
    _E.status == int(CorrectionKind.VOID),
    UP_TO_LAST,
)
_OVERRIDES = (
    select(_E.seller, _E.status, _E.until_time)
    .where(
        HERE,
        text(COUNTING),
        among_kinds(Kind.OVERRIDE),
        _E.occur_time < bindparam("observe_time"),
        UP_TO_LAST,
        _E.entry_id.not_in(_VOIDED_ENTRIES),
    )
    .order_by(_E.occur_time, _E.sequence)
)
_LIFTED = SELLERS_HERE.where(
    text(ON_TERMS), among_kinds(Kind.MEASURE), _E.status == int(MeasureState.LIFTED), UP_TO_LAST
)
_STANDING_STATUSES = (Status.CONFIRMED, Status.APPEALED, Status.REDUCED)


@frozen
class RunQueries:
    clock: LedgerClock
    sellers: SellerQueries
    violations: ViolationQueries
    measures: MeasureQueries

    def find_runs(self, cut: Cut) -> ObservedCases:
        """Return the runs of all marketplaces: sellers with confirmed violations of RUN_TYPES, who took orders and left.

        It also counts the confirmed and the overturned violations of these types, and states the cut's UTC day.
        """
        cases: list[RunCase] = []
        confirmed = overturned = 0
        for marketplace in self.sellers.list_marketplaces():
            views = self._list_run_violations(marketplace, cut)
            overturned += sum(view.status is Status.OVERTURNED for view in views)
            standing = [view for view in views if view.status in _STANDING_STATUSES]
            confirmed += len(standing)
            cases += self._find_run_cases(marketplace, cut, standing)
        return ObservedCases(tuple(cases), confirmed, overturned, cut.observe_time // DAY)

    def find_granted(self, cut: Cut) -> GrantedExceptions:
        """Return the overrides in force at a cut, and the measures that persons lifted, in all marketplaces."""
        granted: list[GrantedSeller] = []
        for marketplace in self.sellers.list_marketplaces():
            overrides = self.clock.rows_as_of(cut, _OVERRIDES, marketplace=marketplace)
            tiers = {seller: (Tier(tier), until) for seller, tier, until in overrides}
            tiers = {seller: (tier, until) for seller, (tier, until) in tiers.items() if until > cut.observe_time}
            lifts = {
                name: read_lifted(self.measures.read_seller_terms(marketplace, name, cut).lifts)
                for (name,) in self.clock.rows_as_of(cut, _LIFTED, marketplace=marketplace)
            }
            for seller in sorted({*tiers, *(name for name, lifted in lifts.items() if lifted)}):
                set_tier, until = tiers.get(seller, (None, None))
                granted.append(GrantedSeller(marketplace, seller, set_tier, until, lifts.get(seller, frozenset())))
        return GrantedExceptions(cut.sequence, tuple(granted))

    def _list_run_violations(self, marketplace: str, cut: Cut) -> list[ViolationView]:
        names = [name for (name,) in self.clock.rows_as_of(cut, _REPORTS, marketplace=marketplace)]
        violations: list[ViolationView] = []
        for first in range(0, len(names), MAX_NAMES):
            views = self.violations.find_views(marketplace, names[first : first + MAX_NAMES], cut)
            violations += [view for view in views.values() if view.violation_type in RUN_TYPES and view.seller]
        return violations

    def _find_run_cases(self, marketplace: str, cut: Cut, standing: list[ViolationView]) -> list[RunCase]:
        starts: dict[str, int] = {}
        for view in standing:
            day = view.occur_time // DAY
            starts[view.seller] = min(starts.get(view.seller, day), day)
        run_cases = []
        for seller, start in starts.items():
            stops = trace_stops(self.measures.read_seller_terms(marketplace, seller, cut).payout_statements)
            is_stopped = bool(stops) and stops[-1].lasts_past(cut.observe_time)
            run_cases.append(RunCase(start, stops[-1].begin // DAY if is_stopped else None))
        return run_cases
