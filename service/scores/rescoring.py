"""Rescoring: all sellers' answers for one model, policy and day, written to one generation."""

from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import NamedTuple

from scoring.base.errors import ConfigurationWrong, LedgerUnavailable, SellertrustError
from scoring.base.time import DAY, format_time
from scoring.scores.answer import TrustScore
from service.contract.resource_names import parse_seller, seller_name
from service.contract.scores import score_message
from service.ledger.records import Cut
from service.ledger.store import Ledger
from service.scores.book.code_digests import contract_digest, core_digest
from service.scores.book.generation_file import (
    SUFFIX,
    GenerationFile,
    GenerationHead,
    GenerationWriter,
    Records,
    day_of,
    delete_abandoned,
    pack_records,
)
from service.scores.book.private_folder import make_private
from service.scores.scorer import Scorer
from service.scores.several_processes import map_in_processes

PART = 1_000

Progress = Callable[[str, int, int], None]


class Opened(NamedTuple):
    ledger: Ledger
    scorer: Scorer


Open = Callable[[], Opened]
"""Opens the ledger, and a scorer with the generation's model and policy; called once per process."""


class Part(NamedTuple):
    """Sellers of one marketplace, after one id up to another."""

    marketplace: str
    after: str
    last: str
    sellers: int


@dataclass(frozen=True, slots=True)
class Rescored:
    path: Path
    head: GenerationHead
    sellers: int


def rescore(opened: Opened, open_again: Open, folder: Path, days: int, processes: int, progress: Progress) -> Rescored:
    """Write today's or the next day's generation into a private folder; return what was written.

    `open_again` gives `opened` to each of `processes` others, if more than one. `days` is 0 for today in UTC, 1 for
    tomorrow. `progress` gets (step, done, total). It replaces a generation of the same day, model and policy, and
    deletes days before yesterday. Raises ConfigurationWrong if the folder cannot be made private or the model is
    missing. Raises LedgerUnavailable if the last record time is after the answers' time; ProcessEnded if a process
    died.
    """
    make_private(folder)
    delete_abandoned(folder)
    head, cut = _head_of(opened, days)
    parts = list(_parts_of(opened.ledger, progress))
    total = sum(part.sellers for part in parts)
    done = written = 0
    with (
        GenerationWriter(folder, head) as writer,
        closing(_results(parts, cut, opened, open_again, processes)) as results,
    ):
        for part, records in zip(parts, results, strict=True):
            writer.add(records)
            done, written = done + part.sellers, written + len(records.sizes)
            progress("rescore", done, total)
        path = writer.finish()
    _delete_older(folder, head.day - days - 1)
    return Rescored(path, head, written)


def _head_of(opened: Opened, days: int) -> tuple[GenerationHead, Cut]:
    ledger, scorer = opened
    made_by = scorer.made_by
    if not made_by.model:
        raise ConfigurationWrong("there is no model to score with; publish one: sellertrust train ... --publish")
    ledger.clock.end()
    day, settled = ledger.clock.now() // DAY + days, ledger.clock.settled()
    end = ledger.cut()
    made_time = end.known_time if settled is None else settled
    observe_time = max(end.observe_time, day * DAY)
    if end.known_time > observe_time or observe_time >= (day + 1) * DAY:
        raise LedgerUnavailable(
            f"the last record time, {format_time(end.known_time - 1)}, or the clock is ahead of the day that is asked for;"
            " repeat the command, and see to the clock: sellertrust doctor"
        )
    chain = ledger.seals.chain_at(end.sequence)
    if chain is None:
        raise LedgerUnavailable("no seal ends where the ledger ended; repeat the command")
    cut = Cut(observe_time, end.known_time, end.sequence)
    digests = (*made_by, core_digest(), contract_digest())
    return GenerationHead(day, observe_time, end.known_time, end.sequence, chain.hex(), made_time, *digests), cut


