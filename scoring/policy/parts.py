"""Parts of a file's data, read value by value. What is wrong is collected, so that one reading names it all."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NOTHING: Mapping[str, Any] = {}
MAX_TEXT = 500


class Part:
    """A table of a file. Each reader returns a value that is valid, and notes an error where the file states none."""

    def __init__(self, data: object, path: str = "", errors: list[str] | None = None) -> None:
        self.errors: list[str] = [] if errors is None else errors
        """Every error of the whole file so far: the path of a value, and what it must be."""
        self.path = path
        """The path of this part in the file, such as `standing.points`; empty for the whole."""
        self.data: Mapping[str, Any] = data if isinstance(data, Mapping) else NOTHING
        """The values that the file states in this part."""
        self._read: set[str] = set()
        self._parts: list[Part] = []

    def __contains__(self, name: str) -> bool:
        return name in self.data

    def refuse(self, name: str, text: str) -> None:
        """Note an error about the value called `name`, or about the whole part if the name is empty."""
        self._read.add(name)
        place = ".".join(filter(None, (self.path, name)))
        self.errors.append(f"{place} {text}" if place else text)

    def number(self, name: str, least: int, most: int, default: int | None = None) -> int:
        """Return a whole number from `least` to `most`; `default` where none is stated, which is else an error."""
        value = self._value(name)
        if value is None and default is not None:
            return default
        if type(value) is int and least <= value <= most:
            return value
        hint = "; state amounts in minor units, such as cents" if isinstance(value, float) and "minor" in name else ""
        self.refuse(name, f"must be a whole number, {least:,} to {most:,}{hint}")
        return least

    def text(self, name: str, least: int = 0) -> str:
        """Return a text of `least` to MAX_TEXT characters."""
        value = self._value(name)
        if isinstance(value, str) and least <= len(value) <= MAX_TEXT and value.isprintable():
            return value
        self.refuse(name, f"must be given as text of {least} to {MAX_TEXT} printable characters")
        return ""

    def flag(self, name: str) -> bool:
        """Return true or false; false where none is stated."""
        value = self._value(name)
        if isinstance(value, bool) or value is None:
            return bool(value)
        self.refuse(name, "must be true or false")
        return False

    def word(self, name: str, words: Sequence[str], default: str | None = None) -> str:
        """Return one of `words`; `default` where none is stated, which is else an error."""
        value = self._value(name)
        if value is None and default is not None:
            return default
        if isinstance(value, str) and value in words:
            return value
        self.refuse(name, f"must be one of {', '.join(words)}")
        return words[0]

    def words(self, name: str, words: Sequence[str]) -> list[str]:
        """Return a list of one or more of `words`, none twice."""
        value = self._value(name)
        if isinstance(value, list) and value and all(isinstance(v, str) and v in words for v in value):
            if len(set(value)) == len(value):
                return value
            self.refuse(name, "names one twice")
            return []
        self.refuse(name, f"must be a list of one or more of {', '.join(words)}")
        return []

    def part(self, name: str) -> "Part":
        """Return the table called `name`; an empty one, with an error, where none is stated."""
        value = self._value(name)
        if not isinstance(value, Mapping):
            self.refuse(name, "must be a table")
        return self._below(value, name)

    def list_of_parts(self, name: str, most: int) -> list["Part"]:
        """Return the tables of a list of at most `most`; none where none is stated."""
        value = self._value(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
            self.refuse(name, "must be a list of tables")
            return []
        if len(value) > most:
            self.refuse(name, f"has {len(value):,} tables; at most {most:,} are allowed")
            value = value[:most]
        return [self._below(item, f"{name}[{index}]") for index, item in enumerate(value)]

    def require_rising(self, names: Iterable[str], how: str, *, strictly: bool = True) -> None:
        """Note an error unless the numbers called `names` rise in this order, or never fall if not `strictly`."""
        values = [self.data.get(name) for name in names]
        if not all(type(value) is int for value in values):
            return  # another error names it
        if any(a > b or (strictly and a == b) for a, b in itertools.pairwise(values)):  # type: ignore[operator]
            self.refuse("", f"must {'rise' if strictly else 'never fall'} {how}")

    def skip_others(self) -> None:
        """Take all values of this part as read: those that are wrong are named already."""
        self._read.update(self.data)

    def refuse_what_is_left(self) -> None:
        """Note an error for each value that nobody has read, here and below."""
        for name in self.data:
            if name not in self._read:
                self.refuse(str(name), "is not a part of a policy")
        for part in self._parts:
            part.refuse_what_is_left()

    def _value(self, name: str) -> Any:
        self._read.add(name)
        return self.data.get(name)

    def _below(self, value: object, name: str) -> "Part":
        part = Part(value, ".".join(filter(None, (self.path, name))), self.errors)
        self._parts.append(part)
        return part
