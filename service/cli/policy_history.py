import tomllib
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from scoring.base.errors import invalid
from scoring.base.money import format_amount, parse_amount
from sellertrust.client import Client
from sellertrust.errors import SellertrustCallError
from sellertrust.names import policy_name
from sellertrust.v1.policy_service_pb2 import AcceptedLoss, CommitPolicyRequest, ImmediateGround, PolicyMove
from service.cli.common import open_client
from service.cli.models import login_name, move_row
from service.cli.options import Assumptions, Expected, Moves, Operator, Policy, Propose, Reason
from service.cli.output import Format, Output, emit, emit_one, format_count, say, write
from service.cli.proposals import propose


class Ground(StrEnum):
    LAW = "law"
    DANGER = "danger"


Accepted = Annotated[
    list[str] | None,
    typer.Option(
        "--accept-loss", metavar="VERDICT=SUM", help="Accept a failed verdict, or a raised most_loss, with its sum."
    ),
]


Immediate = Annotated[
    Ground | None,
    typer.Option(
        "--immediate", help="Let nothing wait for the policy's notice_days: a law or an imminent danger demands it."
    ),
]


def commit(
    policy: Policy,
    reason: Reason,
    actor: Operator = "",
    expected: Expected = None,
    assumptions: Annotated[Path | None, Assumptions] = None,
    accept_loss: Accepted = None,
    immediate: Immediate = None,
    proposes: Propose = False,
    output: Output = Format.TABLE,
) -> None:
    """Make every server serve a policy from now on, without a restart, or propose that.

    Rejected if the policy is invalid, or if the served policy is not the expected one (exit code 4). With assumptions,
    or once some were committed, its loss certificate is made. Each verdict must hold, or be accepted with the sum,
    such as "unconditional=249,800.00 EUR".

    Tiers, reviews and listings that it makes stricter wait for the policy's `notice_days`. Money and badges do not.
    """
    from service.policy.certificate_file import read_assumptions_text
    from service.policy.policy_file import parse_policy_text, read_policy

    new_policy, who = read_policy(policy), actor or login_name()
    assumed = "" if assumptions is None else read_assumptions_text(assumptions)
    losses = _parse_losses(accept_loss or [], new_policy.rule_book.currency)
    ground = ImmediateGround.Value(f"IMMEDIATE_GROUND_{(immediate.value if immediate else 'unspecified').upper()}")
    with open_client() as (connection, _):
        replaced = connection.get_policy(expected or "head").policy
        if proposes:
            request = CommitPolicyRequest(
                text=new_policy.text,
                expected=policy_name(replaced.digest),
                actor=who,
                reason=reason,
                assumptions=assumed,
                accepted_losses=[AcceptedLoss(verdict=name, sum_minor=sum_text) for name, sum_text in losses.items()],
                immediate=ground,
            )
            propose(connection, request, actor=who, reason=reason, output=output)
            return
        try:
            response = connection.commit_policy(
                new_policy.text,
                actor=who,
                reason=reason,
                expected=replaced.digest,
                assumptions=assumed,
                accepted_losses=losses,
                immediate=ground,
            )
        except SellertrustCallError as error:
            if remedy := _list_accepting_options(error.metadata.get("losses", ""), new_policy.rule_book.currency):
                error.add_note(f"if you accept it, add {remedy}")
            raise
    _report_move(response.move, response.serving_digest, output, new_policy.rule_book.currency)
    days = max(new_policy.notice_days, parse_policy_text(replaced.text, was_committed=True).notice_days)
    if days and not ground:
        say(f"tiers, reviews and listings that it makes stricter wait {format_count(days, 'day')}; all else acts now")
        say("`policy preview` counts these sellers; `statements FOLDER --notices` writes a letter to each")


def _list_accepting_options(losses: str, currency: str) -> str:
    pairs = (loss.split("=") for loss in losses.split())
    return " ".join(
        f"--accept-loss '{name}={format_amount(int(sum_text), currency)}'"
        for name, sum_text in pairs
        if sum_text != "any"
    )


