"""The finished responses of the badge server. There are few, so each is made once, with its headers."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.responses import Response

from service.web.drawing import NOTHING_SVG, draw_json, draw_svg
from service.web.languages import LANGUAGES
from service.web.words import Wording

KNOWN_CACHING = "public, max-age=60, stale-while-revalidate=300, stale-if-error=86400"
"""For what the server answered. Caches show a badge that was taken back for 6 minutes at most while they can ask."""
UNKNOWN_CACHING = "public, max-age=5"
"""For sellers about whom no answer came."""

EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
"""Headers of every response."""
EMBEDDED = EVERYWHERE | {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
"""Headers of what pages of others show: nobody's cookies are asked for, and nothing in it is of one reader."""

MEDIA_TYPES = {"svg": "image/svg+xml", "json": "application/json"}


@dataclass(frozen=True)
class Finished:
    """A response, and what is answered to those who have it already."""

    whole: Response
    unchanged: Response
    etag: str

    def to(self, if_none_match: str) -> Response:
        """Return the response for a request's If-None-Match, which is empty if it has none."""
        if if_none_match and (if_none_match.strip() == "*" or self.etag in if_none_match):
            return self.unchanged
        return self.whole


def finish(body: bytes, media_type: str, headers: Mapping[str, str]) -> Finished:
    """Return the finished response of a body, with an ETag of its bytes."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    tagged = {**headers, "ETag": etag}
    return Finished(
        Response(body, headers=tagged, media_type=media_type), Response(status_code=304, headers=tagged), etag
    )


class BadgeAnswers:
    """Every response about a badge, by form, language, whether that was negotiated, and badge.

    A seller without a badge has one and the same response, whyever that is. A badge without words counts as none.
    """

    def __init__(self, words: Mapping[str, Wording]) -> None:
        self._words = words
        self._made = {
            (form, language, is_negotiated, badge, is_known): self._make(form, language, is_negotiated, badge, is_known)
            for form in MEDIA_TYPES
            for language in LANGUAGES
            for is_negotiated in (False, True)
            for badge, is_known in [(None, False), *((badge, True) for badge in (None, *words))]
        }

    def of(self, form: str, language: str, is_negotiated: bool, badge: str | None) -> Finished:
        """Return the response for a badge; None: no answer came.

        `is_negotiated`: whether the language follows from Accept-Language, which caches have to know.
        """
        shown = badge if badge in self._words else None
        return self._made[form, language, is_negotiated, shown, badge is not None]

    def _make(self, form: str, language: str, is_negotiated: bool, badge: str | None, is_known: bool) -> Finished:
        wording = None if badge is None else self._words[badge]
        if form == "json":
            body = draw_json(badge, wording, language)
        else:
            body = NOTHING_SVG if wording is None else draw_svg(wording, language)
        headers = EMBEDDED | {
            "Cache-Control": KNOWN_CACHING if is_known else UNKNOWN_CACHING,
            "Content-Language": language,
        }
        if is_negotiated:
            headers["Vary"] = "Accept-Language"
        return finish(body, MEDIA_TYPES[form], headers)


def refuse(status: int, field: str, problem: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a refusal as JSON that names the wrong part of the request and what it must be.

    No cache keeps it.
    """
    body = json.dumps({"error": {"field": field, "problem": problem}}) + "\n"
    stated = EMBEDDED | {"Cache-Control": "no-store"} | dict(headers or {})
    return Response(body, status_code=status, headers=stated, media_type="application/json")
