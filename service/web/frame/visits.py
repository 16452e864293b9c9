"""Pages run in threads and raise; `Site` turns errors into pages."""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qs

import grpc
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from scoring.base.errors import SellertrustError
from sellertrust.client import Client
from sellertrust.errors import SellertrustCallError
from sellertrust.machine import is_loopback_host
from service.web.frame.rendering import FOLDER, HEADERS, moment, read_texts, render
from service.web.recent import Recent

MAX_FORM_BYTES = 256 << 10
MAX_FIELDS = 400
PAGE = 30
MAX_KEPT_PAGES = 200
"""Last good pages, shown while the service does not answer."""
MAX_SESSIONS = 10_000
KEPT_MARK = "<!-- kept -->"
T = TypeVar("T")
_PROBLEMS = read_texts(FOLDER, "problems.toml")
WAITING = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


class Visitor(NamedTuple):
    key: str
    """Forms are bound to it; empty for a reader without a sign-in."""
    actor: str
    """The pseudonym that entries state."""
    client: Client
    person: str = ""
    """The same at each sign-in; empty for the process itself."""


@dataclass(eq=False)
class Problem(Exception):
    status: int
    title: str
    text: str
    fields: Sequence[tuple[str, str]] = ()


class SignInNeeded(Exception):
    pass


def is_for_this_machine(request: Request) -> bool:
    """Return whether its Host header, with or without a port, names loopback."""
    return is_loopback_host(re.sub(r":\d*$", "", request.headers.get("host", "")).strip("[]"))


class FormGuard:
    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def token(self, key: str) -> str:
        """Return the token that forms of this visitor must send; `key`: the visitor's session."""
        return hmac.new(self._secret, key.encode(), hashlib.sha256).hexdigest()

    def require(self, request: Request, key: str, token: str) -> None:
        """Raise Problem unless the form has the visitor's token, and comes from our site."""
        site = request.headers.get("sec-fetch-site", "same-origin")
        if site != "same-origin" or not hmac.compare_digest(self.token(key), token):
            raise Problem(403, "This form is out of date", "Open the page again and send the form from there.")


@dataclass(frozen=True)
class Visit:
    """A request. Texts of forms and queries are stripped; "" if absent."""

    request: Request
    visitor: Visitor
    form: Mapping[str, list[str]]
    csrf: str
    context: Mapping[str, Any] = field(default_factory=dict)

    def form_value(self, name: str) -> str:
        return self.form.get(name, [""])[0].strip()

    def form_file(self, name: str) -> bytes:
        return self.form.get(name, [""])[0].encode("latin-1", "replace")

    def query_value(self, name: str) -> str:
        return self.request.query_params.get(name, "").strip()

    def cut_page(self, rows: Sequence[T], name: str = "page") -> tuple[Sequence[T], str, str]:
        """Return the rows of a page by the query, and links to the next and first page; "" without one."""
        number, link = self.query_value(name), self.request.url.include_query_params
        page = max(1, int(number[:9])) if number.isdecimal() else 1
        return (
            rows[(page - 1) * PAGE : page * PAGE],
            f"?{link(**{name: page + 1}).query}" if len(rows) > page * PAGE else "",
            f"?{link(**{name: 1}).query}" if page > 1 else "",
        )

    def path_value(self, name: str) -> str:
        return str(self.request.path_params[name])

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        path = self.request.url.path
        values_of_page = {**self.context, **values}
        return render(template, status, visitor=self.visitor, csrf=self.csrf, path=path, **values_of_page)


Handle = Callable[[Visit], Response]


