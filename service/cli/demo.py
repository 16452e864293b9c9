"""The demo: a whole marketplace in a minute, ending with what a caller, a seller and a judge would want to see."""

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import typer

from scoring.errors import ConfigurationWrong
from sellertrust.client import Client
from sellertrust.v1.entry_pb2 import HARM_HIGH, SOURCE_BRAND, Entry, ViolationReported
from sellertrust.v1.trust_score_service_pb2 import ExplainTrustScoreResponse, ScoreState, TrustScore
from service.api.garbage_collection import freeze_loaded_objects
from service.bootstrap import open_registry
from service.cli.badge import DEFAULT_ADDRESS
from service.cli.common import ROOT
from service.cli.imports import mapping_of_file
from service.cli.models import format_estimates, now
from service.cli.output import Exit, Format, emit, say, training_missing, write
from service.cli.progress import StepProgress
from service.cli.scores import print_explanation, score_row
from service.cli.train import train_and_publish
from service.ingest.file_import import import_files
from service.ledger.one_writer import WriterLock
from service.ledger.store import Ledger
from service.setting_forms import PREFIX
from service.settings import Settings, load

MARKETPLACE = "demo"
DAYS = 730
STARTING_SECONDS = 120
"""How long the demo waits for its server, which takes some seconds on an idle machine."""

MARKER = ".sellertrust-demo"
STUDIES = ROOT / "training" / "studies"


def run(*, sellers: int, folder: Path | None, seed: int) -> None:
    """Run every step of the demo; print what a caller sees, and how long each step took.

    Makes a ledger and models in `folder` (default: a temporary one); leaves no process behind.
    """
    # A demo that has to stop takes its server along: by default SIGTERM ends a process with its `finally` unrun.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    settings = _settings(folder)
    files = settings.data_dir / "files"
    timings: list[tuple[str, float]] = []

    @contextmanager
    def step(name: str) -> Iterator[None]:
        say(f"\n== {name}")
        started = time.perf_counter()
        yield
        timings.append((name, time.perf_counter() - started))

    with step(f"simulate {sellers:,} sellers and two years"):
        _simulate(sellers, seed, files)
    with step("import the files into the ledger"), Ledger.open(settings.database_url, create=True) as ledger:
        freeze_loaded_objects()
        mapping = mapping_of_file(STUDIES / "marketplace.mapping.toml")
        with StepProgress() as progress:
            report = import_files(ledger, mapping, files, progress)
        say(f"{report.appended:,} entries appended, {len(report.rejects)} rows rejected")
    with step("train, certify and publish a model"):
        row = train_and_publish(STUDIES / "marketplace.toml", settings)
        shown = format_estimates(row)
        say(f"out-of-time AUC {shown['auc']}")
        say(f"beside it: logistic regression {shown['auc_logistic']}, points rule {shown['auc_points_rule']}")
        if comment := comment_on_ranking(row):
            say(comment)
        say(f"certified monotone, registered as {row['alias']} {row['digest'][:12]}")
    if row["alias"] != "champion":
        with step("promote it"):
            _promote(settings, row)
    with _run_server(settings, step) as client:
        with step("ask over gRPC for a good seller, a newcomer and an offender"):
            asked = _ask(client, sellers)
        with step("report, confirm and overturn a counterfeit violation of the good seller"):
            _wrong_decision(client, asked[0])
    _finish(settings, timings, asked)


def comment_on_ranking(row: Mapping[str, Any]) -> str:
    """Return what it means that a simpler ranking has a higher AUC than the model.

    Empty if none has. `row`: with the estimates `auc`, `auc_logistic` and `auc_points_rule`, each of value, low and
    high.
    """
    simpler = {"the logistic regression": row["auc_logistic"], "the points rule": row["auc_points_rule"]}
    best = max(simpler, key=lambda name: simpler[name]["value"])
    if simpler[best]["value"] <= row["auc"]["value"]:
        return ""
    if simpler[best]["low"] <= row["auc"]["high"]:
        return (
            f"here {best} ranks higher, by less than chance explains: the intervals overlap; more --sellers tell more"
        )
    return f"here {best} ranks higher, by more than chance explains: sellertrust model report champion"


