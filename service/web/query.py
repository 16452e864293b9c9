from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qs

from service.web.drawing import COLOURS, FORMS, SIZES, BadgeLook
from service.web.languages import LANGUAGES, accepted_language, match_language

MAX_SELLERS = 50
"""The longest list: this many of the longest ids fit into a request's head."""
_SHORT = 128

_ALLOWED = {"size": [str(size) for size in SIZES], "theme": list(COLOURS), "form": list(FORMS)}


@dataclass(eq=False)
class RequestWrong(Exception):
    field: str
    problem: str


class Query(NamedTuple):
    look: BadgeLook
    is_negotiated: bool
    """Whether the language follows from Accept-Language."""
    sellers: tuple[str, ...]


def read_query(query: bytes, accept_language: str) -> Query:
    """Return what a request of a badge asks. Raises RequestWrong, which names the field."""
    if len(query) + len(accept_language) <= _SHORT:
        return _read_short(query, accept_language)
    return _parse_query(query, accept_language)


def _parse_query(query: bytes, accept_language: str) -> Query:
    try:
        fields = parse_qs(query.decode("latin-1"), max_num_fields=MAX_SELLERS + 8)
    except ValueError:
        raise RequestWrong("seller", f"must be given 1 to {MAX_SELLERS} times") from None
    for field, allowed in _ALLOWED.items():
        if field in fields and fields[field][0] not in allowed:
            raise RequestWrong(field, f"must be {', '.join(allowed[:-1])} or {allowed[-1]}")
    language_field = fields.get("lang")
    language = (
        match_language(language_field[0]) or LANGUAGES[0] if language_field else accepted_language(accept_language)
    )
    default_look = BadgeLook()
    look = BadgeLook(
        language,
        int(fields.get("size", [default_look.size])[0]),
        fields.get("theme", [default_look.theme])[0],
        fields.get("form", [default_look.form])[0],
    )
    return Query(look, not language_field, tuple(dict.fromkeys(fields.get("seller", ()))))


_read_short = lru_cache(maxsize=1_024)(_parse_query)
