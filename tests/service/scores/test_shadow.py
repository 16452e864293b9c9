import fcntl
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from scoring.base.errors import ArtifactRefused
from scoring.model.artifact import Artifact
from service.registry.moves import SHADOW
from service.registry.registry import Registry
from service.scores import shadow as shadowing
from service.scores.shadow import Shadow, file_of
from service.scores.shadow_report import summarize_shadow
from tests.helpers.answers import score
from tests.helpers.models import another
from tests.helpers.servers import MARKET, Running, exposure, identity, running_server, violation
from tests.helpers.waiting import wait_until
from tests.helpers.worlds import artifact, policy

SELLERS = [f"s{n}" for n in range(8)]
SECONDS = 30


class Place(Registry):
    look_seconds = 0.05

    def __init__(self, found: Artifact | Exception | None) -> None:
        self.found = found

    def aliases(self) -> dict[str, str]:
        if self.found is None:
            return {}
        return {SHADOW: self.found.digest if isinstance(self.found, Artifact) else "0" * 64}

    def load(self, digest: str) -> Artifact:
        if isinstance(self.found, Exception):
            raise self.found
        assert self.found is not None
        assert self.found.digest == digest
        return self.found


class Raising(Artifact):
    def __init__(self, like: Artifact) -> None:
        super().__init__(like.manifest, like.parts, like.digest)
        del self.page

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("no score today")


@contextmanager
def shadowed(folder: Path, found: Artifact | Exception | None) -> Iterator[tuple[Running, Shadow, list[str]]]:
    problems: list[str] = []
    with running_server(folder, artifact=artifact(), book_sellers=0) as running:
        with running.client() as client:
            entries = [identity(f"i-{seller}", seller) for seller in SELLERS]
            entries += [exposure(f"x-{s}", s, 50 + 900 * n, days=20 + n) for n, s in enumerate(SELLERS[1:])]
            entries += [violation(f"v-{s}", s, violation_type="order_fraud") for s in SELLERS[2:5]]
            client.append_entries(MARKET, entries)
            for seller in SELLERS[2:4]:
                client.confirm_violation(MARKET, f"v-{seller}", actor="staff", reason="seen")
        with Shadow(folder / "shadow", Place(found), problems.append) as shadow:
            running.scorer.observer = shadow.offer
            yield running, shadow, problems
        running.scorer.observer = None


def asked(running: Running, times: int = 1) -> list[bytes]:
    found = []
    with running.client(deadline_seconds=SECONDS) as client:
        for _ in range(times):
            for result in client.batch_get_trust_scores(MARKET, SELLERS):
                result.trust_score.ClearField("stamp")
                result.trust_score.ClearField("freshness")
                found.append(result.SerializeToString(deterministic=True))
    return found


def test_each_answer_is_compared_with_the_shadows(tmp_path: Path) -> None:
    champion, challenger = artifact(), another()
    with shadowed(tmp_path, challenger) as (running, shadow, problems):
        wait_until(lambda: shadow._artifact is not None)
        asked(running)
        wait_until(lambda: shadow.counts["compared"] >= len(SELLERS) - 1)
        cut = running.ledger.cut()
        rows, _ = running.ledger.facts.table(MARKET, SELLERS, cut)
    lines = [json.loads(line) for line in file_of(tmp_path / "shadow", challenger.digest).read_bytes().splitlines()]
    expected: dict[str, list[list[object]]] = {}
    for made_by in (champion, challenger):
        answers = score(rows, SELLERS, lines[0]["observe_time"], made_by, policy())
        for seller, answer in zip(SELLERS, answers, strict=True):
            if answer is not None and answer.points is not None and answer.tier is not None:
                expected.setdefault(seller, []).append([answer.points, answer.tier.name.lower()])
    got = {line["seller"]: [list(pair) for pair in zip(line["points"], line["tier"], strict=True)] for line in lines}
    assert got == expected
    assert any(a != b for a, b in got.values())
    assert {frozenset(line) for line in lines} == {
        frozenset(("marketplace", "seller", "observe_time", "sequence", "champion", "policy", "points", "tier"))
    }
    assert problems == []
    report = summarize_shadow(tmp_path / "shadow", challenger.digest)
    differences = [after[0] - before[0] for before, after in got.values()]
    assert report["compared"] == len(got)
    assert report["mean_difference"] == pytest.approx(sum(differences) / len(differences), abs=1e-3)
    assert report["most_different"][0]["difference"] == max(differences, key=abs)
    assert sum(row["answers"] for row in report["tiers"]) == len(got)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["sound", "raising", "refused", "none", "disk"])
