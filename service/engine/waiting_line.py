"""The bounded queue of calls that wait for a thread of one class. It is independent of gRPC and threads.

Marketplaces take turns. Classes whose work takes long turn calls away by CoDel (RFC 8289). Once a marketplace's waits
have exceeded a target for an interval, one call is turned away, then more at ever shorter intervals. In every class, a
call that would wait for more than half of the time to its deadline is turned away on arrival.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from math import inf, sqrt
from time import monotonic

from scoring.base.frozen import frozen
from service.engine.fairness import Turns

INTERVAL_SECONDS = 0.1
"""If waits exceed the target for this long, it is an overload."""

MARGIN = 2.0
"""The least ratio of the time to a call's deadline to the time it is expected to need, if others wait before it."""

SOON_INTERVALS = 16

SMOOTHING = 0.1
"""The weight of the latest call in the average duration of work."""

MAX_GROWTH = 0.25
"""The largest relative rise of that average by one call."""

MAX_FIRST_SECONDS = 1.0
"""The longest duration that a method's first call can set."""

TURN_FORGETTING = 0.99
"""The factor on the time of a turn at each call turned away on arrival."""

FORGETTING = 0.9
"""The factor on that average at each call turned away for it."""


MAX_MARKETPLACES = 1_000
"""One more makes it forget their delays and seconds of work."""


class Cause(Enum):
    FULL = "full"
    LATE = "late"
    """So many calls wait before it that its answer might come too late."""
    DELAY = "delay"
    """Calls of its class have waited too long (CoDel)."""
    DEADLINE = "deadline"
    """Its deadline has passed, or is nearer than its work takes."""
    GONE = "gone"
    UNSENT = "unsent"
    LARGE = "large"
    LIMIT = "limit"
    """Its caller went on after many refusals, for excess or for lack of any grant."""
    STOPPING = "stopping"


class WaitingCall:
    __slots__ = ("arrived", "deadline", "marketplace", "method")

    def __init__(self, method: str, arrived: float, deadline: float) -> None:
        self.method = method
        """`Service/Method`."""
        self.arrived = arrived
        self.deadline = deadline
        """Its deadline, in seconds of the monotonic clock; infinite without one."""
        self.marketplace = ""

    def is_awaited(self) -> bool:
        """Return True unless a subclass knows better."""
        return True


TurnedAway = list[tuple[WaitingCall, Cause]]


@frozen
class LineRules:
    limit: int
    target_seconds: float
    """The wait that calls may exceed for at most an interval; infinite turns none away for waiting."""
    message_seconds: float = 1.0
    """The longest time from a call's beginning to its request's arrival."""
    message_bytes: int = 1 << 20


@dataclass(slots=True)
class _Marketplace:
    """CoDel's state for one marketplace, and its methods' average seconds of work."""

    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    slow_since: float = inf
    """Since when every call has waited longer than the target."""
    is_dropping: bool = False
    drop_time: float = -inf
    dropped: int = 0
    dropped_before: int = 0


