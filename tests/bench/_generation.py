"""What a generation costs and gives: rescoring over the model alone, its bytes, and a server's start with a million sellers.

The million are synthetic: the real answers of the benchmark's market, over and over, under other names. No such seller is on
record, so that whatever the server answers of them comes out of the file.
"""

import shutil
import sqlite3
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import cycle, islice
from pathlib import Path

from scoring.arrays import Floats
from scoring.model.artifact import Artifact
from scoring.policy.policy import Policy
from scoring.scores.score import fold_views
from sellertrust.client import Client
from sellertrust.errors import SellertrustCallError
from sellertrust.v1 import trust_score_service_pb2 as pb
from service.bootstrap import build_scorer
from service.contract.resource_names import seller_name
from service.ledger.store import Ledger
from service.registry.registry import Registry
from service.scores.book.generation_file import GenerationFile, GenerationWriter, pack_records
from service.scores.rescoring import Opened, rescore
from tests.service.shells import serving, shell_of

ROUNDS, SYNTHETIC, PART, SECONDS = 5, 1_000_000, 10_000, 120.0
SELLER = "synthetic-%07d"


def measure(place: Path, ledger: Ledger, policy: Policy, artifact: Artifact, marketplace: str) -> dict[str, float]:
    """Figures of rescoring the sellers of a SQLite ledger, by one process, and of a start; rounds are interleaved."""
    opened = Opened(ledger, build_scorer(ledger, policy, Registry(place / "registry")))
    folder = place / "generations"
    inputs = _inputs(ledger, policy, artifact, marketplace)
    a_second, over = [], []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        made = rescore(opened, lambda: opened, folder, 0, 1, lambda *_: None)
        rescored = time.perf_counter() - began
        began = time.perf_counter()
        artifact.raw_score(inputs)
        over.append(rescored / (time.perf_counter() - began))
        a_second.append(made.sellers / rescored)
    figures = {
        "rescore_sellers_per_s": round(statistics.median(a_second), 1),
        "rescore_over_predict": round(statistics.median(over), 2),
        "rescore_rows_per_seller": round(len(inputs) / made.sellers, 1),
    }
    return figures | _start(place, made.path, marketplace)


def _inputs(ledger: Ledger, policy: Policy, artifact: Artifact, marketplace: str) -> Floats:
    """Return the rows that rescoring gives to the model, of all sellers."""
    sellers = ledger.sellers.list(marketplace, "", PART)
    cut = ledger.cut()
    facts, _ = ledger.facts.table(marketplace, sellers, cut, PART)
    return fold_views(facts, cut.observe_time, artifact, policy).x


def _start(place: Path, made: Path, marketplace: str) -> dict[str, float]:
    """Seconds from the start of a process until it answers for a synthetic seller, and until it answers at all."""
    cold = place / "cold"
    cold.mkdir(mode=0o700)
    shutil.copytree(place / "registry", cold / "registry")
    with closing(sqlite3.connect(place / "ledger.db")) as connection:
        connection.execute("VACUUM INTO ?", (str(cold / "ledger.db"),))
    (cold / "generations").mkdir(mode=0o700)
    path = _write_synthetic(made, cold / "generations", marketplace)
    figures = {"bytes_per_seller": round(path.stat().st_size / SYNTHETIC, 1)}
    began = time.perf_counter()
    with serving(shell_of(cold, marketplace=marketplace), cold) as address, Client(address) as client:
        figures["cold_start_ready_s"] = round(time.perf_counter() - began, 2)
        while not _is_fresh(client, marketplace, SELLER % (SYNTHETIC // 2)):
            assert time.perf_counter() - began < SECONDS, "the generation is not answered from"
            time.sleep(0.01)
        figures["cold_start_s"] = round(time.perf_counter() - began, 2)
    return figures


def _is_fresh(client: Client, marketplace: str, seller: str) -> bool:
    try:
        return client.get_trust_score(marketplace, seller).freshness.state == pb.FRESHNESS_STATE_FRESH
    except SellertrustCallError:
        return False


def _write_synthetic(made: Path, folder: Path, marketplace: str) -> Path:
    """Write the generation of SYNTHETIC sellers, by the header of a real one."""
    file = GenerationFile(made)
    file.check()
    answers = _renamed(file, marketplace)
    with GenerationWriter(folder, file.head) as writer:
        for _ in range(0, SYNTHETIC, PART):
            writer.add(pack_records(islice(answers, PART)))
        return writer.finish()


def _renamed(file: GenerationFile, marketplace: str) -> Iterator[tuple[str, int, bytes]]:
    """Yield the answers of a generation, over and over, under the names of synthetic sellers."""
    known = [(found.until, pb.TrustScore.FromString(found.body)) for _, found in file.records()]
    for number, (until, score) in enumerate(cycle(known)):
        score.seller = seller_name(marketplace, SELLER % number)
        yield score.seller, until, score.SerializeToString()
