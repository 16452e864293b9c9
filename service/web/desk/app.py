"""The desk: pages for the marketplace's staff, a plain client of the service."""

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sellertrust.client import Client
from service.web.desk.seller_file import SellerPages
from service.web.desk.staff import CodeSignIn, ProxySignIn
from service.web.frame.files import file_routes
from service.web.frame.rendering import redirect, render
from service.web.frame.visits import Problem, Site, Visitor

SignIn = CodeSignIn | ProxySignIn


def build_desk(sign_in: SignIn, client: Client, marketplace: str, report: Callable[[str], None]) -> Starlette:
    """Return the desk's ASGI application. `report` gets a line about each unexpected error."""
    site = Site(sign_in.identify, sign_in.sign_in, report)
    sellers = SellerPages(marketplace)
    routes = [
        *file_routes(),
        site.route("/", lambda _: redirect("/search")),
        site.route("/search", sellers.search),
        site.route("/sellers/{seller}", sellers.show),
    ]
    if isinstance(sign_in, CodeSignIn):
        routes += _sign_in_routes(site, sign_in, client, report)
    app = Starlette(routes=routes, exception_handlers={HTTPException: _refuse})
    app.router.redirect_slashes = False
    return app


def _sign_in_routes(site: Site, sign_in: CodeSignIn, client: Client, report: Callable[[str], None]) -> list[Route]:
    everybody = Site(lambda _: Visitor("", "", client), sign_in.sign_in, report)
    return [
        everybody.route("/sign-in", sign_in.page, ("GET", "POST")),
        site.route("/sign-out", sign_in.end, ("POST",)),
    ]


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 Starlette hands over what the table of handlers names
    problem = Problem(error.status_code, "There is no such page", "Check the address, or begin at the start page.")
    if error.status_code == 405:
        problem = Problem(405, "This page takes no form", "Open the page again and send the form from there.")
    return render("problem.html", error.status_code, problem=problem, visitor=None, csrf="", path=request.url.path)
