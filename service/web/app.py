import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from scoring.entries.field_types import ID_FORM, is_id
from service.demo_cast import CAST
from service.web.answers import (
    EMBEDDED,
    EVERYWHERE,
    PAGE,
    Age,
    Pictures,
    file_endpoint,
    finish,
    language_headers,
    refuse,
)
from service.web.badges import BadgeRow, Badges, Seller
from service.web.pages import BADGE_SCRIPT, ICON, STYLESHEET, Award, record_page, shop_page
from service.web.query import MAX_SELLERS, Query, RequestWrong, read_query
from service.web.server_health import ServerHealth
from service.web.words import Wording

_PATHS = (
    "must be /badge/MARKETPLACE/SELLER.svg or .html, /badge/MARKETPLACE.json, /picture/BADGE.svg, /badge.js or /health"
)


def build_app(
    badges: Badges,
    health: ServerHealth,
    words: Mapping[str, Wording],
    report: Callable[[str], None],
    demo_marketplace: str | None = None,
    pages: Sequence[BaseRoute] = (),
) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Return the ASGI application. `report` gets a line about each unexpected error.

    With `demo_marketplace` it also has `/demo`, a shop.
    """
    routes = _BadgeRoutes(badges, words)

    async def answer_health(_: Request) -> Response:
        server = "answers" if await health.answers() else "away"
        body = f'{{"status": "serving", "server": "{server}"}}\n'
        return Response(body, headers=EVERYWHERE | {"Cache-Control": "no-store"}, media_type="application/json")

    table = [
        Route("/badge/{marketplace}/{seller}.svg", routes.answer_picture),
        Route("/badge/{marketplace}/{seller}.html", routes.answer_record),
        Route("/badge/{marketplace}.json", routes.answer_list),
        Route("/picture/{badge}.svg", routes.answer_picture_of_badge),
        Route("/badge.js", file_endpoint(BADGE_SCRIPT, "text/javascript", EMBEDDED)),
        Route("/badge.css", file_endpoint(STYLESHEET, "text/css", EMBEDDED)),
        Route("/badge.svg", file_endpoint(ICON, "image/svg+xml", EMBEDDED)),
        Route("/health", answer_health),
        *pages,
    ]
    if demo_marketplace is not None:
        table += [Route("/demo", partial(routes.answer_demo, marketplace=demo_marketplace)), Route("/", _answer_root)]
    app = Starlette(
        routes=table, exception_handlers=dict.fromkeys((HTTPException, RequestWrong, Exception), _answer_error)
    )
    app.router.redirect_slashes = False
    return _report_errors_without_traces(app, report)


class _BadgeRoutes:
    def __init__(self, badges: Badges, words: Mapping[str, Wording]) -> None:
        self._badges = badges
        self._words = words
        self._pictures = Pictures(words)

    async def answer_picture(self, request: Request) -> Response:
        query, seller = _read_query_of(request), _read_seller(request)
        row = self._badges.take_fresh(seller)
        if row is None:
            [row] = await self._badges.find([seller])
        badge = "" if row is None else row.badge
        return self._pictures.get(query.look, query.is_negotiated, badge, self._find_age(row)).respond_to(request)

    async def answer_picture_of_badge(self, request: Request) -> Response:
        query, badge = _read_query_of(request), request.path_params["badge"]
        if badge not in self._words:
            return refuse(404, "badge", f"must be one of {', '.join(self._words)}")
        return self._pictures.get(query.look, query.is_negotiated, badge, Age.CURRENT).respond_to(request)

    async def answer_list(self, request: Request) -> Response:
        query, marketplace = _read_query_of(request), request.path_params["marketplace"]
        if not 1 <= len(query.sellers) <= MAX_SELLERS:
            raise RequestWrong("seller", f"must be given 1 to {MAX_SELLERS} times")
        _require_ids(("marketplace", marketplace), *(("seller", seller) for seller in query.sellers))
        rows = await self._find_rows(marketplace, query.sellers)
        language = query.look.language
        badges = {
            seller: {
                "badge": row.badge,
                "label": self._words[row.badge].labels[language],
                "page": f"badge/{marketplace}/{seller}.html?lang={language}",
            }
            for seller, row in rows.items()
            if row is not None and row.badge in self._words
        }
        ages = {self._find_age(row) for row in rows.values()}
        age = next(age for age in (Age.UNKNOWN, Age.OLD, Age.CURRENT) if age in ages)
        headers = EMBEDDED | {"Cache-Control": age.value} | language_headers(language, query.is_negotiated)
        body = json.dumps({"language": language, "badges": badges}, ensure_ascii=False) + "\n"
        return finish(body.encode(), "application/json", headers).respond_to(request)

    async def answer_record(self, request: Request) -> Response:
        query, seller = _read_query_of(request), _read_seller(request)
        rows = await self._find_rows(seller[0], [seller[1]])
        award, age = self._make_award(seller, rows[seller[1]]), self._find_age(rows[seller[1]])
        return _respond_with_page(record_page(award, query.look.language), query, age.value, request)

    async def answer_demo(self, request: Request, marketplace: str) -> Response:
        query = _read_query_of(request)
        rows = await self._find_rows(marketplace, [member.seller for member in CAST])
        awards = {name: self._make_award((marketplace, name), row) for name, row in rows.items()}
        return _respond_with_page(shop_page(awards, self._words, query.look.language), query, "no-store", request)

    async def _find_rows(self, marketplace: str, names: Sequence[str]) -> dict[str, BadgeRow | None]:
        rows = {name: self._badges.take_fresh((marketplace, name)) for name in names}
        missing = [name for name, row in rows.items() if row is None]
        if missing:
            read_rows = await self._badges.find([(marketplace, name) for name in missing])
            rows.update(zip(missing, read_rows, strict=True))
        return rows

    def _make_award(self, seller: Seller, row: BadgeRow | None) -> Award | None:
        if row is None or row.badge not in self._words:
            return None
        marketplace, name = seller
        return Award(marketplace, name, row.badge, self._words[row.badge], row.as_of_time)

    def _find_age(self, row: BadgeRow | None) -> Age:
        if row is None:
            return Age.UNKNOWN
        return Age.CURRENT if self._badges.is_current(row) else Age.OLD


def _read_query_of(request: Request) -> Query:
    return read_query(request.scope["query_string"], request.headers.get("accept-language", ""))


def _read_seller(request: Request) -> Seller:
    marketplace, seller = request.path_params["marketplace"], request.path_params["seller"]
    _require_ids(("marketplace", marketplace), ("seller", seller))
    return marketplace, seller


def _require_ids(*fields: tuple[str, str]) -> None:
    for field, value in fields:
        if not is_id(value):
            raise RequestWrong(field, f"must be {ID_FORM}")


def _respond_with_page(html: str, query: Query, caching: str, request: Request) -> Response:
    headers = PAGE | {"Cache-Control": caching} | language_headers(query.look.language, query.is_negotiated)
    return finish(html.encode(), "text/html", headers).respond_to(request)


async def _answer_root(_: Request) -> Response:
    """Redirect by path, never by the request's host."""
    return Response(status_code=307, headers=EVERYWHERE | {"Cache-Control": "no-store", "Location": "/demo"})


async def _answer_error(_: Request, error: Exception) -> Response:
    match error:
        case RequestWrong():
            return refuse(400, error.field, error.problem)
        case HTTPException(status_code=405):
            return refuse(405, "method", "must be GET or HEAD", {"Allow": "GET, HEAD"})
        case HTTPException():
            return refuse(error.status_code, "path", _PATHS)
    return refuse(500, "server", "has failed; try again")


def _report_errors_without_traces(
    app: Starlette, report: Callable[[str], None]
) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    async def answer_or_report(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 whatever it is, a trace could hold ids
            report(f"a request failed: {type(error).__name__}")

    return answer_or_report
