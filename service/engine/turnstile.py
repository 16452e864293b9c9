"""Callers who ignore refusals: their next calls are held for a while, at little cost.

A caller who asks before its refusal allows is refused at once a few times a second. Further calls are held without a
thread, unread, and refused after a second. So a caller makes no more calls a second than it has waiting.

Callers without a grant are held alike. So are callers whose credentials prove no one, who count together by host. Calls
with known tokens go on, and a few a second with new tokens that a known issuer may have signed.
"""

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from time import monotonic

PROMPT_REFUSALS = 20
"""Refusals a second that a caller of a method gets at once."""

HOLD_SECONDS = 1.0
"""The time for which a further call is held, and the most that a noted refusal counts."""

HELD_REFUSALS = 500
"""Held calls refused a second: if more are held, each is held longer."""

MAX_HELD = 4_096
"""Calls that may be held; each takes some 35 KB."""

MAX_HELD_SHARED = 16
"""Held calls of one connection that a mesh shares among callers: they take its places."""

PROOFS = 50
"""New tokens of held strangers that are verified each second."""

MAX_CALLERS = 10_000
MAX_TOKENS = 256
"""Tokens of one connection whose callers are known; one more makes it forget all."""

NOBODY = "nobody"
"""Logged for callers that prove and show no name."""

EVERY_METHOD = "*"
_PROOF = "proof"


@dataclass(slots=True)
class _Refusals:
    since: float
    count: float
    until: float = 0.0


@dataclass(slots=True)
class _Connection:
    callers: dict[bytes, str] = field(default_factory=dict)
    """The caller's name by `digest_of` its token."""
    certificate: bytes = b""
    strangers: str = ""
    """The name under which its unproven callers count together."""
    shown: str = ""
    """The name that is logged for them."""


class Turnstile:
    """Knows whose calls are to be held. Thread-safe; forgets the least recently refused of very many connections.

    A caller is known by its connection and its token. `is_known` returns whether a certificate in PEM and a header
    `authorization` proved someone when last shown, `is_plausible` whether a header may prove someone. `is_shared`:
    whether a connection brings many callers.
    """

    def __init__(
        self,
        clock: Callable[[], float] = monotonic,
        is_known: Callable[[bytes, str], bool] = lambda _, __: False,
        is_plausible: Callable[[str], bool] = lambda _: False,
        *,
        is_shared: bool = False,
    ) -> None:
        self._clock = clock
        self._is_known = is_known
        self._is_plausible = is_plausible
        self._is_shared = is_shared
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()
        """By connection if they are shared, else all under one name."""
        self._connections: OrderedDict[str, _Connection] = OrderedDict()
        self._refusals: OrderedDict[tuple[str, str], _Refusals] = OrderedDict()

    def note_refusal(
        self, method: str, caller: str, connection: str, token: bytes, seconds: float, weight: float = 1.0
    ) -> None:
        """Record that a caller was refused a method, and when the next call fits.

        Beyond PROMPT_REFUSALS in a second, further calls are held for `seconds` from now, at most HOLD_SECONDS. `token`:
        from `digest_of`. With EVERY_METHOD calls of all methods count together.
        """
        with self._lock:
            callers = self._remember_connection(connection).callers
            if len(callers) >= MAX_TOKENS:
                callers.clear()
            callers[token] = caller
            self._count_refusal(method, caller, seconds, weight)

    def note_stranger(self, connection: str, token: bytes, certificate: bytes, name: str) -> None:
        """Record that a call was refused because its credentials prove no one.

        `certificate`: in PEM, or empty. `name`: of its principal; its unproven callers count together, without a name
        those of the connection's host.
        """
        with self._lock:
            state = self._remember_connection(connection)
            state.callers.pop(token, None)
            state.certificate, state.shown = certificate, name or NOBODY
            state.strangers = f"strangers {name or host_of(connection)}"  # no principal's name has a blank
            self._count_refusal(EVERY_METHOD, state.strangers, HOLD_SECONDS, 1.0)

    def find_held(self, method: str, connection: str, metadata: Iterable[tuple[str, object]]) -> str:
        """Return the caller's name if its call is to be held, that is refused late; else ""."""
        state = self._connections.get(connection)
        if state is None or not method:
            return ""
        shown = _list_authorizations(metadata)
        caller = state.callers.get(_digest_tokens(shown))
        if caller is not None:
            return caller if self._is_held(method, caller) or self._is_held(EVERY_METHOD, caller) else ""
        if not state.strangers or not self._is_held(EVERY_METHOD, state.strangers):
            return ""
        is_certificate_alone = not shown and state.shown != NOBODY
        if is_certificate_alone or (len(shown) == 1 and self._may_pass(state, shown[0])):
            return ""
        return state.shown

    def _may_pass(self, connection: _Connection, shown: str) -> bool:
        if self._is_known(connection.certificate, shown):
            return True
        proofs = self._refusals.get((_PROOF, connection.strangers))
        if proofs is not None and proofs.count >= PROOFS and self._clock() - proofs.since <= 1:
            return False
        if not self._is_plausible(shown):
            return False
        with self._lock:
            self._count_refusal(_PROOF, connection.strangers, 0.0, 1.0)
        return True

    def start_holding(self, connection: str) -> float:
        """Count a call as held and return for how many seconds; 0 if no more may be held."""
        name = connection if self._is_shared else ""
        with self._lock:
            held = self._held.total()
            if held >= MAX_HELD or (name and self._held[name] >= MAX_HELD_SHARED):
                return 0.0
            self._held[name] += 1
            return max(HOLD_SECONDS, (held + 1) / HELD_REFUSALS)

    def stop_holding(self, connections: Iterable[str]) -> None:
        with self._lock:
            self._held -= Counter(connections if self._is_shared else [""] * len([*connections]))

    def _remember_connection(self, connection: str) -> _Connection:
        state = self._connections.setdefault(connection, _Connection())
        self._connections.move_to_end(connection)
        if len(self._connections) > MAX_CALLERS:
            self._connections.popitem(last=False)
        return state

    def _count_refusal(self, method: str, caller: str, seconds: float, weight: float) -> None:
        now = self._clock()
        refusals = self._refusals.get((method, caller))
        if refusals is None or now - refusals.since > 1:
            until = 0.0 if refusals is None else refusals.until
            refusals = self._refusals[method, caller] = _Refusals(now, 0.0, until)
        self._refusals.move_to_end((method, caller))
        refusals.count += weight
        if refusals.count > PROMPT_REFUSALS:
            refusals.until = now + min(seconds, HOLD_SECONDS)
        if len(self._refusals) > MAX_CALLERS:
            self._refusals.popitem(last=False)

    def _is_held(self, method: str, caller: str) -> bool:
        refusals = self._refusals.get((method, caller))
        return refusals is not None and self._clock() < refusals.until


def host_of(connection: str) -> str:
    """Return the host of a connection: `ipv4:10.0.0.7` for `ipv4:10.0.0.7:51234`."""
    return connection.rpartition(":")[0] or connection


def digest_of(metadata: Iterable[tuple[str, object]]) -> bytes:
    """Return a digest of the credentials in the header `authorization`; empty for none."""
    return _digest_tokens(_list_authorizations(metadata))


def _list_authorizations(metadata: Iterable[tuple[str, object]]) -> list[str]:
    return [str(value) for key, value in metadata if key == "authorization"]


def _digest_tokens(shown: Sequence[str]) -> bytes:
    return sha256("\n".join(shown).encode("utf-8", "replace")).digest() if shown else b""
