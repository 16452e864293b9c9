import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache

from starlette.requests import Request
from starlette.responses import Response

from service.web.drawing import BadgeLook, draw_badge, draw_nothing
from service.web.words import Wording


class Age(Enum):
    """With the directive for caches.

    Caches show a withdrawn badge for at most 6 minutes, an hour while they cannot ask, and keep no older one.
    """

    CURRENT = "public, max-age=60, stale-while-revalidate=300, stale-if-error=3600"
    OLD = "public, max-age=60"
    UNKNOWN = "public, max-age=5"


EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
"""Headers of every response."""
EMBEDDED = EVERYWHERE | {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
"""Other pages embed it, so it has no cookies and is equal for all readers."""
PAGE = EVERYWHERE | {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
}
"""The pages load our pictures and stylesheet, and run no script."""


_FILES = "public, max-age=300, stale-if-error=86400"
"""For files that concern no seller."""


@dataclass(frozen=True)
class FinishedResponse:
    """A response, and status 304 for readers who have it."""

    whole: Response
    unchanged: Response
    etag: str

    def respond_to(self, request: Request) -> Response:
        """Return the response; a 304 if the header If-None-Match has our ETag or `*`."""
        etags = request.headers.get("if-none-match", "")
        return self.unchanged if etags.strip() == "*" or self.etag in etags else self.whole


def finish(body: bytes, media_type: str, headers: Mapping[str, str]) -> FinishedResponse:
    """Make a response with an ETag of the body, and the 304 for readers who have it."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    tagged = {**headers, "ETag": etag}
    return FinishedResponse(
        Response(body, headers=tagged, media_type=media_type), Response(status_code=304, headers=tagged), etag
    )


def file_endpoint(body: bytes, media_type: str, headers: Mapping[str, str]) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that serves these bytes; caches keep them for five minutes."""
    finished = finish(body, media_type, {**headers, "Cache-Control": _FILES})

    async def answer_file(request: Request) -> Response:
        return finished.respond_to(request)

    return answer_file


def language_headers(language: str, is_negotiated: bool) -> dict[str, str]:
    """Return the headers of a language; caches then keep one answer each if it was negotiated."""
    return {"Content-Language": language} | ({"Vary": "Accept-Language"} if is_negotiated else {})


class Pictures:
    """Pictures by look, whether its language was negotiated, badge and age. Each is made once."""

    def __init__(self, words: Mapping[str, Wording]) -> None:
        self._words = words
        self._make_once = cache(self._make)

    def get(self, look: BadgeLook, is_negotiated: bool, badge: str, age: Age) -> FinishedResponse:
        """Return a badge's picture; one and the same empty picture for a badge without words."""
        return self._make_once(look, is_negotiated, badge if badge in self._words else None, age)

    def _make(self, look: BadgeLook, is_negotiated: bool, badge: str | None, age: Age) -> FinishedResponse:
        if badge is None:
            drawn = draw_nothing(look)
        else:
            wording = self._words[badge]
            drawn = draw_badge(wording.mark, wording.labels[look.language], look)
        headers = EMBEDDED | {"Cache-Control": age.value} | language_headers(look.language, is_negotiated)
        return finish(drawn.encode(), "image/svg+xml", headers)


def refuse(status: int, field: str, problem: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return an error as JSON: `{"error": {"field": ..., "problem": ...}}`."""
    body = json.dumps({"error": {"field": field, "problem": problem}}) + "\n"
    all_headers = EMBEDDED | {"Cache-Control": "no-store"} | dict(headers or {})
    return Response(body, status_code=status, headers=all_headers, media_type="application/json")
