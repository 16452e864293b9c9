from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from starlette.responses import Response

from sellertrust.names import model_name, policy_name
from sellertrust.v1.model_service_pb2 import PromoteModelRequest
from sellertrust.v1.policy_service_pb2 import CommitPolicyRequest, PolicyAction
from sellertrust.v1.proposal_service_pb2 import Proposal, ProposalState
from service.web.desk.acting import call_or_propose, refuse_appeals, require_reason
from service.web.desk.calls import READ_SECONDS, call_or_problem, start_call
from service.web.desk.journal import Journal
from service.web.desk.queue import QueuePages
from service.web.frame.rendering import HEADERS, redirect
from service.web.frame.visits import Problem, Visit
from service.web.server_health import is_serving

REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
SERVICES = ("TrustScoreService", "LedgerService", "ReviewService", "MeasureService", "ModelService", "PolicyService")
MOVES = 20
MAX_PAPER_BYTES = 1 << 20
Move = TypeVar("Move")


class ModelPages:
    def list(self, visit: Visit) -> Response:
        """Show the first 50 models, and the last 20 moves."""
        client = visit.visitor.client
        moves = start_call(lambda: _list_latest_first(client.list_model_moves()))
        models = list(islice(client.list_models(page_size=50), 50))
        return visit.page("models.html", models=models, moves=moves.result())

    def show(self, visit: Visit) -> Response:
        answer = visit.visitor.client.get_model(visit.path_value("model"))
        return visit.page("model.html", model=answer.model, serving=answer.serving_digest)

    def report(self, visit: Visit) -> Response:
        """Return the model's report, which runs no scripts."""
        html = visit.visitor.client.get_model_report(visit.path_value("model"))
        return Response(html, headers=HEADERS | {"Content-Security-Policy": REPORT_POLICY}, media_type="text/html")

    def promote(self, visit: Visit) -> Response:
        """Promote the model, or propose it if that needs two persons. Raises Problem without a reason."""
        request = PromoteModelRequest(
            name=model_name(visit.path_value("model")),
            actor=visit.visitor.actor,
            reason=require_reason(visit),
            sign_off=visit.form_value("sign_off"),
        )
        return redirect("/models" if call_or_propose(visit, promote_model=request) else "/proposals")

    def roll_back(self, visit: Visit) -> Response:
        """Make the previous champion champion again, without a second person."""
        visit.visitor.client.rollback_model(
            actor=visit.visitor.actor, reason=require_reason(visit), champion=visit.form_value("champion")
        )
        return redirect("/models")


@dataclass(frozen=True)
class PolicyPages:
    papers: Path
    """Holds `*.txt`, such as the output of `policy preview`; may be absent. Links are not followed."""

    def show(self, visit: Visit) -> Response:
        """Show the served policy or the query's `policy`, the last 20 moves, and the names of papers."""
        client = visit.visitor.client
        moves = start_call(lambda: _list_latest_first(client.list_policy_moves()))
        name = visit.query_value("policy") or "head"
        answer = client.get_policy(name)
        return visit.page(
            "policy.html",
            policy=answer.policy,
            serving=answer.serving_digest,
            moves=moves.result(),
            action=PolicyAction.Name,
            is_head=name == "head",
            papers=sorted(self._list_papers()),
        )

    def paper(self, visit: Visit) -> Response:
        """Show a text file of `papers`. Raises Problem for another name, or one above 1 MB."""
        visit.visitor.client.get_policy()  # refuses whoever may not read the policy
        path = self._list_papers().get(visit.path_value("paper"))
        if path is None:
            raise Problem(404, "There is no such paper", f"The desk shows the text files in {self.papers}.")
        with path.open("rb") as file:
            body = file.read(MAX_PAPER_BYTES + 1)
        if len(body) > MAX_PAPER_BYTES:
            raise Problem(413, "This paper is too long", f"The desk shows texts of up to {MAX_PAPER_BYTES >> 20} MB.")
        return visit.page("paper.html", name=path.name, text=body.decode("utf-8", "replace"))

    def _list_papers(self) -> dict[str, Path]:
        paths = (path for path in self.papers.glob("*.txt") if path.is_file() and not path.is_symlink())
        return {path.name: path for path in paths}

    def commit(self, visit: Visit) -> Response:
        """Commit the form's policy, or propose it if that needs two persons.

        Raises Problem without a reason, or for a malformed accepted loss.
        """
        request = CommitPolicyRequest(
            text=visit.form.get("text", [""])[0].replace("\r\n", "\n"),
            actor=visit.visitor.actor,
            reason=require_reason(visit),
            expected=policy_name(visit.form_value("expected")),
        )
        for verdict, sum_minor in _parse_losses(visit.form_value("losses")).items():
            request.accepted_losses.add(verdict=verdict, sum_minor=sum_minor)
        return redirect("/policy" if call_or_propose(visit, commit_policy=request) else "/proposals")

    def roll_back(self, visit: Visit) -> Response:
        """Serve the replaced policy again, without a second person."""
        visit.visitor.client.rollback_policy(
            actor=visit.visitor.actor, reason=require_reason(visit), policy=visit.form_value("policy")
        )
        return redirect("/policy")


