"""Parts of a file's data, read value by value. One reading names all errors.

A dataclass declares by its fields what a part states (`whole`, `optional_text`, `stated`); `read_fields` reads it.
"""

import itertools
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, field, fields
from difflib import get_close_matches
from typing import Any, TypeVar

from scoring.base.enums import WordEnum
from scoring.base.time import parse_day

NOTHING: Mapping[str, Any] = {}
MAX_TEXT = 500
MAX_SHOWN = 40
MAX_NAME = 64
MAX_NAMED = 6

T = TypeVar("T")
Member = TypeVar("Member", bound=WordEnum)


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML from outside; raise ValueError, also for deep nesting and for numbers of thousands of digits."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        problem, _, place = str(error).rpartition(" (at ")
        if problem.startswith(("Cannot overwrite", "Cannot declare")):
            raise ValueError(f"a name is stated twice; state it once (at {place}") from None
        raise
    except ValueError:
        raise ValueError("a number has too many digits") from None


class Part:
    """A table of a file.

    A missing value gives `default`. Without it, or for a wrong value, an error is noted and the least number, first
    word or empty value returned.
    """

    def __init__(self, data: object, path: str = "", errors: list[str] | None = None, whole: str = "a policy") -> None:
        self.is_missing = not isinstance(data, Mapping)
        """Whether the table is missing. That is one error; no value in the table is another."""
        self.errors: list[str] = [] if errors is None else errors
        """Every error of the whole file so far: the path of a value, and what it must be."""
        self.path = path
        """The path of this part in the file, such as `standing.points`; empty for the whole."""
        self.whole = whole
        """The file's name in errors."""
        self.data: Mapping[str, Any] = data if isinstance(data, Mapping) else NOTHING
        self._read: set[str] = set()
        self._known: set[str] = set()
        self._parts: list[Part] = []

    def __contains__(self, name: str) -> bool:
        self._known.add(name)
        return name in self.data

    def refuse(self, name: str, text: str) -> None:
        """Note the error `PATH.NAME text`, unless this part is missing."""
        self._read.add(name)
        if self.is_missing:
            return
        path = ".".join(filter(None, (self.path, name)))
        if not path.isprintable():
            path = repr(path)[1:-1]
        self.errors.append(f"{path} {text}" if path else text)

    def number(self, name: str, least: int, most: int, default: int | None = None) -> int:
        """Read a whole number from `least` to `most`; a missing one gives `default`, a wrong one an error and `least`."""
        value = self.value(name)
        if value is None and default is not None:
            return default
        if type(value) is int and least <= value <= most:
            return value
        is_amount = isinstance(value, float | str) and name.endswith("_minor")
        hint = '; write minor units, such as cents, or "100.00 EUR" in the policy\'s currency' if is_amount else ""
        self.refuse(name, f"must be a whole number, {least:,} to {most:,}{self._describe_stated(name)}{hint}")
        return least

    def decimal(self, name: str, least: float, most: float, default: float) -> float:
        """Read a number, also with a fraction; defaults and errors as of `number`."""
        value = self.value(name)
        if value is None:
            return default
        if type(value) in (int, float) and least <= value <= most:
            return float(value)
        bounds = " to ".join(f"{bound:,f}".rstrip("0").rstrip(".") for bound in (least, most))
        self.refuse(name, f"must be left out, or a number, {bounds}{self._describe_stated(name)}")
        return least

    def text(self, name: str, least: int = 0) -> str:
        """Read a text of at most MAX_TEXT printable characters; return it with the spaces at its ends.

        Without those it has at least `least`. A wrong or missing text is noted as an error, even with `least` 0, and
        gives "".
        """
        value = self.value(name)
        if isinstance(value, str) and least <= len(value.strip()) and len(value) <= MAX_TEXT and value.isprintable():
            return value
        self.refuse(
            name, f"must be given as text of {least} to {MAX_TEXT} printable characters{self._describe_stated(name)}"
        )
        return ""

    def code(self, name: str, pattern: re.Pattern[str], what: str) -> str:
        """Read a text that `pattern` matches in full. `what`: names it in the error."""
        value = self.value(name)
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        self.refuse(name, f"must be {what}{self._describe_stated(name)}")
        return ""

    def day(self, name: str) -> int:
        """Read a date `YYYY-MM-DD`, stated as text; return it in days since 1970-01-01, after an error 0."""
        value = self.value(name)
        try:
            return parse_day(value if isinstance(value, str) else "")
        except ValueError:
            self.refuse(name, f'must be a date in quotation marks, such as "2026-11-01"{self._describe_stated(name)}')
            return 0

    def flag(self, name: str) -> bool:
        """Read true or false, by default false."""
        value = self.value(name)
        if isinstance(value, bool) or value is None:
            return bool(value)
        self.refuse(name, f"must be true or false{self._describe_stated(name)}")
        return False

    def word(self, name: str, words: Sequence[str], default: str | None = None) -> str:
        """Read one of `words`; a missing one gives `default`, a wrong one an error and the first."""
        value = self.value(name)
        if value is None and default is not None:
            return default
        if isinstance(value, str) and value in words:
            return value
        self.refuse(name, f"must be one of {', '.join(words)}{self._describe_stated(name)}")
        return words[0]

    def words(self, name: str, words: Sequence[str]) -> list[str]:
        """Read a list of one or more different `words`."""
        words_read = self.names(name, words.__contains__, ", ".join(words))
        if twice := next((one for one in words_read if words_read.count(one) > 1), None):
            self.refuse(name, f"names {_show_value(twice)} twice")
        return words_read

    def names(self, name: str, is_name: Callable[[str], bool], what: str) -> list[str]:
        """Read a list of one or more texts; leave out those that `is_name` refuses. `what`: names them in the error."""
        value = self.value(name)
        items = value if isinstance(value, list) else []
        texts = [item for item in items if isinstance(item, str) and is_name(item)]
        if not texts or len(texts) < len(items):
            wrong = next((item for item in items if item not in texts), None)
            stated = self._describe_stated(name) if wrong is None else f", not {_show_value(wrong)}"
            self.refuse(name, f"must be a list of one or more of {what}{stated}")
        return texts

    def member(self, name: str, members: Iterable[Member], default: Member | None = None) -> Member:
        """Read one of an enumeration's members by its name in lower case; defaults and errors as of `word`."""
        by_name = {member.word: member for member in members}
        return by_name[self.word(name, [*by_name], None if default is None else default.word)]

    def members(self, name: str, members: Iterable[Member]) -> frozenset[Member]:
        """Read one or more different enumeration members by their lower-case names."""
        by_name = {member.word: member for member in members}
        return frozenset(by_name[word] for word in self.words(name, [*by_name]))

    def span(self, most_days: int) -> tuple[int, int]:
        """Read the first and the last day of a span, `from` and `until`; (0, -1) if one is no day."""
        noted = len(self.errors)
        first, last = self.day("from"), self.day("until")
        if len(self.errors) > noted:
            return 0, -1
        if last < first:
            self.refuse("until", "lies before from")
        elif last - first >= most_days:
            self.refuse("until", f"must be within {most_days} days, from and until included")
        return first, last

    def texts(self, name: str) -> list[str]:
        """Read a list of texts, which may be empty but not missing."""
        value = self.value(name)
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return value
        self.refuse(name, "must be a list of texts")
        return []

    def part(self, name: str) -> "Part":
        """Return a table within this part; note an error if there is none."""
        value = self.value(name)
        if not isinstance(value, Mapping):
            self.refuse(name, f"must be a table{self._describe_stated(name)}")
        return self._make_part(value, name)

    def optional_part(self, name: str) -> "Part":
        """Return a table within this part, empty if missing."""
        return self.part(name) if name in self else self._make_part({}, name)

    def list_of_parts(self, name: str, most: int, named_by: str = "") -> list["Part"]:
        """Read a list of at most `most` tables, by default none; after an error the first `most`.

        Errors name a table by its value `named_by`, such as `rules[newcomers]`, if unique; else by index.
        """
        value = self.value(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
            self.refuse(name, "must be a list of tables")
            return []
        if len(value) > most:
            self.refuse(name, f"has {len(value):,} tables; at most {most:,} are allowed")
            value = value[:most]
        names = [item.get(named_by) for item in value]
        return [
            self._make_part(item, f"{name}[{shown if _is_name(shown) and names.count(shown) == 1 else index}]")
            for index, (item, shown) in enumerate(zip(value, names, strict=True))
        ]

    def require_rising(self, names: Iterable[str], how: str, *, strictly: bool = True) -> None:
        """Note an error unless the numbers under `names` rise, or never fall if `strictly` is false.

        `how`: the end of the message. Values that are no whole numbers are skipped: another error names them.
        """
        values = [self.data.get(name) for name in names]
        if not all(type(value) is int for value in values):
            return  # another error names it
        if any(a > b or (strictly and a == b) for a, b in itertools.pairwise(values)):  # type: ignore[operator]
            self.refuse("", f"must {'rise' if strictly else 'never fall'} {how}")

    def skip_others(self) -> None:
        """Accept all other values of this part unread."""
        self._read.update(self.data)

    def refuse_what_is_left(self) -> None:
        """Note an error for each unread value, also in parts within."""
        for name in [str(name) for name in self.data if name not in self._read]:
            known_names = sorted(self._read | self._known)
            remedy = ""
            if alike := get_close_matches(name, known_names, n=1):
                remedy = f"; did you mean {alike[0]}?"
            elif self.path and 0 < len(known_names) <= MAX_NAMED:
                remedy = f"; {self.path} has {', '.join(known_names)}"
            self.refuse(name, f"is not a part of {self.whole}{remedy}")
        for part in self._parts:
            part.refuse_what_is_left()

    def value(self, name: str) -> Any:
        """Return a value unchecked, and count it as read; None if missing."""
        self._read.add(name)
        return self.data.get(name)

    def _describe_stated(self, name: str) -> str:
        return f", not {_show_value(self.data[name])}" if name in self.data else "; it is missing"

    def _make_part(self, value: object, name: str) -> "Part":
        part = Part(value, ".".join(filter(None, (self.path, name))), self.errors, self.whole)
        self._parts.append(part)
        return part


def stated(read: Callable[[Part, str], Any], default: Any = MISSING) -> Any:
    """Return a dataclass field that `read_fields` fills by `read(part, name)`; a part may leave one with a default out."""
    return field(default=default, metadata={"read": read})


def whole(least: int, most: int, default: Any = MISSING) -> Any:
    return stated(lambda part, name: part.number(name, least, most), default)


def member_of(members: Iterable[WordEnum], default: WordEnum | None = None) -> Any:
    return stated(lambda part, name: part.member(name, members, default))


def optional_text() -> Any:
    return stated(lambda part, name: part.text(name, 1), "")


def read_fields(kind: type[T], part: Part, **known: Any) -> T:
    """Return a `kind` with its fields of `stated` read; `known`: the other fields."""
    declared = [f for f in fields(kind) if f.name not in known and "read" in f.metadata]  # type: ignore[arg-type]
    present = [f for f in declared if f.name in part or f.default is MISSING]
    return kind(**known, **{f.name: f.metadata["read"](part, f.name) for f in present})


def _show_value(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            text = f'"{value}"' if value.isprintable() else repr(value)
        case Mapping():
            return "a table"
        case list():
            return "a list"
        case _:
            text = str(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable() and "]" not in value
