"""The desk: pages for the marketplace's staff, a plain client of the service."""

import time
from collections.abc import Callable, Mapping
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sellertrust.client import Client
from service.web.desk.bulk import BulkPages
from service.web.desk.cases import CasePages
from service.web.desk.complaints import ComplaintPages
from service.web.desk.governing import ModelPages, OperationsPages, PolicyPages, ProposalPages
from service.web.desk.journal import Journal
from service.web.desk.queue import QueuePages
from service.web.desk.record import OwnRecordPages
from service.web.desk.seller_file import SellerFilePages
from service.web.desk.sending import Sender
from service.web.desk.staff import CodeSignIn, ProxySignIn
from service.web.desk.what_if import WhatIfPages
from service.web.frame.files import file_routes
from service.web.frame.rendering import redirect, render
from service.web.frame.visits import Problem, Site, Visitor

SignIn = CodeSignIn | ProxySignIn
POST = ("POST",)
REFUSED_SECONDS = 3_600.0
"""A refused decision is shown for so long."""


class DeskOptions(NamedTuple):
    address: str
    sign_in: SignIn
    marketplace: str
    journal: Path
    """In its folder, `papers` holds texts that the desk shows beside the policy."""
    tls: Path | None = None
    """Folder with tls.crt, tls.key, and client-ca.crt of the proxy in front; None on loopback."""
    evidence: str = ""
    """Folder or URL; empty: none is shown."""

    def link(self, address: str) -> str:
        """Return the link to a desk at `address`: with the code on this machine, https behind a proxy."""
        if isinstance(self.sign_in, CodeSignIn):
            return f"http://{address}/sign-in?code={self.sign_in.code}"
        return f"https://{address}"


class Desk:
    """Raises ConfigurationWrong if another desk holds the journal. `report` gets lines for the operator."""

    def __init__(self, options: DeskOptions, client: Client, report: Callable[[str], None]) -> None:
        self.journal = Journal(options.journal)
        self.sender = Sender(self.journal, options.marketplace, options.sign_in.client_of, report)
        self.app = Starlette(
            routes=self._routes(options, client, report), exception_handlers={HTTPException: _show_http_error}
        )
        self.app.router.redirect_slashes = False

    def close(self) -> None:
        self.sender.close()
        self.journal.close()

    def _routes(self, options: DeskOptions, client: Client, report: Callable[[str], None]) -> list[Route]:
        sign_in, market = options.sign_in, options.marketplace
        site = Site(sign_in.identify, sign_in.sign_in, report, self._make_page_context)
        sellers, queue = SellerFilePages(market), QueuePages(market, self.journal)
        what_if = WhatIfPages(market)
        cases = CasePages(market, self.journal, queue, options.evidence)
        complaints = ComplaintPages(market, queue)
        routes = [
            *file_routes(),
            site.route("/", lambda _: redirect("/queue")),
            site.route("/search", sellers.search),
            site.route("/sellers/{seller}", sellers.show),
            site.route("/sellers/{seller}/entries", sellers.entries),
            site.route("/sellers/{seller}/network", sellers.draw_network),
            site.route("/sellers/{seller}/if", what_if.simulate),
            site.route("/sellers/{seller}/replay", what_if.replay),
            site.route("/sellers/{seller}/caution", what_if.end_caution, POST),
            site.route("/queue", queue.show),
            site.route("/queue/next", queue.take_next, POST),
            site.route("/complaints/{complaint}", complaints.show),
            site.route("/complaints/{complaint}", complaints.decide, POST),
            site.route("/cases/{violation}", cases.show),
            site.route("/cases/{violation}/find", cases.record_finding, POST),
            site.route("/cases/{violation}/open", cases.open_evidence, POST),
            site.route("/cases/{violation}/evidence", cases.evidence_file),
            site.route("/cases/{violation}/hand-on", cases.change_claim, POST),
            site.route("/cases/{violation}/consequence", cases.consequence),
            site.route("/cases/{violation}/decide", cases.decide, POST),
            site.route("/decisions/{decision}/undo", cases.undo, POST),
            *self._governing_routes(site, options, queue),
            site.route("/record", OwnRecordPages(market, self.journal).show),
        ]
        if isinstance(sign_in, CodeSignIn):
            everybody = Site(lambda _: Visitor("", "", client), sign_in.sign_in, report)
            routes += [
                everybody.route("/sign-in", sign_in.page, ("GET", "POST")),
                site.route("/sign-out", sign_in.end, POST),
            ]
        return routes

    def _governing_routes(self, site: Site, options: DeskOptions, queue: QueuePages) -> list[Route]:
        bulk, models = BulkPages(options.marketplace, self.journal), ModelPages()
        policy, proposals = PolicyPages(options.journal.parent / "papers"), ProposalPages(options.marketplace)
        return [
            site.route("/bulk", bulk.show),
            site.route("/bulk/preview", bulk.preview, POST),
            site.route("/bulk/execute", bulk.execute, POST),
            site.route("/models", models.list),
            site.route("/models/roll-back", models.roll_back, POST),
            site.route("/models/{model}", models.show),
            site.route("/models/{model}/report", models.report),
            site.route("/models/{model}/promote", models.promote, POST),
            site.route("/policy", policy.show),
            site.route("/policy/papers/{paper}", policy.paper),
            site.route("/policy/commit", policy.commit, POST),
            site.route("/policy/roll-back", policy.roll_back, POST),
            site.route("/proposals", proposals.list),
            site.route("/proposals/act", proposals.act, POST),
            site.route("/operations", OperationsPages(self.journal, queue).show),
        ]

    def _make_page_context(self, visitor: Visitor) -> Mapping[str, Any]:
        actor = visitor.actor
        decisions = [decision for decision in self.journal.list_decisions(actor) if decision.people[-1] == actor]
        pending = next((decision for decision in decisions if decision.state == "pending"), None)
        since = time.time() - REFUSED_SECONDS
        return {
            "undoable": pending if pending and self.journal.seconds_left(pending) else None,
            "seconds": ceil(self.journal.seconds_left(pending)) if pending else 0,
            "refused": [decision for decision in decisions if decision.state == "refused" and decision.due > since][:3],
        }


async def _show_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 Starlette hands over what the table of handlers names
    problem = Problem(error.status_code, "There is no such page", "Check the address, or begin at the start page.")
    if error.status_code == 405:
        problem = Problem(405, "This page takes no form", "Open the page again and send the form from there.")
    return render("problem.html", error.status_code, problem=problem, visitor=None, csrf="", path=request.url.path)
