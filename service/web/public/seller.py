import hashlib
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import grpc
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from scoring.base.enums import rank_gravity
from scoring.entries.field_types import is_id
from scoring.entries.kinds.common import REASON
from sellertrust.answers import ANSWER_SECONDS
from sellertrust.client import Client, seller_name
from sellertrust.errors import SellertrustCallError
from sellertrust.v1.answer_service_pb2 import FindTierPathResponse, ListStatementsOfReasonsResponse, StatementOfReasons
from sellertrust.v1.entry_pb2 import (
    TIER_EXEMPLARY,
    Entry,
    Tier,
)
from sellertrust.v1.trust_score_service_pb2 import AUDIENCE_SELLER, ExplainTrustScoreResponse
from service.web.frame.charts import PointsSample, draw_curve
from service.web.frame.clients import TokenClients
from service.web.frame.rendering import HEADERS, read_texts, redirect, render
from service.web.frame.visits import Problem, Sessions, SignInNeeded, Site, Visit, Visitor, cookie, is_for_this_machine
from service.web.languages import day_in, language_of
from service.web.public.evidence import MAX_BYTES, EvidenceFolder
from service.web.recent import Recent

TEXTS = read_texts(Path(__file__).parent, "seller.toml")
COOKIE = "seller"
SESSION_SECONDS = 3_600.0
"""As long as a token lives."""
LAYOUT = "seller_base.html"
MAX_SENT = 10_000
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{1,8192}")
_NOT_ITS_PAGE = {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.NOT_FOUND}
_FORMS = {"appeal": "violation", "complaint": "measure", "evidence": "violation"}


class _SellerSite(Site):
    def _problem_page(self, request: Request, visitor: Visitor | None, problem: Problem) -> Response:
        return _problem_page(request, problem, visitor=visitor, csrf=self.guard.token(visitor.key) if visitor else "")


