"""Shapes of field values: check, canonical JSON, reading back, parsing. `required` and `optional` make a fact's fields."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, field, fields, replace
from functools import partial
from json.encoder import encode_basestring
from string import ascii_letters, digits
from typing import Any, TypeVar

from scoring.base.enums import WordEnum
from scoring.base.frozen import frozen
from scoring.base.time import MAX_TIME, format_day, format_time, parse_day, parse_time

Word = TypeVar("Word", bound=WordEnum)

ID_FORM = "1 to 128 characters of [A-Za-z0-9._~:-]"
MAX_IDS = 100
MINOR_UNITS = "an amount in minor units, in digits alone: write 19.99 EUR as 1999 (cents), and 1999.00 EUR as 199900"
MAX_ATTRIBUTES = 64
MAX_ATTRIBUTE_LENGTH = 128

MAX_ID = 128
_ID_CHARACTERS = f"{ascii_letters}{digits}._~:-"
_ATTRIBUTE_KEY = re.compile(r"[a-z][a-z0-9_]{0,62}")
_SIGNED_DIGITS = re.compile(r"-?[0-9]{1,30}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NO_CONTROL = "must hold no control characters (U+0000 to U+001F, U+007F): write it on one line"
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


@frozen
class Shape:
    kind: str
    """Such as `count` or `time`."""
    proto: str
    describe_error: Callable[[Any], str | None]
    """Returns what a wrong value should be; None for a valid value."""
    write: Callable[[Any], str] = encode_basestring
    read: Callable[[Any], Any] = lambda value: value
    parse: Callable[[str], Any] = lambda text: text
    """Reads a file's text; raises ValueError."""
    words: type[WordEnum] | None = None
    sealed: bool = False
    """Whether it may name a person, and is stored under the seller's key."""
    zero: bool = False
    """Whether 0 is not the default."""


def is_id(text: str) -> bool:
    # A regular expression costs five times as much.
    return 0 < len(text) <= MAX_ID and not text.strip(_ID_CHARACTERS)


def list_names(words: type[WordEnum]) -> str:
    """Return the names of the members as text: "low, medium, high, extreme"."""
    return ", ".join(name.lower() for name in words.__members__)


def parse_word(words: type[Word], text: str) -> Word:
    """Return the member by its name, in any case, with - or _; raise ValueError listing the names."""
    try:
        return words[text.upper().replace("-", "_")]
    except KeyError:
        *first_names, last = (name.lower() for name in words.__members__)
        raise ValueError(f"{text!r} is unknown. Use {', '.join(first_names)} or {last}.") from None


def word(words: type[WordEnum], proto: str = "") -> Shape:
    """Return the shape of a field that holds one of `words`; `proto`: its type in the contract."""
    allowed = frozenset(words)
    by_name = {member.word: member for member in words}
    written = {member: f'"{member.word}"' for member in words}

    return Shape(
        "word",
        proto or words.__name__,
        lambda value: None if value in allowed else f"must be one of {list_names(words)}",
        written.__getitem__,
        by_name.__getitem__,
        partial(parse_word, words),
        words=words,
    )


def count(maximum: int, minimum: int = 0, proto: str = "int64") -> Shape:
    """Return the shape of a field that holds a whole number from `minimum` to `maximum`."""
    text = f"must be {minimum:,} to {maximum:,}"
    return Shape(
        "count", proto, lambda v: None if minimum <= v <= maximum else text, int.__repr__, parse=parse_whole_number
    )


def amount(maximum: int, minimum: int = 0) -> Shape:
    """Return the shape for money in minor units (cents), which files state without a point or an exponent."""
    return replace(count(maximum, minimum), parse=parse_minor_units)


def text(max_length: int, *, sealed: bool = False) -> Shape:
    """Return the shape for one line of at most `max_length` characters. `sealed`: it may name a person."""
    return Shape("text", "string", lambda value: _describe_text_error(value, max_length), sealed=sealed)


def pattern(regex: str, error: str) -> Shape:
    """Return a shape for a full match; `error`: what a wrong text should be."""
    compiled = re.compile(regex)
    return Shape("text", "string", lambda value: None if compiled.fullmatch(value) else error)


def parse_whole_number(text: str) -> int:
    """Parse `12`, `-3`, `12.0` or `1e3`; raise ValueError for `12.5`, `nan` or a text that is no number."""
    try:
        number = float(text) if not text.lstrip("-").isdigit() else int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number") from None
    if isinstance(number, float) and not number.is_integer():  # NaN and infinities fail too
        raise ValueError(f"{text!r} is not a whole number")
    return int(number)


def parse_minor_units(text: str) -> int:
    """Parse 1 to 30 digits, with or without a minus. Raise ValueError for a point, an exponent or a space.

    A point is refused because `1999.00` may be 1999 cents or 1999 euros.
    """
    if not _SIGNED_DIGITS.fullmatch(text):
        raise ValueError(f"{text!r} is not {MINOR_UNITS}")
    return int(text)


