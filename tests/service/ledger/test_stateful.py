"""Random histories, through the real ledger and the reference, compared after every step.

`SELLERTRUST_TEST_EXAMPLES=2000` runs that number of new histories; over 15 minutes also needs `-o
faulthandler_timeout=0`.
"""

import os
import shutil
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from scoring.base.errors import SellertrustError
from scoring.base.time import DAY
from scoring.entries.entry import Entry, prepare_batch
from scoring.features.columns import columns_of
from scoring.features.facts import resolve
from scoring.scores.score import explain, score
from service.cli.parity import rows_of
from service.contract.entries import entry_message
from service.ledger.append.appending import append_batch
from service.ledger.clock.server_clock import Present
from service.ledger.database.database import CONFLICT
from service.ledger.database.schema import upgrade
from service.ledger.records import Cut
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, Clock
from tests.helpers.databases import BACKENDS, database
from tests.helpers.worlds import artifact, policy
from tests.service.ledger.plans import PLANS, SELLERS, Plan, ago, flags, many, sellers
from tests.service.ledger.reference import Reference
from tests.service.ledger.reference_rows import Answer, Refused

EXAMPLES = int(os.environ.get("SELLERTRUST_TEST_EXAMPLES", "0"))
SETTINGS = settings(
    stateful_step_count=40 if EXAMPLES else 25,
    derandomize=not EXAMPLES,
    database=None,
    # Explaining a failure traces every line and shrinking takes minutes; the time limit would then hide the failure.
    phases=(Phase.generate, Phase.shrink) if EXAMPLES else (Phase.generate,),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@cache
def sqlite_template() -> str:
    path = tempfile.mkdtemp(prefix="sellertrust-sqlite-") + "/ledger.db"
    upgrade(f"sqlite:///{path}")
    return path


class Crash(Exception):
    """A failure in the middle of a write."""


class Histories(RuleBasedStateMachine):
    backend = ""
    folder = Path()

    def __init__(self) -> None:
        super().__init__()
        self.open = ExitStack()
        self.clock = Clock()
        self.reference = Reference()
        self.batches: list[tuple[list[Entry], bool]] = []
        self.stamps: list[tuple] = []
        self.count = 0

    @initialize()
    def begin(self) -> None:
        self.url = self.open.enter_context(database(self.backend, self.folder, empty=self.backend == "sqlite"))
        if self.backend == "sqlite":
            shutil.copyfile(sqlite_template(), self.url.removeprefix("sqlite:///"))
        self.ledger = Ledger.open(self.url, clock=self.clock)

    def teardown(self) -> None:
        with self.open:
            if hasattr(self, "ledger"):
                self.ledger.close()

    @rule(plans=st.lists(PLANS, min_size=5, max_size=10), together=flags)
    def append(self, plans: list[Plan], together: bool) -> None:
        if together:
            self.put([plan(self) for plan in plans[:3]])
        for plan in plans[3 if together else 0 :]:
            self.put([plan(self)])

    @rule(plans=st.lists(st.tuples(PLANS, ago), min_size=3, max_size=8))
    def import_late(self, plans: list[tuple[Plan, int]]) -> None:
        for plan, wait in plans:
            entry = plan(self)
            known = max(self.clock.now - wait, entry.occur_time or 0)
            self.put([replace(entry, report_time=known)], imported=True)

    @rule(which=st.integers(0, 30), back=flags)
    def retry(self, which: int, back: bool) -> None:
        if self.batches:
            entries, imported = self.batches[which % len(self.batches)]
            self.put(entries[::-1] if back else entries, imported)

    @rule(which=st.integers(0, 30), plan=PLANS)
    def other_content(self, which: int, plan: Plan) -> None:
        if self.batches:
            taken = self.batches[which % len(self.batches)][0][0].entry_id
            self.put([replace(plan(self), entry_id=taken)])

    @rule(plans=st.lists(PLANS, min_size=1, max_size=3))
    def crash(self, plans: list[Plan]) -> None:
        """Fail after the writes and before the commit: nothing has changed."""
        now = max(self.clock.now, self.ledger.last()[1])
        batch = prepare_batch([plan(self) for plan in plans], now)
        with suppress(Crash, SellertrustError, *CONFLICT), self.ledger.database.write() as connection:
            append_batch(self.ledger.database, connection, MARKET, batch, Present(self.clock.now))
            raise Crash

    @rule(days=st.integers(-3, 20), more=st.integers(0, DAY), restarts=flags)
    def clock_jumps(self, days: int, more: int, restarts: bool) -> None:
        self.clock.now += days * DAY + more
        if restarts:
            self.ledger.close()
            self.ledger = Ledger.open(self.url, clock=self.clock)

    @rule(seller=sellers, hurry=st.integers(0, 3))
    def erase(self, seller: str, hurry: int) -> None:
        if hurry or not self.ledger.facts.rows(MARKET, [seller], self.ledger.last()[0]):
            return
        entry_id = self.serial("z")
        done = self.ledger.erase(MARKET, seller, actor="officer", entry_id=entry_id)
        self.reference.erase(seller, entry_id, self.clock.now)
        assert done.sequence == len(self.reference.rows)

    @rule()
    def take_a_stamp(self) -> None:
        cut = self.ledger.cut()
        self.stamps.append((cut, self.answers(cut.observe_time, cut.sequence)))

    @rule(days=st.integers(0, 12), which=many, later=st.integers(0, 1), how=st.integers(0, 3))
    def look_back(self, days: int, which: int, later: int, how: int) -> None:
        """Read an earlier time, with today's knowledge and with earlier knowledge.

        At a midnight, or at the time of an event, a report or an end.
        """
        moments = [self.clock.now // DAY * DAY - days * DAY]
        for row in self.reference.rows[which:] + self.reference.rows[:which]:
            moments += [(row.occur_time, row.report_time, getattr(row.fact, "until", row.occur_time))[how % 3]] * (
                how < 3
            )
        moment = min(moments[len(moments) > 1] + later, self.ledger.cut().observe_time)
        times = [None, *(row.record_time for row in self.reference.rows)]
        for known in (None, times[which % len(times)]):
            cut = self.ledger.cut(moment, known)
            assert cut.sequence == sum(known is None or row.record_time < known for row in self.reference.rows)
            self.compare(moment, cut.sequence)

    @rule(which=many)
    def replay(self, which: int) -> None:
        if self.stamps:
            cut, then = self.stamps[which % len(self.stamps)]
            if cut.observe_time <= self.ledger.cut().observe_time:
                assert self.ledger.cut(cut.observe_time, cut.known_time) == cut
            assert self.answers(cut.observe_time, cut.sequence) == then

    @invariant()
    def the_reference_says_the_same(self) -> None:
        if hasattr(self, "ledger"):
            assert self.ledger.last() == (len(self.reference.rows), self.reference.last_time)
            cut = self.ledger.cut()
            self.compare(cut.observe_time, cut.sequence)

    @rule()
    def every_entry_reads_back(self) -> None:
        verified = self.ledger.seals.verify([self.ledger.seals.last()] if self.reference.rows else [], lambda *_: None)
        assert (verified.mismatch, verified.entries) == (None, len(self.reference.rows))
        cut = self.whole()
        listed = self.ledger.entries.list(MARKET, cut, limit=10_000)
        rows = self.reference.rows
        assert [e.sequence for e in listed] == list(range(1, len(rows) + 1))
        for entry, row in zip(listed, rows, strict=True):
            assert (entry.entry.entry_id, entry.entry.origin, entry.seller) == (row.id, row.entry.origin, row.seller)
            assert (entry.occur_time, entry.report_time, entry.record_time, entry.pending) == (
                *(row.occur_time, row.report_time, row.record_time, row.waits),
            )
            assert entry.erased == self.reference.is_erased(row)
            if not row.entry.origin and not entry.erased:
                assert entry.entry == row.entry
            if self.reference.violation(row.id) is not None:
                view, v = self.ledger.violations.find(MARKET, row.id, cut), self.reference.violation(row.id)
                assert (view.status.name.lower(), view.severity, view.seller) == (v.status, v.severity, v.seller)

    @rule(seller=sellers, days=st.integers(0, 12))
    def what_is_read_again_over_the_contract_stands_alike(self, seller: str, days: int) -> None:
        cut = self.whole()
        listed = self.ledger.entries.list(MARKET, cut, sellers=[seller], limit=10_000)
        again = rows_of(MARKET, seller, [entry_message(MARKET, recorded) for recorded in listed])
        rows = self.ledger.facts.rows(MARKET, [seller], cut.sequence)
        moment = np.array([self.clock.now // DAY * DAY - days * DAY])
        found, wanted = (resolve(columns_of(some, [seller]), moment) for some in (again, rows))
        for name in ("case", "day", "category", "severity"):
            assert getattr(found.violations, name).tolist() == getattr(wanted.violations, name).tolist(), name
        assert (found.allegations.tolist(), found.exists.tolist()) == (
            wanted.allegations.tolist(),
            wanted.exists.tolist(),
        )

    def put(self, entries: list[Entry], imported: bool = False) -> None:
        try:
            expected: object = self.reference.append(entries, self.clock.now)
        except Refused as refusal:
            expected = str(refusal)
        try:
            done = self.ledger.append(MARKET, entries, imported=imported)
            found: object = [(one.entry_id, one.sequence, one.already_present, one.pending) for one in done]
            self.batches.append((entries, imported))
        except SellertrustError as refusal:
            found = type(refusal).__name__
        assert found == expected, f"{found} is not {expected}"

    def whole(self) -> Cut:
        return self.ledger.cut(max(self.clock.now, self.ledger.last()[1]) + 1)

    def compare(self, moment: int, sequence: int) -> None:
        for upheld in (False, True):
            expected = [self.reference.answer(s, moment, sequence, upheld=upheld) for s in SELLERS]
            for found, wanted in zip(self.facts(moment, sequence, upheld), expected, strict=True):
                differs = [f for f in Answer.__dataclass_fields__ if getattr(found, f) != getattr(wanted, f)]
                assert not differs, [(f, getattr(found, f), getattr(wanted, f)) for f in differs]

    def facts(self, moment: int, sequence: int, upheld: bool) -> list[Answer]:
        rows = self.ledger.facts.rows(MARKET, SELLERS, sequence)
        everybody = np.full(len(SELLERS), upheld)
        facts = resolve(columns_of(rows, SELLERS), np.full(len(SELLERS), moment), upheld=everybody)
        v = facts.violations
        answers = []
        for case in range(len(SELLERS)):
            mine = np.flatnonzero(v.case == case).tolist()
            names = {place: rows[v.row[place]].entry_id for place in mine}
            groups = {frozenset(names[p] for p in mine if v.incident[p] == v.incident[q]) for q in mine}
            sold = np.flatnonzero(facts.exposure_case == case).tolist()
            answers.append(
                Answer(
                    frozenset((names[p], int(v.severity[p]), int(v.day[p]), int(v.category[p])) for p in mine),
                    frozenset(groups),
                    int(facts.allegations[case]),
                    tuple(sorted((int(facts.exposure_day[p]), int(facts.exposure_orders[p])) for p in sold)),
                    int(facts.start_day[case]),
                    int(facts.level[case]),
                    int(facts.override[case]),
                    bool(facts.exists[case]),
                )
            )
        return answers

    def answers(self, moment: int, sequence: int) -> list:
        rows = self.ledger.facts.rows(MARKET, SELLERS, sequence)
        scores = score(rows, SELLERS, moment, artifact(), policy())
        explained = [explain([r for r in rows if r.seller == s], s, moment, artifact(), policy()) for s in SELLERS]
        assert scores == [None if e is None else e.score for e in explained]
        return explained

    def serial(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count % 7}-{self.count}"

    def fresh(self, name: str) -> str:
        return name if self.reference.violation(name) is None else self.serial("w")

    def pick_violation(self, which: int) -> str:
        names = [row.id for row in self.reference.rows if self.reference.violation(row.id) is not None]
        return names[which % len(names)] if names else f"v{which % 8}"


@pytest.mark.long
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.timeout(0 if EXAMPLES else 300)
def test_the_ledger_and_the_fold_agree_with_the_reference(
    backend: str, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    machine = type("Histories", (Histories,), {"backend": backend, "folder": tmp_path})
    few, many = (12, 60) if backend == "postgresql" else (30, 150)
    examples = EXAMPLES or (many if pytestconfig.getoption("--all") else few)
    run_state_machine_as_test(machine, settings=settings(SETTINGS, max_examples=examples))
