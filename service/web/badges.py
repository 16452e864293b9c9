"""Sellers' badges, remembered while the server is away. One event loop uses a `Badges`."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import grpc

from sellertrust.client import TrustScore
from sellertrust.errors import SellertrustCallError
from sellertrust.v1.trust_score_service_pb2 import SCORE_STATE_UNKNOWN
from service.web.recent import Recent

FRESH_SECONDS = 30.0
"""For this time a badge needs no new call."""
CALL_SECONDS = 1.0
"""For one call, and for a reader's wait."""
RETRY_SECONDS = 1.0
"""After a failed call. Then one reader asks first."""
BUSY_SECONDS = 0.1
"""After a busy answer about a seller."""
CALLS = 4
BATCH = 50
"""The most sellers per call. A timeout halves it; each answer doubles it."""
MAX_WAITING = 500
"""The most waiting sellers with a remembered badge, and as many without.
"""

ABSENT = ""
"""Unknown to the server or hidden from this caller."""

_FINAL_CODES = frozenset({grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED})
"""Another call at once would give the same."""
BUSY = frozenset({"SERVER_BUSY", "TOO_MANY_CALLS"})

Seller = tuple[str, str]
"""Marketplace id and seller id."""
Outcome = TrustScore | SellertrustCallError
Ask = Callable[[str, Sequence[str]], Mapping[str, Outcome]]


@dataclass
class BadgeCounts:
    kept: int = 0
    asked: int = 0
    stale: int = 0
    """From an older badge, because no new answer came."""
    unknown: int = 0
    """Answers without a new or remembered badge."""
    failed_calls: int = 0
    """Several requests may wait for one call."""


class BadgeRow(NamedTuple):
    """Times in seconds of the clock."""

    badge: str
    asked: float
    checked: float
    """Before `asked` if the server answered with a stale score."""
    as_of_time: datetime
    """`checked` by the server's clock."""


