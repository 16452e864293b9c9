"""The badges of sellers, as the server answers them, kept for a while and shown while it is away.

One event loop uses a `Badges`; calls of the server run in threads of its own.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc

from sellertrust.client import TrustScore
from sellertrust.errors import SellertrustCallError
from sellertrust.v1.trust_score_service_pb2 import SCORE_STATE_UNKNOWN

FRESH_SECONDS = 30.0
"""How long a badge is shown without asking again."""
CALL_SECONDS = 1.0
"""How long one call of the server may take, and how long a reader waits for it."""
RETRY_SECONDS = 1.0
"""How long after a failed call the server is left alone; then one reader asks, and others ask once it has answered."""
THREADS = 16
MAX_ASKED = 256
"""Sellers that are asked about at a time; what comes beyond is answered by what is kept."""

ABSENT = ""
"""The badge of a seller whom the server does not know, or about whom it may not answer."""

_SETTLED = frozenset({grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INVALID_ARGUMENT})
"""Refusals that are answers: to ask again at once would bring the same."""

Seller = tuple[str, str]
"""Marketplace and seller, by their ids."""


@dataclass
class Counts:
    """How requests were answered so far."""

    kept: int = 0
    """From what was asked within FRESH_SECONDS."""
    asked: int = 0
    """From an answer that the request waited for."""
    stale: int = 0
    """From an older answer, since no new one came."""
    unknown: int = 0
    """By nothing, since no answer came and none was kept."""
    failed_calls: int = 0
    """Calls of the server that failed; several requests may wait for one."""


@dataclass
class Table:
    """A bounded table of badges with the time of each, in seconds of the clock.

    The one that was stored longest ago goes first.
    """

    max_sellers: int
    rows: dict[Seller, tuple[str, float]] = field(default_factory=dict)

    def put(self, seller: Seller, badge: str, now: float) -> None:
        self.rows.pop(seller, None)
        self.rows[seller] = (badge, now)
        if len(self.rows) > self.max_sellers:
            del self.rows[next(iter(self.rows))]


class Badges:
    """Finds the badge of a seller and keeps the answer.

    The server is asked once for all who ask at a time. `ask` returns a trust score or raises SellertrustCallError; it
    is called in threads. `max_sellers` bounds how many badges are kept, and by itself how many ids that are no sellers,
    so that made-up ids push no badge out. An answer is shown for `stale_seconds` while no new one comes. `call_seconds` is
    how long a reader waits for a call. `report` is given a line when the server stops answering, and when it answers again.
    """

    def __init__(
        self,
        ask: Callable[[str, str], TrustScore],
        report: Callable[[str], None],
        *,
        max_sellers: int = 100_000,
        stale_seconds: float = 24 * 3_600.0,
        call_seconds: float = CALL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counts = Counts()
        self.is_away = False
        """Whether the last call of the server failed."""
        self._ask = ask
        self._report = report
        self._stale_seconds = stale_seconds
        self._call_seconds = call_seconds
        self._clock = clock
        self._sellers = Table(max_sellers)
        self._strangers = Table(max_sellers)
        self._asked: dict[Seller, asyncio.Future[None]] = {}
        self._retry_time = 0.0
        self._is_denial_reported = False
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="badges")

    def close(self) -> None:
        """End the threads once their calls have ended."""
        self._pool.shutdown(cancel_futures=True)

    def kept_sellers(self) -> int:
        """Return how many badges are kept."""
        return len(self._sellers.rows) + len(self._strangers.rows)

    def kept(self, seller: Seller) -> str | None:
        """Return the badge of a seller that was asked for within FRESH_SECONDS.

        None if it has to be found.
        """
        row = self._sellers.rows.get(seller) or self._strangers.rows.get(seller)
        if row is None or self._clock() - row[1] >= FRESH_SECONDS:
            return None
        self.counts.kept += 1
        return row[0]

    async def find(self, seller: Seller) -> str | None:
        """Return a seller's badge: a new answer, else the last one, else None.

        Takes as long as one call may take.
        """
        flight = self._asked.get(seller)
        if flight is None and self._may_ask():
            flight = asyncio.ensure_future(self._renew(seller, self.is_away))
            self._asked[seller] = flight
        began = self._clock()
        if flight is not None:
            await asyncio.wait({flight}, timeout=self._call_seconds)
        row = self._sellers.rows.get(seller) or self._strangers.rows.get(seller)
        if row is not None and row[1] >= began - FRESH_SECONDS:
            self.counts.asked += 1
            return row[0]
        if row is not None and self._clock() - row[1] <= self._stale_seconds:
            self.counts.stale += 1
            return row[0]
        self.counts.unknown += 1
        return None

    def _may_ask(self) -> bool:
        """Return whether the server is asked now.

        While it is away, by one reader every RETRY_SECONDS.
        """
        if not self.is_away:
            return len(self._asked) < MAX_ASKED
        now = self._clock()
        if now < self._retry_time:
            return False
        self._retry_time = now + self._call_seconds + RETRY_SECONDS
        return True

    async def _renew(self, seller: Seller, is_trial: bool) -> None:
        """Ask the server about a seller and keep its answer.

        An answer that says nothing leaves what is kept.
        """
        try:
            outcome = await asyncio.get_running_loop().run_in_executor(self._pool, self._call, seller, is_trial)
        finally:
            del self._asked[seller]
        if outcome is None:
            return
        if isinstance(outcome, SellertrustCallError) and outcome.code not in _SETTLED:
            self._went_away(outcome)
            return
        if self.is_away:
            self._report("the server answers again")
        self.is_away = False
        if isinstance(outcome, SellertrustCallError):
            self._note_denial(outcome)
            self._sellers.rows.pop(seller, None)
            self._strangers.put(seller, ABSENT, self._clock())
        elif outcome.state != SCORE_STATE_UNKNOWN:
            self._strangers.rows.pop(seller, None)
            self._sellers.put(seller, outcome.badge, self._clock())

    def _call(self, seller: Seller, is_trial: bool) -> TrustScore | SellertrustCallError | None:
        """Ask the server, in a thread; return a failure.

        None if it went away while this call waited for the thread.
        """
        if self.is_away and not is_trial:
            return None
        try:
            return self._ask(*seller)
        except SellertrustCallError as error:
            return error

    def _note_denial(self, error: SellertrustCallError) -> None:
        """Report the first seller about whom this caller may not ask.

        Readers choose ids, so only the first is reported, without its id.
        """
        if error.code is grpc.StatusCode.PERMISSION_DENIED and not self._is_denial_reported:
            self._is_denial_reported = True
            self._report("the server lets this caller not read some scores, which show no badge; see its grants file")

    def _went_away(self, error: SellertrustCallError) -> None:
        self.counts.failed_calls += 1
        if not self.is_away:
            self._report(f"the server does not answer, so kept badges are shown: {error.code.name} {error.message}")
        self.is_away = True
        self._retry_time = self._clock() + RETRY_SECONDS
