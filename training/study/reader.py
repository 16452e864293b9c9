"""Read values out of a study's nested tables, and report all errors together."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from enum import IntEnum
from typing import Any, TypeVar

Word = TypeVar("Word", bound=IntEnum)


class Reader:
    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data
        self._wrong: list[str] = []
        self._taken: set[str] = set()

    def take(self, path: str, kind: type | tuple[type, ...], default: Any = ...) -> Any:
        """Return the value at a path (`table.key`), or the default if it is missing.

        `kind`: its allowed types; true and false are no numbers. A value that is missing, if it has no default, or that
        has the wrong type is added to the problems. The default, or else None, replaces it.
        """
        value = self._find(path)
        if value is ...:
            if default is ...:
                self._wrong.append(f"{path} is missing")
                return None
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self._wrong.append(f"{path} has the wrong type: {value!r}")
            return None if default is ... else default
        return value

    def _find(self, path: str) -> Any:
        self._taken.add(path)
        value: Any = self._data
        for part in path.split("."):
            value = value.get(part, ...) if isinstance(value, Mapping) else ...
        return value

    def is_false(self, path: str) -> bool:
        return self._find(path) is False

    def number(
        self,
        path: str,
        default: float | None,
        *,
        least: float | None = None,
        above: float | None = None,
        most: float | None = None,
        whole: bool = False,
    ) -> Any:
        """Return the number at a path, or the default if it is missing; add one out of bounds to the problems."""
        value = self.take(path, int if whole else (int, float), default)
        bounds = {"above": above, "at least": least, "at most": most}
        text = " and ".join(f"{word} {bound:,g}" for word, bound in bounds.items() if bound is not None)
        holds = value is None or (
            (least is None or value >= least) and (above is None or value > above) and (most is None or value <= most)
        )
        self.check(holds, f"{path} must be {text}")
        return value

    def positive(self, path: str, default: int | None) -> Any:
        return self.number(path, default, above=0, whole=True)

    def word(self, path: str, words: Sequence[str]) -> str:
        """Return the text at a path, by default the first of `words`; add any other text to the problems."""
        value: str = self.take(path, str, words[0])
        self.check(value in words, f"{path} must be one of {', '.join(words)}")
        return value

    def check(self, holds: bool, text: str) -> None:
        if not holds:
            self._wrong.append(text)

    def attempt(self, text: str, make: Callable[[], Any]) -> Any:
        """Return the result of `make`; on a ValueError, KeyError, TypeError or AttributeError None, and add `text` and
        the error to the problems.
        """
        try:
            return make()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._wrong.append(f"{text} ({error})")
            return None

    def problems(self) -> list[str]:
        """Return all problems so far, and each unread table or part with the most similar known one."""
        known = {path.split(".")[0] for path in self._taken}
        unknown = [(key, known) for key in self._data if key not in known]
        for key, value in self._data.items():
            if isinstance(value, Mapping) and key in known and key not in self._taken:
                parts = {path for path in self._taken if path.startswith(f"{key}.")}
                unknown += [(path, parts) for part in value if (path := f"{key}.{part}") not in parts]
        return self._wrong + [f"{key} is not a part of a study{_like(key, others)}" for key, others in unknown]


def _like(key: str, known: Iterable[str]) -> str:
    alike = get_close_matches(key, sorted(known), n=1)
    return f"; did you mean {alike[0]}?" if alike else ""


def word(words: type[Word], text: object) -> Word:
    """Return the member of an enumeration that a text names, in any case.

    Raises ValueError that lists the names.
    """
    try:
        return words[str(text).upper()]
    except KeyError:
        known = ", ".join(word.name.lower() for word in words)
        raise ValueError(f"{text!r} is none of {known}") from None