def rollback(reason: Reason, actor: Operator = "", expected: Expected = None, output: Output = Format.TABLE) -> None:
    """Serve the policy again that the present one replaced; another rollback goes further back.

    Servers follow within a second. Only a commit brings back what a rollback removed.
    """
    with open_client() as (connection, _):
        digest = connection.get_policy(expected).policy.digest if expected else None
        response = connection.rollback_policy(actor=actor or login_name(), reason=reason, policy=digest)
        _report_move(response.move, response.serving_digest, output, _find_currency(connection, response.move))


def show(
    policy: Annotated[
        str, typer.Argument(metavar="POLICY", help="`head`, the served one, or the beginning of a digest.")
    ] = "head",
    history: Moves = False,
    output: Output = Format.TABLE,
) -> None:
    """Write the text of the served policy, or of an earlier one by the digest in a stamp.

    With --history it lists every move to another policy instead.
    """
    if history and policy != "head":
        raise invalid("--history", "lists every policy; leave out POLICY, or --history")
    with open_client() as (connection, _):
        if history:
            rows = [
                _make_policy_move_row(move, output, _find_currency(connection, move))
                for move in connection.list_policy_moves()
            ]
            emit(rows, output)
            return
        response = connection.get_policy(policy)
    shown_policy, commit = response.policy, response.commit
    if output is Format.JSON:
        row = {
            "digest": shown_policy.digest,
            "policy": shown_policy.policy_name,
            "version": shown_policy.policy_version,
            "text": shown_policy.text,
        }
        moved = _make_policy_move_row(commit, output) if response.HasField("commit") else None
        emit_one(row | {"is_served": shown_policy.digest == response.serving_digest, "commit": moved}, output)
        return
    say(f"{shown_policy.policy_name} version {shown_policy.policy_version}, digest {shown_policy.digest}")
    if commit.certificate:
        accepted = _describe_losses(commit.accepted_losses, _read_currency(shown_policy.text)) or "no loss"
        say(f"loss certificate {commit.certificate}; {commit.actor} accepted {accepted}")
    write(shown_policy.text)


def _find_currency(connection: Client, move: PolicyMove) -> str:
    has_amounts = move.accepted_losses or move.sequence_losses
    return _read_currency(connection.get_policy(move.policy.rpartition("/")[2]).policy.text) if has_amounts else ""


def _read_currency(text: str) -> str:
    return str(tomllib.loads(text).get("currency", ""))


def _report_move(move: PolicyMove, serving: str, output: Format, currency: str = "") -> None:
    emit_one(_make_policy_move_row(move, output, currency), output)
    digest = move.policy.rpartition("/")[2]
    say(
        f"the policy {digest[:12]} is served"
        if serving == digest
        else f"error: the server still answers with {serving[:12]}; its log says why"
    )


def _make_policy_move_row(move: PolicyMove, output: Format, currency: str = "") -> dict[str, Any]:
    units = currency if output is Format.TABLE else ""
    fields = (
        "number time=move_time action digest=policy actor reason principal proposal certificate owed_until immediate"
    )
    losses = {name: _describe_losses(getattr(move, name), units) for name in ("accepted_losses", "sequence_losses")}
    row = move_row(move, fields, output) | losses
    if output is Format.TABLE:
        row["certificate"] = row["certificate"][:12]
    return {name: value or None for name, value in row.items()}


def _describe_losses(losses: Iterable[AcceptedLoss], currency: str = "") -> str:
    return "; ".join(
        f"{loss.verdict}={format_amount(loss.sum_minor, currency) if currency else loss.sum_minor}" for loss in losses
    )


def _parse_losses(texts: list[str], currency: str) -> dict[str, int]:
    losses = {}
    for text in texts:
        verdict, _, sum_text = text.partition("=")
        if not verdict:
            raise invalid("--accept-loss", f"{text!r} names no verdict. Write VERDICT=SUM.")
        if verdict in losses:
            raise invalid("--accept-loss", "names a verdict twice; state each with one sum")
        try:
            losses[verdict] = parse_amount(sum_text, currency)
        except ValueError as error:
            raise invalid("--accept-loss", f"{verdict}: {error}") from None
    return losses
