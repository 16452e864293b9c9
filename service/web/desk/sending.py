"""Sends decisions after their undo window: each once, also after a crash."""

import threading
import time
from collections.abc import Callable
from typing import Any

import grpc

from sellertrust.client import Client
from sellertrust.errors import SellertrustCallError
from sellertrust.v1.entry_pb2 import Severity
from service.web.desk.calls import READ_SECONDS
from service.web.desk.cases import appeal_of
from service.web.desk.journal import DeskDecision, Journal

POLL_SECONDS = 0.2
APPEAL_CHECK_SECONDS = 5.0
"""How long a check is valid. Under a limit of calls a check before each try would leave none for the decision."""
_REFUSALS = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.FAILED_PRECONDITION,
    }
)
"""After any other error another try is safe by the same entry id."""


class Sender:
    """A thread. `client_of` returns a person's client, if there is one."""

    def __init__(
        self,
        journal: Journal,
        marketplace: str,
        client_of: Callable[[str], Client | None],
        report: Callable[[str], None],
    ) -> None:
        self._journal = journal
        self._marketplace = marketplace
        self._client_of = client_of
        self._report = report
        self._checked_at: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send_due_decisions, name="desk-sender", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End the thread; decisions still in their undo window stay in the journal."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _send_due_decisions(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            for decision in self._journal.list_due():
                try:
                    self.send(decision)
                except Exception as error:  # noqa: BLE001 the other decisions do not wait
                    self._report(f"a decision waits: {type(error).__name__}")

    def send(self, decision: DeskDecision) -> None:
        """Send and settle a decision, unless the service fails or no client is there."""
        client = self._client_of(decision.person)
        if client is None:
            return
        fields: dict[str, Any] = {"severity": Severity.Value(decision.severity)} if decision.severity else {}
        try:
            if not self._was_checked_lately(decision):
                if not self._answers_to_its_appeal(client, decision):
                    self._settle(decision, "refused", "the seller appealed since, or another decided the appeal")
                    return
                self._checked_at[decision.id] = time.monotonic()
            client.decide_violation(
                decision.action,
                self._marketplace,
                decision.violation,
                actor=decision.actor,
                reason=decision.reason,
                entry_id=decision.id,
                **fields,
            )
        except SellertrustCallError as error:
            if error.code in _REFUSALS:
                self._settle(decision, "refused", error.message)
            return
        self._settle(decision, "sent")

    def _was_checked_lately(self, decision: DeskDecision) -> bool:
        return time.monotonic() - self._checked_at.get(decision.id, -APPEAL_CHECK_SECONDS) < APPEAL_CHECK_SECONDS

    def _answers_to_its_appeal(self, client: Client, decision: DeskDecision) -> bool:
        answer = client.get_recorded_violation(self._marketplace, decision.violation, deadline_seconds=READ_SECONDS)
        is_recorded = any(entry.entry_id == decision.id for entry in answer.recorded)  # its answer was lost
        return is_recorded or decision.appeal == appeal_of(answer.violation, answer.recorded)

    def _settle(self, decision: DeskDecision, state: str, text: str = "") -> None:
        self._journal.settle(decision.id, state, text)
        self._checked_at.pop(decision.id, None)
