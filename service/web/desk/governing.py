from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from starlette.responses import Response

from sellertrust.names import model_name, policy_name
from sellertrust.v1.model_service_pb2 import PromoteModelRequest
from sellertrust.v1.policy_service_pb2 import CommitPolicyRequest, PolicyAction
from sellertrust.v1.proposal_service_pb2 import Proposal, ProposalState
from service.web.desk.acting import propose_if_needed, require_reason
from service.web.desk.calls import part, start
from service.web.desk.journal import Journal
from service.web.desk.queue import QueuePages
from service.web.frame.rendering import HEADERS, redirect
from service.web.frame.visits import Problem, Visit

REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
SERVICES = ("TrustScoreService", "LedgerService", "ReviewService", "MeasureService", "ModelService", "PolicyService")
MOVES = 20
Move = TypeVar("Move")


class ModelPages:
    def list(self, visit: Visit) -> Response:
        client = visit.visitor.client
        moves = start(lambda: _latest(client.list_model_moves()))
        models = list(islice(client.list_models(page_size=50), 50))
        return visit.page("models.html", models=models, moves=moves.result())

    def show(self, visit: Visit) -> Response:
        answer = visit.visitor.client.get_model(visit.path_value("model"))
        return visit.page(
            "model.html", model=answer.model, serving=answer.serving_digest, figures=_figures(answer.model)
        )

    def report(self, visit: Visit) -> Response:
        html = visit.visitor.client.get_model_report(visit.path_value("model"))
        return Response(html, headers=HEADERS | {"Content-Security-Policy": REPORT_POLICY}, media_type="text/html")

    def promote(self, visit: Visit) -> Response:
        model, actor, reason = visit.path_value("model"), visit.visitor.actor, require_reason(visit)
        request = PromoteModelRequest(
            name=model_name(model), actor=actor, reason=reason, sign_off=visit.form_value("sign_off")
        )
        client = visit.visitor.client
        proposed = propose_if_needed(
            visit,
            request,
            lambda: client.promote_model(model, actor=actor, reason=reason, sign_off=visit.form_value("sign_off")),
        )
        return proposed or redirect("/models")

    def roll_back(self, visit: Visit) -> Response:
        visit.visitor.client.rollback_model(
            actor=visit.visitor.actor, reason=require_reason(visit), champion=visit.form_value("champion")
        )
        return redirect("/models")


@dataclass(frozen=True)
class PolicyPages:
    papers: Path
    """Folder of `*.txt`, such as what `policy preview` and `policy certify` printed; it may be absent."""

    def show(self, visit: Visit) -> Response:
        client = visit.visitor.client
        moves = start(lambda: _latest(client.list_policy_moves()))
        asked = visit.query_value("policy") or "head"
        answer = client.get_policy(asked)
        return visit.page(
            "policy.html",
            policy=answer.policy,
            serving=answer.serving_digest,
            moves=moves.result(),
            action=PolicyAction.Name,
            is_head=asked == "head",
            papers=sorted(self._list_papers()),
        )

    def paper(self, visit: Visit) -> Response:
        path = self._list_papers().get(visit.path_value("paper"))
        if path is None:
            raise Problem(404, "There is no such paper", f"The desk shows the text files in {self.papers}.")
        return visit.page("paper.html", name=path.name, text=path.read_text(encoding="utf-8", errors="replace"))

    def _list_papers(self) -> dict[str, Path]:
        return {path.name: path for path in self.papers.glob("*.txt")}

    def commit(self, visit: Visit) -> Response:
        text = visit.form.get("text", [""])[0].replace("\r\n", "\n")
        losses = _losses(visit.form_value("losses"))
        actor, reason, expected = visit.visitor.actor, require_reason(visit), visit.form_value("expected")
        request = CommitPolicyRequest(text=text, actor=actor, reason=reason, expected=policy_name(expected))
        for verdict, sum_minor in losses.items():
            request.accepted_losses.add(verdict=verdict, sum_minor=sum_minor)
        client = visit.visitor.client

        def commit() -> None:
            client.commit_policy(text, actor=actor, reason=reason, expected=expected, accepted_losses=losses)

        return propose_if_needed(visit, request, commit) or redirect("/policy")

    def roll_back(self, visit: Visit) -> Response:
        visit.visitor.client.rollback_policy(
            actor=visit.visitor.actor, reason=require_reason(visit), policy=visit.form_value("policy")
        )
        return redirect("/policy")


class ProposalPages:
    def __init__(self, marketplace: str) -> None:
        self._marketplace = marketplace

    def list(self, visit: Visit) -> Response:
        client = visit.visitor.client
        ours = start(lambda: list(islice(client.list_proposals(self._marketplace), 50)))
        all_markets = start(lambda: list(islice(client.list_proposals(), 50)))
        found = [part(ours.result), part(all_markets.result)]
        proposals = [one for each in found for one in each.value or ()]
        proposals.sort(key=lambda one: one.steps[0].step_time.ToSeconds(), reverse=True)
        problem = found[0].problem if found[0].problem and found[1].problem else None
        return visit.page("proposals.html", proposals=proposals, problem=problem, state=ProposalState.Name, asks=_asks)

    def act(self, visit: Visit) -> Response:
        client, name, what = visit.visitor.client, visit.form_value("name"), visit.form_value("what")
        if what == "approve":
            digest = visit.form_value("digest")
            client.approve_proposal(name, digest, actor=visit.visitor.actor, reason=require_reason(visit))
        elif what == "withdraw":
            client.withdraw_proposal(name, actor=visit.visitor.actor, reason=require_reason(visit))
        elif what == "carry-out":
            client.carry_out(client.get_proposal(name))
        return redirect("/proposals")


class OperationsPages:
    def __init__(self, journal: Journal, queue: QueuePages) -> None:
        self._journal = journal
        self._queue = queue

    def show(self, visit: Visit) -> Response:
        client = visit.visitor.client
        health = {name: start(partial(self._health, visit, name)) for name in SERVICES}
        champion = part(client.get_model)
        queue = part(partial(self._queue.summary, visit.visitor))
        return visit.page(
            "operations.html",
            health={name: call.result() for name, call in health.items()},
            champion=champion,
            queue=queue,
            waiting=len(self._journal.list_due()),
            pending=sum(one.state == "pending" for one in self._journal.list_decisions()),
        )

    @staticmethod
    def _health(visit: Visit, name: str) -> str:
        request = health_pb2.HealthCheckRequest(service=f"sellertrust.v1.{name}")
        try:
            found = health_pb2_grpc.HealthStub(visit.visitor.client.channel).Check(request, timeout=5.0)
        except grpc.RpcError:
            return "does not answer"
        is_serving = found.status == health_pb2.HealthCheckResponse.SERVING
        return "serves" if is_serving else "does not serve"


def _latest(moves: Iterable[Move]) -> list[Move]:
    return list(reversed(deque(moves, MOVES)))


def _losses(text: str) -> dict[str, int]:
    found = {}
    for line in text.splitlines():
        verdict, _, amount = line.strip().rpartition(" ")
        if line.strip() and not amount.isdecimal():
            raise Problem(400, "An accepted loss is malformed", "Write one a line: the verdict, a blank, minor units.")
        if line.strip():
            found[verdict.strip()] = int(amount)
    return found


def _figures(model: Any) -> Sequence[tuple[str, float]]:
    return sorted(model.figures.items())[:30]


def _asks(proposal: Proposal) -> str:
    return str(proposal.WhichOneof("request") or "an erased request").replace("_", " ")
