"""The composition root: from settings to ledger, registry, policy, scorer and server. Nothing else wires parts together.

What is slow to import (SQLAlchemy, LightGBM, gRPC) is imported where it is built: a command pays for what it needs.
"""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from scoring.base.errors import ConfigurationWrong
from service.settings import Settings

if TYPE_CHECKING:
    from scoring.policy.policy import Policy
    from service.api.server import Server
    from service.api.telemetry.logs import Log
    from service.engine.end_requests import EndRequests
    from service.ledger.store import Ledger
    from service.mechanism.worker import MechanismWorker
    from service.registry.registry import Registry
    from service.scores.rescoring import Opened
    from service.scores.scorer import Scorer

_SQLITE = "sqlite:///"
MECHANISM_SHARE = 0.25
"""Share of one core for the record of measures. A core evaluates about 400 sellers a second; 5,000 a minute need a fifth."""


def open_ledger(settings: Settings, *, create: bool = False, serving: bool = False) -> "Ledger":
    """Open the configured ledger; the caller closes it.

    `create`: make the database, and the folder of its file, if missing. `serving`: be the only writer of a SQLite file
    until closed. The ledger of a demo has the demo's clock. ConfigurationWrong if the file is no SQLite database, the URL
    cannot be used, the role lacks rights or another server has the file; raises LedgerVersionUnknown if this release cannot
    write the schema.
    """
    from service.ledger.clock.demo_clock import find_demo_clock
    from service.ledger.store import Ledger

    prepare_database(settings, create=create)
    is_own = settings.database_url == f"{_SQLITE}{settings.data_dir / 'ledger.db'}"
    clock = find_demo_clock(settings.data_dir) if is_own else None
    if clock is None:
        return Ledger.open(settings.database_url, create=create, serving=serving)
    ledger = Ledger.open(settings.database_url, create=create, serving=serving, clock=clock)
    clock.go_on_after(ledger.last()[1])
    return ledger


def is_absent(settings: Settings) -> bool:
    """Return whether the configured ledger is a SQLite file that does not exist."""
    url = settings.database_url
    return url.startswith(_SQLITE) and not Path(url.removeprefix(_SQLITE)).exists()


