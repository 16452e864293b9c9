"""The calls that wait for a thread of one class: how many may, which one is next, and which ones are turned away.

Nothing here knows gRPC or threads: `WaitingLine` is a bounded queue that is asked for the next call. Of classes whose
work takes long, calls are turned away by CoDel (Nichols and Jacobson 2012), on the time that they waited: once that has
been above a target for a whole interval, one call is turned away, and further ones at intervals that become shorter, until a
call waited less. Of scores nobody is turned away for having waited. Of either, whoever would wait for more than half of the
time to its deadline is turned away on arrival: it is cheaper than later, and what is let in is answered in time.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from math import inf, sqrt
from time import monotonic

INTERVAL_SECONDS = 0.1
"""For how long calls may wait longer than the target before that counts as overload."""

MARGIN = 2.0
"""How many times what a call is thought to need it must have until its deadline, if others wait before it."""

SOON_INTERVALS = 16
"""For how many intervals it is remembered how many calls had to be turned away."""

SMOOTHING = 0.1
"""The weight of the latest call in the average of how long work takes."""

MAX_GROWTH = 0.25
"""By how much of itself one call may raise that average: one that waited for a disk says little of the next."""

MAX_FIRST_SECONDS = 1.0
"""How long the first call of a method may make its work look."""

TURN_FORGETTING = 0.99
"""What remains of the time of a turn each time that a call is turned away on arrival, so that it is found out anew."""

FORGETTING = 0.9
"""What remains of that average each time that a call is turned away for it: one slow hour shuts nobody out for long."""


class Cause(Enum):
    """Why a call is turned away before its work begins."""

    FULL = "full"
    """As many calls wait as may."""
    LATE = "late"
    """So many calls wait before it that its answer might come too late."""
    DELAY = "delay"
    """Calls of its class have waited too long for too long (CoDel)."""
    DEADLINE = "deadline"
    """Its deadline has passed, or is nearer than its work takes."""
    GONE = "gone"
    """Its caller has cancelled it."""
    UNSENT = "unsent"
    """Its request did not arrive in time."""
    LARGE = "large"
    """Its request is larger than requests of its class may be."""
    LIMIT = "limit"
    """Its caller has taken many refusals for no answer, for its excess or since nothing lets it in."""
    STOPPING = "stopping"
    """The server stops."""


class WaitingCall:
    """A call that has arrived and whose work has not begun."""

    __slots__ = ("arrived", "deadline", "method")

    def __init__(self, method: str, arrived: float, deadline: float) -> None:
        self.method = method
        """`Service/Method`."""
        self.arrived = arrived
        """When it arrived, in seconds of the monotonic clock."""
        self.deadline = deadline
        """When its deadline passes, in seconds of the monotonic clock; infinite without one."""

    def is_awaited(self) -> bool:
        """Return whether its caller still waits for it."""
        return True


TurnedAway = list[tuple[WaitingCall, Cause]]


@dataclass(frozen=True, slots=True)
class LineRules:
    """How calls of one class wait."""

    limit: int
    """How many calls may wait."""
    target_seconds: float
    """How long calls may wait for longer than an interval; infinite: none is turned away for having waited."""
    message_seconds: float = 1.0
    """How long a request may take to arrive after its call has begun."""
    message_bytes: int = 1 << 20
    """How large a request may be."""


class WaitingLine:
    """The calls of one class that wait for a thread. Not for several threads at once: its owner holds a lock."""

    def __init__(self, rules: LineRules, threads: int = 1, clock: Callable[[], float] = monotonic) -> None:
        self._rules = rules
        self._threads = threads
        self._clock = clock
        self._calls: deque[WaitingCall] = deque()
        self._slow_since = inf
        """Since when calls have waited longer than the target, without one that did not."""
        self._is_dropping = False
        """Whether calls are being turned away for having waited."""
        self._drop_time = -inf
        """When the next one is."""
        self._dropped = self._dropped_before = 0
        self._seconds: dict[str, float] = {}
        self._turn_seconds = 0.0
        """The average time from one turn to the next while calls wait; threads wait for each other, too, so that it is longer
        than their work.
        """
        self._turn_time: float | None = None
        """When the last turn was, if calls waited then."""

    def __len__(self) -> int:
        return len(self._calls)

    def is_late(self, method: str, deadline: float, ahead: int) -> bool:
        """Return whether a call that arrives now, behind `ahead` others, might be answered too late.

        Never if nobody waits before it: how long work takes is then found out anew.
        """
        if not ahead:
            return False
        seconds = self._seconds.get(method, 0.0)
        needed = seconds + ahead * max(seconds / self._threads, self._turn_seconds)
        is_late = deadline - self._clock() < MARGIN * needed
        if is_late:
            self._turn_seconds *= TURN_FORGETTING
        return is_late

    def add(self, call: WaitingCall) -> TurnedAway:
        """Add a call to the line; return the calls refused for want of room, each with its cause.

        Calls that nobody awaits any more, else this one.
        """
        turned_away: TurnedAway = []
        if len(self._calls) >= self._rules.limit:
            turned_away = self._remove_hopeless()
        if len(self._calls) >= self._rules.limit:
            return [*turned_away, (call, Cause.FULL)]
        self._calls.append(call)
        return turned_away

    def take(self) -> tuple[WaitingCall | None, TurnedAway]:
        """Remove the next call; return it, or None, and the calls refused on the way to it.

        Those whose time has passed or that nobody awaits, each with its cause.
        """
        turned_away: TurnedAway = []
        now, found = self._clock(), None
        while self._calls and found is None:
            call = self._calls.popleft()
            cause = self._cause(call, now)
            if cause is None:
                found = call
            else:
                turned_away.append((call, cause))
        self._note_turn(now, len(turned_away) + (found is not None))
        return found, turned_away

    def clear(self) -> TurnedAway:
        """Empty the line, since the server stops; return all its calls, refused for that cause."""
        turned_away = [(call, Cause.STOPPING) for call in self._calls]
        self._calls.clear()
        return turned_away

    def note_work(self, method: str, seconds: float) -> None:
        """Update the usual duration of a method's work by that of one call."""
        self._seconds[method] = _averaged(self._seconds.get(method, 0.0), seconds)

    def _note_turn(self, now: float, number: int) -> None:
        """Update the average time of a turn by one at which so many calls left the line."""
        if self._turn_time is not None and number:
            self._turn_seconds = _averaged(self._turn_seconds, (now - self._turn_time) / number)
        self._turn_time = now if self._calls else None

    def _cause(self, call: WaitingCall, now: float) -> Cause | None:
        """Return why a call is turned away whose turn it is; None: it is not."""
        is_dropped = self._is_dropped(call, now)
        if not call.is_awaited():
            return Cause.DEADLINE if call.deadline <= now else Cause.GONE
        needed = self._seconds.get(call.method, 0.0)
        if call.deadline - now <= needed:
            if call.deadline > now:  # else it is late whatever the average says
                self._seconds[call.method] = needed * FORGETTING
            return Cause.DEADLINE
        return Cause.DELAY if is_dropped else None

    def _is_dropped(self, call: WaitingCall, now: float) -> bool:
        """Return whether CoDel turns a call away (RFC 8289). Never the last one, for whom a thread is free."""
        target = max(self._rules.target_seconds, self._seconds.get(call.method, 0.0))
        interval = max(INTERVAL_SECONDS, 2 * target)
        if now - call.arrived < target or not self._calls:
            self._slow_since, self._is_dropping = inf, False
            return False
        self._slow_since = min(self._slow_since, now)
        if now - self._slow_since < interval:
            return False
        if not self._is_dropping:
            again = self._dropped - self._dropped_before  # soon after the last time it goes on from where that ended
            self._dropped = again if again > 1 and now - self._drop_time < SOON_INTERVALS * interval else 1
            self._dropped_before, self._is_dropping = self._dropped, True
            self._drop_time = now + interval / sqrt(self._dropped)
            return True
        if now < self._drop_time:
            return False
        self._dropped += 1
        self._drop_time += interval / sqrt(self._dropped)
        return True

    def _remove_hopeless(self) -> TurnedAway:
        """Remove the calls whose deadline has passed or whose caller has gone."""
        now = self._clock()
        found = [(call, Cause.DEADLINE) for call in self._calls if call.deadline <= now]
        found += [(call, Cause.GONE) for call in self._calls if call.deadline > now and not call.is_awaited()]
        if found:
            gone = {id(call) for call, _ in found}
            self._calls = deque(call for call in self._calls if id(call) not in gone)
        return found


def _averaged(known: float, seconds: float) -> float:
    """Return an average (0: there is none) with one more duration in it, in seconds."""
    if known == 0.0:
        return min(seconds, MAX_FIRST_SECONDS)
    return known + min(SMOOTHING * (seconds - known), MAX_GROWTH * known)
