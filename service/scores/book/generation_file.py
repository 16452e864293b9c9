"""The file of a generation: all sellers' answers for one model, policy and day, by a hash of the seller's name.

    magic | records | index | header (JSON) | where the index and the header begin | SHA-256 of all before

A record is its CRC-32, the length of its name, until when the answer holds, the name, and the TrustScore on the wire.
The index has 16 bytes a record, sorted: the first 8 of a BLAKE2b of the name, where the record begins (5) and its
length (3). Numbers are big-endian.

Reads are by `pread`: a shortened file fails a read, where it would kill a process with a mapping.
"""

import fcntl
import os
import struct
import weakref
import zlib
from array import array
from collections.abc import Iterable, Mapping
from contextlib import suppress
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from scoring.base.canonical import canonical_json, parse_json
from scoring.base.time import format_day, parse_day
from scoring.scores.answer import MadeBy
from service.files import owner_only_opener, sync_folder
from service.ledger.records import Cut

MAGIC = b"sellertrust-generation-1\n"
SUFFIX = ".generation"
ENTRY_BYTES, KEY_BYTES, SIZE_BYTES = 16, 8, 3
READ_BYTES = 1 << 20
_RECORD = struct.Struct(">IHq")
_FOOTER = struct.Struct(">QQ")
_FOOTER_BYTES = _FOOTER.size + sha256().digest_size


class GenerationDamaged(Exception):
    """The message says where."""


class GenerationHead(NamedTuple):
    """Times in microseconds."""

    day: int
    """UTC, in days since 1970."""
    observe_time: int
    """The answers are valid from this time on."""
    known_time: int
    """Just after the record time of `sequence`."""
    sequence: int
    chain: str
    """The chain of the seal that ends there, in hex."""
    made_time: int
    """It has everything recorded before this time."""
    model: str
    policy: str
    core: str
    contract: str
    notice: str = ""
    """As in `MadeBy`."""

    @property
    def made_by(self) -> MadeBy:
        return MadeBy(self.model, self.policy, self.notice)

    @property
    def ingredients(self) -> tuple[str, ...]:
        """Return model, policy, core, contract and notice: with the cut they give the answers."""
        return self.model, self.policy, self.core, self.contract, self.notice

    @property
    def cut(self) -> Cut:
        return Cut(self.observe_time, self.known_time, self.sequence)

    @property
    def name(self) -> str:
        """Return the file's name, shared by the generations of a day, model and policy, and of one notice."""
        notice = f"-{self.notice[:16]}" if self.notice else ""
        return f"{format_day(self.day)}-{self.model[:16]}-{self.policy[:16]}{notice}{SUFFIX}"


def day_of(name: str) -> int | None:
    """Return a generation's day by its file's name, in days since 1970; None for another name."""
    try:
        return parse_day(name[:10]) if name.endswith(SUFFIX) else None
    except ValueError:
        return None


class StoredAnswer(NamedTuple):
    place: int
    until: int
    body: bytes


def _hash_name(label: bytes) -> bytes:
    return blake2b(label, digest_size=KEY_BYTES).digest()


PARTIAL = ".partial"


def delete_abandoned(folder: Path) -> None:
    """Delete killed writers' files; a running writer holds a lock."""
    for path in folder.glob(f"*{PARTIAL}"):
        with suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


class GenerationWriter:
    """Writes a generation under a temporary name until it is whole, with 16 bytes of memory per seller."""

    def __init__(self, folder: Path, head: GenerationHead) -> None:
        self._head = head
        self._path = folder / head.name
        self._partial = folder / f"{head.name}.{os.getpid()}{PARTIAL}"
        self._keys = bytearray()
        self._sizes = array("Q")
        self._hash = sha256()
        self._file = open(self._partial, "wb", opener=owner_only_opener)  # noqa: SIM115

    def __enter__(self) -> Self:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._write(MAGIC)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._partial.unlink(missing_ok=True)

    def add(self, answers: Iterable[tuple[str, int, bytes]]) -> None:
        """Write (resource name, until in microseconds, TrustScore on the wire) of some sellers."""
        data = bytearray()
        for name, until, body in answers:
            label = name.encode()
            content = _RECORD.pack(0, len(label), until)[4:] + label + body
            data += zlib.crc32(content).to_bytes(4, "big") + content
            self._keys += _hash_name(label)
            self._sizes.append(len(content) + 4)
        self._write(data)

    def finish(self) -> Path:
        """Complete and sync the file, and put it in place of an earlier one; return its path."""
        sizes = np.frombuffer(self._sizes, dtype=np.uint64)
        index_start = self._file.tell()
        offsets = np.cumsum(sizes, dtype=np.uint64) - sizes + np.uint64(len(MAGIC))
        keys = np.frombuffer(bytes(self._keys), dtype=">u8")
        entries = np.empty((len(keys), 2), dtype=">u8")
        order = np.argsort(keys, kind="stable")
        entries[:, 0] = keys[order]
        entries[:, 1] = (offsets << np.uint64(8 * SIZE_BYTES) | sizes)[order]
        self._write(entries.tobytes())
        header_start = self._file.tell()
        self._write(canonical_json({**self._head._asdict(), "sellers": len(keys)}))
        self._write(_FOOTER.pack(index_start, header_start))
        self._file.write(self._hash.digest())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._partial.replace(self._path)
        sync_folder(self._path.parent)
        return self._path

    def _write(self, data: bytes | bytearray) -> None:
        self._file.write(data)
        self._hash.update(data)