class WaitingLine:
    """The calls of one class that wait for a thread. Its owner holds a lock."""

    def __init__(self, rules: LineRules, threads: int = 1, clock: Callable[[], float] = monotonic) -> None:
        self._rules = rules
        self._threads = threads
        self._clock = clock
        self._calls: Turns[WaitingCall] = Turns()
        self._marketplaces: dict[str, _Marketplace] = {}
        self._turn_seconds = 0.0
        """The average time between turns while calls wait."""
        self._turn_time: float | None = None

    def __len__(self) -> int:
        return len(self._calls)

    def is_late(self, call: WaitingCall, ahead: int) -> bool:
        """Return whether a call that arrives behind `ahead` others might be answered too late.

        False if `ahead` is 0, so that the work's duration is measured again.
        """
        if not ahead:
            return False
        seconds = self._find_marketplace(call).seconds[call.method]
        needed = seconds + ahead * max(seconds / self._threads, self._turn_seconds)
        is_late = call.deadline - self._clock() < MARGIN * needed
        if is_late:
            self._turn_seconds *= TURN_FORGETTING
        return is_late

    def add(self, call: WaitingCall) -> TurnedAway:
        """Add a call; return the calls refused because the line is full, each with its cause.

        These are calls that no one awaits any more, else the newest one of the marketplace that has most.
        """
        turned_away = self._remove_hopeless() if len(self._calls) >= self._rules.limit else []
        self._calls.add(call.marketplace, call)
        if len(self._calls) > self._rules.limit:
            turned_away.append((self._calls.take_newest_of_most(), Cause.FULL))
        return turned_away

    def take(self) -> tuple[WaitingCall | None, TurnedAway]:
        """Remove the next call; return it, or None, and the calls refused on the way, each with its cause."""
        turned_away: TurnedAway = []
        now, taken_call = self._clock(), None
        while self._calls and taken_call is None:
            call = self._calls.take()
            cause = self._find_cause(call, now)
            if cause is None:
                taken_call = call
            else:
                turned_away.append((call, cause))
        self._note_turn(now, len(turned_away) + (taken_call is not None))
        return taken_call, turned_away

    def clear(self) -> TurnedAway:
        """Empty the line; return all calls as refused with Cause.STOPPING."""
        turned_away = [(call, Cause.STOPPING) for call in self._calls]
        self._calls.clear()
        return turned_away

    def count_ahead(self, marketplace: str) -> int:
        return self._calls.count_ahead(marketplace)

    def note_work(self, call: WaitingCall, seconds: float) -> None:
        """Take a call's seconds of work into the moving average of its method and marketplace."""
        average = self._find_marketplace(call).seconds
        average[call.method] = _update_average(average[call.method], seconds)

    def _find_marketplace(self, call: WaitingCall) -> _Marketplace:
        if len(self._marketplaces) > MAX_MARKETPLACES:
            self._marketplaces.clear()
        return self._marketplaces.setdefault(call.marketplace, _Marketplace())

    def _note_turn(self, now: float, number: int) -> None:
        if self._turn_time is not None and number:
            self._turn_seconds = _update_average(self._turn_seconds, (now - self._turn_time) / number)
        self._turn_time = now if self._calls else None

    def _find_cause(self, call: WaitingCall, now: float) -> Cause | None:
        marketplace = self._find_marketplace(call)
        is_dropped = self._drops(call, now, marketplace)
        if not call.is_awaited():
            return Cause.DEADLINE if call.deadline <= now else Cause.GONE
        needed = marketplace.seconds[call.method]
        if call.deadline - now <= needed:
            if call.deadline > now:  # otherwise it is late whatever the average is
                marketplace.seconds[call.method] = needed * FORGETTING
            return Cause.DEADLINE
        return Cause.DELAY if is_dropped else None

    def _drops(self, call: WaitingCall, now: float, marketplace: _Marketplace) -> bool:
        """Return whether CoDel turns a call away; of few marketplaces never the last."""
        target = max(self._rules.target_seconds, marketplace.seconds[call.method])
        interval = max(INTERVAL_SECONDS, 2 * target)
        is_last = not self._calls.has(call.marketplace)
        if now - call.arrived < target or (is_last and self._calls.count_ahead(call.marketplace) <= self._threads):
            marketplace.slow_since, marketplace.is_dropping = inf, False
            return False
        marketplace.slow_since = min(marketplace.slow_since, now)
        if now - marketplace.slow_since < interval:
            return False
        if not marketplace.is_dropping:
            dropped_since = marketplace.dropped - marketplace.dropped_before
            is_soon = now - marketplace.drop_time < SOON_INTERVALS * interval
            marketplace.dropped = dropped_since if dropped_since > 1 and is_soon else 1
            marketplace.dropped_before, marketplace.is_dropping = marketplace.dropped, True
            marketplace.drop_time = now + interval / sqrt(marketplace.dropped)
            return True
        if now < marketplace.drop_time:
            return False
        marketplace.dropped += 1
        marketplace.drop_time += interval / sqrt(marketplace.dropped)
        return True

    def _remove_hopeless(self) -> TurnedAway:
        """Remove the calls that no one awaits any more; return them with their causes."""
        now, calls = self._clock(), [*self._calls]
        hopeless = [
            (call, Cause.DEADLINE if call.deadline <= now else Cause.GONE)
            for call in calls
            if call.deadline <= now or not call.is_awaited()
        ]
        if hopeless:
            hopeless_ids = {id(call) for call, _ in hopeless}
            self._calls.clear()
            for call in calls:
                if id(call) not in hopeless_ids:
                    self._calls.add(call.marketplace, call)
        return hopeless


def _update_average(average: float, seconds: float) -> float:
    if average == 0.0:
        return min(seconds, MAX_FIRST_SECONDS)
    return average + min(SMOOTHING * (seconds - average), MAX_GROWTH * average)
