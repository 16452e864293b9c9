"""A server of two processes on PostgreSQL, started by the command and shared in this folder."""

import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sellertrust.v1 import trust_score_service_pb2 as score_pb
from sellertrust.v1.trust_score_service_pb2_grpc import TrustScoreServiceStub
from tests.helpers.databases import database
from tests.helpers.filled import prepare
from tests.helpers.processes import COMMAND
from tests.helpers.servers import MARKET
from tests.helpers.shells import SECONDS, Shell, shell_of
from tests.helpers.waiting import wait_until


@dataclass
class Workers:
    process: "subprocess.Popen[bytes]"
    address: str
    folder: Path
    shell: Shell

    def log(self) -> str:
        return (self.folder / "server.log").read_text()

    def pids(self) -> dict[int, int]:
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        found = {}
        for pid in map(int, listed):
            with suppress(FileNotFoundError, ProcessLookupError):
                arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if b"--worker" in arguments:
                    found[int(arguments[arguments.index(b"--worker") + 1])] = pid
        return found

    def samples(self) -> dict[tuple[str, str, str], float]:
        """Return one scrape's samples, summed by name, process and other labels."""
        address = self.log().partition('"metrics": "127')[2].partition('"')[0]
        with urllib.request.urlopen(f"http://127{address}/metrics", timeout=60) as answer:
            text = answer.read().decode()
        found: dict[tuple[str, str, str], float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = sample.labels
                told_apart = [labels[name] for name in ("code", "cause", "how") if name in labels]
                key = sample.name, labels.get("process", ""), (told_apart or [""])[0]
                found[key] = found.get(key, 0.0) + sample.value
        return found

    def of_each(self, name: str, kind: str = "") -> list[float]:
        """Return a sample of both processes from one scrape."""
        samples = self.samples()
        return [samples.get((name, number, kind), 0.0) for number in ("1", "2")]

    def is_up(self) -> bool:
        return all(self.samples()["sellertrust_process_up", number, ""] == 1 for number in ("1", "2"))


def channel_of(address: str) -> grpc.Channel:
    return grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])


def ask(address: str, number: int = 0) -> score_pb.GetTrustScoreResponse:
    with channel_of(address) as channel:
        name = f"marketplaces/{MARKET}/sellers/s{number}"
        return TrustScoreServiceStub(channel).GetTrustScore(score_pb.GetTrustScoreRequest(seller=name), timeout=60)


@contextmanager
def serving_workers(folder: Path, url: str, **settings: object) -> Iterator[Workers]:
    shell = shell_of(folder, database_url=url, processes=2, address="127.0.0.1:0", **settings)
    ready, log = folder / "ready", folder / "server.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*COMMAND, "serve", "--ready-file", ready], env=shell.environment, stdout=output, stderr=output
        )
    try:
        wait_until(lambda: ready.exists() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield Workers(process, ready.read_text().strip(), folder, shell)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture(scope="package")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    folder = tmp_path_factory.mktemp("workers")
    with database("postgresql", folder) as url:
        prepare(folder, url)
        more = {"metrics_address": "127.0.0.1:0"}
        with serving_workers(folder, url, **more) as running:
            yield running
            os.kill(running.process.pid, signal.SIGTERM)
            assert running.process.wait(SECONDS) == 0
            assert "Traceback" not in running.log()
