"""The policy as a server has it: the last that was committed, else the configured one; swapped while calls are answered."""

import threading
from collections.abc import Callable
from contextlib import suppress

from scoring.errors import LedgerUnavailable, PolicyNotFound, PolicyRefused
from scoring.policy.policy import Policy
from service.policy.history import HEAD, MIN_BEGINNING, PolicyHistory
from service.registry.moves import is_digest

LOOK_SECONDS = 0.5
"""How often a server looks whether another one moved the policy."""

_ALL_MOVES = 2**31

MAX_KEPT = 8
"""Policies that are kept as they were read, so that a rollback, and an answer by an earlier one, need not read it again."""


class ServedPolicy:
    """The policy that answers. Shared by threads: a swap replaces one reference.

    PolicyRefused if the committed one cannot be read.
    """

    def __init__(self, configured: Policy, history: PolicyHistory) -> None:
        self.configured = configured
        """The policy of this server's file, which answers until one is committed."""
        self.history = history
        """The policies that were committed."""
        self.now = configured
        """The policy that answers now. Read it once in each call: another one may replace it."""
        self._kept = {configured.digest: configured}
        self._moved_time = 0
        self._changing = threading.Lock()
        self.refresh()

    def refresh(self) -> bool:
        """Answer by the policy that was moved last from now on; return whether that is another one.

        PolicyRefused, or LedgerUnavailable, leaves the present one in place.
        """
        with self._changing:
            last = self.history.last()
            if last is None:
                return False
            if last.digest == self.now.digest:
                self._moved_time = last.move_time
                return False
            self.now, self._moved_time = self._load(last.digest), last.move_time
            return True

    def at(self, time: int) -> Policy:
        """Return the policy that was served just before a time, as `digest_at`; if it cannot be read, the present one."""
        with suppress(PolicyRefused, PolicyNotFound):
            return self.find(self.digest_at(time))
        return self.now

    def digest_at(self, time: int) -> str:
        """Return the digest of the policy that was served just before a time, in microseconds.

        A policy that was moved at that very time does not count yet. Before the first move the one that it replaced.
        """
        now = self.now
        if time > self._moved_time:
            return now.digest
        moves = self.history.moves(0, _ALL_MOVES)
        before = [move for move in moves if move.move_time < time] or moves[:1]
        return before[-1].digest if before else now.digest

    def move_times(self, since: int, until: int) -> list[int]:
        """Return when policies were moved after a time, up to another, in microseconds; the last one answers by then."""
        with suppress(PolicyRefused):
            self.refresh()
        if self._moved_time <= since:
            return []
        return [one.move_time for one in self.history.moves(0, _ALL_MOVES) if since < one.move_time <= until]

    def find(self, name: str) -> Policy:
        """Return a policy by HEAD, by its digest, or by a beginning of that: the configured one, or one of the history.

        PolicyNotFound if it is none of them; PolicyRefused if its text was altered.
        """
        if name == HEAD:
            self.refresh()
            return self.now
        if len(name) >= MIN_BEGINNING and self.configured.digest.startswith(name):
            return self.configured
        return self._load(name if is_digest(name) else self.history.resolve(name))

    def _load(self, digest: str) -> Policy:
        found = self._kept.get(digest)
        if found is None:
            found = self.history.load(digest)
            self._kept = dict([*self._kept.items()][-MAX_KEPT:]) | {
                self.configured.digest: self.configured,
                digest: found,
            }
        return found

    def follow(self, stop: threading.Event, report: Callable[[str], None], seconds: float = LOOK_SECONDS) -> None:
        """Call `refresh` every `seconds` until `stop` is set; blocks this thread.

        A policy that is refused is reported once; while the ledger's database is away nothing is.
        """
        refused = ""
        while not stop.wait(seconds):
            try:
                self.refresh()
                refused = ""
            except LedgerUnavailable:
                continue
            except Exception as error:  # noqa: BLE001 (whatever it is, a later look may succeed)
                if str(error) != refused:
                    report(refused := str(error))