class Site:
    """Turns handlers into routes.

    `identify` returns the visitor of a request, or raises SignInNeeded or Problem. `report` gets the kind of an
    unexpected error.
    """

    def __init__(
        self,
        identify: Callable[[Request], Visitor],
        sign_in: Callable[[Request], Response],
        report: Callable[[str], None],
        context: Callable[[Visitor], Mapping[str, Any]] = lambda _: {},
    ) -> None:
        self.guard = FormGuard()
        self._context = context
        self._identify = identify
        self._sign_in = sign_in
        self._report = report
        self._kept: Recent[tuple[str, str], tuple[datetime, bytes]] = Recent(MAX_KEPT_PAGES)
        """The last good page by visitor and address, with its time."""

    def route(
        self, path: str, handle: Handle, methods: Sequence[str] = ("GET",), max_bytes: int = MAX_FORM_BYTES
    ) -> Route:
        """Return a route that refuses longer bodies, and a POST without our token."""

        async def endpoint(request: Request) -> Response:
            body = b"" if request.method in {"GET", "HEAD"} else await _read_body(request, max_bytes)
            return await run_in_threadpool(self._answer_request, request, handle, body, max_bytes)

        return Route(path, endpoint, methods=list(methods))

    def _answer_request(self, request: Request, handle: Handle, body: bytes | None, max_bytes: int) -> Response:
        visitor = None
        try:
            visitor = self._identify(request)
            if body is None:
                raise Problem(413, "This form is too long", f"Shorten it to {max_bytes >> 10} kB.")
            form = _parse_form(body, request.headers.get("content-type", ""))
            if request.method == "POST":
                self.guard.require(request, visitor.key, form.get("csrf", [""])[0])
            context = self._context(visitor)
            answer = handle(Visit(request, visitor, form, self.guard.token(visitor.key), context))
        except SignInNeeded:
            return self._sign_in(request)
        except Problem as problem:
            return self._problem_page(request, visitor, problem)
        except SellertrustCallError as error:
            return self._show_call_error(request, visitor, error)
        except SellertrustError as error:
            return self._problem_page(request, visitor, Problem(400, "Something in this request is wrong", str(error)))
        except Exception as error:  # noqa: BLE001 whatever it is, a trace could hold ids
            self._report(f"a page failed: {type(error).__name__}")
            text = "The page could not be made. Try again; if it fails again, tell the operator."
            return self._problem_page(request, visitor, Problem(500, "This page has failed", text))
        if request.method == "GET" and answer.status_code == 200 and answer.media_type == "text/html":
            self._kept.put((visitor.key, str(request.url)), (datetime.now(UTC), bytes(answer.body)))
        return answer

    def _show_call_error(self, request: Request, visitor: Visitor | None, error: SellertrustCallError) -> Response:
        problem = describe_call_error(error)
        key = (visitor.key if visitor else "", str(request.url))
        if error.code not in WAITING:
            self._kept.drop(key)
        elif request.method == "GET" and (page_and_time := self._kept.get(key)):
            time, body = page_and_time
            banner = render("kept.html", title=problem.title, text=f"You see this page of {moment(time)}.")
            return Response(
                body.replace(KEPT_MARK.encode(), bytes(banner.body), 1), problem.status, HEADERS, "text/html"
            )
        return self._problem_page(request, visitor, problem)

    def _problem_page(self, request: Request, visitor: Visitor | None, problem: Problem) -> Response:
        signed_in = visitor if visitor and visitor.key else None
        csrf = self.guard.token(signed_in.key) if signed_in else ""
        return render(
            "problem.html", problem.status, problem=problem, visitor=signed_in, csrf=csrf, path=request.url.path
        )


async def _read_body(request: Request, max_bytes: int) -> bytes | None:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            return None
    return bytes(body)


def _parse_form(body: bytes, content_type: str) -> Mapping[str, list[str]]:
    """Return a form's fields. A file's bytes are text by latin-1."""
    try:
        if content_type.startswith("multipart/form-data"):
            return _parse_parts(body, content_type)
        return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise Problem(400, "This form cannot be read", "Open the page again and send the form from there.") from None


def _parse_parts(body: bytes, content_type: str) -> Mapping[str, list[str]]:
    message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode("latin-1") + body)
    values: dict[str, list[str]] = {}
    for part in message.iter_parts():
        name, content = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
        if not isinstance(name, str) or not isinstance(content, bytes) or len(values) >= MAX_FIELDS:
            raise ValueError("a part without a name")
        values.setdefault(name, []).append(content.decode("utf-8" if part.get_filename() is None else "latin-1"))
    return values


def describe_call_error(error: SellertrustCallError) -> Problem:
    """Return what a page says about a failed call."""
    texts = _PROBLEMS.get(error.code.name, _PROBLEMS["other"])
    text, right = texts["text"], error.metadata.get("right")
    if right and error.code is grpc.StatusCode.PERMISSION_DENIED:
        text = f"It needs the right {right}. {text}"
    message = error.message[:1].upper() + error.message[1:]
    return Problem(texts["status"], texts["title"], text or message, error.fields)


class Sessions:
    """Random ids, made anew at each sign-in. Thread-safe; a restart ends all."""

    def __init__(self, seconds: float = 12 * 3_600.0) -> None:
        self._seconds = seconds
        self._visitors: Recent[str, tuple[float, Visitor]] = Recent(MAX_SESSIONS)

    def open(self, actor: str, client: Client) -> str:
        name = secrets.token_urlsafe(32)
        self._visitors.put(name, (time.monotonic() + self._seconds, Visitor(name, actor, client)))
        return name

    def find(self, name: str) -> Visitor | None:
        """Return the visitor of a session; None if it is unknown or over."""
        until, visitor = self._visitors.get(name, (0.0, None))
        return visitor if time.monotonic() < until else None

    def close(self, name: str) -> None:
        self._visitors.drop(name)


def cookie(name: str, value: str, *, secure: bool, ends: timedelta | None = None) -> str:
    """Return a Set-Cookie header. `ends`: its lifetime; 0 deletes it, None: until the browser closes."""
    end = "" if ends is None else f"; Max-Age={int(ends.total_seconds())}"
    return f"{name}={value}; Path=/; HttpOnly; SameSite=Lax{end}{'; Secure' if secure else ''}"
