"""The composition root: settings to ledger, registry, policy, scorer and server. Nothing else wires parts together.

Slow imports (SQLAlchemy, LightGBM, gRPC) are in the functions that need them.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from scoring.base.errors import ConfigurationWrong
from service.limits import Limits
from service.setting_forms import PREFIX
from service.settings import Settings, load

if TYPE_CHECKING:
    from scoring.policy.policy import Policy
    from service.api.server import Server
    from service.api.telemetry.logs import Log
    from service.ledger.store import Ledger
    from service.mechanism.worker import MechanismWorker
    from service.registry.registry import Registry
    from service.scale.rescoring import RescoringParts
    from service.scores.scorer import Scorer

_SQLITE = "sqlite:///"
DEMO_FOLDER = "demo"
MECHANISM_SHARE = 0.25
"""Share of one core for the record of measures. `./dev bench credit`: 5,000 sellers take 55 s on a quiet machine."""


def open_ledger(settings: Settings, *, create: bool = False, serving: bool = False) -> "Ledger":
    """Open the configured ledger, a demo's with the demo's clock; the caller closes it.

    Raises as `Ledger.open`.
    """
    from service.ledger.clock.demo_clock import find_demo_clock
    from service.ledger.store import Ledger

    prepare_database(settings, create=create)
    is_own = settings.database_url == f"{_SQLITE}{settings.data_dir / 'ledger.db'}"
    clock = find_demo_clock(settings.data_dir) if is_own else None
    if clock is None:
        return Ledger.open(settings.database_url, create=create, serving=serving)
    ledger = Ledger.open(settings.database_url, create=create, serving=serving, clock=clock)
    clock.go_on_after(ledger.last().record_time)
    return ledger


def is_absent(settings: Settings) -> bool:
    """Return whether the SQLite file is missing; False for PostgreSQL."""
    url = settings.database_url
    return url.startswith(_SQLITE) and not Path(url.removeprefix(_SQLITE)).exists()


def prepare_database(settings: Settings, *, create: bool) -> None:
    """Check a SQLite file; make its folder if `create`. Ignores PostgreSQL.

    Raises ConfigurationWrong if the folder cannot be made, or the file is unusable, or missing without `create`.
    """
    if not settings.database_url.startswith(_SQLITE):
        return
    if not create and is_absent(settings):
        raise ConfigurationWrong(
            f"there is no ledger at {settings.database_url.removeprefix(_SQLITE)}: a first sellertrust serve or ledger import"
            f" makes one; if it lies elsewhere, name its folder by SELLERTRUST_DATA_DIR{_name_demo(settings)}"
        )
    file = Path(settings.database_url.removeprefix(_SQLITE))
    try:
        if create:
            file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists():
            with file.open("rb") as content:
                beginning = content.read(16)
            if beginning and beginning != b"SQLite format 3\0":
                raise ConfigurationWrong(f"{file} is no SQLite database; name another file by SELLERTRUST_DATABASE_URL")
    except OSError as error:
        raise ConfigurationWrong(
            f"the ledger cannot be kept in {file}: {(error.strerror or str(error)).lower()}; name another folder by"
            " SELLERTRUST_DATA_DIR"
        ) from None


def _name_demo(settings: Settings) -> str:
    from service.ledger.clock.demo_clock import MARKER

    place = settings.data_dir / DEMO_FOLDER
    return f", such as the demo's: SELLERTRUST_DATA_DIR={place}" if (place / MARKER).exists() else ""


def open_registry(settings: Settings) -> "Registry":
    """Return the configured registry; reads and makes nothing yet.

    Raises ConfigurationWrong if no package for its URL is installed.
    """
    from service.registry.registry import Registry

    return Registry(settings.registry)


def build_scorer(ledger: "Ledger", policy: "Policy", registry: "Registry | None" = None) -> "Scorer":
    """Load the registry's champion and the committed policy; return a scorer with them.

    Without a registry every score is UNKNOWN; `policy` answers until one is committed. Raises ArtifactRefused for an
    unsound champion, PolicyRefused for an unsound policy.
    """
    from service.policy.history import PolicyHistory
    from service.scores.champion import Champion
    from service.scores.scorer import Scorer
    from service.scores.served_policy import ServedPolicy

    return Scorer(ledger, ServedPolicy(policy, PolicyHistory(ledger)), Champion(registry))


def open_rescoring(settings: Settings, model: str, policy: str = "") -> "RescoringParts":
    """Open the ledger, and a scorer for rescoring with a model, by its digest, and a policy.

    `policy`: a file, `head`, a digest or its beginning; by default the served policy. The caller closes the ledger.
    Raises as `open_ledger` and `load_policy`; ModelNotFound, ArtifactRefused, PolicyNotFound.
    """
    from service.policy.policy_file import load_policy, read_policy
    from service.scale.rescoring import RescoringParts

    registry, configured = open_registry(settings), load_policy(settings)
    artifact = registry.load(model)
    file = Path(policy)
    # No digest looks like a path, so that the error names a wrong path.
    is_file = file.is_file() or file.suffix == ".toml" or "/" in policy
    policy_of_file = read_policy(file) if is_file else None
    ledger = open_ledger(settings)
    try:
        scorer = build_scorer(ledger, configured, registry)
        scorer.champion.artifact, served = artifact, scorer.policy
        served.now = policy_of_file or (served.find(policy) if policy else served.now)
    except BaseException:
        ledger.close()
        raise
    return RescoringParts(ledger, scorer)


def build_server(
    settings: Settings,
    ledger: "Ledger",
    policy: "Policy",
    registry: "Registry | None" = None,
    *,
    log: "Log | None" = None,
    is_traced: bool = False,
) -> "Server":
    """Return an unstarted server over an open ledger, which the caller closes.

    Raises as `build_scorer`.
    """
    from service.api.server import Server

    return Server(settings, ledger, build_scorer(ledger, policy, registry), log=log, is_traced=is_traced)


def follow_moves(scorer: "Scorer", report: Callable[[str, str], object]) -> None:
    """Make a scorer adopt promotions and commits from now on, in two threads.

    `report` gets (name, problem) of a rejected model or policy; the previous one goes on answering.
    """
    for follow, event in ((scorer.champion.follow, "promotion refused"), (scorer.policy.follow, "policy refused")):
        threading.Thread(target=follow, args=(threading.Event(), partial(report, event)), daemon=True).start()


def build_worker(ledger: "Ledger", scorer: "Scorer", *, share: float = 1.0) -> "MechanismWorker":
    """Return the worker that records measures; it does not run yet. `share`: of one core that it may use, 0 to 1."""
    from service.mechanism.recorder import Recorder
    from service.mechanism.worker import MechanismWorker

    return MechanismWorker(ledger, Recorder(ledger, scorer), share=share)


@contextmanager
def serving_locally() -> Iterator[str]:
    """Serve a temporary SQLite ledger and the starter model in this process; yield the address.

    It ignores the environment, and does without the record and metrics.
    """
    from service.api.telemetry.logs import make_log
    from service.ledger.clock.server_clock import wall_clock
    from service.policy.policy_file import load_policy
    from service.registry.starter import publish_starter

    with TemporaryDirectory() as folder:
        variables = {"DATA_DIR": folder, "ADDRESS": "127.0.0.1:0", "METRICS_ADDRESS": ""}
        settings = load({f"{PREFIX}{name}": value for name, value in variables.items()})
        settings = settings.model_copy(update={"limits": Limits(drain_seconds=0)})
        registry = open_registry(settings)
        publish_starter(registry, wall_clock())
        with open_ledger(settings, create=True, serving=True) as ledger:
            log = make_log(level="error")
            with build_server(settings, ledger, load_policy(settings), registry, log=log) as server:
                yield server.address


def run_server(
    settings: Settings,
    ready: Callable[["Server"], None],
    *,
    starter: bool = False,
) -> int:
    """Serve the configured ledger and registry until SIGTERM or SIGINT; return the exit code.

    For the main thread. Makes a missing ledger. Other threads follow promotions and commits, and record measures. One
    server of a data folder records. `starter`: give an empty registry the starter model. Calls `ready` once calls are
    answered. Raises as `open_ledger`, `load_policy` and `Server.start`.
    """
    from service.api.serving import serve
    from service.api.telemetry.tracing import is_wanted
    from service.files import holding_lock
    from service.ledger.clock.server_clock import wall_clock
    from service.mechanism.metrics import MechanismMetrics
    from service.policy.policy_file import load_policy
    from service.registry.starter import publish_starter
    from service.review.review_queue import read_queues

    policy, registry = load_policy(settings), open_registry(settings)
    if starter:
        publish_starter(registry, wall_clock())
    with ExitStack() as stack, open_ledger(settings, create=True, serving=True) as ledger:

        def begin(server: "Server") -> None:
            log, scorer = server.log, server.scorer
            log.info("ledger", **ledger.database.about())
            for caution in ledger.list_cautions():
                log.warning("ledger caution", caution=caution)
            if not scorer.champion.digest:
                log.warning(
                    "no model", problem="no score has points until a model is champion: sellertrust serve --starter"
                )
            follow_moves(scorer, lambda event, problem: log.error(event, problem=problem))
            worker, ending = build_worker(ledger, scorer, share=MECHANISM_SHARE), threading.Event()

            def record() -> None:
                with holding_lock(settings.data_dir / "mechanism.lock", ending):
                    server.add_metrics(MechanismMetrics(worker))
                    worker.run(lambda problem: log.warning("measures not recorded", problem=problem))

            threading.Thread(target=record, name="mechanism", daemon=True).start()
            threading.Thread(target=read_queues, args=[ledger], name="queues", daemon=True).start()
            stack.callback(ending.set)
            stack.callback(worker.stop)
            ready(server)

        server = build_server(settings, ledger, policy, registry, is_traced=is_wanted())
        return serve(server, ledger, ready=begin)
