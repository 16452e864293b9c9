"""Verifies the ledger against its seals, exported checkpoints, and the keys of sealed texts.

A leaf does not distinguish NULL from an empty text, or a separator from a control character. So each row's shape is
checked with its leaf. For each sealed text the ledger must hold a key that opens it, or the erasure of that key.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Column, bindparam, func, select

from scoring.base.enums import Kind
from scoring.base.frozen import frozen
from service.ledger.database.rows import PLACE
from service.ledger.database.tables import ENTRY, SEAL, SELLER_KEY, SOURCE_POSITION, TextList, among
from service.ledger.seals.chain import GENESIS, LEAF_PREFIX_BYTES, extend_chain, leaf_of
from service.ledger.seals.merkle import merkle_root
from service.ledger.seals.sealed_texts import SellerKey, key_id_of, unseal

PAGE = 2_000
Read = Callable[[Any], Sequence[Sequence[Any]]]

MAX_UNCHECKED_KEYS = 2_000
_DIGEST_BYTES = 32
_LAST_SEQUENCES = select(
    select(func.max(ENTRY.c.sequence)).scalar_subquery(),
    select(func.max(SEAL.c.last_sequence)).scalar_subquery(),
    select(func.max(SOURCE_POSITION.c.sequence)).scalar_subquery(),
)
_LAST_CHAIN = select(SEAL.c.chain).order_by(SEAL.c.first_sequence.desc()).limit(1)
_SEAL_TYPES = tuple(column.type.python_type for column in SEAL.c)
_TYPES = [{c.type.python_type} | ({type(None)} if c.nullable else set()) for c in ENTRY.c]
_NEVER_EMPTY = itemgetter(
    *(PLACE[n] for n in ("entry_id", "violation", "incident", "content", "notifier", "target", "principal"))
)
_DAILY_KINDS = frozenset({Kind.EXPOSURE, Kind.FLOW})
_KIND, _PRODUCT_CATEGORY, _CONTENT, _DIGEST = (PLACE[n] for n in ("kind", "product_category", "content", "digest"))
_SELLER, _ENTRY_ID, _MARKETPLACE = (PLACE[n] for n in ("seller", "entry_id", "marketplace"))
_IDS = itemgetter(*(PLACE[c.name] for c in ENTRY.c if c.type.python_type is str and c.name != "content"))
_MISSING = "the entry is missing"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BELOW_BLANK = re.compile(r"[\x00-\x1f]")


@frozen
class Mismatch:
    sequence: int
    problem: str


@frozen
class VerificationReport:
    entries: int
    sequence: int
    chain: bytes
    mismatch: Mismatch | None = None
    key_lost: Mismatch | None = None
    key_wrong: Mismatch | None = None
    position_ahead: Mismatch | None = None
    """A source's position beyond the ledger's end."""

    @property
    def faults(self) -> tuple[Mismatch, ...]:
        """Return what is wrong; empty if the ledger is as sealed."""
        mismatches = (self.mismatch, self.key_lost, self.key_wrong, self.position_ahead)
        return tuple(fault for fault in mismatches if fault is not None)


def verify(
    read: Read, checkpoints: Sequence[tuple[int, bytes]], progress: Callable[[int, int], None], first: int = 1
) -> VerificationReport:
    """Check the ledger to its end, or from the seal that begins at `first`, in constant memory.

    Returns the first mismatch of each sort. `checkpoints` are (sequence, chain); `progress` gets (done, total).
    """
    ((last_entry, last_sealed, last_position),) = read(_LAST_SEQUENCES)
    end = max(last_entry or 0, last_sealed or 0)
    walk, keys = _SealWalk(read, checkpoints, first, end), _KeyCheck(read)
    mismatch = None
    for seal in _read_in_pages(read, SEAL.c.first_sequence, first, end):
        mismatch = walk.verify_seal(seal, keys)
        if mismatch is not None:
            break
        progress(walk.expected - 1, end)
    else:
        mismatch = walk.find_unsealed()
    keys.look_up()
    ahead = None
    if last_position is not None and last_position > end:
        ahead = Mismatch(last_position, "a source's position is of an entry that the ledger does not hold")
    return VerificationReport(walk.seen, walk.reached, walk.chain, mismatch, keys.lost, keys.wrong, ahead)


def is_as_written(row: Sequence[Any]) -> bool:
    """Return whether a row has the shape that the ledger writes; no two such rows have the same leaf."""
    content = row[_CONTENT]
    return (
        _are_column_types(tuple(map(type, row)))
        and (row[_PRODUCT_CATEGORY] is not None) == (row[_KIND] in _DAILY_KINDS)
        and len(row[_DIGEST]) == _DIGEST_BYTES
        and "" not in _NEVER_EMPTY(row)
        and not _CONTROL.search("".join([text for text in _IDS(row) if text]))
        and (content.isprintable() or not _BELOW_BLANK.search(content))  # the first is faster
    )


@cache  # the rows of a kind have few combinations of types
def _are_column_types(types: tuple[type, ...]) -> bool:
    return all(column_type in allowed for column_type, allowed in zip(types, _TYPES, strict=True))


class _SealWalk:
    def __init__(self, read: Read, checkpoints: Sequence[tuple[int, bytes]], first: int, end: int) -> None:
        before = read(_LAST_CHAIN.where(SEAL.c.first_sequence < first)) if first > 1 else ()
        self.chain = bytes(before[0][0]) if before else GENESIS
        self.expected, self.seen, self.reached = first, 0, first - 1
        self._checkpoints_ahead = sorted(checkpoints)
        self._entries = _read_in_pages(read, ENTRY.c.sequence, first, end)

    def verify_seal(self, seal: Sequence[Any], keys: "_KeyCheck") -> Mismatch | None:
        first, last, root, stated_chain, leaf_prefixes = seal
        if tuple(map(type, seal)) != _SEAL_TYPES or first != self.expected or last < first:
            return Mismatch(self.expected, "its seal is missing or was changed")
        leaves: list[bytes] = []
        for sequence in range(first, last + 1):
            leaf_prefix = leaf_prefixes[len(leaves) * LEAF_PREFIX_BYTES : (len(leaves) + 1) * LEAF_PREFIX_BYTES]
            row = next(self._entries, None)
            if row is None:
                return Mismatch(sequence, _MISSING)
            leaf = leaf_of(row) if is_as_written(row) else b""
            if problem := _find_problem(row, sequence, leaf, leaf_prefix):
                return Mismatch(min(row[0], sequence), problem)
            leaves.append(leaf)
            keys.note_row(row)
            self.seen += 1
            self.reached = sequence
        following = extend_chain(self.chain, merkle_root(leaves), first, last)
        if (
            root != merkle_root(leaves)
            or stated_chain != following
            or len(leaf_prefixes) != len(leaves) * LEAF_PREFIX_BYTES
        ):
            self.reached = first - 1
            return Mismatch(first, f"the seal of entries {first} to {last} was changed")
        self.chain, self.expected = following, last + 1
        while self._checkpoints_ahead and self._checkpoints_ahead[0][0] <= last:
            sequence, exported = self._checkpoints_ahead.pop(0)
            if sequence != last or exported != self.chain:
                return Mismatch(first, f"the ledger up to here is not the one of the checkpoint at {sequence}")
        return None

    def find_unsealed(self) -> Mismatch | None:
        if (row := next(self._entries, None)) is not None:
            return Mismatch(row[0], "the entry has no seal")
        if self._checkpoints_ahead:
            return Mismatch(self.expected, f"the ledger ends before the checkpoint at {self._checkpoints_ahead[0][0]}")
        return None


def _find_problem(row: Sequence[Any], sequence: int, leaf: bytes, leaf_prefix: bytes) -> str:
    if row[0] != sequence:
        return _MISSING if row[0] > sequence else "the entry stands beside those that are sealed"
    if not leaf:
        return "the entry was changed: it has a shape that the ledger does not write"
    return "" if leaf[:LEAF_PREFIX_BYTES] == leaf_prefix else "the entry was changed"


@dataclass(slots=True)
class _SealedTexts:
    first: int
    last: int
    entry_id: str
    content: str
    entries: int = 1


class _KeyCheck:
    def __init__(self, read: Read) -> None:
        self._lost_first = self._lost_entries = 0
        self.wrong: Mismatch | None = None
        self._read = read
        self._sealed: dict[tuple[str, str, str], _SealedTexts] = {}

    def note_row(self, row: Sequence[Any]) -> None:
        content = row[_CONTENT]
        if '"sealed":' not in content or not (key_id := key_id_of(content)):
            return
        key = row[_MARKETPLACE], row[_SELLER], key_id
        if (sealed := self._sealed.get(key)) is not None:
            sealed.last = row[0]
            sealed.entries += 1
            return
        self._sealed[key] = _SealedTexts(row[0], row[0], row[_ENTRY_ID], content)
        if len(self._sealed) == MAX_UNCHECKED_KEYS:
            self.look_up()

    def look_up(self) -> None:
        """Look up the noted entries' keys before the erasures, which are committed with the deletion."""
        names = bindparam("ids", [key_id for _, _, key_id in self._sealed], type_=TextList())
        rows = self._read(SELLER_KEY.select().where(among(SELLER_KEY.c.key_id, names))) if self._sealed else []
        keys = {(marketplace, seller, key_id): bytes(key) for key_id, marketplace, seller, key in rows}
        missing: dict[str, list[tuple[str, _SealedTexts]]] = {}
        for (marketplace, seller, key_id), sealed in self._sealed.items():
            stored = keys.get((marketplace, seller, key_id))
            if stored is None:
                missing.setdefault(marketplace, []).append((seller, sealed))
            elif self.wrong is None and unseal(sealed.entry_id, sealed.content, SellerKey(key_id, stored))[1]:
                self.wrong = Mismatch(sealed.first, "the key of its sealed text was changed: it does not open it")
        self._sealed.clear()
        for marketplace, keyless in missing.items():
            self._count_lost(marketplace, keyless)

    @property
    def lost(self) -> Mismatch | None:
        if not self._lost_entries:
            return None
        entries_are = "1 entry is" if self._lost_entries == 1 else f"{self._lost_entries:,} entries are"
        return Mismatch(
            self._lost_first,
            f"from here on {entries_are} without the key of the sealed text, and no erasure is on record: a restore from a"
            " backup without keys leaves it so",
        )

    def _count_lost(self, marketplace: str, keyless: list[tuple[str, _SealedTexts]]) -> None:
        """Count the entries whose key is missing although no later erasure of their seller is recorded."""
        sellers = bindparam("sellers", sorted({seller for seller, _ in keyless}), type_=TextList())
        query = (
            select(ENTRY.c.seller, func.max(ENTRY.c.sequence))
            .where(
                ENTRY.c.marketplace == marketplace, among(ENTRY.c.seller, sellers), ENTRY.c.kind == int(Kind.ERASURE)
            )
            .group_by(ENTRY.c.seller)
        )
        erased = {row[0]: row[1] for row in self._read(query)}
        for seller, sealed in keyless:
            if erased.get(seller, 0) <= sealed.last:
                self._lost_first = min(self._lost_first or sealed.first, sealed.first)
                self._lost_entries += sealed.entries


def _read_in_pages(read: Read, key: Column[Any], first: int, end: int) -> Iterator[Sequence[Any]]:
    """Yield all rows of the key's table from `first` to `end`, in key order.

    Each page begins with the last row of the page before, so that no second row of one key is missed.
    """
    query = select(key.table).where(key <= end).order_by(key).limit(PAGE)
    rows = read(query if first == 1 else query.where(key >= first))
    while rows:
        yield from rows
        rows = read(query.where(key >= rows[-1][0]))[1:]
