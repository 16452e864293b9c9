"""Generations over a real ledger, rescored in this process, for books that tests open."""

from pathlib import Path

from service.bootstrap import build_scorer
from service.ledger.store import Ledger
from service.scores.book.generation_file import GenerationFile
from service.scores.book.keeper import Keeper
from service.scores.rescoring import Opened as Rescoring
from service.scores.rescoring import Rescored, rescore
from tests.helpers.books import Opened
from tests.helpers.servers import Shelf
from tests.helpers.worlds import artifact, policy


def rescored(ledger: Ledger, folder: Path, days: int = 0, model: object = None) -> Rescored:
    """The generation of the day that begins in so many days, 0: today, by the model of these tests or another one."""
    opened = Rescoring(ledger, build_scorer(ledger, policy(), Shelf(model or artifact())))
    return rescore(opened, lambda: opened, folder, days, 1, lambda *_: None)


def kept(over: Opened, folder: Path, problems: list[str] | None = None) -> Keeper:
    """A keeper of the folder for a book, that looks when a test says so; the folder's generations have joined."""
    found = [] if problems is None else problems
    keeper = Keeper(folder, over.book.generations, over.book.follower.join, over.ledger.clock.now, found.append)
    over.book.keeper = keeper
    look(over)
    return keeper


def look(over: Opened) -> None:
    """The keeper looks, the follower lets join what it brought, and the keeper looks again."""
    assert over.book.keeper is not None
    over.book.keeper.look()
    over.book.follower.look()
    over.book.keeper.look()


def opened_file(path: Path) -> GenerationFile:
    """A generation that was checked."""
    file = GenerationFile(path)
    file.check()
    return file
