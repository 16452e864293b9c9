import json
import re
import uuid
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from scoring.base.errors import invalid
from scoring.entries.field_types import escape_unprintable
from sellertrust.client import Client
from sellertrust.names import proposal_name
from sellertrust.proposals import Proposable
from sellertrust.v1.network_service_pb2 import ExportCaseResponse
from sellertrust.v1.proposal_service_pb2 import Proposal
from sellertrust.v1.review_service_pb2 import DecideViolationsResponse
from service.cli.common import open_client
from service.cli.options import Actor, Limit, Marketplace, Reason
from service.cli.output import Column, Format, Output, cut_to_limit, emit, emit_one, format_count, say
from service.cli.rows import dict_of, row_of

_NAME = typer.Argument(
    metavar="PROPOSAL", help="Its name, or its id in the marketplace; proposals/ID of a promotion or a policy."
)
Name = Annotated[str, _NAME]


class ProposalOutcome(StrEnum):
    APPROVE = "approve"
    WITHDRAW = "withdraw"


DIGEST = re.compile(r"[0-9a-f]{12,64}")


_SUMMARY = ("proposal", "state", "persons_missing", "method", "author", "expires")


def show(
    proposal: Annotated[str, _NAME] = "",
    models: Annotated[
        bool, typer.Option("--models", help="List those that concern every marketplace: of models and policies.")
    ] = False,
    limit: Limit = 20,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Show a proposal, or list them, the latest first.

    It shows the request, the persons behind it, and the digest to approve it by.
    """
    if proposal and models:
        raise invalid("--models", "lists proposals; leave out PROPOSAL, or --models")
    with open_client(marketplace) as (connection, market):
        if proposal:
            emit_one(_make_row(connection.get_proposal(_full_name(proposal, market)), output), output)
            return
        proposals = connection.list_proposals("" if models else market, page_size=min(limit + 1, 1000))
        rows = [_make_row(listed, output) for listed in cut_to_limit(limit, proposals)]
    emit(rows, output, [Column(name) for name in _SUMMARY])


def decide(
    proposal: Name,
    outcome: Annotated[ProposalOutcome, typer.Argument(metavar="OUTCOME", help="What is decided.")],
    actor: Actor,
    reason: Reason,
    digest: Annotated[
        str, typer.Option("--digest", help="To approve: the digest that was shown, or its first 12 digits or more.")
    ] = "",
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Decide about a proposal.

    approve: agree to another person's proposal, by the digest that you looked at.

    withdraw: take back your own proposal, or decline another person's. Nothing is done by it any more.
    """
    if outcome is ProposalOutcome.APPROVE and not DIGEST.fullmatch(digest):
        raise invalid(
            "--digest", "must be the digest that `sellertrust proposal show` shows, or at least 12 digits of it"
        )
    with open_client(marketplace) as (connection, market):
        name = _full_name(proposal, market)
        if outcome is ProposalOutcome.APPROVE:
            present = connection.get_proposal(name).digest
            whole_digest = present if present.startswith(digest) else digest.ljust(64, "0")
            proposal_after = connection.approve_proposal(name, whole_digest, actor=actor, reason=reason)
        else:
            proposal_after = connection.withdraw_proposal(name, actor=actor, reason=reason)
    emit_one(_make_row(proposal_after, output), output)


def carry_out(proposal: Name, marketplace: Marketplace = None, output: Output = Format.TABLE) -> None:
    """Make the call in an approved proposal: all of it, once however often called.

    The case of network export goes into case-ID.json and case-ID.html, in the working folder.
    """
    with open_client(marketplace) as (connection, market):
        approved = connection.get_proposal(_full_name(proposal, market))
        if approved.WhichOneof("request") is None:
            raise invalid("PROPOSAL", "was erased with the seller whom it was about, or is of a newer release")
        response = connection.carry_out(approved)
        while isinstance(response, DecideViolationsResponse) and response.remaining:
            say(f"{response.decided:,} of {response.count:,} decided")
            response = connection.carry_out(approved)
    if isinstance(response, ExportCaseResponse):
        emit_one(_write_case(response, approved.name.rpartition("/")[2]), output)
    else:
        emit_one(dict_of(response), output)


def _write_case(case: ExportCaseResponse, proposal: str) -> dict[str, str]:
    bundle, page = Path(f"case-{proposal}.json"), Path(f"case-{proposal}.html")
    signed = {name: getattr(case, name) for name in ("bundle", "signature", "public_key")}
    bundle.write_text(json.dumps(signed), encoding="utf-8")
    page.write_text(case.html, encoding="utf-8")
    return {"case": str(bundle), "page": str(page), "public_key": case.public_key}


def propose(connection: Client, request: Proposable, *, actor: str, reason: str, output: Format) -> None:
    """Create a proposal of a request under a random id; show it, and say who has to do what next."""
    created = connection.create_proposal(request, actor=actor, reason=reason, proposal_id=uuid.uuid4().hex[:12])
    emit_one(_make_row(created, output), output)
    say(
        f"nothing was done; {format_count(created.persons_missing, 'person')} more to approve it: sellertrust proposal show"
        f" {created.name}; once they have, carry it out: sellertrust proposal carry-out {created.name}"
    )


def _make_row(proposal: Proposal, output: Format) -> dict[str, Any]:
    field = proposal.WhichOneof("request")
    request = dict_of(getattr(proposal, field)) if field else {}
    steps = [row_of(step, "time=step_time state principal person counts actor reason") for step in proposal.steps]
    row = row_of(proposal, "state persons_missing expires=expire_time digest basis erased")
    row = {"proposal": proposal.name, "method": field, "author": proposal.steps[0].principal} | row
    if output is Format.JSON:
        return row | {"request": request, "steps": steps}
    basis = [f"{name} {value}" for name, value in sorted(row.pop("basis").items())]
    texts = [line for name, value in request.items() for line in _list_lines(name, value)]
    return row | {"basis": basis, "request": texts, "steps": [_describe_step(step) for step in steps]}


def _list_lines(name: str, value: object) -> list[str]:
    first, *other_lines = str(value).splitlines() or [""]
    return [f"{name} {escape_unprintable(first)}", *map(escape_unprintable, other_lines)]


def _describe_step(step: dict[str, Any]) -> str:
    counts = step["counts"] or step["state"] not in {"open", "approved"}
    who = f"{step['principal']} ({step['person'] or 'no person'}{'' if counts else ', does not count'})"
    words = f": {escape_unprintable(step['reason'])} [{step['actor']}]" if step["actor"] else ""
    return f"{step['time']} {step['state']} by {who}{words}"


def _full_name(proposal: str, marketplace: str) -> str:
    return proposal if "/" in proposal else proposal_name(proposal, marketplace)
