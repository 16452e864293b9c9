"""Callers who take no refusal for an answer: their next calls are held for a while, and cost next to nothing.

A refusal for excess says when the next call fits. Whoever asks on before that is refused at once some times a second; what
comes then, by the same method, is held without a thread and without its request being read, and refused after a second.
So a caller makes no more calls a second than it has waiting ones, however fast it would go on.

Callers who could be let in by nothing that they ask for are held alike: those without a grant, and those who show nothing, or
tokens, that prove nobody. The calls of the latter count together by host, since each may show another token by another
connection. Calls by tokens that are known go on, and so does the first call of a connection.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from time import monotonic

PROMPT_REFUSALS = 20
"""Refusals a second that a caller of a method gets at once."""

HOLD_SECONDS = 1.0
"""For how long a further call is held, and at most until when what was noted counts."""

HELD_REFUSALS = 500
"""Held calls that are refused a second: if more are held, each is held for longer."""

MAX_HELD = 4_096
"""Calls that may be held; each takes some 35 KB."""

MAX_CALLERS = 10_000
MAX_TOKENS = 256
"""Tokens of one connection whose callers are known; with one more all of them are forgotten."""

NOBODY = "nobody"
"""The name under which the log shows callers who prove nobody, and show no certificate that names one."""

EVERY_METHOD = "*"
"""Stands for all methods together, in place of the name of one."""


@dataclass(slots=True)
class _Refusals:
    """Refusals of one caller by one method."""

    since: float
    """When the second began in which they are counted."""
    count: float
    until: float = 0.0
    """Until when nothing of it fits, since there were too many."""


@dataclass(slots=True)
class _Connection:
    """What is known of a connection by which callers were refused."""

    callers: dict[bytes, str] = field(default_factory=dict)
    """The caller's name by what `digest_of` gives of the token that it shows."""
    certificate: bytes = b""
    """The client certificate in PEM by which strangers came; empty without one."""
    strangers: str = ""
    """The account of those who proved nobody; empty: there were none."""
    shown: str = ""
    """The name under which the log shows those."""


class Turnstile:
    """Knows whose calls are to be held. For any number of threads; the least recently refused of very many are forgotten.

    A caller is known by its connection and the token that it shows, before anybody looks at either. `is_known` gets a
    certificate in PEM and the header `authorization`, and returns whether they proved somebody when last shown; by default
    nothing does.
    """

    def __init__(
        self,
        clock: Callable[[], float] = monotonic,
        is_known: Callable[[bytes, str], bool] | None = None,
    ) -> None:
        self._clock = clock
        self._is_known = is_known
        self._lock = threading.Lock()
        self._held = 0
        self._connections: OrderedDict[str, _Connection] = OrderedDict()
        self._refusals: OrderedDict[tuple[str, str], _Refusals] = OrderedDict()

    def note(
        self, method: str, caller: str, connection: str, token: bytes, seconds: float, weight: float = 1.0
    ) -> None:
        """Record that a caller was refused a call of a method, and until when the next one fits.

        `token`: what `digest_of` gives; `seconds`: from now; `weight`: as how many refusals this one counts, for what it
        cost. EVERY_METHOD as the method has the caller's calls of any method count together, and be held.
        """
        with self._lock:
            callers = self._connection(connection).callers
            if len(callers) >= MAX_TOKENS:
                callers.clear()
            callers[token] = caller
            self._count(method, caller, seconds, weight)

    def note_stranger(self, connection: str, token: bytes, certificate: bytes, name: str) -> None:
        """Record that a call was refused since what it shows proves nobody.

        `token`: what `digest_of` gives; `certificate`: the client certificate of the connection in PEM; empty without one;
        `name`: of its principal, whose strangers count together whichever connection brings them; empty if it names none,
        and the strangers of the connection's host count together.
        """
        with self._lock:
            found = self._connection(connection)
            found.callers.pop(token, None)  # it has expired, say
            found.certificate, found.shown = certificate, name or NOBODY
            found.strangers = f"strangers {name or host_of(connection)}"  # no name of a principal has a blank
            self._count(EVERY_METHOD, found.strangers, HOLD_SECONDS, 1.0)

    def holds(self, method: str, connection: str, metadata: Iterable[tuple[str, object]]) -> str:
        """Return the name of the caller if its call is to be held; "" if it may go on.

        By the refusals noted of its connection and token.
        """
        found = self._connections.get(connection)
        if found is None or not method:
            return ""
        shown = _shown(metadata)
        caller = found.callers.get(_digest(shown))
        if caller is not None:
            return caller if self._is_over(method, caller) or self._is_over(EVERY_METHOD, caller) else ""
        if not found.strangers or not self._is_over(EVERY_METHOD, found.strangers):
            return ""
        is_certificate_alone = not shown and found.shown != NOBODY
        is_known = self._is_known is not None and len(shown) == 1 and self._is_known(found.certificate, shown[0])
        return "" if is_certificate_alone or is_known else found.shown

    def hold(self) -> float:
        """Count a call that is held from now on, and return for how many seconds; 0 if no further one may be."""
        with self._lock:
            if self._held >= MAX_HELD:
                return 0.0
            self._held += 1
            return max(HOLD_SECONDS, self._held / HELD_REFUSALS)

    def let_go(self, number: int) -> None:
        """Count so many calls as held no longer."""
        with self._lock:
            self._held -= number

    def _connection(self, connection: str) -> _Connection:
        """Return what is known of a connection, as the latest of whom anything was noted."""
        found = self._connections.setdefault(connection, _Connection())
        self._connections.move_to_end(connection)
        if len(self._connections) > MAX_CALLERS:
            self._connections.popitem(last=False)
        return found

    def _count(self, method: str, caller: str, seconds: float, weight: float) -> None:
        """Add a refusal to a caller's account of a method."""
        now = self._clock()
        found = self._refusals.get((method, caller))
        if found is None or now - found.since > 1:
            until = 0.0 if found is None else found.until
            found = self._refusals[method, caller] = _Refusals(now, 0.0, until)
        self._refusals.move_to_end((method, caller))
        found.count += weight
        if found.count > PROMPT_REFUSALS:
            found.until = now + min(seconds, HOLD_SECONDS)
        if len(self._refusals) > MAX_CALLERS:
            self._refusals.popitem(last=False)

    def _is_over(self, method: str, caller: str) -> bool:
        """Return whether nothing of a caller's account fits now."""
        found = self._refusals.get((method, caller))
        return found is not None and self._clock() < found.until


def host_of(connection: str) -> str:
    """Return the host of a connection as gRPC names it: `ipv4:10.0.0.7:51234` is of `ipv4:10.0.0.7`."""
    return connection.rpartition(":")[0] or connection


def digest_of(metadata: Iterable[tuple[str, object]]) -> bytes:
    """Return a digest of what a call shows in the header `authorization`; "" for nothing."""
    return _digest(_shown(metadata))


def _shown(metadata: Iterable[tuple[str, object]]) -> list[str]:
    return [str(value) for key, value in metadata if key == "authorization"]


def _digest(shown: Sequence[str]) -> bytes:
    return sha256("\n".join(shown).encode("utf-8", "replace")).digest() if shown else b""
