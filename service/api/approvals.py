"""Checks that a granted call that needs two persons has them.

Such a call names a proposal, which must be approved, unexpired, not withdrawn, and hold exactly this request. The check
and the record of use share the ledger's lock.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from scoring.base.enums import UNIMPOSING_STATES, Kind
from scoring.base.errors import ApprovalRequired, ProposalClosed, ProposalNotFound
from sellertrust.names import proposal_name
from sellertrust.v1 import entry_pb2
from service.access.decision import NeededRight
from service.access.four_eyes import PERSONS, Agreement
from service.access.grants_file import GrantsFile
from service.access.rights import METHODS, NEEDING_TWO, RIGHT_OF_KIND, Right, Scope
from service.call_context import LOCAL_CALLER, Approval, current_call
from service.contract.needed_rights import find_right_to_append, list_needed_rights
from service.contract.proposals import holds_request, parse_request
from service.contract.resource_names import parse_marketplace, parse_proposal
from service.ledger.append.proposals import NewStep, Proposal, ProposalStep
from service.ledger.store import Ledger

_CORRECTED_AS_MADE = (Kind.OVERRIDE, Kind.MEASURE)
_OVERRIDE = Kind.OVERRIDE.word
_CORRECTION = Kind.CORRECTION.word

MAX_PROVEN = 1_000

Report = Callable[..., object]


@dataclass(frozen=True)
class Approvals:
    _grants: GrantsFile | None
    _ledger: Ledger
    _report: Report
    _proven: dict[object, int] = field(default_factory=dict)

    @property
    def agreement(self) -> Agreement:
        """Return the grants file's calls that need two persons; without a file, none."""
        return Agreement() if self._grants is None else self._grants.rules.agreement

    def require(self, caller: str, method: str, request: Message) -> Approval | None:
        """Return the approval that lets a granted request in, if it needs one, and mark its proposal as used.

        Raises ApprovalRequired, ProposalClosed, InvalidInput about `proposal`. A request that names a proposal must
        match it even if it needs no approval. Proposals and dry runs need none.
        """
        row = METHODS[method]
        if row.scope is not Scope.ENTRIES and row.right not in NEEDING_TWO:
            return None
        if not getattr(request, "execute", True):
            return None
        proposal_name = str(getattr(request, "proposal", ""))
        right = None if caller == LOCAL_CALLER else self._find_right_needing_two(method, request)
        if proposal_name:
            return self._use_proposal(caller, method, request, proposal_name, right)
        if right is None:
            return None
        if row.is_emergency:
            self._report("let in without approval, as an emergency", method=method, right=right.value)
            return Approval()
        first_step = "" if self.agreement.person_of else "name the persons in the grants file ([[persons]]), then "
        text = f"needs the approval of another person ({right.value}); {first_step}{_REMEDY}"
        raise ApprovalRequired(text, {"right": right.value, "proposal": "", "persons_missing": str(PERSONS)})

    def persons(self, proposal: Proposal) -> list[tuple[str, str]]:
        """Return for each step (the person whom its caller shows, the person whom it puts behind the proposal), "" for
        no one.
        """
        agreement = self.agreement
        behind = agreement.persons_behind(proposal, _list_rights_of_request(proposal))
        shown_persons = [agreement.find_person(taken.principal) for taken in proposal.steps]
        return list(zip(shown_persons, behind, strict=True))

    def may_see(self, caller: str, proposal: Proposal) -> bool:
        """Return whether a caller has the rights of a proposal's request, or may approve it."""
        return caller == LOCAL_CALLER or self.agreement.may_see(caller, proposal, _list_rights_of_request(proposal))

    def _find_right_needing_two(self, method: str, request: Any) -> Right | None:
        agreement, row = self.agreement, METHODS[method]
        of_entries = row.scope is Scope.ENTRIES
        if of_entries and self._grants is not None and any(map(_bars_letter, request.entries)):
            return Right.IMPOSE_MEASURES
        if not agreement.rules:
            return None
        if not of_entries:
            return agreement.find_right_needing_two(list_needed_rights(row, request))
        entries = [entry for entry in request.entries if _may_need_two_persons(entry)]
        if not entries:
            return None
        marketplace = parse_marketplace(request.parent, "parent")
        rights = [find_right_to_append(marketplace, entry) for entry in entries]
        right = agreement.find_right_needing_two(rights)
        if right is None:  # a correction of any measure counts: a suspension's lift may state another kind
            kinds = self._find_corrected_kinds(marketplace, request.entries)
            rights = [NeededRight(RIGHT_OF_KIND[kind], marketplace) for kind in kinds]
            right = agreement.find_right_needing_two(rights)
        return right

    def _find_corrected_kinds(self, marketplace: str, entries: Any) -> set[Kind]:
        """Return which of overrides and measures the entries correct; both if a corrected entry is unknown."""
        facts = {entry.entry_id: entry.WhichOneof("fact") for entry in entries}
        corrected = {entry.correction.entry for entry in entries if entry.WhichOneof("fact") == _CORRECTION}
        elsewhere = corrected - facts.keys()
        recorded = self._ledger.entries.find_kinds(marketplace, sorted(elsewhere)) if elsewhere else {}
        if elsewhere - recorded.keys():
            return set(_CORRECTED_AS_MADE)
        corrected_here = {facts[entry_id] for entry_id in corrected - elsewhere}
        return {kind for kind in _CORRECTED_AS_MADE if kind.word in corrected_here or int(kind) in recorded.values()}

    def _use_proposal(self, caller: str, method: str, request: Message, name: str, right: Right | None) -> Approval:
        marketplace, proposal_id = parse_proposal(name, "proposal")
        # One answer for all: it hides from callers without the right which proposals exist.
        text = f"no proposal {name} holds just this request, to the last field; {_REMEDY}"
        mismatch = ApprovalRequired(text, _error_metadata(right, name, 0))
        parent = getattr(request, "parent", "")
        if marketplace != (parse_marketplace(parent, "parent") if parent else ""):
            raise mismatch

        def require_usable(stored: Proposal) -> bool:
            if not holds_request(stored, method, request):
                raise mismatch
            self._require_proven(name, stored)
            require_open(stored)
            missing = PERSONS - sum(1 for _, behind in self.persons(stored) if behind)
            if missing > 0:
                text = (
                    f"needs {missing} more {'person' if missing == 1 else 'persons'} to approve {name}; then call again"
                )
                raise ApprovalRequired(text, _error_metadata(right, name, missing))
            return not stored.has_step(ProposalStep.USED)  # False: the use is on record already

        try:
            unlocked = self._ledger.proposals.find(marketplace, proposal_id)
            if not holds_request(unlocked, method, request):
                raise mismatch
            self._require_proven(name, unlocked)  # without the lock, so that little is left to prove under it
            use = NewStep(ProposalStep.USED, caller)
            proposal = self._ledger.proposals.take_step(marketplace, proposal_id, use, require_usable)
        except ProposalNotFound:
            raise mismatch from None
        counted = [step for step, (_, behind) in zip(proposal.steps, self.persons(proposal), strict=True) if behind]
        return Approval(
            proposal=name,
            basis={} if proposal.content is None else proposal.content.basis,
            author=proposal.steps[0].principal,
            approvers=tuple(step.principal for step in counted if step.step is ProposalStep.APPROVED),
        )

    def _require_proven(self, name: str, proposal: Proposal) -> None:
        """Raise ProposalClosed unless all entries from the proposal on are as sealed. Proven ones are skipped."""
        steps = tuple(taken for taken in proposal.steps if taken.step is not ProposalStep.USED)
        proof_key = name, proposal.digest, proposal.expire_time, steps
        if len(self._proven) >= MAX_PROVEN:
            self._proven.clear()

        def note_proven(sequence: int, _: int) -> None:
            self._proven[proof_key] = sequence
            current_call().require_caller()

        first_unproven = self._proven.get(proof_key, proposal.number - 1) + 1
        report = self._ledger.seals.verify([], note_proven, first_unproven)
        if report.mismatch is not None:
            text = (
                f"{name} is not proven: since it was proposed, entry {report.mismatch.sequence} of the ledger is not as it"
                f" was sealed ({report.mismatch.problem}); run `sellertrust verify ledger`, then propose it anew"
            )
            raise ProposalClosed(text, {"proposal": name, "state": "ALTERED"})