class Badges:
    """Sellers requested while calls are running share the next call. `ask` runs in threads; it returns each seller's
    outcome or raises SellertrustCallError. `max_sellers` bounds remembered badges and, apart, unknown ids, so that
    invented ids displace no badge. A badge is shown for `stale_seconds` after its check if no new answer comes.
    `report` gets a line when the server stops and resumes answering.
    """

    def __init__(
        self,
        ask: Ask,
        report: Callable[[str], None],
        *,
        max_sellers: int = 100_000,
        stale_seconds: float = 3_600.0,
        call_seconds: float = CALL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counts = BadgeCounts()
        self.is_away = False
        self._ask = ask
        self._report = report
        self._stale_seconds = stale_seconds
        self._call_seconds = call_seconds
        self._clock = clock
        self._sellers: Recent[Seller, BadgeRow] = Recent(max_sellers)
        self._unknown_sellers: Recent[Seller, BadgeRow] = Recent(max_sellers)
        self._flights: dict[Seller, tuple[asyncio.Future[None], float]] = {}
        """The asked or waiting ones, and since when."""
        self._lanes: dict[bool, dict[Seller, None]] = {True: {}, False: {}}
        self._is_kept_first_next = True
        """The lanes take turns, so that invented ids hold up no kept badge."""
        self._calls: set[asyncio.Task[None]] = set()
        self._batch_size = BATCH
        self._retry_time = 0.0
        self._is_denial_reported = False
        self._pool = ThreadPoolExecutor(CALLS, thread_name_prefix="badges")

    def close(self) -> None:
        """Start no further calls; those that run may end."""
        self._pool.shutdown(cancel_futures=True)

    def kept_sellers(self) -> int:
        """Return how many sellers are remembered, unknown ids included."""
        return len(self._sellers) + len(self._unknown_sellers)

    def take_fresh(self, seller: Seller) -> BadgeRow | None:
        """Return a seller's badge if the server was asked within 30 s, and count it; else None."""
        row = self._find_row(seller)
        if row is None or self._clock() - row.asked >= FRESH_SECONDS:
            return None
        self.counts.kept += 1
        return row

    def is_current(self, row: BadgeRow) -> bool:
        """Return whether the server confirmed the badge within 30 s, not only was asked."""
        return self._clock() - row.checked <= FRESH_SECONDS

    async def find(self, sellers: Sequence[Seller]) -> list[BadgeRow | None]:
        """Return each badge in order: new, else the last one, else None. Takes at most one call's time."""
        began = self._clock()
        flights = {flight for seller in sellers if (flight := self._join_flight(seller)) is not None}
        if flights:
            await asyncio.wait(flights, timeout=self._call_seconds)
        return [self._take_usable_row(seller, began) for seller in sellers]

    def _find_row(self, seller: Seller) -> BadgeRow | None:
        return self._sellers.get(seller) or self._unknown_sellers.get(seller)

    def _take_usable_row(self, seller: Seller, began: float) -> BadgeRow | None:
        row = self._find_row(seller)
        if row is not None and row.asked >= began - FRESH_SECONDS:
            self.counts.asked += 1
            return row
        if row is not None and self._clock() - row.checked <= self._stale_seconds:
            self.counts.stale += 1
            return row
        self.counts.unknown += 1
        return None

    def _join_flight(self, seller: Seller) -> asyncio.Future[None] | None:
        if seller in self._flights:
            return self._flights[seller][0]
        if not self._take_turn_to_ask(len(self._find_lane(seller))):
            return None
        loop = asyncio.get_running_loop()
        flight: asyncio.Future[None] = loop.create_future()
        self._flights[seller] = flight, self._clock()
        self._find_lane(seller)[seller] = None
        loop.call_soon(self._start_calls)
        return flight

    def _find_lane(self, seller: Seller) -> dict[Seller, None]:
        return self._lanes[seller in self._sellers]

    def _take_turn_to_ask(self, waiting: int) -> bool:
        """Return whether to call the server. While it is away, one reader calls every RETRY_SECONDS."""
        if not self.is_away:
            return waiting < MAX_WAITING
        now = self._clock()
        if now < self._retry_time:
            return False
        self._retry_time = now + self._call_seconds + RETRY_SECONDS
        return True

    def _start_calls(self) -> None:
        while len(self._calls) < CALLS and any(self._lanes.values()):
            first = self._is_kept_first_next
            waiting = [*self._lanes[first], *self._lanes[not first]]
            self._is_kept_first_next = not first
            marketplace = waiting[0][0]
            sellers = [seller for seller in waiting if seller[0] == marketplace][: self._batch_size]
            for seller in sellers:
                for lane in self._lanes.values():  # an answer may have moved it to the other table
                    lane.pop(seller, None)
            call = asyncio.ensure_future(self._ask_about_sellers(marketplace, sellers))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
            call.add_done_callback(lambda _: self._start_calls())

    async def _ask_about_sellers(self, marketplace: str, sellers: Sequence[Seller]) -> None:
        began = self._clock()
        names = [name for _, name in sellers]
        busy_sellers: list[Seller] = []
        try:
            answer = await asyncio.get_running_loop().run_in_executor(
                self._pool, self._fetch_or_return_error, marketplace, names
            )
            if isinstance(answer, SellertrustCallError):
                if answer.code is grpc.StatusCode.DEADLINE_EXCEEDED and len(sellers) > 1:
                    self._batch_size = max(1, len(sellers) // 2)
                    busy_sellers += sellers
                    return
                if answer.code not in _FINAL_CODES and answer.reason not in BUSY:
                    self._note_outage(answer)
                    return
                answer = dict.fromkeys(names, answer)
            if self.is_away:
                self._report("the server answers again")
            self.is_away = False
            self._batch_size = min(BATCH, 2 * self._batch_size)
            for seller in sellers:
                outcome = answer[seller[1]]
                if isinstance(outcome, SellertrustCallError) and outcome.reason in BUSY:
                    busy_sellers.append(seller)
                else:
                    self._remember(seller, outcome, began)
        finally:
            retried_sellers = [
                seller for seller in busy_sellers if self._clock() - self._flights[seller][1] < self._call_seconds
            ]
            self._end_flights(seller for seller in sellers if seller not in retried_sellers)
            if retried_sellers:
                asyncio.get_running_loop().call_later(BUSY_SECONDS, self._queue_again, retried_sellers)

    def _fetch_or_return_error(
        self, marketplace: str, names: Sequence[str]
    ) -> Mapping[str, Outcome] | SellertrustCallError:
        try:
            return self._ask(marketplace, names)
        except SellertrustCallError as error:
            return error

    def _remember(self, seller: Seller, outcome: Outcome, began: float) -> None:
        if isinstance(outcome, SellertrustCallError):
            if outcome.code in _FINAL_CODES:
                self._note_denial(outcome)
                self._sellers.pop(seller, None)
                self._unknown_sellers.put(seller, BadgeRow(ABSENT, began, began, datetime.now(UTC)))
            return
        freshness = outcome.freshness
        age = freshness.age.ToTimedelta().total_seconds()
        if outcome.state == SCORE_STATE_UNKNOWN or age > self._stale_seconds:
            return
        self._unknown_sellers.pop(seller, None)
        row = BadgeRow(outcome.badge, began, began - age, freshness.as_of_time.ToDatetime(UTC))
        last = self._sellers.get(seller)
        if last is not None and last.checked > row.checked:
            row = last._replace(asked=began)
        self._sellers.put(seller, row)

    def _queue_again(self, sellers: Sequence[Seller]) -> None:
        if self.is_away:
            self._end_flights(sellers)
            return
        for seller in sellers:
            self._find_lane(seller)[seller] = None
        self._start_calls()

    def _end_flights(self, sellers: Iterable[Seller]) -> None:
        for seller in sellers:
            flight, _ = self._flights.pop(seller)
            flight.set_result(None)

    def _note_denial(self, error: SellertrustCallError) -> None:
        """Report the first denial, without the id, which readers choose."""
        if error.code is grpc.StatusCode.PERMISSION_DENIED and not self._is_denial_reported:
            self._is_denial_reported = True
            self._report("the server lets this caller not read some scores, which show no badge; see its grants file")

    def _note_outage(self, error: SellertrustCallError) -> None:
        self.counts.failed_calls += 1
        if not self.is_away:
            self._report(f"the server does not answer, so kept badges are shown: {error.code.name} {error.message}")
        self.is_away = True
        self._retry_time = self._clock() + RETRY_SECONDS
        for lane in self._lanes.values():
            self._end_flights(lane)
            lane.clear()
