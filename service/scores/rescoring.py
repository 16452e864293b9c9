"""Rescoring: all sellers' answers for one model, policy and day, written to one generation."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import NamedTuple

from scoring.base.errors import ConfigurationWrong, LedgerUnavailable, SellertrustError
from scoring.base.time import DAY, format_time
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
    head = _make_head(opened, days)
    parts = list(_list_parts(opened.ledger, progress))
    total = sum(part.sellers for part in parts)
    done = written = 0
    with (
        GenerationWriter(folder, head) as writer,
        closing(_score_parts(parts, head.cut, opened, open_again, processes)) as results,
    ):
        for part, records in zip(parts, results, strict=True):
            writer.add(records)
            done, written = done + part.sellers, written + len(records.sizes)
            progress("rescore", done, total)
        path = writer.finish()
    _delete_older(folder, head.day - days - 1)
    return Rescored(path, head, written)


def _make_head(opened: Opened, days: int) -> GenerationHead:
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
    digests = (made_by.model, made_by.policy, core_digest(), contract_digest(), made_by.notice)
    return GenerationHead(day, observe_time, end.known_time, end.sequence, chain.hex(), made_time, *digests)


def _list_parts(ledger: Ledger, progress: Progress) -> Iterator[Part]:
    found = 0
    for marketplace in ledger.sellers.list_marketplaces():
        after = ""
        while names := ledger.sellers.list(marketplace, after, PART):
            yield Part(marketplace, after, names[-1], len(names))
            after = names[-1]
            found += len(names)
            progress("look for sellers", found, found + 1)
    progress("look for sellers", found, found)


def _score_parts(
    parts: list[Part], cut: Cut, opened: Opened, open_again: Open, processes: int
) -> Generator[Records, None, None]:
    if processes == 1 or len(parts) == 1:
        yield from (_score_part(opened, cut, part) for part in parts)
    else:
        yield from map_in_processes(partial(_prepare_scoring, open_again, cut), parts, processes)


def _prepare_scoring(open_again: Open, cut: Cut) -> Callable[[Part], Records]:
    return partial(_score_part, open_again(), cut)


def _score_part(opened: Opened, cut: Cut, part: Part) -> Records:
    sellers: list[str] = []
    after = part.after
    while after < part.last:  # more pages than one if sellers came meanwhile
        page = opened.ledger.sellers.list(part.marketplace, after, PART)
        if not page:
            break  # the ledger lost its tail
        sellers += page
        after = page[-1]
    sellers = [seller for seller in sellers if seller <= part.last]
    return pack_records(_list_answers(opened, cut, part.marketplace, sellers))


def _list_answers(
    opened: Opened, cut: Cut, marketplace: str, sellers: Sequence[str]
) -> Iterator[tuple[str, int, bytes]]:
    """Yield (resource name, until in microseconds, TrustScore on the wire) of each seller that has a score."""
    outcomes, _ = opened.scorer.scores(marketplace, sellers, cut)
    for seller, outcome in zip(sellers, outcomes, strict=True):
        if not isinstance(outcome, SellertrustError):
            name = seller_name(marketplace, seller)
            yield name, outcome.valid_until, score_message(name, outcome, None).SerializeToString()


def _delete_older(folder: Path, first: int) -> None:
    """Delete generations, damaged and partial ones too, of days before `first` (since 1970)."""
    for path in folder.iterdir():
        name, suffix, _ = path.name.partition(SUFFIX)
        day = day_of(name + suffix)
        if day is not None and day < first:
            path.unlink(missing_ok=True)


def find_differing(opened: Opened, file: GenerationFile, sample: int, progress: Progress) -> tuple[int, list[str]]:
    """Recompute a generation's answers; return how many are the same, and the names of the sellers whose answer differs.

    `opened` has the generation's model and policy. `sample` is a random number of answers; 0: all. Raises
    GenerationDamaged if checksums fail; ConfigurationWrong for another ledger.
    """
    file.check()
    head = file.head
    chain = opened.ledger.seals.chain_at(head.sequence)
    if chain is None or chain.hex() != head.chain:
        raise ConfigurationWrong(f"{file.path.name} is of another ledger; delete it, or set SELLERTRUST_DATABASE_URL")
    places = range(file.sellers)
    drawn = sorted(SystemRandom().sample(places, sample)) if 0 < sample < file.sellers else places
    differing: list[str] = []
    for first in range(0, len(drawn), PART):
        stored = dict(file.record(place) for place in drawn[first : first + PART])
        by_marketplace: dict[str, list[str]] = {}
        for name in stored:
            marketplace, seller = parse_seller(name, "seller")
            by_marketplace.setdefault(marketplace, []).append(seller)
        recomputed: dict[str, bytes] = {}
        for marketplace, sellers in by_marketplace.items():
            answers = _list_answers(opened, head.cut, marketplace, sellers)
            recomputed |= {name: body for name, _, body in answers}
        differing += [name for name, answer in stored.items() if recomputed.get(name) != answer.body]
        progress(file.path.name, min(first + PART, len(drawn)), len(drawn))
    return len(drawn) - len(differing), differing
