"""Threads that write everything writable and read each other's writes, on two servers of one ledger, on both
databases.

A separate scorer and ledger recompute each answer at its own stamp, and a sample again at the end.
"""

import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp

from sellertrust.client import Client, seller_name
from sellertrust.errors import SellertrustCallError
from sellertrust.v1 import entry_pb2
from sellertrust.v1 import trust_score_service_pb2 as score_pb
from service.api.server import Server
from service.bootstrap import build_scorer
from service.contract.scores import score_message, stamp_message
from service.ledger.clock.server_clock import ServerClock, wall_clock
from service.ledger.database.database import Database
from service.ledger.records import Cut
from service.ledger.store import Ledger
from service.policy.policy_file import load_policy
from service.registry.registry import Registry
from service.scores.scorer import Scorer
from tests.bench._overload import Show
from tests.helpers.databases import BACKENDS, database
from tests.helpers.filled import SELLERS, prepare
from tests.helpers.servers import MARKET, settings_of

SECONDS = 150.0
THREADS = 64
KEPT = 2_000
DEADLINE_SECONDS = 60.0

ILLEGAL = {"LIFECYCLE_FORBIDS", "VIOLATION_NOT_FOUND", "EXPOSURE_REVISION_TAKEN", "OCCUR_TIME_AHEAD"}

IN_DOUBT = "the time of this append is in doubt"