def test_the_shadow_changes_no_answer(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with shadowed(tmp_path, None) as (running, _, _):
        without = asked(running)
        found = {
            "sound": another(),
            "raising": Raising(another()),
            "refused": ArtifactRefused("the model is damaged"),
            "none": None,
            "disk": another(),
        }[kind]
        if kind == "disk":
            (tmp_path / "full").symlink_to("/dev/full")
            monkeypatch.setattr(shadowing, "file_of", lambda _folder, _digest: tmp_path / "full")
        problems: list[str] = []
        with Shadow(tmp_path / "shadow", Place(found), problems.append) as shadow:
            running.scorer.observer = shadow.offer
            if isinstance(found, Artifact):
                wait_until(lambda: shadow._artifact is not None)
            assert asked(running, 3) == without * 3
            if kind in ("raising", "disk"):
                wait_until(lambda: shadow.counts["failed"] == 3)
            if kind == "refused":
                wait_until(lambda: problems)
        told = {"raising": "no score today", "refused": "the model is damaged", "disk": "No space left"}.get(kind)
        assert len(problems) == (told is not None)
        assert told is None or told in problems[0]
        assert (shadow.counts["compared"] > 0) is (kind == "sound")


def test_an_observer_that_raises_reaches_no_answer(tmp_path: Path) -> None:
    with shadowed(tmp_path, None) as (running, _, _):
        without = asked(running)
        running.scorer.observer = lambda _answered: 1 / 0  # type: ignore[assignment, return-value]
        assert asked(running) == without


def test_what_comes_while_too_much_waits_is_dropped_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadowing, "MAX_ROWS", 0)
    challenger = another()
    with shadowed(tmp_path, challenger) as (running, shadow, _):
        wait_until(lambda: shadow._artifact is not None)
        without = asked(running, 5)
        assert len(without) == 5 * len(SELLERS)
        assert shadow.counts == {"compared": 0, "dropped": 5, "failed": 0}
    assert summarize_shadow(tmp_path / "shadow", challenger.digest)["dropped_requests"] == 5


@pytest.mark.long
def test_a_large_file_is_put_aside_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadowing, "MAX_BYTES", 3000)
    challenger = another()
    with shadowed(tmp_path, challenger) as (running, shadow, _):
        wait_until(lambda: shadow._artifact is not None)
        for _ in range(6):
            asked(running)
        wait_until(lambda: shadow.counts["compared"] == 6 * 7)
    path = file_of(tmp_path / "shadow", challenger.digest)
    assert sorted(path.parent.iterdir()) == [path.with_suffix(".1.jsonl"), path]
    assert path.stat().st_size <= 3000
    kept = summarize_shadow(path.parent, challenger.digest)["compared"]
    assert 14 <= kept < 6 * 7
    with path.open("ab") as file:
        file.write(b'{"marketplace":"acme","sel')
    assert summarize_shadow(path.parent, challenger.digest)["damaged_lines"] == 1


def test_one_process_at_a_time_writes(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    with path.open("ab") as other, ThreadPoolExecutor(1) as pool:
        fcntl.flock(other, fcntl.LOCK_EX)  # as another process does, since a lock belongs to its opener
        writing = pool.submit(shadowing.append_whole, path, b"mine\n")
        with pytest.raises(TimeoutError):
            writing.result(0.3)
        other.write(b"theirs\n")
        other.flush()
        path.replace(path.with_suffix(".1.jsonl"))
        fcntl.flock(other, fcntl.LOCK_UN)
        writing.result(SECONDS)
    assert (path.read_bytes(), path.with_suffix(".1.jsonl").read_bytes()) == (b"mine\n", b"theirs\n")
