from datetime import date
from functools import lru_cache

from starlette.requests import Request

LANGUAGES = ("en", "zh")
"""The first one is the default."""

_MAX_HEADER = 256
"""Browsers send about 30 characters."""


def match_language(tag: str) -> str | None:
    """Return our language for a language tag, such as `zh` for `zh-Hant-TW`, or None."""
    primary = tag.strip().lower().partition("-")[0]
    return primary if primary in LANGUAGES else None


def language_of(request: Request) -> str:
    """Return the reader's language, from `?lang=`, else the header Accept-Language, else `en`."""
    language = match_language(request.query_params.get("lang", ""))
    return language or accepted_language(request.headers.get("accept-language", ""))


def day_in(language: str, day: date) -> str:
    """Return a day such as `3 July 2026` or `2026年7月3日`."""
    return f"{day.year}年{day.month}月{day.day}日" if language == "zh" else f"{day.day} {day:%B %Y}"


def month_in(language: str, month: date, *, with_year: bool) -> str:
    """Return a month such as `Jul` or `7月`, `with_year` such as `Jul 2026` or `2026年7月`."""
    if language == "zh":
        return f"{month.year}年{month.month}月" if with_year else f"{month.month}月"
    return f"{month:%b %Y}" if with_year else f"{month:%b}"


@lru_cache(maxsize=512)
def accepted_language(header: str) -> str:
    """Return the language with the largest weight in an Accept-Language header; the first of equal weights.

    `accepted_language("fr, zh-CN;q=0.9, en;q=0.8") == "zh"`. Malformed parts, weight 0 and text beyond 256 characters
    are ignored.
    """
    best, weight = LANGUAGES[0], 0.0
    for part in header[:_MAX_HEADER].split(","):
        tag, _, parameter = part.partition(";")
        language, stated_weight = match_language(tag), _parse_weight(parameter)
        if language is not None and stated_weight > weight:
            best, weight = language, stated_weight
    return best


def _parse_weight(parameter: str) -> float:
    name, _, value = parameter.partition("=")
    if not name.strip():
        return 1.0
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return weight if name.strip() == "q" and 0 <= weight <= 1 else 0.0