class Racers:
    def __init__(self, addresses: Sequence[str], ledger: Ledger, scorer: Scorer, threads: int, seed: int) -> None:
        self._clients = [Client(address, deadline_seconds=DEADLINE_SECONDS) for address in addresses]
        self._ledger, self._scorer = ledger, scorer
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._newest = 0
        self._open: list[str] = [f"v{number}-{index}" for number in range(SELLERS) for index in range(3)]
        self._kept: list[score_pb.TrustScore] = []
        self.counts: Counter[str] = Counter()
        """Number of answers (`tries`), those that `differ` or are `behind`, that `failed`, and that were `refused`."""
        self.problems: list[str] = []
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(f"{seed}-{number}"), number))
            for number in range(threads)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        for score in self._kept:
            self._compare(score)
        for client in self._clients:
            client.close()

    def _run(self, rng: random.Random, number: int) -> None:
        turn = 0
        while not self._is_over.is_set():
            turn += 1
            here = number % len(self._clients)
            client, other = self._clients[here], self._clients[here - 1]
            act = rng.choices((self._append, self._decide, self._correct, self._erase, self._read), (5, 4, 1, 0.2, 12))[
                0
            ]
            try:
                act(client, other, rng, f"{number}-{turn}")
            except SellertrustCallError as error:
                self._note_error(error)
            except Exception as error:  # noqa: BLE001 (whatever it is, it is one that failed)
                self._note("failed", f"{act.__name__}: {type(error).__name__}: {error}")

    def _note(self, what: str, problem: str = "") -> None:
        with self._lock:
            self.counts[what] += 1
            if problem and len(self.problems) < 10:
                self.problems.append(f"{what}: {problem}")

    def _note_error(self, error: SellertrustCallError) -> None:
        if IN_DOUBT in error.message:
            self._note("refused")
        elif error.reason == "SERVER_BUSY":
            self._note("busy")
        elif error.reason == "SELLER_NOT_FOUND":
            self._note("not_found")
        elif error.reason in ILLEGAL or error.code.name in {"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"}:
            self._note(error.code.name.lower())
        else:
            self._note("failed", f"{error.code.name} {error.reason}: {error}")

    # --- writes ------------------------------------------------------------------------------------------------------

    def _append(self, client: Client, other: Client, rng: random.Random, name: str) -> None:
        kind = rng.choice(("violation", "violation", "exposure", "override", "batch"))
        sellers = [f"s{rng.randrange(SELLERS)}" for _ in range(5 if kind == "batch" else 1)]
        entries = [self._entry(kind, seller, rng, f"{kind}-{name}-{index}") for index, seller in enumerate(sellers)]
        results = client.append_entries(MARKET, entries)
        with self._lock:
            self._newest = max(self._newest, *(result.sequence for result in results))
            if kind in {"violation", "batch"}:
                self._open += [entry.entry_id for entry in entries]
        self._check(other, sellers[0], results[-1].sequence, rng)

    def _entry(self, kind: str, seller: str, rng: random.Random, entry_id: str) -> entry_pb2.Entry:
        now = datetime.now(UTC)
        entry = entry_pb2.Entry(entry_id=entry_id, seller=seller_name(MARKET, seller))
        if kind == "exposure":
            entry.exposure.day = (now - timedelta(days=rng.randrange(2, 300))).date().isoformat()
            entry.exposure.settled_orders = rng.randrange(1, 200)
            entry.exposure.revision = rng.randrange(1, 1_000_000)
            return entry
        entry.occur_time.FromDatetime(now - timedelta(days=rng.randrange(1, 200)))
        if kind == "override":
            entry.occur_time.FromDatetime(now - timedelta(seconds=1))
            entry.override.tier = rng.choice((entry_pb2.TIER_TRUSTED, entry_pb2.TIER_PROBATION))
            entry.override.actor, entry.override.reason = "staff", "by chance"
            entry.override.until.FromDatetime(now + timedelta(seconds=rng.choice((0.2, 1, 5, 3_600))))
            return entry
        entry.violation.violation_type = rng.choice(("counterfeit_goods", "unsafe_product"))
        entry.violation.harm = rng.choice((entry_pb2.HARM_LOW, entry_pb2.HARM_HIGH))
        entry.violation.source = entry_pb2.SOURCE_BRAND
        return entry

    def _decide(self, client: Client, other: Client, rng: random.Random, name: str) -> None:
        with self._lock:
            violation = rng.choice(self._open)
        decide = rng.choice((client.confirm_violation, client.overturn_violation, client.dismiss_violation))
        found = decide(MARKET, violation, actor="staff", reason="by chance", entry_id=f"d-{name}")
        self._check(other, found.violation.seller.rpartition("/")[2], found.sequence, rng)

    def _correct(self, client: Client, other: Client, rng: random.Random, name: str) -> None:
        number = rng.randrange(SELLERS)
        entry = entry_pb2.Entry(entry_id=f"c-{name}", seller=seller_name(MARKET, f"s{number}"))
        entry.correction.entry = rng.choice((f"i{number}", f"v{number}-{rng.randrange(3)}"))
        entry.correction.correction = entry_pb2.CORRECTION_KIND_MOVED
        entry.correction.actor, entry.correction.reason = "staff", "by chance"
        entry.correction.moved_to.FromDatetime(datetime.now(UTC) - timedelta(days=rng.randrange(30, 600)))
        [result] = client.append_entries(MARKET, [entry])
        self._check(other, f"s{number}", result.sequence, rng)

    def _erase(self, client: Client, other: Client, rng: random.Random, name: str) -> None:
        seller = f"s{rng.randrange(SELLERS)}"
        done = self._ledger.erase(MARKET, seller, actor="privacy", entry_id=f"e-{name}")
        self._check(other, seller, done.sequence, rng)

    # --- reads -------------------------------------------------------------------------------------------------------

    def _read(self, client: Client, other: Client, rng: random.Random, name: str) -> None:
        if rng.random() < 0.1:
            sellers = rng.sample(range(SELLERS), 10)
            found = client.batch_get_trust_scores(MARKET, [f"s{number}" for number in sellers])
            answered = [result.trust_score for result in found if result.HasField("trust_score")]
            scores = [one for one in answered if one.freshness.state != score_pb.FRESHNESS_STATE_UNKNOWN]
            stamps = {score.stamp.SerializeToString() for score in scores}
            if len(stamps) > 1:
                self._note("differ", f"a batch has {len(stamps)} stamps")
            for score in scores[:2]:
                self._take(score, rng)
            return
        with self._lock:
            newest = self._newest
        self._check(client, f"s{rng.randrange(SELLERS)}", newest if rng.random() < 0.3 else 0, rng)

    def _check(self, client: Client, seller: str, sequence: int, rng: random.Random) -> None:
        score = client.get_trust_score(MARKET, seller, at_least_sequence=sequence)
        if score.freshness.state == score_pb.FRESHNESS_STATE_UNKNOWN:
            self._note("not_found")
            return
        if score.stamp.ledger_sequence < sequence:
            self._note("behind", f"{seller} at {score.stamp.ledger_sequence}, asked for {sequence}")
        self._take(score, rng)

    def _take(self, score: score_pb.TrustScore, rng: random.Random) -> None:
        self._compare(score)
        with self._lock:
            if len(self._kept) < KEPT:
                self._kept.append(score)
            elif rng.random() < 0.1:
                self._kept[rng.randrange(KEPT)] = score

    def _compare(self, score: score_pb.TrustScore) -> None:
        stamp, seller = score.stamp, score.seller.rpartition("/")[2]
        cut = Cut(_microseconds(stamp.observe_time), _microseconds(stamp.known_time), stamp.ledger_sequence)
        [outcome], made_by = self._scorer.scores(MARKET, [seller], cut)
        if isinstance(outcome, Exception):
            self._note("differ", f"{score.seller} at {stamp}: {outcome}")
            return
        self._note("tries")
        again = score_message(score.seller, outcome, stamp_message(made_by))
        bare = score_pb.TrustScore.FromString(score.SerializeToString())
        bare.ClearField("freshness")
        if bare.SerializeToString(deterministic=True) != again.SerializeToString(deterministic=True):
            self._note("differ", f"{score.seller} at {stamp}")


