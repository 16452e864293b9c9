"""The layout of exported entries: Parquet files of whole sellers' buckets, which any engine reads.

    DIR/bucket=0007/000000000001-000000050000-1f0c9a2e.parquet   entries of a span of sequences, by seller and sequence
    DIR/_export/000000001.json                          a commit: the files up to a sequence, with their digests

A seller's bucket is the CRC-32 of its id in UTF-8, modulo the number of buckets. Numbers are int64, times are microseconds
UTC, and what a kind lacks is null. Sealed texts are left out, so that an erasure changes no file.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from io import BytesIO
from typing import Any, NamedTuple
from zlib import crc32

import polars as pl

from scoring.base.canonical import canonical_json
from scoring.base.enums import Kind
from scoring.base.errors import ConfigurationWrong
from service.ledger.queries.entries import EXPORT_COLUMNS
from service.shared_files import Store

FORMAT, VERSION = "sellertrust-entries", 1
HASH = "crc32"

_TEXTS = frozenset({"seller", "entry_id", "violation", "incident", "product_category", "content", "target"})
LEDGER_SCHEMA: Mapping[str, Any] = {name: pl.String if name in _TEXTS else pl.Int64 for name in EXPORT_COLUMNS}
_FROM_CONTENT = ("source", "violation_type", "listing")
SCHEMA: Mapping[str, Any] = {**LEDGER_SCHEMA, **dict.fromkeys(_FROM_CONTENT, pl.String)}
"""The ledger's columns, then three that are read from the content of reports and inspections."""


class EntryFile(NamedTuple):
    path: str
    bucket: int
    rows: int
    sellers: int
    bytes: int
    sha256: str


def encode_with_digest(stated: Mapping[str, Any]) -> bytes:
    return canonical_json({**stated, "digest": sha256(canonical_json(stated)).hexdigest()})


def take_digest(stated: dict[str, Any]) -> bool:
    """Remove `digest`; return whether it is that of the rest. Raises KeyError without one."""
    return bool(stated.pop("digest") == sha256(canonical_json(stated)).hexdigest())


def find_bucket(seller: str, buckets: int) -> int:
    """Return a seller's bucket, 0 to `buckets` - 1, as Spark's `crc32(seller) % buckets`."""
    return crc32(seller.encode()) % buckets


def make_frame(rows: Sequence[tuple[Any, ...]]) -> pl.DataFrame:
    """Return exported rows with the columns of SCHEMA, without sealed texts."""
    columns = {name: [row[place] for row in rows] for place, name in enumerate(LEDGER_SCHEMA)}
    frame = pl.DataFrame(columns, schema=LEDGER_SCHEMA)
    content = pl.col("content").str.replace(r',"sealed":"[^"]*"', "")
    is_read = pl.col("kind").is_in([int(Kind.VIOLATION), int(Kind.INSPECTION)])
    texts = [pl.when(is_read).then("content").str.json_path_match(f"$.{name}").alias(name) for name in _FROM_CONTENT]
    return frame.with_columns(content).with_columns(texts)


def encode_file(frame: pl.DataFrame) -> bytes:
    buffer = BytesIO()
    frame.select(*SCHEMA).write_parquet(buffer, compression="zstd", compression_level=1)
    return buffer.getvalue()


def read_entries(store: Store, files: Sequence[EntryFile], columns: Sequence[str]) -> pl.DataFrame:
    """Read columns of files, sorted by seller and sequence, without rows about products.

    Raises ConfigurationWrong for a missing or altered file, or another schema.
    """
    frames = read_files(store, files, columns)
    table = pl.concat(frames) if frames else pl.DataFrame(schema={name: SCHEMA[name] for name in columns})
    table = table.filter(pl.col("seller") != "")
    return table if len(files) == 1 else table.sort("seller", "sequence")  # each file is sorted


def read_files(store: Store, files: Sequence[EntryFile], columns: Sequence[str]) -> list[pl.DataFrame]:
    """Return each file's columns. Raises ConfigurationWrong if a file differs from its digest."""
    return [_read_file(store, file, columns) for file in files]


def _read_file(store: Store, file: EntryFile, columns: Sequence[str]) -> pl.DataFrame:
    data = store.read(file.path)
    if sha256(data).hexdigest() != file.sha256:
        raise ConfigurationWrong(f"{store.place}/{file.path} is not the file that was exported; export again")
    try:
        frame = pl.read_parquet(BytesIO(data), columns=list(columns), use_statistics=False)
    except pl.exceptions.PolarsError as error:
        raise ConfigurationWrong(f"{store.place}/{file.path} cannot be read ({type(error).__name__})") from None
    wrong = [name for name in columns if frame.schema[name] != SCHEMA[name]]
    if wrong or len(frame) != file.rows:
        raise ConfigurationWrong(
            f"{store.place}/{file.path} is of another schema or length: {', '.join(wrong) or len(frame)}; export again"
        )
    return frame
