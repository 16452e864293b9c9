"""Staff sign in by a token from a proxy over mTLS, or by a code on loopback."""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from unicodedata import normalize
from urllib.parse import quote

import jwt
from starlette.requests import Request
from starlette.responses import Response

from scoring.entries.field_types import is_id
from sellertrust.client import Client
from service.web.frame.clients import TokenClients
from service.web.frame.rendering import redirect, render
from service.web.frame.visits import Problem, Sessions, SignInNeeded, Visit, Visitor, cookie, is_for_this_machine

COOKIE = "desk"
_TOKEN = re.compile(r"[A-Za-z0-9_.-]{1,8192}")
_INVALID = Problem(401, "Your sign-in is not valid", "Sign in again at the proxy.")


@dataclass
class ProxySignIn:
    """Grants must cover the token's person and this process. Only the proxy connects, by its certificate."""

    clients: TokenClients
    _tokens: dict[str, str] = field(default_factory=dict)
    _valid_until: dict[str, float] = field(default_factory=dict)
    """By verified token, when it ends."""

    def identify(self, request: Request) -> Visitor:
        """Return who asks. Raises SignInNeeded without a token, Problem for one that the server refuses."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not _TOKEN.fullmatch(token):
            raise SignInNeeded
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
            person, until = f"{claims['iss']}#{claims['sub']}", float(claims["exp"])
        except (jwt.InvalidTokenError, KeyError, ValueError, TypeError):
            raise _INVALID from None
        if self._valid_until.get(token, 0.0) > time.time():
            client = self.clients.find_or_make(token)
        elif verified := self.clients.verify(token):
            client = verified
            self._valid_until = {name: end for name, end in self._valid_until.items() if end > time.time()} | {
                token: until
            }
        else:
            raise _INVALID
        self._tokens[person] = token
        return Visitor(person, f"staff-{hashlib.sha256(person.encode()).hexdigest()[:12]}", client, person)

    def client_of(self, person: str) -> Client | None:
        """Return a client with the person's last token since the start; None if that person never came."""
        token = self._tokens.get(person)
        return None if token is None else self.clients.find_or_make(token)

    def sign_in(self, request: Request) -> Response:
        """Return status 401 for a request without a token: only the proxy can sign in."""
        text = "The proxy in front of the desk passes on a bearer token of each person, and this request had none."
        problem = Problem(401, "You are not signed in", text)
        return render("problem.html", 401, problem=problem, visitor=None, csrf="", path=request.url.path)


@dataclass
class CodeSignIn:
    """The command prints the code; people then act as the process itself."""

    client: Client
    code: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    sessions: Sessions = field(default_factory=Sessions)

    def identify(self, request: Request) -> Visitor:
        """Return who asks. Raises SignInNeeded without a session, Problem if the address is not of this machine."""
        if not is_for_this_machine(request):  # another site's name that leads here
            raise Problem(403, "The desk has another address", "Open it by the address that the command printed.")
        visitor = self.sessions.find(request.cookies.get(COOKIE, ""))
        if visitor is None:
            raise SignInNeeded
        return visitor

    def client_of(self, _person: str) -> Client:
        return self.client

    def sign_in(self, request: Request) -> Response:
        """Redirect to the form for the printed code, then back; no form is sent again."""
        query = f"?{request.url.query}" if request.url.query else ""
        after = request.url.path + query if request.method == "GET" else "/"
        return redirect(f"/sign-in?next={quote(after)}")

    def page(self, visit: Visit) -> Response:
        """Show the form for the code; on POST check it and open a session."""
        if visit.request.method == "GET":
            return self._show_form(visit, visit.query_value("code"), "", visit.query_value("next"))
        code, name, after = (
            visit.form_value("code"),
            working_name(visit.form_value("name")),
            _keep_on_site(visit.form_value("next")),
        )
        problems = []
        if not hmac.compare_digest(code.encode(), self.code.encode()):
            problems.append(("code", "This is not the code that the command printed"))
        if not is_id(name) or "~" in name:
            problems.append(("name", "Enter a working name of letters, digits and hyphens"))
        if problems:
            return self._show_form(visit, code, name, after, problems)
        opened = cookie(COOKIE, self.sessions.open(name, self.client), secure=False)
        return redirect(after, {"Set-Cookie": opened})

    def _show_form(
        self, visit: Visit, code: str, name: str, after: str, problems: Sequence[tuple[str, str]] = ()
    ) -> Response:
        form = {"code": code, "name": name, "next": _keep_on_site(after)}
        return visit.page("sign_in.html", 400 if problems else 200, form=form, problems=problems)

    def end(self, visit: Visit) -> Response:
        self.sessions.close(visit.request.cookies.get(COOKIE, ""))
        return redirect("/sign-in")


def working_name(name: str) -> str:
    """Return a name in one case and width, so that other forms make no second person."""
    return normalize("NFKC", name).strip().casefold()


def _keep_on_site(path: str) -> str:
    """Return a path of this site, so that a sign-in leads nowhere else."""
    return path if path.startswith("/") and path[1:2] not in {"/", "\\"} and path != "/sign-in" else "/"
