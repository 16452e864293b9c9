"""Damaged and poisoned artifacts, each made champion by somebody who can write the whole registry, before a real server.

What catches what: SHA-256 catches damage and whatever its maker did not seal anew. Sealed anew, the strict reading of the
model text, the certificate, the bounds of constants and scale, and the golden vectors are left, all before LightGBM sees
a byte. What is certified, tells people apart and fits its own golden vectors is a model: no
look at its bytes tells it from an honest one. The log of who published it does, with the gates; such ones are counted as
`served_consistent`, and each is compared with its own golden vectors.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import numpy as np

from scoring.errors import ArtifactRefused
from scoring.features.table import FEATURES
from scoring.model.artifact import MANIFEST
from scoring.model.certificate import certify
from scoring.model.page import read_page
from scoring.progress import Progress
from sellertrust.client import Client
from sellertrust.errors import SellertrustCallError
from service.registry.registry import Registry
from tests.bench._damage import KINDS, Parts
from tests.bench._taker import SELLERS
from tests.servers import MARKET
from tests.service.registry.models import parts_of, publish

ROOT = Path(__file__).parents[2]
Show = Callable[[str, float], None]


def run(show: Show, progress: Progress, count: int = 10_000, seed: int = 4) -> None:
    """Tries `count` artifacts; shows how many there were, where each was stopped, and the two figures that must be 0."""
    chance = random.Random(seed)
    kinds = chance.choices(list(KINDS), list(KINDS.values()), k=count)
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name, closing(_Server(Path(name))) as server:
        for number, kind in enumerate(kinds):
            progress("artifacts", number, count)
            damaged = kind(parts_of(0), parts_of(2), chance)
            outcome = server.attack(damaged)
            if outcome == "served":
                outcome = "served_consistent" if is_consistent(damaged) else "served_bad"
            counts[outcome] += 1
            counts[f"kind.{kind.__name__}"] += 1
        progress("artifacts", count, count)
        counts |= Counter(server.counts)
    show("artifacts.tried", count)
    show("artifacts.refused_after_lightgbm", counts["refused_after_lightgbm"])
    for what in ("refused", "server_deaths", "served_bad", "served_consistent", "failed_calls"):
        show(f"artifacts.{what}", counts[what])
    for kind in KINDS:
        show(f"artifacts.kind.{kind.__name__}", counts[f"kind.{kind.__name__}"])


def is_consistent(parts: Parts) -> bool:
    """Whether a model that is served is certified monotone and gives its own golden scores, by the definitions alone."""
    manifest, golden = json.loads(parts[MANIFEST]), json.loads(parts["golden.json"])
    directions = {row["feature"]: FEATURES[row["feature"]].direction for row in manifest["features"]}
    page = read_page(parts["model.txt"].decode(), manifest["base"], len(manifest["features"]))
    try:
        certify(page, directions)
    except ArtifactRefused:
        return False
    raw = page.raw_score(np.array(golden["inputs"], dtype=np.float64)).tolist()
    return raw == golden["raw_scores"] and len(set(raw)) > 1


class _Server:
    """A server in a process of its own, its registry, and what it answered before anything was tried."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.counts: Counter[str] = Counter()
        self._champion = publish(Registry(folder / "registry"), 1)  # another model than those that are damaged
        self._log = folder / "registry" / "aliases.jsonl"
        self._sound = self._log.read_bytes()
        self._start()
        self._expected = self._answers()

    def attack(self, parts: Parts) -> str:
        """Makes the parts champion past every check of the registry; `refused`, `served`, or what became of the server."""
        digest = sha256(parts.get(MANIFEST, b"")).hexdigest()
        place = self._folder / "registry" / "models" / digest
        place.mkdir(exist_ok=True)
        for name, data in parts.items():
            (place / name).write_bytes(data)
        move = {"alias": "champion", "digest": digest, "actor": "x", "reason": "y", "time": "2026-01-01T00:00:00Z"}
        self._log.write_bytes(self._sound + json.dumps(move).encode() + b"\n")
        try:
            said = self._look()
            self.counts["refused_after_lightgbm"] += bool(said["read"] and said["refused"])
            if said["model"] != self._champion:
                return "served"
            if self._answers() != self._expected:
                return "served_bad"  # under the name of the old model
        except (BrokenPipeError, json.JSONDecodeError):
            self.close()
            self._log.write_bytes(self._sound)
            self._start()
            return "server_deaths"
        except SellertrustCallError:
            return "failed_calls"
        finally:
            self._clean(place)
        return "refused"

    def _clean(self, place: Path) -> None:
        """The registry as it was before, and the server with its old model."""
        self._log.write_bytes(self._sound)
        shutil.rmtree(place)
        self._look()

    def _look(self) -> dict[str, object]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("look\n")
        self._process.stdin.flush()
        return dict(json.loads(self._process.stdout.readline()))

    def _answers(self) -> list[int]:
        results = self._client.batch_get_trust_scores(MARKET, SELLERS)
        assert {result.trust_score.stamp.model_digest for result in results} == {self._champion}
        return [result.trust_score.points for result in results]

    def _start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "proto"), *sys.path])}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench._taker", str(self._folder)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self._client = Client(self._process.stdout.readline().strip(), deadline_seconds=10)
        time.sleep(0.1)

    def close(self) -> None:
        """Ends the process."""
        self._client.close()
        self._process.kill()
        self._process.communicate()