class GenerationFile:
    """A generation open for reading, with its index in memory. Thread-safe; the file may be renamed or deleted
    meanwhile.

    Raises GenerationDamaged if it is no whole generation.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._fd)
        self._size = os.fstat(self._fd).st_size
        if self._size < len(MAGIC) + _FOOTER_BYTES or self._read(0, len(MAGIC)) != MAGIC:
            raise GenerationDamaged("it does not begin as a generation of this release does")
        footer = self._size - _FOOTER_BYTES
        index_start, header_start = _FOOTER.unpack_from(self._read(footer, _FOOTER_BYTES))
        if not len(MAGIC) <= index_start <= header_start <= footer:
            raise GenerationDamaged("its end does not say where its index is")
        self.head, self.sellers = _parse_head(self._read(header_start, footer - header_start))
        if header_start - index_start != self.sellers * ENTRY_BYTES:
            raise GenerationDamaged("its index is not as long as its header says")
        index = np.frombuffer(self._read(index_start, header_start - index_start), dtype=">u8").reshape(-1, 2)
        self._keys, self._records = index.T.astype(np.uint64)

    def check(self) -> None:
        """Raises GenerationDamaged."""
        digest, place = sha256(), 0
        end = self._size - digest.digest_size
        while place < end:
            data = self._read(place, min(READ_BYTES, end - place))
            digest.update(data)
            place += len(data)
        if self._read(end, digest.digest_size) != digest.digest():
            raise GenerationDamaged("its bytes are not those of its checksum")

    def find(self, name: str) -> StoredAnswer | None:
        """Return a seller's answer by resource name, or None. Raises GenerationDamaged."""
        for place in self.find_places(name):
            other, answer = self.read_record(place)
            if other == name:
                return answer
        return None

    def find_places(self, name: str) -> range:
        """Return the index places that may be the seller's; several if keys collide."""
        key = np.uint64(int.from_bytes(_hash_name(name.encode()), "big"))
        return range(int(self._keys.searchsorted(key)), int(self._keys.searchsorted(key, "right")))

    def read_record(self, place: int) -> tuple[str, StoredAnswer]:
        """Return (resource name, answer) at an index place. Raises GenerationDamaged."""
        offset, size = divmod(int(self._records[place]), 1 << 8 * SIZE_BYTES)
        data = self._read(offset, size)
        if size < _RECORD.size or zlib.crc32(data[4:]) != int.from_bytes(data[:4], "big"):
            raise GenerationDamaged(f"the record at {offset} is not that of its checksum")
        _, length, until = _RECORD.unpack_from(data)
        end = _RECORD.size + length
        return data[_RECORD.size : end].decode(), StoredAnswer(place, until, data[end:])

    def _read(self, offset: int, size: int) -> bytes:
        data = os.pread(self._fd, size, offset)
        if len(data) != size:
            raise GenerationDamaged("it is shorter than it was")
        return data


def _parse_head(data: bytes) -> tuple[GenerationHead, int]:
    try:
        head: Mapping[str, Any] = parse_json(data)
        values = {name: kind(head[name]) for name, kind in GenerationHead.__annotations__.items() if name in head}
        return GenerationHead(**values), int(head["sellers"])
    except (ValueError, TypeError, KeyError):
        raise GenerationDamaged("its header cannot be read") from None
