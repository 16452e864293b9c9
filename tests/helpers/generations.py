from collections.abc import Iterator, Sequence
from pathlib import Path

from service.bootstrap import build_scorer
from service.ledger.store import Ledger
from service.scale.local import TaskLine, run_locally
from service.scale.rescoring import Progress, RescoredFile, rescore
from service.scale.rescoring import RescoringParts as Rescoring
from service.scores.book.generation_file import GenerationFile, StoredAnswer
from service.scores.book.keeper import Keeper
from service.shared_files import Store
from tests.helpers.books import Opened
from tests.helpers.servers import Shelf
from tests.helpers.worlds import artifact, policy


def rescored(ledger: Ledger, folder: Path, days: int = 0, model: object = None) -> RescoredFile:
    return rescored_by(Rescoring(ledger, build_scorer(ledger, policy(), Shelf(model or artifact()))), folder, days)


def rescored_by(opened: Rescoring, folder: Path, days: int = 0, progress: Progress = lambda *_: None) -> RescoredFile:
    """Rescore in this process; entries and runs lie beside the folder."""
    return rescore(opened, folder, Store(folder.with_name(f"{folder.name}-scale")), days, in_process, progress)


def in_process(lines: Sequence[TaskLine], memory_bytes: int) -> Iterator[int]:
    return run_locally(lines, 1, memory_bytes)


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


def records(file: GenerationFile) -> Iterator[tuple[str, StoredAnswer]]:
    return map(file.read_record, range(file.sellers))
