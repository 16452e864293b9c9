"""Seals make the ledger tamper-evident.

Each append writes one seal over its entries: the Merkle root of their leaves, and

    chain = SHA-256(chain before || root || first sequence || last sequence)

A copy of the last chain value (`checkpoint`), out of the database owner's reach, proves any later edit, deletion or
swap. The first bytes of each leaf name the changed entry.
"""

import struct
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, insert, select

from service.ledger.database.tables import ENTRY, SEAL
from service.ledger.seals.merkle import leaf_hash, merkle_root

GENESIS = bytes(32)
LEAF_PREFIX_BYTES = 8
MAX_SEALED = 10_000
"""The most entries under one seal."""
_RANGE = struct.Struct(">qq")
_DIGEST_PLACE = ENTRY.c.keys().index("digest")
_LATER_COLUMNS = ENTRY.c.keys()[_DIGEST_PLACE + 1 :]
LAST_SEAL = select(SEAL.c.last_sequence, SEAL.c.chain).order_by(SEAL.c.first_sequence.desc()).limit(1)


def leaf_of(row: Sequence[Any]) -> bytes:
    """Return the Merkle leaf of one entry: a hash over all its columns in order.

    A column later than the first schema is included, by name, if it is not NULL. No two rows of the ledger's shape
    (`verifying.is_as_written`) share a leaf: ids hold no control characters, and JSON escapes them.
    """
    text = "\x1f".join(["" if value is None else str(value) for value in row[:_DIGEST_PLACE]])
    data = text.encode() + b"\x1f" + bytes(row[_DIGEST_PLACE])
    for name, value in zip(_LATER_COLUMNS, row[_DIGEST_PLACE + 1 :], strict=True):
        if value is not None:
            data += f"\x1f{name}={value}".encode()
    return leaf_hash(data)


def seal(connection: Connection, first: int, leaves: Sequence[bytes]) -> None:
    """Insert the seals of entries just appended, one for each MAX_SEALED entries.

    `leaves`: one hash per entry, from sequence `first` on.
    """
    last_seal = connection.execute(LAST_SEAL).first()
    chain = bytes(last_seal.chain) if last_seal else GENESIS
    rows = []
    for begin in range(0, len(leaves), MAX_SEALED):
        rows.append(_make_seal(first + begin, leaves[begin : begin + MAX_SEALED], chain))
        chain = rows[-1]["chain"]
    connection.execute(insert(SEAL), rows)


def _make_seal(first: int, leaves: Sequence[bytes], before: bytes) -> dict[str, Any]:
    root, last = merkle_root(leaves), first + len(leaves) - 1
    return {
        "first_sequence": first,
        "last_sequence": last,
        "root": root,
        "chain": extend_chain(before, root, first, last),
        "leaves": b"".join(leaf[:LEAF_PREFIX_BYTES] for leaf in leaves),
    }


def extend_chain(before: bytes, root: bytes, first: int, last: int) -> bytes:
    """Return SHA-256(before || root || first || last), numbers in 8 bytes, big-endian."""
    return sha256(before + root + _RANGE.pack(first, last)).digest()