def _may_need_two_persons(entry: entry_pb2.Entry) -> bool:
    """Return whether a rule of four eyes can cover an entry: of measures, one that imposes or updates a suspension."""
    measure = entry.measure
    suspends = measure.measure_kind == entry_pb2.MEASURE_KIND_SUSPENSION
    return entry.WhichOneof("fact") in {_OVERRIDE, _CORRECTION} or (
        suspends and int(measure.state) not in UNIMPOSING_STATES
    )


def _bars_letter(entry: entry_pb2.Entry) -> bool:
    """Return whether an entry keeps a letter from the seller, which needs two persons even without a rule."""
    return entry.measure.state == entry_pb2.MEASURE_STATE_NOTICE_BARRED


def require_open(proposal: Proposal) -> None:
    """Raise ProposalClosed, with the reason, if a proposal was withdrawn, declined or erased, or has expired."""
    closed = {
        "WITHDRAWN": (proposal.has_step(ProposalStep.WITHDRAWN), "was withdrawn or declined"),
        "EXPIRED": (proposal.is_expired, "has expired"),
        "ERASED": (proposal.content is None, "was about a seller who was erased"),
    }
    name = proposal_name(proposal.proposal, proposal.marketplace)
    for state, (is_closed, words) in closed.items():
        if is_closed:
            raise ProposalClosed(f"{name} {words}; make a new one", {"proposal": name, "state": state})


@contextmanager
def add_name_to_not_found(name: str) -> Iterator[None]:
    try:
        yield
    except ProposalNotFound as error:
        error.metadata["proposal"] = name
        raise


def _list_rights_of_request(proposal: Proposal) -> list[NeededRight]:
    if proposal.content is None:
        return []
    method = proposal.content.method
    return list_needed_rights(METHODS[method], parse_request(method, proposal.content.request))


def _error_metadata(right: Right | None, proposal_name: str, missing: int) -> dict[str, str]:
    return {"right": "" if right is None else right.value, "proposal": proposal_name, "persons_missing": str(missing)}


_REMEDY = (
    "propose it (CreateProposal; on the command line the same command with --propose), let another person approve it, and"
    " make the call with that proposal's name (sellertrust proposal carry-out)"
)
