"""Moves of aliases: the lines of the log."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, field
from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from scoring.base.canonical import parse_json
from scoring.base.errors import FieldViolation, InvalidInput
from scoring.entries.field_types import describe_line_error

CHAMPION = "champion"
CHALLENGER = "challenger"
PREVIOUS = "previous"
ALIASES = (CHAMPION, CHALLENGER, PREVIOUS)

Figure = str | int | float
MAX_NAME, MAX_REASON = 128, 500
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, config=ConfigDict(strict=True, extra="ignore", allow_inf_nan=False))
class ModelMove:
    alias: Annotated[str, Field(pattern=f"^({'|'.join(ALIASES)})$")]  # another one would stand for another model
    digest: Annotated[str, Field(pattern=f"^{_DIGEST.pattern}$")]
    actor: str
    reason: str
    time: str
    """In RFC 3339."""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    """Quality of the model, verdict of its gates, SHA-256 of its attachments (`gates_sha256`), overrides and
    signatures.
    """


def is_digest(text: str) -> bool:
    """Return whether it is 64 hexadecimal digits."""
    return _DIGEST.fullmatch(text) is not None


def encode_move(move: ModelMove) -> bytes:
    """Return a move as a line of JSON; figures are left out if there are none."""
    fields = {name: value for name, value in asdict(move).items() if name != "figures" or value}
    return json.dumps(fields, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def parse_move(line: bytes) -> ModelMove:
    """Parse a line of the log, ignoring unknown fields.

    Raises ValueError, TypeError or RecursionError if it is no ModelMove.
    """
    return ModelMove(**parse_json(line))


def aliases_of(moves: Iterable[ModelMove]) -> dict[str, str]:
    """Return digests by alias after the moves, oldest first.

    `previous` is not stored: it is the champion before the present one.
    """
    aliases: dict[str, str] = {}
    for move in moves:
        before = aliases.get(CHAMPION)
        if move.alias == CHAMPION and before not in (None, move.digest):
            aliases[PREVIOUS] = str(before)
        if move.alias != PREVIOUS:
            aliases[move.alias] = move.digest
    return aliases


def find_figure(moves: Iterable[ModelMove], digest: str, name: str) -> Figure | None:
    recorded = [move.figures[name] for move in moves if move.digest == digest and name in move.figures]
    return recorded[-1] if recorded else None


def check_actor_and_reason(*, actor: str, reason: str, override: str = "", sign_off: str = "") -> None:
    """Require actor and reason, and printable names that fit on a page. Raises InvalidInput."""
    wrong = []
    for name, text, longest in (("actor", actor, MAX_NAME), ("reason", reason, MAX_REASON)):
        if not text.strip():
            wrong.append(FieldViolation((name,), "is required"))
        elif len(text) > longest:
            wrong.append(FieldViolation((name,), f"must have at most {longest} characters"))
        elif problem := describe_line_error(text, longest):
            wrong.append(FieldViolation((name,), problem))
    for name, text in (("override", override), ("sign_off", sign_off)):
        if len(text) > MAX_NAME or (text and not text.strip()):
            wrong.append(FieldViolation((name,), f"must be a person's name of at most {MAX_NAME} characters"))
        elif problem := describe_line_error(text, MAX_NAME):
            wrong.append(FieldViolation((name,), problem))
    if wrong:
        raise InvalidInput(wrong)
