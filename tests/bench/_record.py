"""Delay of the complete record of measures: after a commit, by a server's share, and after a recall, by a whole core.

`record_s`: seconds until the record of 5,000 sellers is complete. `mechanism.sellers_per_s`: sellers a second whose
record is made after a recall and its confirmation. `mechanism.over_rescoring`: its time over the time of scoring the
same sellers twice.
"""

import tempfile
from pathlib import Path
from time import perf_counter

from scoring.base.enums import Action, Harm, Source
from scoring.base.time import SECOND
from scoring.entries.entry import Entry
from scoring.entries.kinds.conduct import ProductListed, ProductViolationReported
from scoring.policy.policy import Policy
from service.api.garbage_collection import freeze_loaded_objects
from service.bootstrap import MECHANISM_SHARE, build_scorer
from service.ledger.store import Ledger
from service.mechanism.recorder import Recorder
from service.mechanism.worker import MechanismWorker
from service.policy.history import PolicyHistory
from service.policy.policy_file import SHIPPED_POLICY, read_policy
from service.scores.scorer import Scorer
from tests.bench._preview import _entries
from tests.helpers.builders import MARKET, Clock, ago, status
from tests.helpers.servers import Shelf
from tests.helpers.worlds import artifact

COMMITTED, RECALLED, LARGEST = 5_000, 2_000, 10_000


def measure() -> dict[str, float]:
    freeze_loaded_objects()
    before, after = (read_policy(SHIPPED_POLICY.with_name(f"{name}.toml")) for name in ("general", "ladder"))
    return _commit(before, after) | _recall(before)


def _commit(before: Policy, after: Policy) -> dict[str, float]:
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder, _filled(folder, COMMITTED, clock) as ledger:
        scorer = build_scorer(ledger, before, Shelf(artifact()))
        _worker(ledger, scorer).look()
        clock.now += SECOND
        PolicyHistory(ledger).commit(after.text, expected=before.digest, actor="a", reason="bench", served=before)
        scorer.policy.refresh()
        clock.now += SECOND
        begin = perf_counter()
        _worker(ledger, scorer, MECHANISM_SHARE).look()
        return {"record_s": round(perf_counter() - begin, 1)}


def _recall(policy: Policy) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder, _filled(folder, RECALLED, Clock()) as ledger:
        sellers = [f"s-{number}" for number in range(RECALLED)]
        ledger.append(MARKET, [Entry(f"l-{name}", name, ProductListed("lamp"), ago(30)) for name in sellers])
        scorer = build_scorer(ledger, policy, Shelf(artifact()))
        worker = _worker(ledger, scorer)
        worker.look()
        fact = ProductViolationReported("unsafe_product", Harm.HIGH, Source.RANDOM_AUDIT, "lamp")
        for entry in (Entry("recall", "", fact, ago(20)), status("recall", Action.CONFIRM)):
            ledger.append(MARKET, [entry])
        begin = perf_counter()
        worker.look()
        took = perf_counter() - begin
        begin = perf_counter()
        for _ in range(2):
            scorer.scores(MARKET, sellers, ledger.cut())
        scored = perf_counter() - begin
    return {
        "mechanism.sellers_per_s": round(RECALLED / took),
        "mechanism.over_rescoring": round(took / scored, 1),
    }


def _filled(folder: str, sellers: int, clock: Clock) -> Ledger:
    ledger = Ledger.open(f"sqlite:///{Path(folder) / 'ledger.db'}", create=True, clock=clock)
    entries = [*_entries(sellers)]
    for first in range(0, len(entries), LARGEST):
        ledger.append(MARKET, entries[first : first + LARGEST], imported=True)
    return ledger


def _worker(ledger: Ledger, scorer: Scorer, share: float = 1.0) -> MechanismWorker:
    return MechanismWorker(ledger, Recorder(ledger, scorer), share=share)
