"""The policy of a server: the last committed one, else the configured one; swapped while calls run."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import pairwise

from scoring.base.errors import LedgerUnavailable, PolicyNotFound, PolicyRefused
from scoring.policy.policy import Policy
from scoring.scores.notice import Move
from service.ledger.append.policy_moves import PolicyMove
from service.policy.history import HEAD, MIN_BEGINNING, PolicyHistory
from service.registry.moves import is_digest
from service.repeated_work import repeat

LOOK_SECONDS = 0.5


MAX_KEPT = 8


class ServedPolicy:
    """Thread-safe: a swap replaces one reference.

    Raises PolicyRefused if the committed policy cannot be read.
    """

    def __init__(self, configured: Policy, history: PolicyHistory) -> None:
        self.configured = configured
        """Served until the first commit."""
        self.history = history
        self.now = configured
        """Read it once per call: another one may replace it."""
        self._load_committed = lru_cache(MAX_KEPT)(history.load)
        self.moves: Sequence[PolicyMove] = ()
        """Known ones, oldest first."""
        self.changes: Sequence[Move] = ()
        """Those to another policy; replaced whole."""
        self._changing = threading.Lock()
        self.refresh()

    def refresh(self) -> bool:
        """Serve the policy of the last move; return whether that is another one.

        Raises PolicyRefused or LedgerUnavailable, and keeps the present one.
        """
        with self._changing:
            moves = self.history.list_moves()  # a promoted standby may lack the first commit
            digest = moves[-1].digest if moves else self.configured.digest
            is_other = digest != self.now.digest
            served = self._load(digest) if is_other else self.now
            if moves != self.moves:
                self.moves, self.changes = moves, _list_changes(moves)
            self.now = served  # after its move, so that no answer lacks the notice
            return is_other

    def at(self, time: int) -> Policy:
        """Return the policy of `digest_at`; the present one if that cannot be read."""
        with suppress(PolicyRefused, PolicyNotFound):
            return self.find(self.digest_at(time))
        return self.now

    def digest_at(self, time: int) -> str:
        """Return the digest of the policy served just before a time, in microseconds.

        A move at exactly that time does not count yet. Before the first move: its policy, which is the server's file
        policy.
        """
        now = self.now
        if not self.moves or time > self.moves[-1].move_time:
            return now.digest
        moves = self.history.list_moves()
        before = [move for move in moves if move.move_time < time] or moves[:1]
        return before[-1].digest if before else now.digest

    def move_times(self, since: int, until: int) -> list[int]:
        """Refresh; return the times (microseconds) of moves after `since`, up to `until`."""
        with suppress(PolicyRefused):
            self.refresh()
        return [move.move_time for move in self.moves if since < move.move_time <= until]

    def find(self, name: str) -> Policy:
        """Return a policy by HEAD, its digest or a beginning of it: the configured one, or one of the history.

        Raises PolicyNotFound; PolicyRefused if its text was altered.
        """
        if name == HEAD:
            self.refresh()
            return self.now
        if len(name) >= MIN_BEGINNING and self.configured.digest.startswith(name):
            return self.configured
        return self._load(name if is_digest(name) else self.history.resolve(name))

    def _load(self, digest: str) -> Policy:
        return self.configured if digest == self.configured.digest else self._load_committed(digest)

    def follow(self, stop: threading.Event, report: Callable[[str], None]) -> None:
        repeat(self.refresh, stop, LOOK_SECONDS, report, silent=(LedgerUnavailable,))


def _list_changes(moves: Sequence[PolicyMove]) -> list[Move]:
    moves_of_policy = (Move(new.move_time, old.digest, new.digest, bool(new.immediate)) for old, new in pairwise(moves))
    return [move for move in moves_of_policy if move.before != move.after]
