"""Clients that repeat themselves, and a clock that jumps."""

import random
import threading
from collections.abc import Sequence
from itertools import pairwise

from scoring.answer import TrustScore
from scoring.entries.entry import Entry
from scoring.entries.kinds.trade import ExposureStated
from scoring.errors import ClockInDoubt, EntryContentDiffers
from scoring.features.columns import FactRow
from scoring.score import score
from scoring.time import DAY, day_of
from service.ledger.clock.server_clock import SKEW, wall_clock
from service.ledger.store import Ledger
from tests.bench._fault_writer import BATCH, MARKETPLACE, batch
from tests.bench._faults import Sizes, breaches
from tests.builders import confirmed, identity
from tests.scoring.worlds import artifact, policy

CLIENTS = 64
KEYS = 200
HOUR = 3600 * 1_000_000
TEN_YEARS = 3652 * DAY
GUILTY = "guilty"


def retry(url: str, sizes: Sizes, chance: random.Random) -> dict[str, int]:
    """64 clients that append the same few hundred batches again and again, and sometimes other content."""
    wrongly_taken: list[str] = []
    answers: list[dict[int, set[int]]] = []
    failures: list[BaseException] = []
    rounds = -(-sizes.retries // (CLIENTS * BATCH))
    seeds = [chance.random() for _ in range(CLIENTS)]
    with Ledger.open(url) as ledger:

        def client(seed: float) -> None:
            mine, told = random.Random(seed), {}
            answers.append(told)
            try:
                for _ in range(rounds):
                    number = mine.randrange(1, KEYS + 1)
                    done = ledger.append(MARKETPLACE, batch(number))
                    told.setdefault(number, set()).add(done[0].sequence)
                    other = Entry(f"f-{number}-0", "s-0", ExposureStated(10_000, 999, revision=number))
                    if mine.random() < 0.05:
                        try:
                            ledger.append(MARKETPLACE, [other])
                            wrongly_taken.append(other.entry_id)
                        except EntryContentDiffers:
                            pass
            except BaseException as error:  # noqa: BLE001 (whatever ends a client is a breach)
                failures.append(error)

        threads = [threading.Thread(target=client, args=(seed,)) for seed in seeds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        found = breaches(ledger, {number for told in answers for number in told})
    sequences: dict[int, set[int]] = {}
    for told in answers:
        for number, seen in told.items():
            sequences.setdefault(number, set()).update(seen)
    different = sum(len(seen) - 1 for seen in sequences.values())
    tries = CLIENTS * rounds * BATCH
    return {"tries": tries, "different": different} | found | {"duplicated": found["duplicated"] + len(wrongly_taken)}


class _Jumping:
    """The machine's clock and a shift."""

    shift = 0

    def __call__(self) -> int:
        return wall_clock() + self.shift


def clock(url: str, sizes: Sizes, chance: random.Random) -> dict[str, int]:
    """A server whose clock jumps by hours and by ten years, beside one whose clock is right, on a ledger whose first entry
    a clock recorded ten years ahead: what the right one answers is what the facts say of now, after every jump.

    `different` are answers about a seller with three confirmed violations; `lost` are gaps, and facts that the right
    server does not see at once; `disordered` are record times that do not follow the sequence.
    """
    jumping, tries = _Jumping(), sizes.clock_jumps
    known: list[tuple[int, int]] = []
    refused = lost = different = 0
    with Ledger.open(url, clock=lambda: wall_clock() + TEN_YEARS) as first:
        known += [done[1:3] for done in first.append(MARKETPLACE, [identity("ahead", "ahead")])]
    with Ledger.open(url) as right, Ledger.open(url, clock=jumping, is_witnessed=True) as wrong:
        known += [done[1:3] for done in right.append(MARKETPLACE, _guilty())]
        begun = len(known)
        rows = right.fact_rows(MARKETPLACE, [GUILTY], begun)
        for number in range(tries):
            jumping.shift = chance.choice((-HOUR, 0, HOUR, TEN_YEARS))
            try:
                done = wrong.append(
                    MARKETPLACE, [Entry(f"f-{number}-0", "s", ExposureStated(10_000, 1, revision=number))]
                )
                known += [one[1:3] for one in done]
            except ClockInDoubt:
                refused += 1
            known += [done[1:3] for done in right.append(MARKETPLACE, [confirmed(f"fresh-{number}", f"x-{number}")])]
            expected, (found, fresh) = [_answer(rows, GUILTY, wall_clock())], _answers(right, GUILTY, f"x-{number}")
            expected += [_answer(rows, GUILTY, wall_clock() + SKEW)]  # midnight may have passed
            different += repr(found) not in map(repr, expected)
            lost += getattr(fresh, "counted_incidents", 0) != 1
        lost += int(right.cut().sequence != len(known))
    disordered = sum(later[1] <= earlier[1] for earlier, later in pairwise(known[begun - 1 :]))
    lost += sum(sequence != place for place, (sequence, _) in enumerate(known, 1))
    figures = {"tries": tries, "refused": refused, "lost": lost, "disordered": disordered, "different": different}
    return figures | {"untyped": int(not refused)}


def _guilty() -> list[Entry]:
    """A seller with orders and three confirmed violations of ten days ago."""
    ago = wall_clock() - 10 * DAY
    days = [ExposureStated(day_of(ago) - n, 200) for n in range(60)]
    sold = [Entry(f"x-{GUILTY}-{n}", GUILTY, fact) for n, fact in enumerate(days)]
    return [*sold, *(confirmed(f"v-{n}", GUILTY, occur_time=ago) for n in range(3))]


def _answers(ledger: Ledger, *sellers: str) -> list[TrustScore | None]:
    """What the ledger says of now."""
    cut = ledger.cut()
    rows = ledger.fact_rows(MARKETPLACE, sellers, cut.sequence)
    return list(score(rows, sellers, cut.observe_time, artifact(), policy()))


def _answer(rows: Sequence[FactRow], seller: str, now: int) -> TrustScore | None:
    """What a seller's facts say of a time by the right clock, at which all of them were known."""
    rows = [row._replace(report_time=min(row.report_time, now - 1)) for row in rows]
    return score(rows, [seller], now, artifact(), policy())[0]
