"""What a servicer may know of the call that it answers, without knowing gRPC."""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from math import inf

from scoring.base.errors import CallerGone, DeadlinePassed

LATE_SECONDS = 0.05  # the deadline passes at the client a moment before it does here

LOCAL_CALLER = "local"
"""The caller whom nobody authenticated since only the server's own machine, or user, can be it."""


@dataclass(frozen=True, slots=True)
class Approval:
    """What lets a call in of which two persons must approve."""

    proposal: str = ""
    """The name of the proposal; empty for an emergency, which waits for nobody."""
    basis: Mapping[str, str] = field(default_factory=dict)
    """What must be as it was when it was proposed."""
    author: str = ""
    """Who proposed it, authenticated."""
    approvers: tuple[str, ...] = ()
    """Who approved it and counts, authenticated."""


class Call:
    """A call: the time that is left of it, and what its line in the log counts.

    Also whether anybody still waits for it.
    """

    def __init__(
        self,
        seconds_left: Callable[[], float] = lambda: inf,
        is_active: Callable[[], bool] = lambda: True,
        add_callback: Callable[[Callable[[], None]], bool] = lambda _: True,
    ) -> None:
        self.seconds_left = seconds_left
        """Seconds until its deadline; infinite without one."""
        self.is_active = is_active
        """Whether the caller still waits for an answer."""
        self.counts: Counter[str] = Counter()
        """What the log's line says besides, by field."""
        self.caller = ""
        """Who calls, by the names of its principals; empty outside of a call."""
        self.own_names: frozenset[str] = frozenset()
        """Every name that shows the same caller: those of its principals, and all of the persons whom they show."""
        self.visible_sellers: frozenset[str] | None = frozenset()
        """The sellers of whom alone the answer may hold anything; None: whatever the request names.

        Nobody until the call is granted, and outside of one: work that has lost its call shows nothing.
        """
        self.approval: Approval | None = None
        """What lets it in, if two persons must approve of it; None if one is enough."""
        self._add_callback = add_callback
        self._waking: set[Callable[[], None]] = set()

    def require_caller(self) -> None:
        """Raise DeadlinePassed or CallerGone if the caller does not wait for an answer any more."""
        if self.is_active():
            return
        if self.seconds_left() <= LATE_SECONDS:
            raise DeadlinePassed("the call's deadline has passed, so its work was ended")
        raise CallerGone("the caller has gone, so its work was ended")

    def on_end(self, wake: Callable[[], None]) -> None:
        """Register `wake` to be called when the call ends, or at once if it has ended.

        Once, however often it is registered.
        """
        if wake not in self._waking:
            self._waking.add(wake)
            if not self._add_callback(wake):
                wake()


_CURRENT: ContextVar[Call] = ContextVar("call")


def current_call() -> Call:
    """Return the call that this thread answers; outside of one, a call without a deadline."""
    return _CURRENT.get(None) or Call()


def is_answering() -> bool:
    """Return whether this thread answers a call."""
    return _CURRENT.get(None) is not None


def begin_answering(call: Call) -> "Token[Call]":
    """Make `call` the current call, in a context variable, until `end_answering` with the token returned.

    gRPC runs every call in a context of its own, which it keeps with the call, so a call left in there would hold itself,
    and its stream, until the garbage collector comes.
    """
    return _CURRENT.set(call)


def end_answering(token: "Token[Call]") -> None:
    """Reset the current call to what it was before."""
    with suppress(ValueError):  # a stream that is closed from elsewhere
        _CURRENT.reset(token)
