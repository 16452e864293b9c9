"""States the measures that the policy's rules ask for, as of a place in the ledger.

It keeps no state: every evaluation of one place yields the same entries and ids.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from typing import NamedTuple

from scoring.base.enums import MeasureState
from scoring.base.errors import InvalidInput
from scoring.caution.cautions import Caution
from scoring.entries.contests import build_unknown_measure, is_contest
from scoring.entries.entry import MAX_BATCH, Entry
from scoring.entries.kinds.decisions import MeasureChanged
from scoring.measures.listed import MeasureInForce
from scoring.measures.record import (
    CaseStatement,
    MeasureRecord,
    RecordStamp,
    SellerTerms,
    WantedMeasure,
    list_case_changes,
    list_changes,
    read_record,
)
from scoring.policy.measures import Deposit, Measure, Waiver
from scoring.policy.policy import Policy
from service.ledger.queries.measures import RecordCondition, TermStatement, select_terms
from service.ledger.records import AppendedEntry, Cut
from service.ledger.store import Ledger
from service.mechanism.places import DECIDING, SOURCE, TIME_SOURCE, list_times
from service.mechanism.refusals import name_refusal_source
from service.scores.scorer import Scorer

_NO_BOUND = 2**62
_MAX_TRIES = 20


class RecordResult(NamedTuple):
    appended: int
    next_end: int | None
    """In microseconds; None if all measures are open-ended."""


def _choose_stated(measure: MeasureInForce) -> Measure:
    # Else each day's sales would be one more statement.
    is_share = isinstance(measure.original, Deposit) and measure.original.ppm
    return measure.original if is_share else measure.current


class _SellerRecord(NamedTuple):
    """The ledger's statements about one seller's measures and cases."""

    stated: Sequence[TermStatement]
    record: MeasureRecord
    cases: Sequence[CaseStatement]

    @classmethod
    def of(cls, statements: Sequence[TermStatement]) -> "_SellerRecord":
        terms = select_terms(statements, Cut(_NO_BOUND, _NO_BOUND, _NO_BOUND))
        return cls(statements, read_record(terms.statements), terms.cases)

    @property
    def place(self) -> tuple[int, int]:
        """Return (sequence, time) of the last evaluation that was stated."""
        places = [(case.fact.at_sequence, case.occur_time) for case in self.cases if case.fact.rule]
        return max([(self.record.at_sequence, self.record.time), *places])

    def list_ends(self) -> Iterator[int]:
        yield from (fact.until for fact in self.record.active.values() if fact.until is not None)


class _Records(NamedTuple):
    of: Mapping[str, _SellerRecord]
    until: int

    def add(self, entries: Iterable[Entry], appended: Sequence[AppendedEntry]) -> "_Records":
        added: dict[str, list[TermStatement]] = {}
        for entry, recorded in zip(entries, appended, strict=True):
            statement = TermStatement(
                entry.entry_id, recorded.sequence, entry.occur_time or 0, entry.fact, recorded.record_time
            )
            added.setdefault(entry.seller, []).append(statement)
        changed = {seller: _SellerRecord.of([*self.of[seller].stated, *new]) for seller, new in added.items()}
        return _Records({**self.of, **changed}, appended[-1].sequence)


class Recorder:
    """Thread-safe."""

    def __init__(self, ledger: Ledger, scorer: Scorer) -> None:
        self._ledger = ledger
        self._scorer = scorer

    def list_policy_move_times(self, since: int, until: int) -> list[int]:
        """Return the times (microseconds) of moves to another policy after `since`, up to `until`."""
        policy = self._scorer.policy
        moves = policy.move_times(since, until)  # it records the policy that was served already
        return [time for time in moves if policy.digest_at(time) != policy.digest_at(time + 1)]

    def follows_from_at(self, time: int) -> str:
        """Return `follows_from` just before a time (microseconds), without a model if the present one served later."""
        changes = self._scorer.champion.changes
        model = "" if changes and changes[-1].time >= time else self._scorer.made_by.model
        return f"{model[:16]}:{self._scorer.policy.at(time).digest[:16]}"

    @property
    def follows_from(self) -> str:
        """Return what measures follow from: MODEL:POLICY as served, 16 digits of each digest."""
        made_by = self._scorer.made_by
        return f"{made_by.model[:16]}:{made_by.policy[:16]}"

    def record(self, marketplace: str, sellers: Sequence[str], cut: Cut) -> dict[str, RecordResult]:
        """State sellers' changes of measures and cases as of a cut, and before that as of each measure's end.

        It skips a seller if the record states the change already, or follows from later entries or a later time.
        """
        records, appended = self._read_records(marketplace, sellers), dict.fromkeys(sellers, 0)
        for seller in sellers:
            latest, since = records, records.of[seller].place[1]
            while ends := [end for end in latest.of[seller].list_ends() if since < end < cut.observe_time - 1]:
                end = min(ends)
                end_cut = self._ledger.cut(end + 1, end + 1)
                latest, counts = self._append_statements(marketplace, [seller], end_cut, latest)
                appended[seller] += counts[seller]
                since = max(end, latest.of[seller].place[1])
        if any(appended.values()):
            records = self._read_records(marketplace, sellers)
        records, counts = self._append_statements(marketplace, sellers, cut, records)
        results = {}
        for seller in sellers:
            later = (end for end in records.of[seller].list_ends() if end >= cut.observe_time - 1)
            results[seller] = RecordResult(appended[seller] + counts[seller], min(later, default=None))
        return results

    def record_pending(self, marketplace: str, seller: str) -> None:
        """State changes of a seller up to now that the worker has not stated, in the same order.

        So a measure on show can be contested. The worker handles a seller whose statement is refused.
        """
        if (self._ledger.positions.find(name_refusal_source((marketplace, seller))) or 0) % 2:
            return
        with suppress(InvalidInput):
            for cut in self._list_pending(marketplace, seller):
                Context().run(self.record, marketplace, [seller], cut)  # it is no act of the caller

    def record_contested(self, marketplace: str, entries: Iterable[Entry]) -> None:
        """Call `record_pending` for each seller whose measures are contested or lifted among the entries.

        Raise MeasureNotFound for a lift of a measure that nobody stated about its seller.
        """
        contested: dict[str, None] = {}
        lifts: list[tuple[int, str, str]] = []
        stated_before: set[tuple[str, str]] = set()
        for index, (seller, fact) in enumerate((entry.seller, entry.fact) for entry in entries):
            if is_contest(fact):
                contested[seller] = None
            elif isinstance(fact, MeasureChanged) and fact.state is not MeasureState.LIFTED:
                stated_before.add((seller, fact.measure))
            elif isinstance(fact, MeasureChanged) and (seller, fact.measure) not in stated_before:
                contested[seller] = None
                lifts.append((index, seller, fact.measure))
        for seller in contested:
            self.record_pending(marketplace, seller)
        records = self._read_records(marketplace, [*{seller for _, seller, _ in lifts}]).of if lifts else {}
        for seller, record in records.items():
            facts = (statement.fact for statement in record.stated)
            stated_before |= {(seller, fact.measure) for fact in facts if isinstance(fact, MeasureChanged)}
        for index, seller, name in lifts:
            if (seller, name) not in stated_before:
                raise build_unknown_measure(name, ("entries", index, "measure", "measure"))

    def _list_pending(self, marketplace: str, seller: str) -> Iterator[Cut]:
        now = self._ledger.cut()
        followed, evaluated = self._ledger.positions.find(SOURCE), self._ledger.positions.find(TIME_SOURCE)
        times: set[int] = set()
        if evaluated is not None:
            times.update(list_times(evaluated, now.observe_time - 1, self.list_policy_move_times))
        if followed is not None:
            changes = self._ledger.changes.list_of_seller(marketplace, seller, followed - 1, now.sequence)
            times.update(change.record_time for change in changes if change.kind in DECIDING)
        yield from (self._ledger.cut(time + 1, time + 1) for time in sorted(times))
        yield now

    def _read_records(self, marketplace: str, sellers: Sequence[str]) -> _Records:
        until = self._ledger.clock.read_end().sequence
        statements = self._ledger.measures.list_stated(marketplace, sellers, until)
        return _Records({seller: _SellerRecord.of(stated) for seller, stated in statements.items()}, until)

    def _append_statements(
        self, marketplace: str, sellers: Sequence[str], cut: Cut, records: _Records
    ) -> tuple[_Records, Counter[str]]:
        """Append the changes as of a cut, and count them by seller; evaluate again if the record changed meanwhile."""
        for _ in range(_MAX_TRIES):
            entries = self._list_entries(marketplace, sellers, cut, records)
            if not entries:
                return records, Counter()
            if len(entries) > MAX_BATCH and len(sellers) > 1:
                middle = len(sellers) // 2
                first, first_counts = self._append_statements(marketplace, sellers[:middle], cut, records)
                second, second_counts = self._append_statements(marketplace, sellers[middle:], cut, records)
                return _Records({**first.of, **second.of}, records.until), first_counts + second_counts
            counts = Counter(entry.seller for entry in entries)
            appended = self._ledger.append(marketplace, entries, as_recorded=RecordCondition([*counts], records.until))
            if appended:
                return records.add(entries, appended), counts
            records = self._read_records(marketplace, sellers)
        raise RuntimeError(f"the record of sellers' measures changed {_MAX_TRIES} times while one change was stated")

    def _list_entries(self, marketplace: str, sellers: Sequence[str], cut: Cut, records: _Records) -> list[Entry]:
        due_sellers = [seller for seller in sellers if (cut.sequence, cut.observe_time) >= records.of[seller].place]
        policy = self._scorer.policy.at(cut.observe_time)
        stamp = RecordStamp(cut.observe_time - 1, cut.sequence, policy.digest)
        entries: list[Entry] = []
        terms = {seller: select_terms(records.of[seller].stated, cut) for seller in due_sellers}
        for seller, (wanted, cautions) in self._evaluate_measures(marketplace, due_sellers, cut, policy, terms):
            recorded = records.of[seller]
            entries += list_changes(seller, wanted, recorded.record, stamp, policy.rule_book.currency)
            entries += list_case_changes(seller, cautions, recorded.cases, stamp)
        return entries

    def _evaluate_measures(
        self, marketplace: str, sellers: Sequence[str], cut: Cut, policy: Policy, terms: Mapping[str, SellerTerms]
    ) -> Iterator[tuple[str, tuple[list[WantedMeasure], Sequence[Caution]]]]:
        if not policy.rule_book.rules and policy.caution is None:
            yield from ((seller, ([], ())) for seller in sellers)
            return
        for seller, evaluated in self._scorer.measures_of(marketplace, sellers, cut, policy, terms):
            wanted = [
                WantedMeasure(
                    measure.measure,
                    measure.rule,
                    measure.reference,
                    _choose_stated(measure),
                    measure.start,
                    measure.end,
                    measure.violations,
                )
                for measure in (() if evaluated is None else evaluated.measures)
                if measure.rule and measure.has_effect and not isinstance(measure.current, Waiver)
            ]
            yield seller, (wanted, () if evaluated is None else evaluated.score.cautions)
