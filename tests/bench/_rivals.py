"""Remembered scores beside what a team would build instead: FastAPI with Booster.predict, and FastAPI over this same book."""

import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from scoring.model.artifact import Artifact
from scoring.score import fold_views
from sellertrust.client import Client
from sellertrust.v1 import trust_score_service_pb2 as pb
from service.ledger.store import Ledger
from service.policy.policy_file import load_policy
from service.scores.scorer import MAX_ALLEGATIONS
from service.settings import load
from tests.bench._h2load import h2load, h2load_http1, write_body
from tests.service.shells import ROOT, serving, shell_of

WANTED = ("fastapi==0.165.0", "uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0")
"""Beside what serves in this project: uvicorn's quick loop and parser."""

ROUNDS, CALLS, AT_A_TIME = 7, 6_000, 32
START_SECONDS = 60.0
METHOD = "sellertrust.v1.TrustScoreService/GetTrustScore"


def environment_of_rivals() -> Path:
    """The Python of an environment of this benchmark's own, beside that of the tests; made once."""
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


def measure_rivals(
    folder: Path, url: str, artifact: Artifact, marketplace: str, sellers: Sequence[str]
) -> dict[str, float]:
    """Calls a second over those of either rival, medians of interleaved rounds: one process each, the same model and sellers.

    `folder`: of data, with a registry whose champion the artifact is. Rivals log nothing, this server logs each call.
    """
    _write_inputs(folder, url, artifact, marketplace, sellers)
    python = environment_of_rivals()
    with ExitStack() as stack:
        shell = shell_of(folder, database_url=url, log_format="json")
        address = stack.enter_context(serving(shell, folder))
        with Client(address) as client:
            found = [result.trust_score for result in client.batch_get_trust_scores(marketplace, sellers[:100])]
        name = next(score.seller for score in found if score.state == pb.SCORE_STATE_RATED)
        body = write_body(folder / "rival-body", pb.GetTrustScoreRequest(seller=name).SerializeToString())
        seller = name.rpartition("/")[2]
        rivals = {kind: stack.enter_context(_rival(python, folder, kind, seller)) for kind in ("predict", "book")}
        rates: dict[str, list[float]] = {"ours": [], **{kind: [] for kind in rivals}}
        for _ in range(ROUNDS):
            rates["ours"].append(h2load(address, METHOD, body, count=CALLS, at_a_time=AT_A_TIME))
            for kind, rival in rivals.items():
                rates[kind].append(h2load_http1(f"{rival}/score/{seller}", count=CALLS, connections=AT_A_TIME))
    ours, predict, book = (statistics.median(found) for found in rates.values())
    return {
        "get_per_s.c32": round(ours),
        "fastapi_per_s": round(predict),
        "fastapi_book_per_s": round(book),
        "over_fastapi": round(
            statistics.median(a / b for a, b in zip(rates["ours"], rates["predict"], strict=True)), 2
        ),
        "fastapi_book_over_get": round(
            statistics.median(b / a for a, b in zip(rates["ours"], rates["book"], strict=True)), 2
        ),
    }


def _write_inputs(folder: Path, url: str, artifact: Artifact, marketplace: str, sellers: Sequence[str]) -> None:
    """Write the model, and the inputs of the sellers as of now, as a team would have them at hand."""
    (folder / "model.txt").write_bytes(artifact.parts["model.txt"])
    policy = load_policy(load({}))
    with Ledger.open(url) as ledger:
        cut = ledger.cut()
        rows = []
        for seller in sellers:
            facts, _ = ledger.fact_table(marketplace, [seller], cut, MAX_ALLEGATIONS)
            rows.append(fold_views(facts, cut.observe_time, artifact, policy).x[0])
    np.savez(folder / "rows.npz", sellers=np.array(sellers), x=np.array(rows))
    (folder / "scale.json").write_text(json.dumps([-1, artifact.scale.base]))
    (folder / "ledger.json").write_text(json.dumps([url, marketplace]))


@contextmanager
def _rival(python: Path, folder: Path, kind: str, seller: str) -> Iterator[str]:
    """The address of a rival that answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "proto")])}
    log = folder / f"{kind}.log"
    with log.open("wb") as output:
        command = [python, "-m", "tests.bench._fastapi_app", folder, kind, address.rpartition(":")[2]]
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
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
