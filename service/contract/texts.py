import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

from scoring.base.errors import invalid
from scoring.base.time import DAY, format_day

DEFAULT_LANGUAGE = "en"


@cache
def read_catalogue() -> dict[str, dict[str, Any]]:
    """Return the sentences of answers by language, such as `en`."""
    return tomllib.loads(files(__package__).joinpath("texts.toml").read_text(encoding="utf-8"))


class Texts:
    """The sentences of one language. Raises InvalidInput for a language that the catalogue lacks."""

    def __init__(self, language: str) -> None:
        catalogue = read_catalogue()
        self.language = language or DEFAULT_LANGUAGE
        if self.language not in catalogue:
            raise invalid("language", f"{language!r} is missing in the catalogue; use {' or '.join(catalogue)}")
        self._sentences = catalogue[self.language]

    def say(self, key: str, **values: object) -> str:
        """Return a sentence with `values` filled in; `key`: such as `score` or `reason.FEW_ORDERS`."""
        part_of_catalogue: Any = self._sentences
        for part in key.split("."):
            part_of_catalogue = part_of_catalogue[part]
        return str(part_of_catalogue).format(**values)

    def say_day(self, time: int) -> str:
        """Return the UTC day of a time in microseconds in words, such as `2 April 2026`."""
        year, month, day = map(int, day_text(time).split("-"))
        return self.say("date", year=year, month=self.say("months").split()[month - 1], day=day)

    def join(self, sentences: Iterable[str]) -> str:
        """Join sentences, in Chinese without blanks."""
        return ("" if self.language == "zh" else " ").join(sentences)

    def has(self, key: str) -> bool:
        """Return whether the language has a sentence for a key such as `badge.trusted`."""
        table, _, name = key.rpartition(".")
        return name in (self._sentences[table] if table else self._sentences)


def day_text(time: int) -> str:
    """Return the UTC day of a time in microseconds: `2026-04-02`."""
    return format_day(time // DAY)
