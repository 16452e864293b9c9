"""Whether proposals on record are those that the audit file names: each by its request's digest, and by who approved it.

Rows of proposals stand under no seal. The audit file has the digest of each request when it is proposed, and when it is
approved, by whom, before the rows are written; so a row that was changed or added otherwise is found.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from scoring.time import parse_time
from service.ledger.proposals import Proposal, Step

_CREATE, _APPROVE = "ProposalService/CreateProposal", "ProposalService/ApproveProposal"


class Checked(NamedTuple):
    """What a comparison of proposals with audit files came to."""

    compared: int
    """Proposals that were compared."""
    older: int
    """Proposals of before the first line that retention has left, which nothing is known of."""
    problems: list[tuple[Proposal, str]]
    """What is wrong with which."""


class _Named(NamedTuple):
    """What audit files state of proposals."""

    proposed: dict[tuple[str, str], dict[str, set[str]]]
    """By marketplace and id, the digests by who proposed them; empty digests in lines of earlier releases."""
    approved: dict[tuple[str, str], dict[str, set[str]]]


def check_proposals(files: Iterable[Iterable[Mapping[str, Any]]], proposals: Iterable[Proposal]) -> Checked:
    """Compare proposals with the lines of all audit files of the servers by which they were made.

    Looked at are the proposals themselves and their approvals: a withdrawal gives nobody anything. Of one whose seller was
    erased the digest is not known any more, and callers alone are compared.
    """
    known = [*proposals]  # before the lines, of which there are some to each by then
    named, since = _Named({}, {}), 0
    for lines in files:
        since = max(since, _take_lines(lines, named))
    count = older = 0
    problems = []
    for proposal in known:
        if proposal.steps[0].step_time < since:
            older += 1
            continue
        count += 1
        key = proposal.marketplace, proposal.proposal
        for taken in proposal.steps:
            if taken.step is Step.PROPOSED:
                found = named.proposed.get(key, {}).get(taken.principal)
                problem = _problem(found, proposal.digest, f"was not proposed by {taken.principal}", "was proposed")
            elif taken.step is Step.APPROVED:
                found = named.approved.get(key, {}).get(taken.principal)
                problem = _problem(found, proposal.digest, f"was not approved by {taken.principal}", "was approved")
            else:
                continue
            if problem:
                problems.append((proposal, problem))
    return Checked(count, older, problems)


def _problem(found: set[str] | None, digest: str, absent: str, done: str) -> str:
    """Return what is wrong with a step whose audit lines state these digests; "" if nothing is."""
    if found is None:
        return f"{absent} by any line of the audit file"
    if digest and not any(digest.startswith(one) for one in found):
        return f"holds another request than {done} by the audit file"
    return ""


def _take_lines(lines: Iterable[Mapping[str, Any]], named: _Named) -> int:
    """Add what the lines of one file state; return since when it holds all, in microseconds; 0: from the beginning."""
    since, is_cut = 0, False
    for number, line in enumerate(lines):
        is_cut = is_cut or (number == 0 and "cut" in line)
        if is_cut and not since and "time" in line:
            since = parse_time(line["time"])
        acted, caller = line.get("acted", {}), line.get("caller", "")
        if line.get("method") == _CREATE:
            key = (line.get("marketplace", ""), acted.get("proposal_id", ""))
            named.proposed.setdefault(key, {}).setdefault(caller, set()).add(acted.get("proposal_digest", ""))
        elif line.get("method") == _APPROVE:
            _, _, proposal = acted.get("name", "").rpartition("/")
            key = (line.get("marketplace", ""), proposal)
            named.approved.setdefault(key, {}).setdefault(caller, set()).add(acted.get("digest", ""))
    return since
