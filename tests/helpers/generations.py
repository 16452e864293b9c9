"""Generations over a real ledger, rescored in this process, for books of tests."""

from collections.abc import Iterator
from pathlib import Path

from service.bootstrap import build_scorer
from service.ledger.store import Ledger
from service.scores.book.generation_file import Found, GenerationFile
from service.scores.book.keeper import Keeper
from service.scores.rescoring import Opened as Rescoring
from service.scores.rescoring import Rescored, rescore
from tests.helpers.books import Opened
from tests.helpers.servers import Shelf
from tests.helpers.worlds import artifact, policy


def rescored(ledger: Ledger, folder: Path, days: int = 0, model: object = None) -> Rescored:
    opened = Rescoring(ledger, build_scorer(ledger, policy(), Shelf(model or artifact())))
    return rescore(opened, lambda: opened, folder, days, 1, lambda *_: None)


def kept(over: Opened, folder: Path, problems: list[str] | None = None) -> Keeper:
    found = [] if problems is None else problems
    keeper = Keeper(folder, over.book.generations, over.book.follower.join, over.ledger.clock.now, found.append)
    over.book.keeper = keeper
    look(over)
    return keeper


def look(over: Opened) -> None:
    assert over.book.keeper is not None
    over.book.keeper.look()
    over.book.follower.look()
    over.book.keeper.look()


def opened_file(path: Path) -> GenerationFile:
    file = GenerationFile(path)
    file.check()
    return file


def records(file: GenerationFile) -> Iterator[tuple[str, Found]]:
    """Yield every (resource name, answer) in index order."""
    return map(file.record, range(file.sellers))
