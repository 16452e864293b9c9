"""Record every look at a test window in an append-only file.

Frequent looks find a model that is good by chance.
"""

import json
from dataclasses import asdict
from pathlib import Path

from scoring.base.canonical import parse_json
from scoring.base.errors import ConfigurationWrong
from scoring.base.frozen import frozen
from scoring.base.time import format_day, parse_day


@frozen
class Look:
    """A look at a test window, from `first_day` to the day before `end_day`."""

    time: str
    """An RFC 3339 text in UTC."""
    marketplace: str
    study: str
    study_digest: str
    ledger_digest: str
    first_day: int
    end_day: int
    why: str

    def as_dict(self) -> dict[str, str]:
        window = f"{format_day(self.first_day)} to {format_day(self.end_day - 1)}"
        return {
            "window": window,
            "time": self.time,
            "study": self.study,
            "study_digest": self.study_digest,
            "why": self.why,
        }


def log_look(path: Path, look: Look) -> None:
    """Append a look to the log file; ConfigurationWrong if it cannot be written."""
    fields = asdict(look) | {"first_day": format_day(look.first_day), "end_day": format_day(look.end_day)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:  # one write, so that two processes do not mix their lines
            file.write(json.dumps(fields, ensure_ascii=True).encode() + b"\n")
    except OSError as error:
        raise ConfigurationWrong(f"the look at the test window cannot be logged in {path}: {error.strerror}") from None


def read_looks(path: Path) -> list[Look]:
    """Return all looks logged in a file, none if it is missing; ConfigurationWrong names a line that is no look."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationWrong(
            f"the looks at test windows in {path} cannot be read ({type(error).__name__})"
        ) from None
    return [_read_look(path, number, line) for number, line in enumerate(lines, 1)]


def earlier_looks(path: Path, look: Look) -> list[Look]:
    """Return the looks of other studies of the marketplace at windows that overlap `look`'s, in order.

    Other parameters make another study. Looks after the study's own first look at this window are left out, so that a
    repeated study finds the same looks. Raises as `read_looks`.
    """
    before = []
    for past in read_looks(path):
        overlaps = past.first_day < look.end_day and look.first_day < past.end_day
        if past.marketplace != look.marketplace or not overlaps:
            continue
        if past.study_digest == look.study_digest:
            if (past.first_day, past.end_day) == (look.first_day, look.end_day):
                break
            continue
        before.append(past)
    return before


def _read_look(path: Path, number: int, line: str) -> Look:
    try:
        fields = parse_json(line)
        days = {name: parse_day(fields[name]) for name in ("first_day", "end_day")}
        return Look(**{**fields, **days})
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ConfigurationWrong(
            f"line {number} of {path} is no look at a test window; put back the file as it was written"
        ) from None
