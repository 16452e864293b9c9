from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from scoring.base.canonical import parse_json
from service.access.audit import GENESIS, is_next_line

MAX_LINES_READ = 20_000

MAX_PAGE_BYTES = 4 << 20


class AuditLine(NamedTuple):
    text: str
    content: Mapping[str, Any]


class AuditPage(NamedTuple):
    lines: list[AuditLine]
    after: str
    """The place of the last line read; empty at the end."""


class AuditVerdict(NamedTuple):
    lines: int
    last: str
    problem: str


def is_place(text: str) -> bool:
    """Return whether a text is a line's place: offset in bytes, `-`, hash."""
    offset, _, line_hash = text.partition("-")
    is_offset = offset.isdecimal() and len(offset) <= 18
    return is_offset and len(line_hash) == 64 and not line_hash.strip("0123456789abcdef")


def read_page(path: Path, marketplace: str, after: str, limit: int) -> AuditPage:
    """Return the next lines of an audit file, at most `limit`, of one marketplace or (empty) of all.

    It stops early at MAX_LINES_READ or MAX_PAGE_BYTES. `after` is a line's place, or empty for the beginning. If another line
    is there, the page begins with the first line. Raises OSError; ValueError for a malformed line.
    """
    lines: list[AuditLine] = []
    if not path.exists():  # it was moved away, and no line was written since
        return AuditPage(lines, "")
    with path.open("rb") as file:
        offset = _seek_behind(file, after) if after else 0
        length = 0
        for lines_read, text in enumerate(_read_whole_lines(file), 1):
            content = dict(parse_json(text))
            if not marketplace or content.get("marketplace") == marketplace:
                lines.append(AuditLine(text.decode().rstrip("\n"), content))
                length += len(text)
            is_full = len(lines) == limit or lines_read == MAX_LINES_READ or length > MAX_PAGE_BYTES
            if is_full:
                is_last = next(_read_whole_lines(file), None) is None
                return AuditPage(lines, "" if is_last else f"{offset}-{content['hash']}")
            offset += len(text)
    return AuditPage(lines, "")


def verify_lines(lines: Iterable[bytes]) -> AuditVerdict:
    """Return the number of valid lines, the last hash, and the next line's problem or ""."""
    before, count = GENESIS, 0
    for number, text in enumerate(lines, 1):
        try:
            line_hash = parse_json(text)["hash"]
        except (ValueError, TypeError, KeyError):
            return AuditVerdict(count, before, f"line {number} is no line of an audit file")
        if not is_next_line(text, before):
            return AuditVerdict(
                count, before, f"line {number} was changed, or lines before it were changed or left out"
            )
        before, count = line_hash, number
    return AuditVerdict(count, before, "")


def verify_audit(path: Path) -> tuple[int, str]:
    """Return (lines, last hash) of an intact audit file.

    Raises ValueError for the first bad line; OSError if it cannot be read.
    """
    with path.open("rb") as file:
        count, last, problem = verify_lines(file)
    if problem:
        raise ValueError(problem)
    return count, last


def lines_up_to(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield lines from the file's position on that begin before the byte `size`."""
    while file.tell() < size and (text := file.readline()):
        yield text


def _read_whole_lines(file: BinaryIO) -> Iterator[bytes]:
    while (text := file.readline()).endswith(b"\n"):
        yield text


def _seek_behind(file: BinaryIO, after: str) -> int:
    """Move behind the line at a place, and return the position; to the beginning if another line is there."""
    offset, _, line_hash = after.partition("-")
    end = f'"hash": "{line_hash}"}}\n'.encode()
    file.seek(int(offset))
    if file.readline().endswith(end):
        return file.tell()
    file.seek(0)
    return 0
