"""Remembered scores against a team's own alternatives, each in its own process, over the same model and sellers.

Ratios of calls a second over three peers: gRPC's own echo of the same bytes, FastAPI with `Booster.predict` on inputs
in memory, FastAPI with a nightly job's scores in PostgreSQL. Medians of interleaved rounds, by h2load. This server logs
each call, peers log nothing.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psycopg
from grpc_health.v1.health import HealthServicer
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from scoring.features.resolved import resolve_sellers
from scoring.model.artifact import Artifact
from scoring.scores.points import find_points
from sellertrust.client import Client
from sellertrust.v1 import trust_score_service_pb2 as pb
from service.api.server import Server, grpc_options
from service.api.telemetry.logs import make_log
from service.api.tls_files import TlsFiles
from service.bootstrap import build_scorer
from service.ledger.store import Ledger
from service.policy.policy_file import load_policy
from service.registry.registry import Registry
from service.settings import Settings, load
from tests.bench._h2load import h2load, h2load_http1, require_programs, showing, write_body
from tests.bench._real_data import Say
from tests.bench._trained_market import MARKETPLACE, SELLERS, trained_market
from tests.helpers.callers import Authority, Shown, grant, write_grants
from tests.helpers.envoy import envoy_before
from tests.helpers.servers import settings_of
from tests.helpers.shells import ROOT, serving, shell_of
from tests.helpers.tls_folders import with_folders

WANTED = ("fastapi==0.165.0", "uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0")
ROUNDS, CALLS, AT_A_TIME = 7, 6_000, 32
START_SECONDS = 60.0
SERVICE = "sellertrust.v1.TrustScoreService"
METHOD = f"{SERVICE}/GetTrustScore"


def run(say: Say) -> dict[str, float]:
    with trained_market(say) as (place, url, artifact):
        figures = measure(place, url, artifact)
    for name, value in figures.items():
        say(f"  {name:28} {value}")
    return figures


def measure(place: Path, url: str, artifact: Artifact) -> dict[str, float]:
    require_programs()
    shell = shell_of(place, database_url=url)
    with serving(shell, place) as address, Client(address) as client:
        found = [result.trust_score for result in client.batch_get_trust_scores(MARKETPLACE, SELLERS[:100])]
        name = next(score.seller for score in found if score.state == pb.SCORE_STATE_RATED)
        body = write_body(place / "body", pb.GetTrustScoreRequest(seller=name).SerializeToString())
        figures = _beside_fastapi(place, url, artifact, address, body, name.rpartition("/")[2])
    return figures | beside_echo(place, url, name, body)


def _beside_fastapi(
    place: Path, url: str, artifact: Artifact, address: str, body: Path, seller: str
) -> dict[str, float]:
    _write_inputs(place, url, artifact)
    python = environment_of_rivals()
    with ExitStack() as stack:
        rivals = {kind: stack.enter_context(_rival(python, place, kind, seller)) for kind in ("predict", "table")}
        rates: dict[str, list[float]] = {"ours": [], **{kind: [] for kind in rivals}}
        for _ in range(ROUNDS):
            rates["ours"].append(h2load(address, METHOD, body, count=CALLS, at_a_time=AT_A_TIME))
            for kind, rival in rivals.items():
                rates[kind].append(h2load_http1(f"{rival}/score/{seller}", count=CALLS, connections=AT_A_TIME))
    over = {
        kind: round(statistics.median(a / b for a, b in zip(rates["ours"], rates[kind], strict=True)), 2)
        for kind in rivals
    }
    ours, predict, table = (round(statistics.median(found)) for found in rates.values())
    return {
        "get_per_s.c32": ours,
        "fastapi_per_s": predict,
        "nightly_table_per_s": table,
        "over_fastapi": over["predict"],
        "over_nightly_table": over["table"],
    }


def environment_of_rivals() -> Path:
    folder = Path(sys.prefix).with_name(".venv-rivals")
    python, stamp = folder / "bin" / "python", folder / "stamp"
    lock = ROOT / "requirements" / "runtime.lock"
    made_of = "\n".join((*WANTED, lock.read_text()))
    if not stamp.exists() or stamp.read_text() != made_of:
        quiet = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:")
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, *quiet, "--require-hashes", "-r", lock], check=True)
        subprocess.run([python, *quiet, *WANTED], check=True)
        stamp.write_text(made_of)
    return python


def _write_inputs(place: Path, url: str, artifact: Artifact) -> None:
    (place / "model.txt").write_bytes(artifact.parts["model.txt"])
    policy = load_policy(load({}))
    with Ledger.open(url) as ledger:
        cut = ledger.cut()
        tables = {seller: ledger.facts.table(MARKETPLACE, [seller], cut)[0] for seller in SELLERS}
        facts = (resolve_sellers([seller], table, cut.observe_time) for seller, table in tables.items())
        x = np.array([find_points(known, artifact, policy).x[0] for known in facts])
    np.savez(place / "rows.npz", sellers=np.array(SELLERS), x=x)
    (place / "peer.json").write_text(json.dumps({"base": artifact.scale.base, "url": url}))
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS nightly_score (seller text PRIMARY KEY, points int, tier text)")
        points = artifact.points(x).tolist()
        rows = [
            (seller, value, "trusted" if value >= 600 else "standard")
            for seller, value in zip(SELLERS, points, strict=True)
        ]
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO nightly_score VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", rows)


@contextmanager
def _rival(python: Path, folder: Path, kind: str, seller: str) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    log = folder / f"{kind}.log"
    with log.open("wb") as output:
        command = [python, "-m", "tests.bench._fastapi_app", folder, kind, address.rpartition(":")[2]]
        process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=output, stderr=output)
    try:
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"http://{address}/score/{seller}", timeout=5) as answer:
                    answer.read()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(log.read_text()) from None
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait()


@dataclass
class Target:
    address: str
    answered: Callable[[], float]


def _before(target: Target, settings: Settings, request: bytes) -> AbstractContextManager[str]:
    folder = settings.data_dir / target.address
    folder.mkdir()
    return envoy_before(target.address, folder, lambda address: _answers_each(address, request))


def _answers_each(address: str, request: bytes) -> bool:
    with grpc.insecure_channel(address) as channel:
        method: Any = channel.unary_unary(f"/{METHOD}")
        calls = [method.future(request, timeout=5) for _ in range(50)]
        return all(call.code() is grpc.StatusCode.OK for call in calls)


def beside_echo(place: Path, url: str, seller: str, body: Path) -> dict[str, float]:
    settings = settings_of(data_dir=place, database_url=url)
    figures = over_echo(settings, seller, body, "get_over_echo")
    authority = Authority(place)
    shown = authority.certificate(dns=["checkout.example"])
    grants = place / "grants.toml"
    write_grants(grants, grant("dns:checkout.example", ["read_scores"], marketplaces=["*"]))
    secured = settings.model_copy(update=with_folders({**authority.server_settings(), "grants": grants}))
    return figures | over_echo(secured, seller, body, "get_over_echo_mtls", shown)


def over_echo(
    settings: Settings, seller: str, body: Path, name: str, shown: Shown | None = None, *, has_envoy: bool = False
) -> dict[str, float]:
    labels = {"method": "TrustScoreService/GetTrustScore", "code": "OK"}
    with ExitStack() as stack:
        lines = stack.enter_context((settings.data_dir / "calls.log").open("a"))
        log = make_log("json", "info", lines, is_deferred=True)
        ledger = stack.enter_context(Ledger.open(settings.database_url))
        scorer = build_scorer(ledger, load_policy(settings), Registry(settings.data_dir / "registry"))
        server = stack.enter_context(Server(settings, ledger, scorer, log=log))
        with Client(server.address, **({} if shown is None else shown.options())) as client:
            stub = client.channel.unary_unary(f"/{METHOD}")
            request = pb.GetTrustScoreRequest(seller=seller).SerializeToString()
            for _ in range(3):
                answer: bytes = stub(request, timeout=30)
        count = server._registry.get_sample_value
        ours = Target(server.address, lambda: count("sellertrust_requests_total", labels) or 0.0)
        echo = stack.enter_context(
            _echo(
                settings,
                answer,
                TlsFiles(settings.tls, log) if isinstance(settings.tls, Path) else None,
            )
        )
        if shown is not None:
            ours, echo = (
                Target(stack.enter_context(showing(one.address, shown, settings.data_dir)), one.answered)
                for one in (ours, echo)
            )
        if has_envoy:
            ours, echo = (
                Target(stack.enter_context(_before(one, settings, request)), one.answered) for one in (ours, echo)
            )
        found: dict[int, list[float]] = {1: [], AT_A_TIME: []}
        for turn in range(ROUNDS):
            for at_a_time, ratios in found.items():
                both = (ours, echo) if turn % 2 else (echo, ours)
                rates = {one.address: _load(one, at_a_time, body) for one in both}
                ratios.append(rates[ours.address] / rates[echo.address])
    return {f"{name}.c{at_a_time}": round(statistics.median(ratios), 3) for at_a_time, ratios in found.items()}


def _load(target: Target, at_a_time: int, body: Path) -> float:
    before = target.answered()
    rate = h2load(target.address, METHOD, body, count=CALLS, at_a_time=at_a_time)
    if target.answered() - before != CALLS:
        raise RuntimeError("some calls did not end with OK")
    return rate


@contextmanager
def _echo(settings: Settings, answer: bytes, files: TlsFiles | None) -> Iterator[Target]:
    count = [0]

    def behave(data: bytes, context: grpc.ServicerContext) -> bytes:
        count[0] += 1
        return answer

    server = grpc.server(ThreadPoolExecutor(settings.limits.worker_threads), options=grpc_options(settings))
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(behave)
    server.add_registered_method_handlers(SERVICE, {"GetTrustScore": handler})
    add_HealthServicer_to_server(HealthServicer(), server)
    where = "127.0.0.1:0"
    port = server.add_insecure_port(where) if files is None else server.add_secure_port(where, files.credentials())
    server.start()
    try:
        yield Target(f"127.0.0.1:{port}", lambda: count[0])
    finally:
        server.stop(0).wait()
