from pathlib import Path

import pytest

from scoring.base.time import DAY
from service.ledger.store import Ledger
from service.scores.book import keeper
from service.scores.book.keeper import DAMAGED
from tests.helpers.books import Opened, known, opened
from tests.helpers.builders import MARKET, Clock, confirmed
from tests.helpers.databases import database
from tests.helpers.generations import kept, look, opened_file, records, rescored

SELLERS = ["a", "b", "c"]


@pytest.fixture
def sold(tmp_path: Path) -> Ledger:
    with database("sqlite", tmp_path) as url, Ledger.open(url, clock=Clock()) as ledger:
        for seller in SELLERS:
            ledger.append(MARKET, known(seller))
        yield ledger


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "generations"


def adopted(over: Opened, *sellers: str) -> int:
    before = over.book.table.adopted
    for seller in sellers:
        over.get(seller)
    return over.book.table.adopted - before


def test_a_damaged_file_is_set_aside_before_reading(sold: Ledger, folder: Path) -> None:
    path = rescored(sold, folder).path
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    problems: list[str] = []
    with opened(sold) as over:
        found = kept(over, folder, problems)
        assert adopted(over, *SELLERS) == 0
        assert (found.damaged, len(over.book.generations)) == (1, 0)
        assert problems == [f"generation {path.name} is damaged and set aside: its bytes are not those of its checksum"]
        assert [entry.name for entry in folder.iterdir()] == [path.name + DAMAGED]


@pytest.mark.parametrize("to", [0, 60, 300])
def test_a_file_cut_short_is_set_aside(sold: Ledger, folder: Path, to: int) -> None:
    path = rescored(sold, folder).path
    with opened(sold) as over:
        found = kept(over, folder)
        assert adopted(over, "a") == 1
        with path.open("r+b") as other:
            other.truncate(to)
        assert adopted(over, "b", "c") == 0
        look(over)
        assert (found.damaged, len(over.book.generations)) == (1, 0)
        rescored(sold, folder)
        look(over)
        assert adopted(over, "a") == 0
        over.book.table.clear(sold.last()[0])
        assert adopted(over, *SELLERS) == 3


def test_a_deleted_generation_comes_back_identical(sold: Ledger, folder: Path) -> None:
    path = rescored(sold, folder).path
    before = dict(records(opened_file(path)))
    with opened(sold) as over:
        kept(over, folder)
        first = over.get("a")
        path.unlink()
        look(over)
        assert (len(over.book.generations), adopted(over, "b")) == (0, 0)
        path = rescored(sold, folder).path
        assert dict(records(opened_file(path))) == before
        over.book.table.clear(sold.last()[0])
        look(over)
        assert adopted(over, *SELLERS) == 3
        assert over.get("a").points == first.points


def test_the_folder_itself_may_be_deleted(sold: Ledger, folder: Path) -> None:
    rescored(sold, folder).path.unlink()
    folder.rmdir()
    with opened(sold) as over:
        kept(over, folder)
        assert adopted(over, "a") == 0
        rescored(sold, folder)
        look(over)
        assert adopted(over, "b") == 1


def test_a_folder_that_others_can_write_to_is_not_read(sold: Ledger, folder: Path) -> None:
    rescored(sold, folder)
    folder.chmod(0o770)
    problems: list[str] = []
    with opened(sold) as over:
        kept(over, folder, problems)
        assert adopted(over, "a") == 0
        assert len(problems) == 1
        assert f"chmod 700 {folder}" in problems[0]
        folder.chmod(0o700)
        look(over)
        assert adopted(over, "b") == 1


def test_a_newer_generation_replaces_the_one_before(sold: Ledger, folder: Path) -> None:
    rescored(sold, folder)
    with opened(sold) as over:
        kept(over, folder)
        sold.append(MARKET, [confirmed("v1", "a")])
        over.book.follower.look()
        assert adopted(over, "a", "b") == 1
        rescored(sold, folder)
        over.book.keeper.look()
        assert len(over.book.generations) == 1
        look(over)
        assert [generation.head.sequence for generation in over.book.generations] == [sold.last()[0]]
        over.book.table.clear(sold.last()[0])
        assert adopted(over, "a") == 1


def test_a_generation_of_another_release_is_not_used(
    sold: Ledger, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rescored(sold, folder)
    for digest in ("core_digest", "contract_digest"):
        with monkeypatch.context() as patch, opened(sold) as over:
            patch.setattr(keeper, digest, lambda: "another")
            problems: list[str] = []
            kept(over, folder, problems)
            assert adopted(over, "a") == 0
            assert "made by another release" in problems[0]


def test_a_server_is_of_the_release_that_it_was_started_by(
    sold: Ledger, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(sold) as over:
        found = kept(over, folder)
        rescored(sold, folder)
        monkeypatch.setattr(keeper, "core_digest", lambda: "another")
        look(over)
        assert found is over.book.keeper
        assert adopted(over, *SELLERS) == 3


def test_a_generation_of_a_former_ledger_is_not_used(tmp_path: Path, folder: Path) -> None:
    with database("sqlite", tmp_path) as url, Ledger.open(url, clock=Clock()) as ledger:
        ledger.append(MARKET, known("a"))
        rescored(ledger, folder)
        with opened(ledger) as over:
            found = kept(over, folder)
            mark = over.book.follower.watermark
            assert mark is not None
            over.book.follower.watermark = mark._replace(chain=b"other")
            over.book.follower.look()
            assert len(over.book.generations) == 0
            found.look()
            look(over)
            assert len(over.book.generations) == 1
            assert adopted(over, "a") == 1


def test_what_is_of_days_long_gone_is_neither_read_nor_kept(sold: Ledger, folder: Path) -> None:
    clock = sold.clock.server._wall
    assert isinstance(clock, Clock)
    for _ in range(4):
        rescored(sold, folder)
        clock.now += DAY
    days = sorted(path.name[:10] for path in folder.iterdir())
    assert days == ["2026-03-03", "2026-03-04"]
    with opened(sold) as over:
        kept(over, folder)
        assert [generation.file.path.name[:10] for generation in over.book.generations] == ["2026-03-04"]
