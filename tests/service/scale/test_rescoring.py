import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from scoring.base.enums import Action, Tier
from scoring.base.errors import ConfigurationWrong, LedgerUnavailable
from scoring.base.time import DAY, SECOND
from scoring.entries.entry import Entry
from scoring.entries.kinds.decisions import OverrideImposed
from service.bootstrap import build_scorer
from service.ledger.store import Ledger
from service.scale import export
from service.scale.local import TaskLine, run_locally
from service.scale.rescoring import HEAD, Driver, plan_runs, rescore
from service.scale.rescoring import RescoringParts as Rescoring
from service.shared_files import Store
from tests.helpers.books import known
from tests.helpers.builders import MARKET, NOW, Clock, confirmed, exposure, identity, status, violation
from tests.helpers.databases import database
from tests.helpers.generations import in_process, opened_file, records, rescored, rescored_by
from tests.helpers.limits import Limit
from tests.helpers.servers import Shelf
from tests.helpers.worlds import artifact, policy


def fill(ledger: Ledger, sellers: int) -> None:
    chance = random.Random(7)
    for number in range(sellers):
        market, seller = chance.choice([MARKET, "second"]), f"s{number}"
        entries = known(seller) if number % 3 else [exposure(seller=seller, settled_orders=3)]
        ledger.append(market, entries)
        for count in range(chance.randrange(3)):
            make = chance.choice([violation, confirmed])
            ledger.append(market, [make(f"v{number}-{count}", seller)])
        if number % 5 == 0:
            fact = OverrideImposed(Tier.PROBATION, NOW + 3_600 * SECOND, "staff", "asked for")
            ledger.append(market, [Entry(f"o{number}", seller, fact)])
    ledger.append(MARKET, [violation("gone", "gone"), status("gone", Action.DISMISS)])


def test_a_generation_rests_on_nothing_later(ledger: Ledger, tmp_path: Path, clock: Clock) -> None:
    clock.now += 3 * DAY
    ledger.append(MARKET, known("a"))
    clock.now = NOW
    for days in (0, 1):
        with pytest.raises(LedgerUnavailable, match="ahead of the day"):
            rescored(ledger, tmp_path / "own", days)
    assert list((tmp_path / "own").iterdir()) == []


def test_progress_comes_to_all_sellers(ledger: Ledger, tmp_path: Path, limit: Limit) -> None:
    limit(export, ENTRIES_PER_BUCKET=8)
    fill(ledger, 5)
    opened_here = Rescoring(ledger, build_scorer(ledger, policy(), Shelf(artifact())))
    seen: list[tuple[str, int, int]] = []
    rescored_by(opened_here, tmp_path / "own", progress=lambda *step: seen.append(step))
    steps = {name: [(done, total) for step, done, total in seen if step == name] for name in ("rescore", "write")}
    total = steps["rescore"][0][1]
    assert total > 1
    assert steps["rescore"] == [(0, total), *steps["write"]] == [(done, total) for done in range(total + 1)]


def test_a_ledger_without_the_exported_entries_is_rescored(ledger: Ledger, tmp_path: Path) -> None:
    ledger.append(MARKET, [*known("a"), *known("b")])
    assert rescored(ledger, tmp_path / "own").sellers == 2
    with database("sqlite", tmp_path) as url, Ledger.open(url, clock=Clock()) as promoted:
        promoted.append(MARKET, known("c"))
        assert rescored(promoted, tmp_path / "own").sellers == 1


def test_without_a_model_there_is_no_generation(ledger: Ledger, tmp_path: Path) -> None:
    opened_here = Rescoring(ledger, build_scorer(ledger, policy()))
    with pytest.raises(ConfigurationWrong, match="no model"):
        rescored_by(opened_here, tmp_path / "own")


