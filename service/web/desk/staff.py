"""How staff sign in: by a bearer token that a proxy passes on over mTLS, or by a code on loopback."""

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

import jwt
from starlette.requests import Request
from starlette.responses import Response

from scoring.entries.field_types import is_id
from sellertrust.client import Client
from sellertrust.machine import is_loopback_host
from service.web.frame.rendering import redirect, render
from service.web.frame.visits import Problem, Sessions, SignInNeeded, Visit, Visitor, cookie

COOKIE = "desk"
MAX_CLIENTS = 1_000
CLIENT_SECONDS = 4_000.0
"""Longer than a token lives."""

MakeClient = Callable[[str | None], Client]
"""From a bearer token, beside the process's own certificate; None: the process itself."""


@dataclass
class ProxySignIn:
    """Each request carries its person's token; the server checks it, and grants must cover it and this process.

    Connections come from the proxy alone: the listener asks for its client certificate.
    """

    make: MakeClient
    _clients: dict[str, tuple[float, Client]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def identify(self, request: Request) -> Visitor:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise SignInNeeded
        token = token.strip()
        try:
            claims = jwt.decode(token, options={"verify_signature": False})  # the server verifies it at every call
            person = f"{claims['iss']}#{claims['sub']}"
        except (jwt.InvalidTokenError, KeyError):
            raise Problem(401, "Your sign-in cannot be read", "Sign in again at the proxy.") from None
        digest = hashlib.sha256(token.encode()).hexdigest()
        return Visitor(person, f"staff-{hashlib.sha256(person.encode()).hexdigest()[:12]}", self._client(digest, token))

    def _client(self, digest: str, token: str) -> Client:
        now = time.monotonic()
        with self._lock:
            for old in [name for name, (made, _) in self._clients.items() if now - made > CLIENT_SECONDS]:
                self._clients.pop(old)[1].close()
            if digest not in self._clients:
                if len(self._clients) >= MAX_CLIENTS:
                    raise Problem(503, "Too many people are signed in", "Try again in some minutes.")
                self._clients[digest] = now, self.make(token)
            return self._clients[digest][1]

    def sign_in(self, request: Request) -> Response:
        text = "The proxy in front of the desk passes on a bearer token of each person, and this request had none."
        problem = Problem(401, "You are not signed in", text)
        return render("problem.html", 401, problem=problem, visitor=None, csrf="", path=request.url.path)


@dataclass
class CodeSignIn:
    """People on this machine sign in by a code that the command prints; they then act as the process itself."""

    client: Client
    code: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    sessions: Sessions = field(default_factory=Sessions)

    def identify(self, request: Request) -> Visitor:
        host = request.headers.get("host", "").rpartition(":")[0].strip("[]")
        if not is_loopback_host(host):  # another site's name that leads here
            raise Problem(403, "The desk has another address", "Open it by the address that the command printed.")
        visitor = self.sessions.find(request.cookies.get(COOKIE, ""))
        if visitor is None:
            raise SignInNeeded
        return visitor

    def sign_in(self, request: Request) -> Response:
        return redirect(f"/sign-in?next={quote(request.url.path)}")

    def page(self, visit: Visit) -> Response:
        """Show the form, or begin a new session, whatever cookie came with it."""
        if visit.request.method == "GET":
            return self._form(visit, visit.asked("code"), "", visit.asked("next"))
        code, name, after = visit.field("code"), visit.field("name"), _inside(visit.field("next"))
        problems = []
        if not hmac.compare_digest(code.encode(), self.code.encode()):
            problems.append(("code", "This is not the code that the command printed"))
        if not is_id(name):
            problems.append(("name", "Enter a working name of letters, digits and hyphens"))
        if problems:
            return self._form(visit, code, name, after, problems)
        opened = cookie(COOKIE, self.sessions.open(name, self.client), secure=False)
        return redirect(after, {"Set-Cookie": opened})

    def _form(
        self, visit: Visit, code: str, name: str, after: str, problems: Sequence[tuple[str, str]] = ()
    ) -> Response:
        form = {"code": code, "name": name, "next": _inside(after)}
        return visit.page("sign_in.html", 400 if problems else 200, form=form, problems=problems)

    def end(self, visit: Visit) -> Response:
        self.sessions.close(visit.request.cookies.get(COOKIE, ""))
        return redirect("/sign-in")


def _inside(path: str) -> str:
    """Return a path of this site, so that a sign-in leads nowhere else."""
    return path if path.startswith("/") and path[1:2] not in {"/", "\\"} and path != "/sign-in" else "/"