@dataclass
class SellerPages:
    """Pages by a token for one seller. `client`: the process.

    Without `tokens` (a demo), a reader on this machine sees every seller's page.
    """

    client: Client
    tokens: TokenClients | None
    evidence: EvidenceFolder
    sessions: Sessions = field(default_factory=partial(Sessions, SESSION_SECONDS))
    _sent: Recent[str, str] = field(default_factory=partial(Recent, MAX_SENT))
    """Places by entry id."""

    def routes(self, report: Callable[[str], None]) -> list[Route]:
        path = "/my/{marketplace}/{seller}"
        site = _SellerSite(self.identify, _show_signed_out, report)
        entry = _SellerSite(lambda _: Visitor("", "", self.client), _show_signed_out, report)
        return [
            entry.route(f"{path}/sign-in", self.sign_in, ("GET", "POST")),
            site.route(path, self.show),
            site.route(f"{path}/letters/{{measure}}", self.letter),
            site.route(f"{path}/export.json", self.export),
            site.route(f"{path}/sign-out", self.sign_out, ("POST",)),
            *(
                site.route(f"{path}/{form}", partial(self.form, form), ("GET", "POST"), MAX_BYTES + (64 << 10))
                for form in _FORMS
            ),
        ]

    def identify(self, request: Request) -> Visitor:
        """Return the seller signed in; without tokens anybody on this machine, as in the demo.

        Raises SignInNeeded without a session, and Problem for another seller's page.
        """
        seller = _read_seller_name(request)
        if self.tokens is None:
            if not is_for_this_machine(request):
                raise Problem(403, "", "")
            return Visitor(f"demo {seller}", seller, self.client)
        visitor = self.sessions.find(request.cookies.get(COOKIE, ""))
        if visitor is None:
            raise SignInNeeded
        if visitor.actor != seller:
            raise Problem(403, "", "")
        return visitor

    def sign_in(self, visit: Visit) -> Response:
        """Show the form for a token; on POST open a session, or answer 401 if the token is not this seller's."""
        seller = _read_seller_name(visit.request)
        if visit.request.method == "GET":
            return page(visit, "seller_sign_in.html", token=visit.query_value("token"), problems=[])
        token = visit.form_value("token")
        client = self.tokens.verify(token) if self.tokens and _TOKEN.fullmatch(token) else None
        if client is None:
            return self._refuse_token(visit)
        try:
            client.explain_trust_score(*_read_ids(visit), audience=AUDIENCE_SELLER, deadline_seconds=ANSWER_SECONDS)
        except SellertrustCallError as error:
            if error.code in _NOT_ITS_PAGE:
                return self._refuse_token(visit)
            raise
        name = self.sessions.open(seller, client)
        opened = cookie(COOKIE, name, secure=True, ends=timedelta(seconds=SESSION_SECONDS))
        return redirect(SellerVisit(visit.request).link(), {"Set-Cookie": opened})

    def _refuse_token(self, visit: Visit) -> Response:
        texts = TEXTS[language_of(visit.request)]
        return page(visit, "seller_sign_in.html", 401, token="", problems=[("token", texts["sign_in_wrong"])])

    def sign_out(self, visit: Visit) -> Response:
        self.sessions.close(visit.request.cookies.get(COOKIE, ""))
        return redirect(
            SellerVisit(visit.request).link("/sign-in"),
            {"Set-Cookie": cookie(COOKIE, "", secure=True, ends=timedelta())},
        )

    def show(self, visit: Visit) -> Response:
        answers = _SellerAnswers(visit)
        chart = _draw_healing_curve(answers.path, language_of(visit.request))
        form_name, digest = visit.query_value("done"), visit.query_value("digest")
        notice = TEXTS[language_of(visit.request)].get(f"done_{form_name}", "") if form_name in _FORMS else ""
        is_digest = len(digest) == 64 and digest.isalnum()
        return page(
            visit,
            "seller_page.html",
            found=answers,
            chart=chart,
            notice=notice.format(digest=digest if is_digest else ""),
            is_best=answers.path.tier == TIER_EXEMPLARY,
        )

    def letter(self, visit: Visit) -> Response:
        answer = visit.visitor.client.list_statements_of_reasons(
            *_read_ids(visit),
            audience=AUDIENCE_SELLER,
            language=language_of(visit.request),
            measure=visit.path_value("measure"),
        )
        return page(visit, "seller_letter.html", statement=answer.statements[0])

    def export(self, visit: Visit) -> Response:
        answers = _SellerAnswers(visit)
        parts = {"score": answers.explained, "letters": answers.letters, "path": answers.path}
        body = "{" + ",\n".join(f'"{name}": {json_format.MessageToJson(part)}' for name, part in parts.items()) + "}\n"
        headers = HEADERS | {"Content-Disposition": 'attachment; filename="my-shop.json"'}
        return Response(body, headers=headers, media_type="application/json")

    def form(self, name: str, visit: Visit) -> Response:
        """Show the form `appeal`, `complaint` or `evidence`, or record what it sent.

        The hidden `once` makes a second press harmless.
        """
        about = _FORMS[name]
        typed_text = "/".join(visit.form_value(key) for key in ("once", about, "reason", "file"))
        digest = hashlib.sha256(f"{visit.visitor.actor}/{typed_text}".encode()).hexdigest()
        entry_id = f"page-{name}-{digest[:32]}"
        if visit.request.method == "POST" and (url := self._sent.get(entry_id)):
            return redirect(url)
        answers = _SellerAnswers(visit)
        choices = answers.measures if about == "measure" else answers.violations
        values = {key: visit.form_value(key) or visit.query_value(key) for key in (about, "reason")}
        values["reason"] = " ".join(values["reason"].split())
        values["once"] = visit.form_value("once") or secrets.token_hex(16)
        if visit.request.method == "GET":
            return _form_page(visit, name, choices, values)
        problems = [] if values[about] in choices else [(about, f"{about}_wrong")]
        if name != "evidence" and not values["reason"]:
            problems.append(("reason", "reason_missing"))
        if REASON.describe_error(values["reason"]) is not None:
            problems.append(("reason", "reason_long"))
        evidence_digest = ""
        if not problems and (name == "evidence" or visit.form_file("file")):
            try:
                evidence_digest = self.evidence.keep(*_read_ids(visit), visit.form_file("file"))
            except ValueError as error:
                problems.append(("file", str(error)))
        if problems:
            return _form_page(visit, name, choices, values, problems)
        self._record_form(entry_id, name, visit, values, evidence_digest)
        url = SellerVisit(visit.request).link(
            "", done=name, **({"digest": evidence_digest} if name == "evidence" else {})
        )
        self._sent.put(entry_id, url)
        return redirect(url)

    def _record_form(self, entry_id: str, name: str, visit: Visit, values: dict[str, str], digest: str) -> None:
        marketplace, seller = _read_ids(visit)
        if digest:
            entry = Entry(entry_id=f"{entry_id}-file", seller=seller_name(marketplace, seller))
            entry.remediation.violation = values.get("violation", "") or entry_id
            entry.remediation.remedy = "evidence"
            entry.remediation.evidence_sha256 = digest
            self.client.append_entries(marketplace, [entry])
        if name == "appeal":
            self.client.appeal_violation(
                marketplace, values["violation"], actor="seller", reason=values["reason"], entry_id=entry_id
            )
        elif name == "complaint":
            entry = Entry(entry_id=entry_id, seller=seller_name(marketplace, seller))
            entry.complaint.measure, entry.complaint.reason = values["measure"], values["reason"]
            self.client.append_entries(marketplace, [entry])


