"""Shapes of what a fact states: how a value is checked, written as canonical JSON, read back, and read from a text.

A fact is a dataclass whose fields are made by `stated`; the table of kinds (`kinds/table.py`) is made of such facts, and
code, contract, command line, import and documents follow it.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from enum import IntEnum
from json.encoder import encode_basestring
from typing import Any

from scoring.time import MAX_TIME, format_day, format_time, parse_day, parse_time

ID_FORM = "1 to 128 characters of [A-Za-z0-9._~:-]"
MAX_IDS = 100
MINOR_UNITS = "an amount in minor units, in digits alone: write 19.99 EUR as 1999 (cents), and 1999.00 EUR as 199900"
MAX_ATTRIBUTES = 64
MAX_ATTRIBUTE_LENGTH = 128

_ID = re.compile(r"[A-Za-z0-9._~:-]{1,128}")
_ATTRIBUTE_KEY = re.compile(r"[a-z][a-z0-9_]{0,62}")
_DIGITS = re.compile(r"-?[0-9]{1,30}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NO_CONTROL = "must hold no control characters (U+0000 to U+001F, U+007F): write it on one line"
_UNSHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape. `kind` names it to the shell, `proto` is its type in the contract.

    `wrong(value)` is what the value should be, or None if it is sound; `write` gives canonical JSON, `read` takes what
    `json.loads` made of it, `parse` a text of somebody's file (ValueError). `sealed`: it may hold what names a person, so
    it is stored under the seller's key. `zero`: 0 is a value of its own, not the default.
    """

    kind: str
    proto: str
    wrong: Callable[[Any], str | None]
    write: Callable[[Any], str] = encode_basestring
    read: Callable[[Any], Any] = lambda value: value
    parse: Callable[[str], Any] = lambda text: text
    words: type[IntEnum] | None = None
    sealed: bool = False
    zero: bool = False


def is_id(text: str) -> bool:
    """Whether `text` is an identifier: 1 to 128 characters of `[A-Za-z0-9._~:-]`."""
    return _ID.fullmatch(text) is not None


def names(words: type[IntEnum]) -> str:
    """The words of an enumeration, as a message lists them."""
    return ", ".join(name.lower() for name in words.__members__)


def word(words: type[IntEnum], proto: str = "") -> Shape:
    """A word of an enumeration, called `proto` in the contract (default: as in `words`)."""
    known = frozenset(words)
    by_name = {member.name.lower(): member for member in words}
    written = {member: f'"{member.name.lower()}"' for member in words}

    def parse(text: str) -> IntEnum:
        if text.lower() not in by_name:
            raise ValueError(f"{text!r} is none of {names(words)}")
        return by_name[text.lower()]

    return Shape(
        "word",
        proto or words.__name__,
        lambda value: None if value in known else f"must be one of {names(words)}",
        written.__getitem__,
        by_name.__getitem__,
        parse,
        words=words,
    )


def count(most: int, least: int = 0, proto: str = "int64") -> Shape:
    """A whole number from `least` to `most`."""
    text = f"must be {least:,} to {most:,}"
    return Shape("count", proto, lambda v: None if least <= v <= most else text, int.__repr__, parse=whole_number)


def amount(most: int) -> Shape:
    """An amount of money in minor units (cents), 0 to `most`."""
    return replace(count(most), parse=minor_units)


def text(most: int, *, sealed: bool = False) -> Shape:
    """Free text of at most `most` characters, none of them a control character; `sealed` if it may name a person."""
    return Shape("text", "string", lambda value: _wrong_text(value, most), sealed=sealed)


def pattern(form: str, wrong: str) -> Shape:
    """Text of a form given by a regular expression."""
    compiled = re.compile(form)
    return Shape("text", "string", lambda value: None if compiled.fullmatch(value) else wrong)


def whole_number(text: str) -> int:
    """A whole number in a text such as `12` or `12.0`. ValueError."""
    try:
        number = float(text) if not text.lstrip("-").isdigit() else int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number") from None
    if isinstance(number, float) and not number.is_integer():  # nor is NaN, nor an infinity
        raise ValueError(f"{text!r} is not a whole number")
    return int(number)


