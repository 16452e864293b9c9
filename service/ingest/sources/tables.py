import csv
import gzip
import io
import re
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from service.ingest.mapping.cells import NumberedRows

Reject = Callable[[int, str], None]
_SURROGATE = re.compile(r"[\ud800-\udfff]")
RESERVED = "@"

MAX_RECORD_LINES = 50

MAX_CELL = 1 << 20
csv.field_size_limit(MAX_CELL)

PARQUET_ROWS = 50_000


def lines_of(raw: BinaryIO, file: str, reject: Reject) -> Iterator[tuple[int, bytes]]:
    """Yield (number from 1, line) of a text file; unpacks gzip if the name `file` ends with .gz.

    At an unreadable place it gives (line, reason) to `reject` and ends.
    """
    number = 0
    try:
        for number, line in enumerate(gzip.GzipFile(fileobj=raw) if file.endswith(".gz") else raw, 1):
            yield number, line
    except (EOFError, OSError, zlib.error) as error:
        reject(number + 1, _describe_damage(error))


def columns_of(path: Path) -> list[str]:
    """Return the columns of a CSV, CSV.gz or Parquet file that text can hold; empty if it is missing or no table.

    Lists, structures, bytes and durations of Parquet are left out.
    """
    if path.suffix == ".parquet":
        import polars as pl

        try:
            schema = pl.scan_parquet(path).collect_schema()
            return [name for name, kind in schema.items() if _make_text_column(pl, name, kind) is not None]
        except pl.exceptions.PolarsError:
            return []
    try:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
            _, header = next(_split_records(text), (1, []))
    except (EOFError, OSError, zlib.error):
        return []
    return [] if _describe_wrong_header(header or []) else header or []


def advise_commas(columns: Sequence[str]) -> str:
    """Return ". Separate the columns by commas", to end a sentence with, if they are separated otherwise; else ""."""
    alone = columns[0] if len(columns) == 1 else ""
    return ". Separate the columns by commas" if ";" in alone or "\t" in alone else ""


_OPEN_QUOTE = "a quote is left open, or stands where none may: mend this line"


def csv_rows(raw: BinaryIO, file: str, reject: Reject, names: Sequence[str] = ()) -> NumberedRows:
    """Yield (line, row by column) of a CSV or CSV.gz file.

    `names` are its columns if it has no header. Malformed rows, or all the rest, go to `reject`.
    """
    binary = gzip.GzipFile(fileobj=raw) if file.endswith(".gz") else raw
    text = io.TextIOWrapper(binary, encoding="utf-8-sig", errors="surrogateescape", newline="")
    records = _split_records(text)
    line = 0
    try:
        header: list[str] | None = list(names)
        if not header:
            line, header = next(records, (1, []))
        if problem := _OPEN_QUOTE if header is None else _describe_wrong_header(header):
            reject(1, problem)
            return
        for line, cells in records:
            if cells is None:
                reject(line, _OPEN_QUOTE)
            elif reason := _describe_wrong_row(cells, len(header or [])):
                reject(line, reason)
            elif cells:
                yield line, dict(zip(header or [], cells, strict=True))
    except (EOFError, OSError, zlib.error) as error:
        reject(line + 1, _describe_damage(error))
    finally:
        if binary is raw and not raw.closed:
            text.detach()


def _describe_damage(error: Exception) -> str:
    # The rest may be damage; the rows before it are imported.
    return f"the file cannot be read beyond this line ({type(error).__name__}): mend it and run the command again"


def parquet_rows(path: Path, reject: Reject, on_progress: Callable[[int, int], None]) -> NumberedRows:
    """Yield (number, row by column) of a Parquet file; the first row is 1.

    `on_progress` gets (row, rows). Dates and times are in RFC 3339 (UTC without a zone), null is empty. Unreadable
    parts go to `reject`.
    """
    import polars as pl

    try:
        table = pl.scan_parquet(path)
        schema = table.collect_schema()
        if problem := _describe_wrong_name(schema):
            reject(1, problem)
            return
        columns = [text for name, kind in schema.items() if (text := _make_text_column(pl, name, kind)) is not None]
        total = int(table.select(pl.len()).collect().item())
        for first in range(0, total, PARQUET_ROWS):
            chunk = table.select(columns).slice(first, PARQUET_ROWS).collect()
            yield from enumerate(chunk.iter_rows(named=True), first + 1)
            on_progress(first + len(chunk), total)
    except pl.exceptions.PolarsError as error:
        reject(1, f"the file cannot be read as Parquet ({type(error).__name__}): mend it and run the command again")


def _make_text_column(pl: Any, name: str, kind: Any) -> Any:
    """Return an expression of a column as text; None if text cannot hold it."""
    column = pl.col(name)
    if kind.is_nested() or kind in (pl.Binary, pl.Object, pl.Duration):
        return None
    if kind == pl.Datetime:
        column = column.dt.convert_time_zone("UTC") if kind.time_zone else column
        column = column.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    return column.cast(pl.String).fill_null("")


def _describe_wrong_header(header: list[str]) -> str:
    if not any(header):
        return "the file has no header: its first line must name the columns"
    if not _is_utf8(header):
        return "the header is not UTF-8: save the file as UTF-8 and run the command again"
    if problem := _describe_wrong_name(header):
        return problem
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    return f"the header names {', '.join(repeated)} twice: give every column a name of its own" if repeated else ""


def _describe_wrong_name(columns: Iterable[str]) -> str:
    reserved = next((name for name in columns if name.strip().startswith(RESERVED)), "")
    return (
        f"the column {reserved!r} begins with {RESERVED}, which no column of a file may: rename it" if reserved else ""
    )


def _split_records(text: Iterable[str]) -> Iterator[tuple[int, list[str] | None]]:
    """Yield (first line, cells) of each record; the cells are None for a line that cannot begin a record.

    A record that does not end within MAX_RECORD_LINES, for example by an open quote, costs only its first line.
    """
    source = iter(text)
    waiting: deque[str] = deque()
    number = 1
    while True:
        line = waiting.popleft() if waiting else next(source, None)
        if line is None:
            return
        if '"' not in line and len(line) < MAX_CELL:  # 0.5 us instead of a reader's 2.5
            bare = line.rstrip("\r\n")
            yield number, bare.split(",") if bare else []
            number += 1
            continue
        waiting.appendleft(line)
        taken: list[str] = []

        def feed(taken: list[str] = taken) -> Iterator[str]:
            while len(taken) < MAX_RECORD_LINES:
                line = waiting.popleft() if waiting else next(source, None)
                if line is None:
                    return
                taken.append(line)
                yield line

        try:
            cells = next(csv.reader(feed(), strict=True))
        except StopIteration:
            return
        except csv.Error:
            waiting.extendleft(reversed(taken[1:]))
            yield number, None
            number += 1
            continue
        yield number, cells
        number += len(taken)


def _describe_wrong_row(cells: list[str], columns: int) -> str:
    if len(cells) not in (0, columns):
        return f"has {len(cells)} cells where the header has {columns}"
    return "" if _is_utf8(cells) else "is not UTF-8"


def _is_utf8(cells: list[str]) -> bool:
    text = "".join(cells)
    return text.isascii() or not _SURROGATE.search(text)