@dataclass(frozen=True)
class ProposalPages:
    marketplace: str

    def list(self, visit: Visit) -> Response:
        """Show the 50 latest proposals of the marketplace, and the 50 latest of models and policies."""
        client = visit.visitor.client
        calls = [
            start_call(partial(lambda market: list(islice(client.list_proposals(market), 50)), market))
            for market in (self.marketplace, "")
        ]
        answers = [call_or_problem(call.result) for call in calls]
        proposals = [proposal for answer in answers for proposal in answer.value or ()]
        proposals.sort(key=lambda proposal: proposal.steps[0].step_time.ToSeconds(), reverse=True)
        problem = answers[0].problem if answers[0].problem and answers[1].problem else None
        return visit.page("proposals.html", proposals=proposals, problem=problem, state=ProposalState.Name)

    def act(self, visit: Visit) -> Response:
        """Approve, withdraw or carry out a proposal, by the form's `what`; ignore another word."""
        client, name, what = visit.visitor.client, visit.form_value("name"), visit.form_value("what")
        if what == "withdraw":
            client.withdraw_proposal(name, actor=visit.visitor.actor, reason=require_reason(visit))
        elif what in ("approve", "carry-out"):
            self._approve_or_carry_out(visit, client.get_proposal(name))
        return redirect("/proposals")

    def _approve_or_carry_out(self, visit: Visit, proposal: Proposal) -> None:
        client, what = visit.visitor.client, visit.form_value("what")
        if proposal.WhichOneof("request") == "decide_violations":
            refuse_appeals(proposal.decide_violations)
        if what == "approve":
            digest = visit.form_value("digest")
            client.approve_proposal(proposal.name, digest, actor=visit.visitor.actor, reason=require_reason(visit))
        else:
            client.carry_out(proposal)


@dataclass(frozen=True)
class OperationsPages:
    journal: Journal
    queue: QueuePages

    def show(self, visit: Visit) -> Response:
        client = visit.visitor.client
        health = {name: start_call(partial(is_serving, client, READ_SECONDS, name)) for name in SERVICES}
        champion = call_or_problem(client.get_model)
        queue = call_or_problem(partial(self.queue.rows, visit.visitor))
        return visit.page(
            "operations.html",
            health={name: call.result() for name, call in health.items()},
            champion=champion,
            queue=queue,
            waiting=len(self.journal.list_due()),
            pending=sum(decision.state == "pending" for decision in self.journal.list_decisions()),
        )


def _list_latest_first(moves: Iterable[Move]) -> list[Move]:
    return list(reversed(deque(moves, MOVES)))


def _parse_losses(text: str) -> dict[str, int]:
    losses = {}
    for line in text.splitlines():
        verdict, _, amount = line.strip().rpartition(" ")
        if line.strip() and not amount.isdecimal():
            raise Problem(400, "An accepted loss is malformed", "Write one a line: the verdict, a blank, minor units.")
        if line.strip():
            losses[verdict.strip()] = int(amount)
    return losses
