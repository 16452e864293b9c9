from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar, Token
from dataclasses import field
from math import inf

from scoring.base.errors import CallerGone, DeadlinePassed
from scoring.base.frozen import frozen

LATE_SECONDS = 0.05  # at the client, the deadline passes a moment earlier

LOCAL_CALLER = "local"
"""The unauthenticated caller, who can only be on this machine, or its user."""


@frozen
class Approval:
    proposal: str = ""
    basis: Mapping[str, str] = field(default_factory=dict)
    author: str = ""
    approvers: tuple[str, ...] = ()


class Call:
    def __init__(
        self,
        seconds_left: Callable[[], float] = lambda: inf,
        is_active: Callable[[], bool] = lambda: True,
        add_callback: Callable[[Callable[[], None]], bool] = lambda _: True,
    ) -> None:
        self.seconds_left = seconds_left
        """Seconds until its deadline; infinite without one."""
        self.is_active = is_active
        self.counts: Counter[str] = Counter()
        self.caller = ""
        self.marketplace = ""
        self.has_rivals = False
        """Whether another marketplace called the server lately."""
        self.own_names: frozenset[str] = frozenset()
        """All names of the same caller: of its principals, and of the persons whom they show."""
        self.shared_names: frozenset[str] = frozenset()
        """Those of `own_names` that other persons show beside their tokens."""
        self.visible_sellers: frozenset[str] | None = frozenset()
        """The only sellers that the answer may show; None: all that the request names.

        Empty until the call is granted and outside of a call, so that work without its call shows nothing.
        """
        self.approval: Approval | None = None
        self._add_callback = add_callback
        self._waking: set[Callable[[], None]] = set()

    def is_same_person(self, recorded: str) -> bool:
        """Return whether a recorded caller may be the present one: a shared name is ignored if both show tokens."""
        names = recorded.split()
        common = self.own_names.intersection(names)
        shows_token = any(name.startswith("jwt:") for name in names)
        return bool(common - self.shared_names if shows_token else common)

    def require_caller(self) -> None:
        """Raise CallerGone or DeadlinePassed if no caller waits for the answer any longer."""
        if self.is_active():
            return
        if self.seconds_left() <= LATE_SECONDS:
            raise DeadlinePassed("the call's deadline has passed, so its work was ended")
        raise CallerGone("the caller has gone, so its work was ended")

    def on_end(self, wake: Callable[[], None]) -> None:
        """Register `wake` to be called once when the call ends, immediately if it has ended; idempotent."""
        if wake not in self._waking:
            self._waking.add(wake)
            if not self._add_callback(wake):
                wake()


_CURRENT: ContextVar[Call] = ContextVar("call")


def current_call() -> Call:
    """Return the current call; outside of one, a new call that may show no seller."""
    return _CURRENT.get(None) or Call()


def is_answering() -> bool:
    """Return whether this thread works for a call of a server."""
    return _CURRENT.get(None) is not None


def begin_answering(call: Call) -> "Token[Call]":
    """Make `call` current, in a context variable, until `end_answering` with the returned token.

    gRPC keeps each call's context with the call, so a call left in there lives until garbage collection.
    """
    return _CURRENT.set(call)


def end_answering(token: "Token[Call]") -> None:
    with suppress(ValueError):  # a stream closed from elsewhere
        _CURRENT.reset(token)