def is_encodable(text: str) -> bool:
    """Return whether `text` has no half of a surrogate pair, which JSON may contain."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def describe_line_error(value: str, max_length: int) -> str | None:
    """Return why a text is no line; None if valid.

    Wrong are characters beyond `max_length`, and those that move the cursor, break the line or turn its direction.
    """
    if error := _describe_text_error(value, max_length):
        return error
    return (
        "must hold no control characters or signs that turn the direction of writing"
        if escape_unprintable(value) != value
        else None
    )


def escape_unprintable(text: str) -> str:
    r"""Return text with its unprintable characters as code points, such as `\u202e`."""
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _parse_flag(text: str) -> bool:
    if text.lower() in ("1", "true", "yes"):
        return True
    if text.lower() in ("", "0", "false", "no"):
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def _describe_ids_error(values: tuple[str, ...]) -> str | None:
    if len(values) > MAX_IDS:
        return f"has {len(values)} ids; at most {MAX_IDS}"
    return None if all(map(is_id, values)) else f"must hold ids of {ID_FORM}"


def _describe_attributes_error(attributes: Mapping[str, str]) -> str | None:
    if len(attributes) > MAX_ATTRIBUTES:
        return f"has {len(attributes)} keys; at most {MAX_ATTRIBUTES}"
    for key, value in attributes.items():
        if not _ATTRIBUTE_KEY.fullmatch(key):
            return "must have keys of the form [a-z][a-z0-9_]{0,62}"
        if error := _describe_text_error(value, MAX_ATTRIBUTE_LENGTH):
            return f"{key}: {error}"
    return None


def _describe_text_error(value: str, max_length: int) -> str | None:
    if len(value) > max_length or not is_encodable(value):
        return f"must have at most {max_length} characters"
    # PostgreSQL rejects JSON with U+0000; the other characters forge lines in logs and files.
    return _NO_CONTROL if _CONTROL.search(value) else None


ID = Shape("id", "string", lambda value: None if is_id(value) else f"must be {ID_FORM}")
IDS = Shape(
    "ids",
    "string",
    _describe_ids_error,
    lambda ids: _encode(list(ids)),
    tuple,
    lambda t: tuple(filter(None, t.split(" "))),
)
FLAG = Shape("flag", "bool", lambda _: None, lambda _: "true", parse=_parse_flag)
DAY = Shape(
    "day",
    "string",
    lambda _: None,
    lambda day: f'"{format_day(day)}"',
    parse_day,
    parse_day,
    zero=True,
)
TIME = Shape(
    "time",
    "google.protobuf.Timestamp",
    lambda value: None if 0 <= value <= MAX_TIME else "must lie between 1970 and 9999",
    lambda time: f'"{format_time(time)}"',
    parse_time,
    parse_time,
    zero=True,
)
ATTRIBUTES = Shape(
    "attributes", "map<string, string>", _describe_attributes_error, lambda attributes: _encode(dict(attributes))
)
CURRENCY = pattern("[A-Z]{3}", "must be an ISO 4217 code such as CNY")
COUNTRY = pattern("[A-Z]{2}", "must be an ISO 3166-1 alpha-2 code such as CN")
SHA256 = pattern("[0-9a-f]{64}", "must be a SHA-256 in 64 lower-case hexadecimal digits")


@frozen
class FactField:
    name: str
    number: int
    shape: Shape
    text: str
    column: str
    """The ledger's column, or empty."""
    required: bool
    missing_text: str
    """Empty: the error of a wrong value."""


def required(number: int, shape: Shape, text: str, *, column: str = "", missing_text: str = "") -> Any:
    """Return a dataclass field that must be stated, with its definition as metadata.

    `number`: in the contract; `text`: its documentation; `column`: in the ledger; `missing_text`: error for an empty
    value, by default the shape's.
    """
    return field(metadata=_describe_field(number, shape, text, column, missing_text))


def optional(number: int, shape: Shape, text: str, *, column: str = "") -> Any:
    """Return a field that is empty or 0 if left out; a word, a time or a day is None."""
    metadata = _describe_field(number, shape, text, column)
    if shape.kind == "attributes":
        return field(default_factory=dict, metadata=metadata)
    return field(default=_EMPTY.get(shape.kind), metadata=metadata)


def _describe_field(number: int, shape: Shape, text: str, column: str, missing_text: str = "") -> dict[str, Any]:
    return {"number": number, "shape": shape, "text": text, "column": column, "missing_text": missing_text}


_EMPTY: Mapping[str, object] = {"text": "", "id": "", "count": 0, "flag": False, "ids": ()}


def fact_fields(fact: type) -> tuple[FactField, ...]:
    declared = [
        FactField(f.name, required=f.default is MISSING and f.default_factory is MISSING, **f.metadata)
        for f in fields(fact)
    ]
    return tuple(sorted(declared, key=lambda one: one.number))
