"""Scores and explanations of sellers with very long files: ratings, allegations, merges, incidents, and large batches."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path

from scoring.base.enums import Action, Harm, IncidentChange, Source
from scoring.base.time import day_of
from scoring.entries.derivation import MAX_WAITING
from scoring.entries.entry import Entry
from scoring.entries.kinds.conduct import IncidentChanged
from scoring.entries.kinds.settlement import FlowStated
from scoring.entries.kinds.trade import RatingGiven
from service.bootstrap import build_scorer
from service.ledger.store import Ledger
from tests.bench._processes import read_peak_mb
from tests.bench._real_data import Say
from tests.helpers import worlds
from tests.helpers.answers import explain, score
from tests.helpers.builders import MARKET, TODAY, ago, exposure, identity, status, violation
from tests.helpers.databases import BACKENDS, database
from tests.helpers.policies import shipped
from tests.helpers.servers import Shelf

PART = 5_000
RATINGS = ALLEGATIONS = 20_000
MERGES = 800
INCIDENTS = (1_000, 10_000, 25_000)
BATCH, BATCH_ENTRIES = 1_000, 500
ROUNDS = 5
WAITING, RESTATED, LIMITED = 4_000, 2_000, 300
MEASURED = 100


def run(say: Say) -> dict[str, float]:
    figures: dict[str, float] = {}
    for backend in BACKENDS:
        name = "postgres" if backend == "postgresql" else backend
        with (
            tempfile.TemporaryDirectory() as folder,
            database(backend, Path(folder)) as url,
            Ledger.open(url) as ledger,
        ):
            for key, value in _of_ledger(ledger):
                figures[f"{name}.{key}"] = value
                say(f"  {name + '.' + key:40} {value}")
    for key in (
        f"waiting_decisions_ms.{WAITING}",
        f"flow_restated_ms.{RESTATED}",
        "limited_list_ms",
        "measures_over_score",
    ):
        figures[f"reads.{key}"] = max(figures[f"sqlite.{key}"], figures[f"postgres.{key}"])
    return figures


def _of_ledger(ledger: Ledger) -> Iterator[tuple[str, float]]:
    artifact, policy = worlds.artifact(), worlds.policy()
    histories: dict[str, list[Entry]] = {
        "score_ordinary_ms": [],
        f"score_{RATINGS}_ratings_ms": ratings("s-ratings", RATINGS),
        f"score_{ALLEGATIONS}_allegations_ms": allegations("s-allegations", ALLEGATIONS),
        f"merges_{MERGES}_ms": merges("s-merges", MERGES),
    }
    for key, entries in histories.items():
        seller = entries[0].seller if entries else "s-ordinary"
        _append(ledger, [*ordinary(seller), *entries])
        yield key, _median_ms(partial(_score, ledger, seller))
    for count in INCIDENTS:
        seller = f"s-{count}-incidents"
        _append(ledger, [*ordinary(seller), *incidents(seller, count)])
        cut = ledger.cut()
        with _timed() as seconds:
            explain(ledger.facts.table(MARKET, [seller], cut)[0], seller, cut.observe_time, artifact, policy)
        yield f"explain_{count}_seconds", seconds()
    yield "explain_peak_mb", round(read_peak_mb())
    sellers = [f"b-{number}" for number in range(BATCH)]
    for begin in range(0, BATCH, 10):
        _append(ledger, [e for s in sellers[begin : begin + 10] for e in ordinary(s, BATCH_ENTRIES)])
    scorer = build_scorer(ledger, policy, Shelf(artifact))
    with _timed() as seconds:
        scorer.scores(MARKET, sellers, ledger.cut())
    yield f"batch_{BATCH}_of_{BATCH_ENTRIES}_seconds", seconds()
    yield "batch_peak_mb", round(read_peak_mb())
    yield from _controlled(ledger)
    yield "measures_over_score", _measures_over_score(ledger)


def _measures_over_score(ledger: Ledger) -> float:
    scorer = build_scorer(ledger, shipped("general"), Shelf(worlds.artifact()))
    cut = ledger.cut()
    asked = (
        partial(scorer.whole_answer, MARKET, "s-ordinary", cut),
        partial(scorer.scores, MARKET, ["s-ordinary"], cut),
    )
    took: tuple[list[float], ...] = ([], [])
    for _ in range(MEASURED):
        for call, times in zip(asked, took, strict=True):
            began = time.thread_time()
            call()
            times.append(time.thread_time() - began)
    measures, scores = map(statistics.median, took)
    return round(measures / scores, 2)


def _controlled(ledger: Ledger) -> Iterator[tuple[str, float]]:
    waited = range(WAITING // MAX_WAITING)
    actions = (Action.CONFIRM, Action.APPEAL)
    _append(
        ledger,
        [
            status(f"w-{v}", actions[n % 2], f"w-{v}-{n}", seller="s-waiting", occur_time=ago(9 - n / 100))
            for v in waited
            for n in range(MAX_WAITING)
        ],
    )
    with _timed() as seconds:
        ledger.append(MARKET, [violation(f"w-{v}", "s-waiting") for v in waited])
    yield f"waiting_decisions_ms.{WAITING}", round(1_000 * seconds(), 2)
    today = day_of(ledger.clock.now())
    _append(ledger, [*ordinary("s-restated"), *(_flow("s-restated", today - 1 - day) for day in range(1, 60))])
    for number in range(RESTATED):
        _append(ledger, [_flow("s-restated", today - 1, number, disputed=400 * (number % 2 == 0))])
    scorer = build_scorer(ledger, shipped("general"), Shelf(worlds.artifact()))
    restated = partial(scorer.scores, MARKET, ["s-restated"], ledger.cut())
    yield f"flow_restated_ms.{RESTATED}", _median_ms(restated)
    sellers = [f"b-{number}" for number in range(LIMITED)]
    yield (
        "limited_list_ms",
        _median_ms(partial(ledger.entries.list, MARKET, ledger.cut(), sellers=sellers, limit=1_001)),
    )


def ordinary(seller: str, days: int = 60) -> list[Entry]:
    return [
        identity(f"i-{seller}", seller),
        *(exposure(TODAY - 1 - d, seller) for d in range(days)),
        *(_confirmed(f"v-{seller}-{k}", seller, ago(20 + 30 * k)) for k in range(3)),
    ]


def ratings(seller: str, count: int) -> list[Entry]:
    return [Entry(f"r-{seller}-{k}", seller, RatingGiven(1 + k % 5), ago(1 + k % 300)) for k in range(count)]


def allegations(seller: str, count: int) -> list[Entry]:
    return [
        violation(f"a-{seller}-{k}", seller, harm=Harm(1 + k % 4), incident=f"a-{k}", occur_time=ago(1 + k % 300))
        for k in range(count)
    ]


def incidents(seller: str, count: int) -> list[Entry]:
    return [_confirmed(f"c-{seller}-{k}", seller, ago(1 + k % 700)) for k in range(count)]


def merges(seller: str, count: int) -> list[Entry]:
    reports = [_confirmed(f"m-{seller}-{k}", seller, ago(1 + k % 300)) for k in range(count + 1)]
    names = [report.entry_id for report in reports]
    changes = [
        Entry(f"g-{seller}-{k}", seller, IncidentChanged(IncidentChange.MERGED, into, "staff-7", "one raid", name))
        for k, (name, into) in enumerate(pairwise(names))
    ]
    return [*reports, *changes]


def _flow(seller: str, day: int, revision: int = 0, disputed: int = 0) -> Entry:
    fact = FlowStated(day, revision=revision, currency="EUR", delivered_orders=400, disputed_orders=disputed)
    return Entry(f"f-{seller}-{day}-{revision}", seller, fact)


def _confirmed(entry_id: str, seller: str, occur_time: int) -> Entry:
    return violation(
        *(entry_id, seller), incident=entry_id, occur_time=occur_time,
        source=Source.CUSTOMS, final=True, identifier_verified=True,
    )  # fmt: skip


def _append(ledger: Ledger, entries: Sequence[Entry]) -> None:
    for begin in range(0, len(entries), PART):
        ledger.append(MARKET, entries[begin : begin + PART])


def _score(ledger: Ledger, seller: str) -> None:
    cut = ledger.cut()
    facts, omitted = ledger.facts.table(MARKET, [seller], cut)
    score(facts, [seller], cut.observe_time, worlds.artifact(), worlds.policy(), omitted=omitted)


def _median_ms(work: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        with _timed() as seconds:
            work()
        times.append(1_000 * seconds())
    return round(statistics.median(times), 2)


@contextmanager
def _timed() -> Iterator[Callable[[], float]]:
    started, ended = time.perf_counter(), 0.0
    yield lambda: round(ended - started, 5)
    ended = time.perf_counter()
