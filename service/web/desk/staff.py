"""How staff sign in: by a bearer token that a proxy passes on over mTLS, or by a code on loopback."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

import jwt
from starlette.requests import Request
from starlette.responses import Response

from scoring.entries.field_types import is_id
from sellertrust.client import Client
from sellertrust.machine import is_loopback_host
from service.web.frame.clients import TokenClients
from service.web.frame.rendering import redirect, render
from service.web.frame.visits import Problem, Sessions, SignInNeeded, Visit, Visitor, cookie

COOKIE = "desk"


@dataclass
class ProxySignIn:
    """Each request carries its person's token; the server checks it, and grants must cover it and this process.

    Connections come from the proxy alone: the listener asks for its client certificate.
    """

    clients: TokenClients
    _tokens: dict[str, str] = field(default_factory=dict)
    """Each person's last one."""

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
        self._tokens[person] = token
        actor = f"staff-{hashlib.sha256(person.encode()).hexdigest()[:12]}"
        return Visitor(person, actor, self.clients.client(token), person)

    def client_of(self, person: str) -> Client | None:
        """Return the client by a person's last token; None until the person comes back."""
        token = self._tokens.get(person)
        return None if token is None else self.clients.client(token)

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

    def client_of(self, _person: str) -> Client:
        return self.client

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
        if not is_id(name) or "~" in name:
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