def _promote(settings: Settings, row: Mapping[str, Any]) -> None:
    """Make the model champion as a person would who overrides a gate.

    A demo serves what it trained.
    """
    failed = {kind: ", ".join(row[f"failed_{kind}"]) for kind in ("hard", "advisory")}
    say(f"gates that failed: {'; '.join(filter(None, failed.values()))}")
    open_registry(settings).promote(
        row["digest"],
        actor="demo",
        reason="a demo serves what it has trained",
        now=now(),
        override="demo" if failed["hard"] else "",
        sign_off="demo" if failed["advisory"] else "",
    )
    say("promoted past them by a named person, which the log keeps: sellertrust model history")


def _settings(folder: Path | None) -> Settings:
    """Return the settings of the demo: a folder of its own and any free ports.

    The environment has no say.
    """
    place = (folder or load({}).data_dir / "demo").absolute()
    if place.exists() and not (place / MARKER).exists() and not (place.is_dir() and not any(place.iterdir())):
        raise ConfigurationWrong(f"{place} holds something else; give the demo an empty folder by --folder")
    if (place / MARKER).exists():
        _empty(place)
    place.mkdir(parents=True, exist_ok=True)
    (place / MARKER).touch()
    return load({f"{PREFIX}DATA_DIR": str(place), f"{PREFIX}ADDRESS": "127.0.0.1:0", f"{PREFIX}METRICS_ADDRESS": ""})


def _empty(place: Path) -> None:
    """Delete what an earlier demo left.

    ConfigurationWrong while a server or a command has its ledger open.
    """
    lock = WriterLock(place / "ledger.db")
    lock.claim()  # else a server would go on writing to a file that is gone, and to the new one beside the demo
    say(f"deleting what an earlier demo left in {place}")
    shutil.rmtree(place, ignore_errors=True)
    lock.release()


def _simulate(sellers: int, seed: int, files: Path) -> None:
    try:
        from training.market.files import write_market
        from training.market.simulate import simulate
    except ImportError as error:
        raise training_missing(error) from None
    market = simulate(sellers, DAYS, datetime.now(UTC).date() - timedelta(days=DAYS), seed)
    write_market(market, files)
    say(f"{len(market.violations):,} violations and {len(market.exposure):,} days with orders, in {files}")


@contextmanager
def _run_server(settings: Settings, step) -> Iterator[Client]:  # type: ignore[no-untyped-def]
    """Run a server in a process of its own, and a client that has reached it.

    Both are stopped whatever happens.
    """
    ready = settings.data_dir / "ready"
    environment = {k: v for k, v in os.environ.items() if not k.upper().startswith(PREFIX)} | {
        f"{PREFIX}DATA_DIR": str(settings.data_dir),
        f"{PREFIX}ADDRESS": settings.address,
        f"{PREFIX}METRICS_ADDRESS": "",
    }
    command = [sys.executable, "-c", "from service.cli import main; main()", "serve", "--ready-file", str(ready)]
    with (settings.data_dir / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=ROOT)
        try:
            with step("serve"):
                address = wait_for_server(server, ready)
                say(f"serving on {address}")
            with Client(address) as client:
                yield client
        finally:
            server.terminate()
            try:
                server.wait(timeout=15)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def wait_for_server(server: "subprocess.Popen[bytes]", ready: Path) -> str:
    """Return the address of a server that has started.

    If it does not start, the demo ends with the end of its log.
    """
    deadline = time.monotonic() + STARTING_SECONDS
    while not ready.exists():
        is_late = time.monotonic() > deadline
        if server.poll() is not None or is_late:
            text = (ready.parent / "server.log").read_text(errors="replace")[-2000:]
            late = f" within {STARTING_SECONDS} s, on a busy machine perhaps; run the demo again" if is_late else ""
            _fail(f"the server did not start{late}:\n{text}")
        time.sleep(0.02)
    return ready.read_text().strip()


