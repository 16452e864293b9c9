"""Which of our languages a reader wants, by `?lang=` or the header Accept-Language."""

from functools import lru_cache

LANGUAGES = ("en", "zh")
"""The languages of badges; the first one is for readers of any other."""

_MAX_HEADER = 256
"""Characters of a header that are read: browsers send some 30."""


def match_language(tag: str) -> str | None:
    """Return our language of a language tag, such as `zh` for `zh-Hant-TW`; None for any other."""
    primary = tag.strip().lower().partition("-")[0]
    return primary if primary in LANGUAGES else None


@lru_cache(maxsize=512)
def accepted_language(header: str) -> str:
    """Return the language of the largest weight in an Accept-Language header.

    `accepted_language("fr, zh-CN;q=0.9, en;q=0.8") == "zh"`. The first one named of equal weights; a malformed part, one of
    weight 0, and what stands beyond 256 characters count for nothing.
    """
    best, weight = LANGUAGES[0], 0.0
    for part in header[:_MAX_HEADER].split(","):
        tag, _, parameter = part.partition(";")
        language, stated = match_language(tag), _weight(parameter)
        if language is not None and stated > weight:
            best, weight = language, stated
    return best


def _weight(parameter: str) -> float:
    """Return the weight of a part of the header.

    1 if it states none, 0 if what it states is no weight.
    """
    name, _, value = parameter.partition("=")
    if not name.strip():
        return 1.0
    try:
        stated = float(value)
    except ValueError:
        return 0.0
    return stated if name.strip() == "q" and 0 <= stated <= 1 else 0.0
