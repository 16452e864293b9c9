"""The routes of the badge server."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from scoring.entries.field_types import ID_FORM, is_id
from service.web.answers import EMBEDDED, EVERYWHERE, BadgeAnswers, finish, refuse
from service.web.badges import Badges
from service.web.demo import Demo
from service.web.languages import LANGUAGES, accepted_language, match_language
from service.web.script import BADGE_SCRIPT
from service.web.server_health import ServerHealth
from service.web.words import Wording

_MAX_QUERY_BYTES = 512
"""Bytes of a query that are read; `lang` is all that there is to ask."""

Endpoint = Callable[[Request], Awaitable[Response]]


def build_app(
    badges: Badges,
    health: ServerHealth,
    words: Mapping[str, Wording],
    report: Callable[[str], None],
    marketplace: str,
    demo_sellers: Sequence[str] = (),
) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Return the ASGI application of the badge server.

    `report` is given a line about what nobody has foreseen. With `demo_sellers`, of `marketplace`, it has a page `/demo`
    too, a checkout with their badges.
    """
    answers = BadgeAnswers(words)
    script = finish(
        BADGE_SCRIPT, "text/javascript", EMBEDDED | {"Cache-Control": "public, max-age=300, stale-if-error=86400"}
    )

    async def answer_script(request: Request) -> Response:
        return script.to(request.headers.get("if-none-match", ""))

    async def answer_health(_: Request) -> Response:
        server = "answers" if await health.answers() else "away"
        body = f'{{"status": "serving", "server": "{server}"}}\n'
        return Response(body, headers=EVERYWHERE | {"Cache-Control": "no-store"}, media_type="application/json")

    routes = [
        Route("/badge/{marketplace}/{seller}.svg", _badge_endpoint(badges, answers, "svg")),
        Route("/badge/{marketplace}/{seller}.json", _badge_endpoint(badges, answers, "json")),
        Route("/badge.js", answer_script),
        Route("/health", answer_health),
    ]
    if demo_sellers:
        demo = Demo(marketplace, demo_sellers)
        routes += [Route(path, _demo_endpoint(demo, path)) for path in demo.paths]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _refuse_request, Exception: _fail})
    app.router.redirect_slashes = False  # a redirect would name the host that the request states
    return _without_traces(app, report)


def wanted_language(request: Request) -> tuple[str, bool]:
    """Return the language for a request, and whether it was negotiated by Accept-Language.

    `?lang=` decides alone, where it names a language of any kind; one that is not ours is answered in the first of ours.
    """
    query: bytes = request.scope["query_string"]
    if query:
        stated = parse_qs(query[:_MAX_QUERY_BYTES].decode("latin-1")).get("lang")
        if stated:
            return match_language(stated[0]) or LANGUAGES[0], False
    return accepted_language(request.headers.get("accept-language", "")), True


def _badge_endpoint(badges: Badges, answers: BadgeAnswers, form: str) -> Endpoint:
    """Return the function that answers with badges in a form, `svg` or `json`."""

    async def answer_badge(request: Request) -> Response:
        marketplace, name = request.path_params["marketplace"], request.path_params["seller"]
        for field, value in (("marketplace", marketplace), ("seller", name)):
            if not is_id(value):
                return refuse(400, field, f"must be {ID_FORM}")
        language, is_negotiated = wanted_language(request)
        seller = (marketplace, name)
        badge = badges.kept(seller)
        if badge is None:
            badge = await badges.find(seller)
        return answers.of(form, language, is_negotiated, badge).to(request.headers.get("if-none-match", ""))

    return answer_badge


def _demo_endpoint(demo: Demo, path: str) -> Endpoint:
    """Return the function that answers with one file of the demo."""

    async def answer_demo(request: Request) -> Response:
        return demo.response(path, *wanted_language(request))

    return answer_demo


async def _refuse_request(_: Request, error: Exception) -> Response:
    """Return the refusal of a path that is none, or of a method that it has not."""
    assert isinstance(error, HTTPException)  # noqa: S101 Starlette hands over what the table of handlers names
    if error.status_code == 405:
        return refuse(405, "method", "must be GET or HEAD", {"Allow": "GET, HEAD"})
    return refuse(error.status_code, "path", "must be /badge/MARKETPLACE/SELLER.svg or .json, /badge.js or /health")


async def _fail(_request: Request, _error: Exception) -> Response:
    """Return the response where this program has failed."""
    return refuse(500, "server", "has failed; try again")


def _without_traces(app: Starlette, report: Callable[[str], None]) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Return the application with an end for what nobody has foreseen.

    Its kind is reported, its text shown to nobody. Starlette has answered by then (`_fail`).
    """

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 whatever it is, a trace could hold ids
            report(f"a request failed: {type(error).__name__}")

    return guarded
