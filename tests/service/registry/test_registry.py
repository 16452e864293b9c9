import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scoring.base.enums import IdentityLevel
from scoring.base.errors import ArtifactRefused, ConfigurationWrong, ModelNotFound
from scoring.base.time import DAY, day_of
from scoring.entries.entry import Entry
from scoring.entries.kinds.account import IdentityVerified
from scoring.entries.kinds.trade import ExposureStated
from scoring.model.artifact import PARTS
from service.bootstrap import build_scorer
from service.ledger.clock.server_clock import wall_clock
from service.ledger.store import Ledger
from service.registry.moves import CHAMPION
from service.registry.registry import Registry
from service.scores.scorer import Scorer
from tests.helpers.models import another, promote, publish
from tests.helpers.waiting import wait_until
from tests.helpers.worlds import artifact, policy

MARKET = "acme"
SELLERS = [f"s{n}" for n in range(5)]


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", create=True) as opened:
        today = day_of(wall_clock())
        entries = [
            Entry(f"i{n}", s, IdentityVerified(IdentityLevel.BASIC), (today - 300) * DAY) for n, s in enumerate(SELLERS)
        ]
        entries += [
            Entry(f"x{n}", s, ExposureStated(today - 30, 100 * (n + 1), late=3 * n)) for n, s in enumerate(SELLERS)
        ]
        opened.append(MARKET, entries)
        yield opened


def part_of(registry: Registry, digest: str, name: str) -> Path:
    return Path(registry.place) / "models" / digest / name


def points_of(scorer: Scorer, ledger: Ledger) -> tuple[list[int | None], str]:
    answers, stamp = scorer.scores(MARKET, SELLERS, ledger.cut())
    return [getattr(answer, "points", None) for answer in answers], stamp.model_digest


def test_a_damaged_move_of_a_folder_is_named(registry: Registry) -> None:
    publish(registry, parts=artifact().parts)
    move = Path(registry.place) / "moves" / "000000001.json"
    for damage in (b"champion: me\n", move.read_bytes()[:-9], b""):
        move.write_bytes(damage)
        with pytest.raises(ConfigurationWrong, match=r"moves/000000001\.json of the registry is damaged; remove it"):
            Registry(registry.place).champion_digest()


def test_a_model_under_the_digest_of_another_is_refused(registry: Registry) -> None:
    first, second = publish(registry, parts=artifact().parts), publish(registry, parts=another().parts)
    for name in ("manifest.json", *PARTS):
        part_of(registry, first, name).write_bytes(part_of(registry, second, name).read_bytes())
    with pytest.raises(ArtifactRefused, match=f"is that of another digest, {second[:12]}"):
        registry.load(first)


def test_what_is_no_model_is_neither_published_nor_logged(registry: Registry) -> None:
    with pytest.raises(ArtifactRefused):
        registry.publish({**artifact().parts, "model.txt": b"tree\n"}, actor="a", reason="r", now=1)
    assert list(registry.digests()) == []
    assert registry.history() == []


def test_several_that_publish_the_same_model_at_once_all_succeed(registry: Registry) -> None:
    with ThreadPoolExecutor(4) as pool:
        digests = list(pool.map(lambda _: publish(registry, parts=artifact().parts), range(8)))
    assert set(digests) == {artifact().digest}
    assert len(registry.history()) == 8
    assert registry.load(artifact().digest).digest == artifact().digest


@pytest.mark.parametrize("name", ["nobody", "", "xyz", "../models", "f" * 64])
def test_a_name_of_no_model_is_refused(registry: Registry, name: str) -> None:
    digest = publish(registry, parts=artifact().parts)
    with pytest.raises(ModelNotFound, match="names no model; see: sellertrust model list"):
        promote(registry, name)
    with pytest.raises(ModelNotFound, match="too short to name a model: give an alias, or at least 6 characters"):
        registry.resolve(digest[:5])
    assert registry.resolve(digest[:6]) == digest
    assert len(registry.history()) == 1


def test_a_refused_promotion_leaves_the_old_model_answering(registry: Registry, ledger: Ledger) -> None:
    first, second = publish(registry, parts=artifact().parts), publish(registry, parts=another().parts)
    scorer = build_scorer(ledger, policy(), registry)
    before = points_of(scorer, ledger)
    model = part_of(registry, second, "model.txt")
    whole = model.read_bytes()
    model.write_bytes(whole[:-1])
    with pytest.raises(ArtifactRefused):
        promote(registry, second)
    assert registry.champion_digest() == first

    model.write_bytes(whole)
    promote(registry, second)
    model.write_bytes(whole[:-1])
    with pytest.raises(ArtifactRefused):
        scorer.champion.refresh()
    assert points_of(scorer, ledger) == before
    assert before[1] == first

    model.write_bytes(whole)
    assert scorer.champion.refresh()
    assert points_of(scorer, ledger)[1] == second


@pytest.mark.long
def test_a_server_follows_promotions(registry: Registry, ledger: Ledger) -> None:
    first, second = publish(registry, parts=artifact().parts), publish(registry, parts=another().parts)
    scorer = build_scorer(ledger, policy(), registry)
    stop, reports = threading.Event(), []
    follower = threading.Thread(target=scorer.champion.follow, args=(stop, reports.append))
    registry.look_seconds = 0.01
    follower.start()
    try:
        model = part_of(registry, second, "model.txt")
        whole = model.read_bytes()
        for times in (1, 2):
            promote(registry, second)
            wait_until(lambda: scorer.champion.digest == second)
            promote(registry, first)
            wait_until(lambda: scorer.champion.digest == first)
            model.write_bytes(b"")
            move = dict.fromkeys(("alias", "actor", "reason"), CHAMPION)
            file = Path(registry.place) / "moves" / f"{len(registry.history()) + 1:09d}.json"
            staged = file.parent.parent / "staged.json"
            staged.write_text(json.dumps(move | {"digest": second, "time": "2026-03-01T12:00:00Z"}))
            staged.rename(file)
            wait_until(lambda n=times: len(reports) == n)
            time.sleep(0.1)
            assert len(reports) == times
            assert second[:12] in reports[-1]
            assert scorer.champion.digest == first
            model.write_bytes(whole)
            wait_until(lambda: scorer.champion.digest == second)
    finally:
        stop.set()
        follower.join()
