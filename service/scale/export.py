import uuid
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, Self

import polars as pl

from scoring.base.canonical import parse_json
from scoring.base.errors import ConfigurationWrong
from service.ledger.records import Cut
from service.ledger.store import Ledger
from service.scale.layout import (
    FORMAT,
    HASH,
    SCHEMA,
    VERSION,
    EntryFile,
    encode_file,
    encode_with_digest,
    find_bucket,
    make_frame,
    read_files,
    take_digest,
)
from service.shared_files import Store

ENTRIES_PER_BUCKET = 200_000
"""Over all marketplaces; a task of so many takes some 400 MB."""

MAX_BUCKETS = 4_096
MAX_GROWTH = 4
"""A ledger that outgrew its buckets so many times is exported anew."""

SPAN_ROWS = 500_000
"""Rows that are committed at once."""

MAX_FILES = 8
"""More files of one bucket become one; amid a long export, more than MAX_FILES_AMID."""

MAX_FILES_AMID = 8 * MAX_FILES

Progress = Callable[[str, int, int], None]


class ExportResult(NamedTuple):
    number: int
    marketplace: str
    buckets: int
    sequence: int
    target: int
    chain: str
    """The chain of the seal that ends at `target`, in hex; another ledger has another one."""
    mended: int
    """Mendings of the clock that the record times reflect."""
    files: tuple[EntryFile, ...]

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    def encode(self) -> bytes:
        files = [file._asdict() for file in self.files]
        stated = {"format": FORMAT, "version": VERSION, "hash": HASH, **self._asdict(), "files": files}
        return encode_with_digest(stated)

    @classmethod
    def decode(cls, data: bytes, place: str) -> Self:
        """Parse a commit. Raises ConfigurationWrong for another format or version."""
        try:
            stated: dict[str, Any] = parse_json(data)
            is_whole = take_digest(stated)
            if (stated.pop("format"), stated.pop("version"), stated.pop("hash")) != (FORMAT, VERSION, HASH):
                raise ConfigurationWrong(f"{place} is an export of another version; delete it, and export again")
            if not is_whole:
                raise ConfigurationWrong(f"{place} has an altered list of exported files; delete it, and export again")
            files = tuple(EntryFile(**file) for file in stated.pop("files"))
            return cls(**stated, files=files)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ConfigurationWrong(f"{place} holds no list of exported files; delete it, and export again") from None


def find_exported(store: Store) -> ExportResult | None:
    """Return the last commit; raises as `ExportResult.decode`."""
    names = [name for name in store.list("_export") if name.endswith(".json")]
    return ExportResult.decode(store.read(names[-1]), store.place) if names else None


def export_entries(ledger: Ledger, store: Store, marketplace: str, cut: Cut, progress: Progress) -> ExportResult:
    """Export what is not yet exported up to a cut; return what is exported.

    After an interruption, a repeated call goes on after the last commit. Raises ConfigurationWrong if the folder holds
    another ledger's or marketplace's entries, or if another export commits at the same time.
    """
    store.make_private()
    chain = ledger.seals.chain_at(cut.sequence)
    mended = len(ledger.clock.list_mendings(cut.sequence))
    done = find_exported(store) or ExportResult(0, marketplace, 0, 0, cut.sequence, "", mended, ())
    if not _is_of(ledger, done, marketplace):
        raise ConfigurationWrong(
            f"{store.place} holds entries of another ledger or marketplace; name another folder, or delete it"
        )
    buckets = min(1 << (cut.sequence // ENTRIES_PER_BUCKET).bit_length(), MAX_BUCKETS)
    if done.mended != mended or buckets > MAX_GROWTH * done.buckets:
        done = done._replace(buckets=buckets, sequence=0, mended=mended, files=())
    done = done._replace(target=cut.sequence, chain="" if chain is None else chain.hex())
    if done.sequence >= cut.sequence:
        return done
    for frame, sequence in _list_spans(ledger, marketplace, cut, done.sequence):
        files = (*done.files, *_write_span(store, frame, done.buckets))
        most = MAX_FILES if sequence == cut.sequence else MAX_FILES_AMID
        files = tuple(_compact(store, files, most))
        done = done._replace(number=done.number + 1, sequence=sequence, files=files)
        if not store.create(f"_export/{done.number:09d}.json", done.encode()):
            raise ConfigurationWrong(f"another command exports into {store.place}; repeat this one when that is done")
        _sweep(store, done)
        progress("export", sequence, cut.sequence)
    return done


def forget_foreign(ledger: Ledger, store: Store, marketplace: str) -> None:
    """Delete the commits of another ledger's export, such as entries that a promoted standby lacks."""
    done = find_exported(store)
    if done is not None and not _is_of(ledger, done, marketplace):
        for name in store.list("_export"):
            store.delete(name)


def _is_of(ledger: Ledger, done: ExportResult, marketplace: str) -> bool:
    chain = ledger.seals.chain_at(done.target) if done.number else None
    return done.marketplace == marketplace and (not done.number or (chain is not None and chain.hex() == done.chain))


def _list_spans(ledger: Ledger, marketplace: str, cut: Cut, after: int) -> Iterator[tuple[pl.DataFrame, int]]:
    frames = [make_frame(())]
    for chunk in ledger.entries.export(marketplace, cut, after=after):
        frames.append(make_frame(chunk))
        if sum(map(len, frames)) >= SPAN_ROWS:
            yield pl.concat(frames), chunk[-1][0]
            frames = frames[:1]
    yield pl.concat(frames), cut.sequence


def _write_span(store: Store, frame: pl.DataFrame, buckets: int) -> Iterator[EntryFile]:
    sellers = frame["seller"].unique()
    bucket_of = pl.Series([find_bucket(seller, buckets) for seller in sellers], dtype=pl.Int64)
    bucket = frame["seller"].replace_strict(sellers, bucket_of, return_dtype=pl.Int64)
    for number in bucket.unique().sort():
        yield _write_file(store, frame.filter(bucket == number), number)


def _write_file(store: Store, frame: pl.DataFrame, bucket: int) -> EntryFile:
    frame = frame.sort("seller", "sequence")
    data = encode_file(frame)
    first, last = int(frame["sequence"].arg_min() or 0), int(frame["sequence"].arg_max() or 0)
    span = "-".join(f"{frame['sequence'][place]:012d}" for place in (first, last))
    path = f"bucket={bucket:04d}/{span}-{uuid.uuid4().hex[:8]}.parquet"
    store.write(path, data)
    return EntryFile(path, bucket, len(frame), frame["seller"].n_unique(), len(data), sha256(data).hexdigest())


def _compact(store: Store, files: Sequence[EntryFile], most: int) -> Iterator[EntryFile]:
    of_bucket: dict[int, list[EntryFile]] = {}
    for file in files:
        of_bucket.setdefault(file.bucket, []).append(file)
    for bucket, own in sorted(of_bucket.items()):
        if len(own) <= most:
            yield from own
        else:
            yield _write_file(store, pl.concat(read_files(store, own, list(SCHEMA))), bucket)


def _sweep(store: Store, done: ExportResult) -> None:
    kept = {file.path for file in done.files}
    before = f"_export/{done.number - 1:09d}.json"
    if store.exists(before):  # it may still be read
        kept |= {file.path for file in ExportResult.decode(store.read(before), store.place).files}
    kept |= {before, f"_export/{done.number:09d}.json"}
    for name in store.list(""):
        if name not in kept:
            store.delete(name)
