"""Callers in excess who take no refusal for an answer: their next calls are held for a while, and cost next to nothing.

A refusal says when the next call fits. Whoever asks on before that is refused at once some times a second; what comes then,
by the same method, is held without a thread and without its request being read, and refused after a second. So a
caller makes no more calls a second than it has waiting ones, however fast it would go on.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from time import monotonic

PROMPT_REFUSALS = 20
"""Refusals a second that a caller of a method gets at once."""

HOLD_SECONDS = 1.0
"""For how long a further call is held, and at most until when what was noted counts."""

MAX_CALLERS = 10_000
MAX_TOKENS = 256
"""Tokens of one connection whose callers are known; with one more all of them are forgotten."""


@dataclass(slots=True)
class _Refusals:
    """Refusals of one caller by one method."""

    since: float
    """When the second began in which they are counted."""
    count: float
    until: float = 0.0
    """Until when nothing of it fits, since there were too many."""


class Turnstile:
    """Knows whose calls are to be held. For any number of threads; the least recently refused of very many are forgotten.

    A caller is known by its connection and the token that it shows, before anybody looks at either.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._callers: OrderedDict[str, dict[bytes, str]] = OrderedDict()  # by connection, by what `token_of` gives
        self._refusals: OrderedDict[tuple[str, str], _Refusals] = OrderedDict()

    def note(
        self, method: str, caller: str, connection: str, token: bytes, seconds: float, weight: float = 1.0
    ) -> None:
        """Record that a caller was refused a call of a method, and until when the next one fits.

        `seconds`: from now; `weight`: as how many refusals this one counts, for what it cost.
        """
        now = self._clock()
        with self._lock:
            tokens = self._callers.setdefault(connection, {})
            self._callers.move_to_end(connection)
            if len(tokens) >= MAX_TOKENS:
                tokens.clear()
            tokens[token] = caller
            found = self._refusals.get((method, caller))
            if found is None or now - found.since > 1:
                until = 0.0 if found is None else found.until
                found = self._refusals[method, caller] = _Refusals(now, 0.0, until)
            self._refusals.move_to_end((method, caller))
            found.count += weight
            if found.count > PROMPT_REFUSALS:
                found.until = now + min(seconds, HOLD_SECONDS)
            for known in (self._callers, self._refusals):
                if len(known) > MAX_CALLERS:
                    known.popitem(last=False)

    def holds(self, method: str, connection: str, metadata: Iterable[tuple[str, object]]) -> str:
        """Return the name of the caller if its call is to be held; "" if it may go on.

        By the refusals noted of its connection and token.
        """
        tokens = self._callers.get(connection)
        if tokens is None:
            return ""
        caller = tokens.get(token_of(metadata), "")
        found = self._refusals.get((method, caller))
        return caller if found is not None and self._clock() < found.until else ""


def token_of(metadata: Iterable[tuple[str, object]]) -> bytes:
    """Return a digest of what a call shows in the header `authorization`; "" for nothing."""
    shown = [str(value) for key, value in metadata if key == "authorization"]
    return sha256("\n".join(shown).encode("utf-8", "replace")).digest() if shown else b""
