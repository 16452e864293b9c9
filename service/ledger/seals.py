"""Seals: what makes the ledger tamper-evident.

Each append writes, in its own transaction, one seal over its entries: the Merkle root of their leaves, and

    chain = SHA-256(chain before || root || first sequence || last sequence)

so the last chain value stands for every entry there ever was. Who exported it (`checkpoint`) to where the owner of the
database cannot write can later prove any edit, deletion or swap. The first bytes of each leaf are kept beside the root:
they name the entry that was changed.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import Column, Connection, func, insert, select

from scoring.merkle import leaf_hash, merkle_root
from service.ledger.tables import ENTRY, SEAL

GENESIS = bytes(32)
MARK_BYTES = 8
RUN = 10_000
PAGE = 2_000
_RANGE = struct.Struct(">qq")
_FIRST = ENTRY.c.keys().index("digest")
_LATER = ENTRY.c.keys()[_FIRST + 1 :]
_UNSEALED = select(*list(ENTRY.c)[: _FIRST + 1]).order_by(ENTRY.c.sequence)  # of the schema before there were seals
LAST_SEAL = select(SEAL.c.last_sequence, SEAL.c.chain).order_by(SEAL.c.first_sequence.desc()).limit(1)
_ENDS = select(
    select(func.max(ENTRY.c.sequence)).scalar_subquery(), select(func.max(SEAL.c.last_sequence)).scalar_subquery()
)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The first thing that does not match: from which entry on (sequence), and what is wrong, in words."""

    sequence: int
    problem: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification found. `chain` is the last seal's; `mismatch` is None if everything matches."""

    entries: int
    sequence: int
    chain: bytes
    mismatch: Mismatch | None = None


def leaf_of(row: Sequence[Any]) -> bytes:
    """The leaf of one entry: all its columns in the table's order, and nothing else.

    The columns of the first schema stand at their places; a later one is there, by name, where it is not NULL, so that
    a new column leaves the leaves of old entries as they are. Texts of the ledger hold no control characters (ids have
    none, JSON escapes them), so the separator is unambiguous.
    """
    text = "\x1f".join(["" if value is None else str(value) for value in row[:_FIRST]])
    later = [f"\x1f{name}={value}" for name, value in zip(_LATER, row[_FIRST + 1 :], strict=True) if value is not None]
    return leaf_hash(text.encode() + b"\x1f" + bytes(row[_FIRST]) + "".join(later).encode())


def seal(connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
    """Seals freshly appended rows (all columns in the table's order). The caller holds the lock."""
    found = connection.execute(LAST_SEAL).first()
    before = bytes(found.chain) if found else GENESIS
    connection.execute(insert(SEAL), [_seal_of(rows, before)])


def seal_unsealed(connection: Connection) -> None:
    """Seals the entries that no seal covers yet, in runs of RUN: those of before there were seals."""
    while True:
        found = connection.execute(LAST_SEAL).first()
        after = found.last_sequence if found else 0
        rows = connection.execute(_UNSEALED.where(ENTRY.c.sequence > after).limit(RUN)).all()
        if not rows:
            return
        seal(connection, [(*row, *[None] * len(_LATER)) for row in rows])


def verify(
    read: Callable[[Any], Sequence[Sequence[Any]]],
    checkpoints: Sequence[tuple[int, bytes]],
    progress: Callable[[int, int], None],
) -> Verified:
    """Walks the whole ledger once, in constant memory: sequences, leaves, roots, chain, and exported checkpoints.

    `read` runs a query and returns its rows; `checkpoints` are (sequence, chain); `progress` is told (done, in all).
    What is appended meanwhile is left for the next time.
    """
    chain, expected, seen = GENESIS, 1, 0
    awaited = sorted(checkpoints)
    ((last_entry, last_sealed),) = read(_ENDS)
    end = max(last_entry or 0, last_sealed or 0)
    entries = _walk(read, ENTRY.c.sequence, end)
    for stated in _walk(read, SEAL.c.first_sequence, end):
        first, last, root, stated_chain, marks = stated
        if first != expected or last < first or last - first >= RUN:
            return Verified(seen, expected - 1, chain, Mismatch(expected, "its seal is missing or was changed"))
        leaves: list[bytes] = []
        for sequence in range(first, last + 1):
            row = next(entries, None)
            if row is None or row[0] != sequence:
                return Verified(seen, sequence - 1, chain, Mismatch(sequence, "the entry is missing"))
            leaf = leaf_of(row)
            place = (sequence - first) * MARK_BYTES
            if bytes(marks)[place : place + MARK_BYTES] != leaf[:MARK_BYTES]:
                return Verified(seen, sequence - 1, chain, Mismatch(sequence, "the entry was changed"))
            leaves.append(leaf)
            seen += 1
        following = _chain(chain, merkle_root(leaves), first, last)
        if (
            bytes(root) != merkle_root(leaves)
            or bytes(stated_chain) != following
            or len(marks) != len(leaves) * MARK_BYTES
        ):
            return Verified(
                seen, first - 1, chain, Mismatch(first, f"the seal of entries {first} to {last} was changed")
            )
        chain, expected = following, last + 1
        while awaited and awaited[0][0] <= last:
            sequence, exported = awaited.pop(0)
            if sequence != last or exported != chain:
                problem = f"the ledger up to here is not the one of the checkpoint at {sequence}"
                return Verified(seen, last, chain, Mismatch(first, problem))
        progress(last, end)
    return Verified(seen, expected - 1, chain, _leftover(entries, expected, awaited))


def _walk(read: Callable[[Any], Sequence[Sequence[Any]]], key: Column[Any], end: int) -> Iterator[Sequence[Any]]:
    """All rows of the key's table up to `end`, page by page in its order; the key is the first column."""
    after = 0
    while rows := read(select(key.table).where(key > after, key <= end).order_by(key).limit(PAGE)):
        yield from rows
        after = rows[-1][0]


def _leftover(entries: Iterator[Sequence[Any]], expected: int, awaited: Sequence[tuple[int, bytes]]) -> Mismatch | None:
    if next(entries, None) is not None:
        return Mismatch(expected, "the entry has no seal")
    if awaited:
        return Mismatch(expected, f"the ledger ends before the checkpoint at {awaited[0][0]}")
    return None


def _seal_of(rows: Sequence[Sequence[Any]], before: bytes) -> dict[str, Any]:
    leaves = [leaf_of(row) for row in rows]
    root, first, last = merkle_root(leaves), rows[0][0], rows[-1][0]
    return {
        "first_sequence": first,
        "last_sequence": last,
        "root": root,
        "chain": _chain(before, root, first, last),
        "leaves": b"".join(leaf[:MARK_BYTES] for leaf in leaves),
    }


def _chain(before: bytes, root: bytes, first: int, last: int) -> bytes:
    return sha256(before + root + _RANGE.pack(first, last)).digest()
