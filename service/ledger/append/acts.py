"""Acts: entries that state how the service is governed, beside the facts: which policy is served, and what needs two persons.

They stand in the table of entries under the same sequences, seals and keys, so that backups hold them and verification names
each that was changed or left out. The methods about policies and proposals alone append them, and list them. They are of the
marketplace "" if they concern all marketplaces. Their ids have a `/`, which no id of a caller has.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import IntEnum
from hashlib import sha256
from typing import Any, NamedTuple, Self

from sqlalchemy import Connection, TextClause, text

from service.ledger.clock.ledger_clock import LedgerClock, last_entry
from service.ledger.clock.server_clock import Present
from service.ledger.database.database import Database
from service.ledger.database.rows import PLACE, Row
from service.ledger.database.tables import ACTING
from service.ledger.seals.chain import leaf_of, seal
from service.ledger.seals.sealed_texts import seal_texts


class Act(IntEnum):
    """The kind of an act. Kinds of facts are below 1,000."""

    POLICY = 1001
    """A policy is served from then on."""
    POLICY_TEXT = 1002
    """The text of a policy, or of what its loss certificate assumes."""
    PROPOSAL = 1003
    """A step of a proposal."""


class NewAct(NamedTuple):
    """An act that is to be appended."""

    act: Act
    content: Mapping[str, Any]
    entry_id: str = ""
    """Default: of its kind and sequence."""
    target: str | None = None
    """What it is about, as it is looked up."""
    status: int | None = None
    """What is done, as a number of the act's own."""
    until_time: int | None = None
    """When it ends by itself, in microseconds."""
    sealed: Mapping[str, Any] | None = None
    """What may name a person."""
    digest: bytes = b""
    """A SHA-256 by which it is found again; default: of its content. With sealed texts the seller's key is put over it."""


def is_act(act: Act) -> TextClause:
    """Return the SQL condition that an entry is an act of this kind, as the index of acts serves it."""
    return text(f"{ACTING} AND kind = {int(act)}")


class ActWriter:
    """Appends acts in a transaction that has the ledger's lock; the caller commits."""

    def __init__(self, database: Database, connection: Connection, present: Present) -> None:
        self.connection = connection
        self.now = present.clock
        """The ledger's present, in microseconds."""
        self._database = database
        self._present = present

    @classmethod
    @contextmanager
    def open(cls, clock: LedgerClock) -> Iterator[Self]:
        """Open a transaction that has the ledger's lock and appends acts. ClockInDoubt."""
        with clock.locked(clock.present(clock.end())) as (connection, present):
            yield cls(clock.database, connection, present)

    def append(
        self, marketplace: str, acts: Sequence[NewAct], *, principal: str, seller: str = "", not_before: int = 0
    ) -> int:
        """Append acts under one seal; return their time in microseconds, which is not before `not_before`.

        `principal`: who called, authenticated; `seller`: whom alone they concern, under whose key texts are sealed.
        """
        sequence, last_time = last_entry(self.connection)
        record_time = self._present.record_time(last_time)
        time = max(self._present.dates(record_time), not_before)
        rows: list[Row] = []
        for number, new in enumerate(acts, 1):
            content = _json({"act": new.act.name.lower(), **new.content})
            row: Row = [None] * len(PLACE)
            name = new.entry_id or f"{new.act.name.lower()}/{sequence + number}"
            row[:8] = (sequence + number, marketplace, seller, name, int(new.act), time, time, record_time)
            row[PLACE["target"]], row[PLACE["status"]], row[PLACE["until_time"]] = (
                new.target,
                new.status,
                new.until_time,
            )
            row[PLACE["principal"]] = principal or None
            row[PLACE["content"]] = content
            row[PLACE["digest"]] = new.digest or sha256(content.encode()).digest()
            rows.append(row)
        sealed = {index: _json(new.sealed) for index, new in enumerate(acts) if new.sealed is not None}
        seal_texts(self.connection, marketplace, rows, sealed)
        self._database.insert(self.connection, rows)
        seal(self.connection, sequence + 1, [leaf_of(row) for row in rows])
        return time


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
