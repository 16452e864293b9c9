"""Acts: entries about the policy served, and about proposals.

An act about all marketplaces has the marketplace "". Only acts' ids have a `/`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, NamedTuple, Self

from service.ledger.append.batch import insert_sealed
from service.ledger.clock.ledger_clock import LedgerClock, last_entry
from service.ledger.clock.server_clock import Present
from service.ledger.database.rows import PLACE, Row
from service.ledger.database.tables import RowReader
from service.ledger.records import Act


class NewAct(NamedTuple):
    act: Act
    content: Mapping[str, Any]
    entry_id: str = ""
    target: str | None = None
    status: int | None = None
    until_time: int | None = None
    sealed: Mapping[str, Any] | None = None
    digest: bytes = b""
    """A SHA-256 for look-ups, of the content by default; keyed if texts are sealed."""


class ActWriter:
    def __init__(self, reader: RowReader, present: Present) -> None:
        self.reader = reader
        self.now = present.clock
        self._present = present

    @classmethod
    @contextmanager
    def open(cls, clock: LedgerClock, marketplace: str = "") -> Iterator[Self]:
        """Take the ledger's lock for acts; `marketplace` "" means all marketplaces. Raises ClockInDoubt."""
        with clock.locked(clock.present(clock.read_end())) as (connection, present):
            yield cls(RowReader(connection, marketplace), present)

    def append(self, acts: Sequence[NewAct], *, principal: str, seller: str = "", not_before: int = 0) -> None:
        """Append acts under one seal, not before `not_before` (microseconds); the key of `seller` seals the texts."""
        last = last_entry(self.reader.connection)
        record_time = self._present.record_time(last.record_time)
        time = max(self._present.default_time(record_time), not_before)
        rows: list[Row] = []
        for sequence, new in enumerate(acts, last.sequence + 1):
            act_name = new.act.word
            content = _json({"act": act_name, **new.content})
            values = {
                "sequence": sequence,
                "marketplace": self.reader.marketplace,
                "seller": seller,
                "entry_id": new.entry_id or f"{act_name}/{sequence}",
                "kind": int(new.act),
                "occur_time": time,
                "report_time": time,
                "record_time": record_time,
                "status": new.status,
                "content": content,
                "digest": new.digest or sha256(content.encode()).digest(),
                "target": new.target,
                "until_time": new.until_time,
                "principal": principal or None,
            }
            rows.append([values.get(column) for column in PLACE])
        texts = {index: _json(new.sealed) for index, new in enumerate(acts) if new.sealed is not None}
        insert_sealed(self.reader, rows, texts)


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