def _microseconds(time: Timestamp) -> int:
    return time.ToNanoseconds() // 1_000


@contextmanager
def two_servers(
    folder: Path, url: str, clocks: Sequence[Callable[[], int]] = (wall_clock, wall_clock)
) -> Iterator[tuple[list[str], Ledger, Scorer]]:
    settings = settings_of(data_dir=folder, database_url=url, log_level="error")
    with ExitStack() as stack:
        made = []
        for clock in (*clocks, wall_clock):
            ledger = stack.enter_context(Ledger(Database(url), ServerClock(clock, is_witnessed=True)))
            made.append((ledger, build_scorer(ledger, load_policy(settings), Registry(folder / "registry"))))
        beside = made.pop()
        servers = [stack.enter_context(Server(settings, *parts)) for parts in made]
        yield [server.address for server in servers], *beside


def race(
    show: Show,
    name: str,
    backend: str,
    seconds: float,
    threads: int,
    clocks: Sequence[Callable[[], int]] = (wall_clock, wall_clock),
) -> None:
    with tempfile.TemporaryDirectory() as folder, database(backend, Path(folder)) as url:
        prepare(Path(folder), url)
        with two_servers(Path(folder), url, clocks) as (addresses, ledger, scorer):
            racers = Racers(addresses, ledger, scorer, threads, random.randrange(2**32))
            racers.start()
            time.sleep(seconds)
            racers.end()
    for what in ("tries", "differ", "behind", "failed", "refused", "not_found", "busy"):
        show(f"{name}.{what}", racers.counts[what])
    for code in sorted({"lifecycle_forbids", "failed_precondition", "invalid_argument"} & racers.counts.keys()):
        show(f"{name}.illegal.{code}", racers.counts[code])
    for problem in racers.problems:
        print(f"  {name}: {problem[:400]}")


def run(show: Show, seconds: float = SECONDS, threads: int = THREADS) -> None:
    for backend in BACKENDS:
        race(show, f"races.{backend}", backend, seconds, threads)