def test_a_folder_that_is_not_this_users_alone_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    ledger.append(MARKET, [identity("i1", "a")])
    shared, link, file = tmp_path / "shared", tmp_path / "link", tmp_path / "file"
    shared.mkdir()
    shared.chmod(0o755)
    (tmp_path / "own").mkdir(mode=0o700)
    link.symlink_to(tmp_path / "own")
    file.touch()
    for folder in (shared, link):
        with pytest.raises(ConfigurationWrong, match=folder.name):
            rescored(ledger, folder)
        assert list(folder.iterdir()) == []
    made = tmp_path / "made"
    rescored(ledger, made)
    assert made.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in made.iterdir()] == [0o600]


def _stop_after(done: int) -> Driver:
    def run(lines: Sequence[TaskLine], memory_bytes: int) -> Iterator[int]:
        yield from run_locally(lines[:done], 1, memory_bytes)
        raise InterruptedError

    return run


def test_a_midnight_in_the_middle_changes_no_answer(ledger: Ledger, tmp_path: Path, clock: Clock, limit: Limit) -> None:
    limit(export, ENTRIES_PER_BUCKET=8)
    fill(ledger, 9)
    opened_here = Rescoring(ledger, build_scorer(ledger, policy(), Shelf(artifact())))
    own, other, store = tmp_path / "own", tmp_path / "other", Store(tmp_path / "scale")
    whole = rescore(opened_here, other, Store(tmp_path / "whole"), 1, in_process, lambda *_: None)
    for days in (0, 1):
        with pytest.raises(InterruptedError):
            rescore(opened_here, own, store, days, _stop_after(1), lambda *_: None)
    assert [*own.iterdir()] == []
    clock.now += DAY
    ledger.append(MARKET, known("afterwards"))
    found = rescore(opened_here, own, store, 0, in_process, lambda *_: None)
    assert (found.head.day, found.head.sequence) == (whole.head.day, whole.head.sequence)
    assert dict(records(opened_file(found.path))) == dict(records(opened_file(whole.path)))


def test_two_rescorings_at_once_give_one_generation(ledger: Ledger, tmp_path: Path, limit: Limit) -> None:
    limit(export, ENTRIES_PER_BUCKET=8)
    fill(ledger, 9)
    opened_here = Rescoring(ledger, build_scorer(ledger, policy(), Shelf(artifact())))
    within = []

    def run_both(lines: Sequence[TaskLine], memory_bytes: int) -> Iterator[int]:
        yield from run_locally(lines[:1], 1, memory_bytes)
        within.append(rescored_by(opened_here, tmp_path / "own"))
        for done in run_locally(lines[1:], 1, memory_bytes):
            yield 1 + done

    store = Store(tmp_path / "own-scale")
    found = rescore(opened_here, tmp_path / "own", store, 0, run_both, lambda *_: None)
    assert within == [found]
    assert [path.name for path in (tmp_path / "own").iterdir()] == [found.path.name]
    assert len(dict(records(opened_file(found.path)))) == found.sellers > 8


@pytest.mark.parametrize(
    ("stated", "altered"),
    [
        (".+", ""),
        (".+", "[]"),
        (".+", "{}"),
        (".+", "1"),
        (".+", '{"plan":"x","marketplaces":[],"head":{}}'),
        ('"marketplaces":."[^"]+",', '"marketplaces":['),
        ('"day":', '"day":1'),
        (r'"day":\d+', '"day":"x"'),
        ('"known_time":', '"known_time":1'),
        ('"made_time":', '"made_time":1'),
        (',?"digest":"[^"]+",?', ""),
    ],
)
def test_an_altered_head_is_planned_anew(ledger: Ledger, tmp_path: Path, stated: str, altered: str) -> None:
    fill(ledger, 5)
    opened_here = Rescoring(ledger, build_scorer(ledger, policy(), Shelf(artifact())))
    store = Store(tmp_path / "scale")
    planned, runs = plan_runs(opened_here, store, 0, lambda *_: None)
    [head] = [name for name in store.list("runs") if name.endswith(HEAD)]
    data, changes = re.subn(stated, altered, store.read(head).decode())
    assert (len(runs), changes) == (2, 1)
    store.write(head, data.encode())
    found = rescore(opened_here, tmp_path / "own", store, 0, in_process, lambda *_: None)
    assert (found.head, found.sellers) == (planned, 5)