def _parts_of(ledger: Ledger, progress: Progress) -> Iterator[Part]:
    found = 0
    for marketplace in ledger.sellers.list_marketplaces():
        after = ""
        while names := ledger.sellers.list(marketplace, after, PART):
            yield Part(marketplace, after, names[-1], len(names))
            after = names[-1]
            found += len(names)
            progress("look for sellers", found, found + 1)
    progress("look for sellers", found, found)


def _results(
    parts: list[Part], cut: Cut, opened: Opened, open_again: Open, processes: int
) -> Generator[Records, None, None]:
    if processes == 1 or len(parts) == 1:
        yield from (_score_part(opened, cut, part) for part in parts)
    else:
        yield from map_in_processes(partial(_prepare, open_again, cut), parts, processes)


def _prepare(open_again: Open, cut: Cut) -> Callable[[Part], Records]:
    return partial(_score_part, open_again(), cut)


def _score_part(opened: Opened, cut: Cut, part: Part) -> Records:
    names = opened.ledger.sellers.list(part.marketplace, part.after, PART)
    sellers = [seller for seller in names if seller <= part.last]
    while names and names[-1] < part.last:
        names = opened.ledger.sellers.list(part.marketplace, names[-1], PART)
        sellers += [seller for seller in names if seller <= part.last]
    outcomes, _ = opened.scorer.scores(part.marketplace, sellers, cut)
    answers = []
    for seller, outcome in zip(sellers, outcomes, strict=True):
        if not isinstance(outcome, SellertrustError):
            name = seller_name(part.marketplace, seller)
            answers.append((name, outcome.valid_until, _body(name, outcome)))
    return pack_records(answers)


def _delete_older(folder: Path, first: int) -> None:
    """Delete generations, damaged and partial ones too, of days before `first` (since 1970)."""
    for path in folder.iterdir():
        name, suffix, _ = path.name.partition(SUFFIX)
        day = day_of(name + suffix)
        if day is not None and day < first:
            path.unlink(missing_ok=True)


def verify_generation(
    opened: Opened, file: GenerationFile, sample: int, progress: Progress
) -> tuple[Counter[str], list[str]]:
    """Recompute a generation's answers; return counts of `same` and `differ`, and the differing sellers.

    `opened` has the generation's model and policy. `sample` is a random number of answers; 0: all. Raises
    GenerationDamaged if checksums fail; ConfigurationWrong for another ledger.
    """
    file.check()
    head = file.head
    chain = opened.ledger.seals.chain_at(head.sequence)
    if chain is None or chain.hex() != head.chain:
        raise ConfigurationWrong(f"{file.path.name} is of another ledger; delete it, or set SELLERTRUST_DATABASE_URL")
    cut = Cut(head.observe_time, head.known_time, head.sequence)
    places = range(file.sellers)
    drawn = sorted(SystemRandom().sample(places, sample)) if 0 < sample < file.sellers else places
    found, differing, done = Counter(same=0, differ=0), [], 0
    for first in range(0, len(drawn), PART):
        stored = [file.record(place) for place in drawn[first : first + PART]]
        by_marketplace: dict[str, list[tuple[str, str, bytes]]] = {}
        for name, answer in stored:
            marketplace, seller = parse_seller(name, "seller")
            by_marketplace.setdefault(marketplace, []).append((seller, name, answer.body))
        for marketplace, rows in by_marketplace.items():
            outcomes, _ = opened.scorer.scores(marketplace, [seller for seller, _, _ in rows], cut)
            for (_, name, body), outcome in zip(rows, outcomes, strict=True):
                is_same = not isinstance(outcome, SellertrustError) and body == _body(name, outcome)
                found["same" if is_same else "differ"] += 1
                differing += [] if is_same else [name]
        done += len(stored)
        progress(file.path.name, done, len(drawn))
    return found, differing


def _body(name: str, score: TrustScore) -> bytes:
    return score_message(name, score, None).SerializeToString()
