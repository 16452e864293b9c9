"""The client for a ledger's operators: erase a seller's texts, correct record times."""

import uuid

from sellertrust.names import marketplace_name, seller_name
from sellertrust.requests import invoke
from sellertrust.stubs import Stubs
from sellertrust.v1.ledger_service_pb2 import (
    EraseSellerRequest,
    EraseSellerResponse,
    MendClockRequest,
    MendClockResponse,
)

OPERATION_SECONDS = 30.0
"""An erasure may wait for readers of the database's journal."""


class Operations(Stubs):
    def erase_seller(
        self,
        marketplace: str,
        seller: str,
        *,
        actor: str,
        ground: str = "",
        entry_id: str | None = None,
        deadline_seconds: float = OPERATION_SECONDS,
    ) -> EraseSellerResponse:
        """Erase a seller's sealed texts irrevocably. `entry_id` makes a repeated call safe; by default one is made."""
        request = EraseSellerRequest(
            seller=seller_name(marketplace, seller), actor=actor, ground=ground, entry_id=entry_id or uuid.uuid4().hex
        )
        return invoke(self._ledger.EraseSeller, request, deadline_seconds)

    def mend_clock(
        self,
        marketplace: str,
        *,
        actor: str,
        reason: str,
        first_sequence: int = 0,
        ahead_micros: int = 0,
        entry_id: str | None = None,
        deadline_seconds: float = OPERATION_SECONDS,
    ) -> MendClockResponse:
        """Correct record times that ran ahead, from `first_sequence` on, by the given microseconds.

        With 0 and 0 none ran ahead: the clock is right, and the ledger rested for over a year. `entry_id` makes a
        repeated call safe; by default one is made.
        """
        request = MendClockRequest(
            parent=marketplace_name(marketplace),
            actor=actor,
            reason=reason,
            first_sequence=first_sequence,
            ahead_micros=ahead_micros,
            entry_id=entry_id or uuid.uuid4().hex,
        )
        return invoke(self._ledger.MendClock, request, deadline_seconds)
