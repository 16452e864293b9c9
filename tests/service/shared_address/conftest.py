"""Two servers on one address and one PostgreSQL ledger, in this folder's tests."""

import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sellertrust.v1 import trust_score_service_pb2 as score_pb
from sellertrust.v1.trust_score_service_pb2_grpc import TrustScoreServiceStub
from tests.bench._processes import free_address
from tests.helpers.databases import database
from tests.helpers.filled import prepare
from tests.helpers.processes import COMMAND
from tests.helpers.servers import MARKET
from tests.helpers.shells import SECONDS, Shell, shell_of
from tests.helpers.waiting import wait_until

NUMBERS = (1, 2)


@dataclass
class Pair:
    address: str
    folder: Path
    shell: Shell
    processes: dict[int, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def start(self, number: int) -> None:
        ready = self.folder / f"ready-{number}"
        ready.unlink(missing_ok=True)
        with (self.folder / f"server-{number}.log").open("ab") as output:
            self.processes[number] = process = subprocess.Popen(
                [*COMMAND, "serve", "--ready-file", ready],
                env=self.shell.environment,
                stdout=output,
                stderr=output,
            )
        wait_until(lambda: ready.exists() or process.poll() is not None)
        assert process.poll() is None, self.log(number)

    def stop(self, number: int) -> None:
        self.processes[number].send_signal(signal.SIGTERM)
        assert self.processes[number].wait(SECONDS) == 0
        assert "Traceback" not in self.log(number)

    def log(self, number: int) -> str:
        return (self.folder / f"server-{number}.log").read_text()

    def samples(self, number: int) -> dict[tuple[str, str], float]:
        address = self.log(number).rpartition('"metrics": "')[2].partition('"')[0]
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=60) as answer:
            text = answer.read().decode()
        found: dict[tuple[str, str], float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                told_apart = [sample.labels[name] for name in ("code", "how") if name in sample.labels]
                key = sample.name, (told_apart or [""])[0]
                found[key] = found.get(key, 0.0) + sample.value
        return found

    def of_each(self, name: str, kind: str = "") -> list[float]:
        return [self.samples(number).get((name, kind), 0.0) for number in NUMBERS]


def channel_of(address: str) -> grpc.Channel:
    return grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])


def ask(address: str, number: int = 0) -> score_pb.GetTrustScoreResponse:
    with channel_of(address) as channel:
        name = f"marketplaces/{MARKET}/sellers/s{number}"
        return TrustScoreServiceStub(channel).GetTrustScore(score_pb.GetTrustScoreRequest(seller=name), timeout=60)


@contextmanager
def sharing(folder: Path, url: str) -> Iterator[Pair]:
    with free_address() as address:
        settings = {"address": address, "metrics_address": "127.0.0.1:0", "share_address": "true"}
        pair = Pair(address, folder, shell_of(folder, database_url=url, **settings))
        try:
            for number in NUMBERS:
                pair.start(number)
            yield pair
        finally:
            for process in pair.processes.values():
                if process.poll() is None:
                    process.kill()
                    process.wait()


@pytest.fixture(scope="package")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    with database("postgresql", folder) as url:
        prepare(folder, url)
        with sharing(folder, url) as running:
            yield running
            for number in NUMBERS:
                running.stop(number)