class _SellerAnswers:
    def __init__(self, visit: Visit) -> None:
        client, ids = visit.visitor.client, _read_ids(visit)
        options: dict[str, Any] = {"audience": AUDIENCE_SELLER, "language": language_of(visit.request)}
        self.explained: ExplainTrustScoreResponse = client.explain_trust_score(
            *ids, **options, deadline_seconds=ANSWER_SECONDS
        )
        self.letters: ListStatementsOfReasonsResponse = client.list_statements_of_reasons(*ids, **options)
        self.path: FindTierPathResponse = client.find_tier_path(*ids, **options)

    @property
    def restrictions(self) -> list[StatementOfReasons]:
        return sorted(
            self.letters.statements, key=lambda statement: (rank_gravity(statement.kind), not statement.binding)
        )

    @property
    def measures(self) -> dict[str, str]:
        return {restriction.measure: restriction.title for restriction in self.restrictions if restriction.measure}

    @property
    def actions(self) -> list[str]:
        return list(
            dict.fromkeys(statement.next_action for statement in self.letters.statements if statement.next_action)
        )

    @property
    def violations(self) -> dict[str, str]:
        gains = {name: f"{appeal.points:+}" for appeal in self.path.appeals for name in appeal.violations}
        return gains | {
            name: "" for statement in self.letters.statements for name in statement.violations if name not in gains
        }


class SellerVisit:
    def __init__(self, request: Request) -> None:
        self._request = request
        self.seller = str(request.path_params["seller"])
        self.language = language_of(request)

    def link(self, rest: str = "", **values: str) -> str:
        """Return a path below the seller's page, such as "/letters/m-1" for `rest`."""
        parts = (self._request.path_params["marketplace"], self.seller)
        path = "/".join(quote(str(part), safe="") for part in parts)
        return f"/my/{path}{quote(rest)}?{urlencode(values | {'lang': values.get('lang', self.language)})}"

    def day(self, value: Timestamp | str) -> str:
        """Return a time, or a day such as `2026-03-03`, in words."""
        day = date.fromisoformat(value) if isinstance(value, str) else value.ToDatetime(UTC)
        return day_in(self.language, day)


def page(visit: Visit, template: str, status: int = 200, **values: Any) -> Response:
    place = SellerVisit(visit.request)
    return visit.page(template, status, texts=TEXTS[place.language], language=place.language, place=place, **values)


def _problem_page(request: Request, problem: Problem, **values: Any) -> Response:
    language = language_of(request)
    texts = TEXTS[language]
    title, text = texts["problem"].get(str(problem.status), texts["problem"]["500"])
    place = SellerVisit(request) if all(is_id(str(param)) for param in request.path_params.values()) else None
    values_of_page = {"visitor": None, "csrf": "", "path": place.link() if place else "/", "place": place} | values
    translated = Problem(problem.status, title, text)
    texts_of_page = {"texts": texts, "language": language, "again": texts["again"], "layout": LAYOUT}
    return render("problem.html", problem.status, problem=translated, **values_of_page, **texts_of_page)


def _show_signed_out(request: Request) -> Response:
    return _problem_page(request, Problem(401, "", ""))


def _form_page(
    visit: Visit,
    name: str,
    choices: Mapping[str, str],
    values: Mapping[str, str],
    problems: Sequence[tuple[str, str]] = (),
) -> Response:
    texts = TEXTS[language_of(visit.request)]
    wrong = [(key, texts[text]) for key, text in problems]
    status = 400 if problems else 200
    return page(
        visit,
        "seller_form.html",
        status,
        form=name,
        about=_FORMS[name],
        known=choices,
        values=values,
        problems=wrong,
        wrong=dict(wrong),
    )


def _read_ids(visit: Visit) -> tuple[str, str]:
    return visit.path_value("marketplace"), visit.path_value("seller")


def _read_seller_name(request: Request) -> str:
    parts = [str(request.path_params[name]) for name in ("marketplace", "seller")]
    if not all(map(is_id, parts)):
        raise Problem(404, "", "")
    return "/".join(parts)


def _draw_healing_curve(path: FindTierPathResponse, language: str) -> str:
    samples = [
        PointsSample(datetime.fromisoformat(day.day).replace(tzinfo=UTC), day.points, Tier.Name(day.tier))
        for day in path.healing
    ]
    return draw_curve(samples, [], TEXTS[language]["healing"], language) if len(samples) > 1 else ""