def _ask(client: Client, sellers: int) -> list[str]:
    """Show a good seller, a newcomer and an offender among the first thousand.

    Return their ids, the good one first.
    """
    names = [f"s-{number:06d}" for number in range(min(sellers, 1000))]
    results = client.batch_get_trust_scores(MARKETPLACE, names, deadline_seconds=30)
    scores = [result.trust_score for result in results if result.HasField("trust_score")]
    rated = [score for score in scores if score.state == ScoreState.SCORE_STATE_RATED]
    unrated = [score for score in scores if score.state == ScoreState.SCORE_STATE_UNRATED]
    good = max((s for s in rated if not s.counted_incidents), key=lambda s: (s.tier, s.points))
    # Not the very worst: at 0 points no single incident makes a difference any more.
    offenders = [s for s in rated if 2 <= s.counted_incidents <= 5 and s.points >= 100]
    offender = min(offenders or rated, key=lambda s: s.points)
    shown = [good, *unrated[:1], offender]
    emit([score_row(score) for score in shown], Format.TABLE)
    write("\n")
    print_explanation(client.explain_trust_score(MARKETPLACE, _id(offender), deadline_seconds=10))
    return [_id(score) for score in shown]


def _wrong_decision(client: Client, seller: str) -> None:
    """Show a wrong decision: confirmed, the points fall; overturned, the answer is as before."""

    def explain() -> ExplainTrustScoreResponse:
        return client.explain_trust_score(MARKETPLACE, seller, deadline_seconds=10)

    before = explain()
    entry = Entry(
        entry_id=f"demo-{uuid.uuid4()}",
        seller=f"marketplaces/{MARKETPLACE}/sellers/{seller}",
        violation=ViolationReported(violation_type="counterfeit_goods", harm=HARM_HIGH, source=SOURCE_BRAND),
    )
    entry.occur_time.FromDatetime(datetime.now(UTC) - timedelta(seconds=1))
    client.append_entries(MARKETPLACE, [entry])
    alleged = explain()
    client.confirm_violation(MARKETPLACE, entry.entry_id, actor="demo", reason="test buy: fake")
    confirmed = explain()
    client.overturn_violation(MARKETPLACE, entry.entry_id, actor="demo", reason="the laboratory mixed up two parcels")
    after = explain()
    rows = [
        {"then": name, **{k: v for k, v in score_row(e.trust_score).items() if k in _SHOWN}}
        for name, e in (("before", before), ("alleged", alleged), ("confirmed", confirmed), ("overturned", after))
    ]
    emit(rows, Format.TABLE)
    write("\n")
    print_explanation(confirmed)
    if not confirmed.trust_score.points < before.trust_score.points:
        _fail("a confirmed violation did not lower the points")
    if _without_stamp(after) != _without_stamp(before):
        _fail("the overturned violation left a trace in the answer")
    say("\nAfter the overturn every field of the answer but its stamp and freshness is identical to the one before.")


_SHOWN = ("points", "tier", "badge", "p_bad", "incidents", "open", "reasons")


def _without_stamp(explanation: ExplainTrustScoreResponse) -> bytes:
    copy = ExplainTrustScoreResponse()
    copy.CopyFrom(explanation)
    copy.trust_score.ClearField("stamp")
    copy.trust_score.ClearField("freshness")
    return copy.SerializeToString(deterministic=True)


def _fail(problem: str) -> NoReturn:
    """End a demo that does not show what it is to show, with the exit code 1.

    No configuration is wrong then.
    """
    say(f"error: the demo failed: {problem}")
    raise typer.Exit(Exit.UNFORESEEN)


def _id(score: TrustScore) -> str:
    return score.seller.rsplit("/", 1)[-1]


def _finish(settings: Settings, timings: list[tuple[str, float]], shown: Sequence[str]) -> None:
    total = sum(seconds for _, seconds in timings)
    emit([{"step": name, "seconds": f"{seconds:.1f}"} for name, seconds in [*timings, ("in all", total)]], Format.TABLE)
    say(f"\nThe data: {settings.data_dir}\nGo on from here:")
    say(f"  export {PREFIX}DATA_DIR={settings.data_dir} {PREFIX}MARKETPLACE={MARKETPLACE}")
    say("  sellertrust serve &")
    say(f"  sellertrust score {shown[0]} --explain")
    say("  sellertrust model show champion")
    say(f"Badges in a checkout: open http://{DEFAULT_ADDRESS}/demo beside that server and")
    say("  sellertrust badge serve --demo")