def minor_units(text: str) -> int:
    """An amount in minor units in a text, in digits alone. ValueError.

    `1999.00` may be 1999 cents or 1999 euros, and nobody can tell: a wrong guess is wrong a hundredfold.
    """
    if not _DIGITS.fullmatch(text):
        raise ValueError(f"{text!r} is not {MINOR_UNITS}")
    return int(text)


def is_unicode(text: str) -> bool:
    """False for half a surrogate pair, which JSON can smuggle into a text and no encoding can write."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def wrong_line(value: str, most: int) -> str | None:
    """What a line that is printed as it is should be, or None: at most `most` characters, none of which moves the cursor,
    breaks the line or turns the direction of writing.
    """
    if wrong := _wrong_text(value, most):
        return wrong
    return (
        "must hold no control characters or signs that turn the direction of writing" if shown(value) != value else None
    )


def shown(text: str) -> str:
    """A text for a terminal: what would move its cursor, break the line or turn the writing is spelt by its code point."""
    return _UNSHOWN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _truth(text: str) -> bool:
    if text.lower() in ("1", "true", "yes"):
        return True
    if text.lower() in ("", "0", "false", "no"):
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def _wrong_ids(values: tuple[str, ...]) -> str | None:
    if len(values) > MAX_IDS:
        return f"has {len(values)} ids; at most {MAX_IDS}"
    return None if all(map(is_id, values)) else f"must hold ids of {ID_FORM}"


def _wrong_attributes(attributes: Mapping[str, str]) -> str | None:
    if len(attributes) > MAX_ATTRIBUTES:
        return f"has {len(attributes)} keys; at most {MAX_ATTRIBUTES}"
    for key, value in attributes.items():
        if not _ATTRIBUTE_KEY.fullmatch(key):
            return "must have keys of the form [a-z][a-z0-9_]{0,62}"
        if wrong := _wrong_text(value, MAX_ATTRIBUTE_LENGTH):
            return f"{key}: {wrong}"
    return None


def _wrong_text(value: str, most: int) -> str | None:
    if len(value) > most or not is_unicode(value):
        return f"must have at most {most} characters"
    # PostgreSQL reads no JSON that holds U+0000, and the others forge lines in logs and files.
    return _NO_CONTROL if _CONTROL.search(value) else None


_NO_ID = f"must be {ID_FORM}"
_matches = _ID.fullmatch
ID = Shape("id", "string", lambda value: None if _matches(value) else _NO_ID)
IDS = Shape(
    "ids", "string", _wrong_ids, lambda ids: _encode(list(ids)), tuple, lambda t: tuple(filter(None, t.split(" ")))
)
FLAG = Shape("flag", "bool", lambda _: None, lambda _: "true", parse=_truth)
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
ATTRIBUTES = Shape("attributes", "map<string, string>", _wrong_attributes, lambda attributes: _encode(dict(attributes)))
CURRENCY = pattern("[A-Z]{3}", "must be an ISO 4217 code such as CNY")
COUNTRY = pattern("[A-Z]{2}", "must be an ISO 3166-1 alpha-2 code such as CN")
SHA256 = pattern("[0-9a-f]{64}", "must be a SHA-256 in 64 lower-case hexadecimal digits")


@dataclass(frozen=True, slots=True)
class Stated:
    """One field of a fact: its number in the contract, its shape, and its full-sentence text.

    `column`: the column of the ledger that holds it, if it is folded or looked up. `required`: whether it must be given;
    `needed`: what is said where it is missing, if that is more than what it must be.
    """

    name: str
    number: int
    shape: Shape
    text: str
    column: str
    required: bool
    needed: str


def stated(number: int, shape: Shape, text: str, *, default: Any = MISSING, column: str = "", needed: str = "") -> Any:
    """A field of a fact, as dataclass field; `default` makes it optional."""
    metadata = {"number": number, "shape": shape, "text": text, "column": column, "needed": needed}
    if default is dict:
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


def stated_fields(fact: type) -> tuple[Stated, ...]:
    """The fields of a fact in the order of their numbers."""
    return tuple(sorted((_stated(f) for f in fields(fact)), key=lambda s: s.number))


def _stated(field: "Field[Any]") -> Stated:
    data = field.metadata
    required = field.default is MISSING and field.default_factory is MISSING
    return Stated(field.name, data["number"], data["shape"], data["text"], data["column"], required, data["needed"])