def prepare_database(settings: Settings, *, create: bool) -> None:
    """Check that a SQLite ledger can be opened; make its folder if `create`.

    Nothing for PostgreSQL. ConfigurationWrong if the folder cannot be made, or the file is not there (without `create`),
    cannot be read or is no SQLite database.
    """
    if not settings.database_url.startswith(_SQLITE):
        return
    if not create and is_absent(settings):
        raise ConfigurationWrong(
            f"there is no ledger at {settings.database_url.removeprefix(_SQLITE)}: a first sellertrust serve or ledger import"
            " makes one; if it lies elsewhere, name its folder by SELLERTRUST_DATA_DIR"
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


def open_registry(settings: Settings) -> "Registry":
    """Return the configured registry of models; nothing is read or made yet.

    A folder, or an object store by its URL; ConfigurationWrong if no package for that URL is installed.
    """
    from service.registry.registry import Registry

    return Registry(settings.registry)


def build_scorer(ledger: "Ledger", policy: "Policy", registry: "Registry | None" = None) -> "Scorer":
    """Return a scorer that answers by the registry's champion and the committed policy; it loads both.

    Without a registry every score is UNKNOWN; `policy` answers until one is committed. ArtifactRefused if the champion is
    not sound, PolicyRefused if the committed policy is not.
    """
    from service.policy.history import PolicyHistory
    from service.scores.champion import Champion
    from service.scores.scorer import Scorer
    from service.scores.served_policy import ServedPolicy

    return Scorer(ledger, ServedPolicy(policy, PolicyHistory(ledger)), Champion(registry))


def open_rescoring(settings: Settings, model: str, policy: str = "") -> "Opened":
    """Open the ledger, and a scorer with a published model by its digest and a policy, to rescore with.

    `policy`: a file, `head`, or a digest or the beginning of one; by default the one that a server would serve. The caller
    closes the ledger. Raises what `open_ledger` and `load_policy` raise; ModelNotFound, ArtifactRefused, PolicyNotFound.
    """
    from service.policy.history import PolicyHistory
    from service.policy.policy_file import load_policy, read_policy
    from service.scores.champion import Champion
    from service.scores.rescoring import Opened
    from service.scores.scorer import Scorer
    from service.scores.served_policy import ServedPolicy

    artifact, configured = open_registry(settings).load(model), load_policy(settings)
    file = Path(policy)
    is_file = (
        file.is_file() or file.suffix == ".toml" or "/" in policy
    )  # no digest has such, so that a wrong path is named
    stated = read_policy(file) if is_file else None
    ledger = open_ledger(settings)
    try:
        served = ServedPolicy(configured, PolicyHistory(ledger))
        served.now = stated or (served.find(policy) if policy else served.now)
    except BaseException:
        ledger.close()
        raise
    return Opened(ledger, Scorer(ledger, served, Champion.always(artifact)))


def build_server(
    settings: Settings,
    ledger: "Ledger",
    policy: "Policy",
    registry: "Registry | None" = None,
    *,
    log: "Log | None" = None,
) -> "Server":
    """Return a server over an open ledger, not yet started; the caller closes the ledger.

    Without `registry` every score is UNKNOWN; `log` defaults to that of the settings. ArtifactRefused if the champion is
    not sound.
    """
    from service.api.server import Server

    return Server(settings, ledger, build_scorer(ledger, policy, registry), log=log)


def follow_moves(scorer: "Scorer", report: Callable[[str, str], object]) -> None:
    """Have a scorer take over promotions and commits of policies from now on, in two threads of this process.

    `report` gets (what was refused, the problem) of a model or a policy that is refused; the one before goes on answering.
    """
    for follow, event in ((scorer.champion.follow, "promotion refused"), (scorer.policy.follow, "policy refused")):
        threading.Thread(target=follow, args=(threading.Event(), partial(report, event)), daemon=True).start()


def build_worker(ledger: "Ledger", scorer: "Scorer", *, share: float = 1.0) -> "MechanismWorker":
    """Return a worker that records how the measures of sellers change, not yet started.

    By the model and the policy of the scorer; `share`: of one core that it may take, 0 to 1.
    """
    from service.mechanism.recorder import Recorder
    from service.mechanism.worker import MechanismWorker

    return MechanismWorker(ledger, Recorder(ledger, scorer), share=share)


def run_server(
    settings: Settings,
    ready: Callable[["Server"], None],
    *,
    requests: "EndRequests | None" = None,
    log: "Log | None" = None,
    records: bool = True,
) -> int:
    """Serve the configured ledger and registry until SIGTERM, SIGINT or a request to end; return the exit code.

    Makes the ledger if it is missing; follows promotions and commits of policies, and records measures, in threads of their
    own; scores shadow models into the data folder. For the main thread. `ready` is called once calls are answered; `log`
    defaults to that of the settings; `records`: whether this process records measures. Raises what `open_ledger`,
    `load_policy` and `Server.start` raise.
    """
    from service.api.serving import serve
    from service.mechanism.metrics import MechanismMetrics
    from service.policy.policy_file import load_policy
    from service.scores.shadow import Shadow

    policy, registry = load_policy(settings), open_registry(settings)
    with ExitStack() as stack, open_ledger(settings, create=True, serving=True) as ledger:

        def begin(server: "Server") -> None:
            log, scorer = server.log, server.scorer
            log.info("ledger", **ledger.database.about())
            for caution in ledger.cautions():
                log.warning("ledger caution", caution=caution)
            if not scorer.champion.digest:
                log.warning("no model", problem="no score has points until a model is champion: sellertrust model list")
            follow_moves(scorer, lambda event, problem: log.error(event, problem=problem))
            if records:
                worker = build_worker(ledger, scorer, share=MECHANISM_SHARE)
                server.add_metrics(MechanismMetrics(worker))
                failed = lambda problem: log.warning("measures not recorded", problem=problem)  # noqa: E731
                threading.Thread(target=worker.run, args=(failed,), name="mechanism", daemon=True).start()
                stack.callback(worker.stop)
            shadow = Shadow(
                settings.data_dir / "shadow",
                registry,
                report=lambda problem: log.warning("shadow failed", problem=problem),
                look_seconds=registry.look_seconds,
            )
            scorer.observer = stack.enter_context(shadow).offer
            ready(server)

        return serve(build_server(settings, ledger, policy, registry, log=log), ledger, ready=begin, requests=requests)
