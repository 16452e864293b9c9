"""The rights, and the right and the threads of each method. A method without a row stops the server's start."""

from collections.abc import Iterable, Mapping
from enum import Enum
from types import MappingProxyType

from scoring.base.enums import Action, Kind
from scoring.base.errors import PermissionDenied
from scoring.base.frozen import frozen
from scoring.entries.kinds.table import BY_COMMAND, KINDS
from service.engine.pools import Pool


class Right(Enum):
    __hash__ = object.__hash__  # Enum's hash is Python code

    READ_SCORES = "read_scores"
    """Trust scores."""
    EXPLAIN = "explain"
    """Trust scores with the facts behind each point, simulations, paths and replays."""
    READ_OWN = "read_own"
    """A seller's own view, its letters, and trials of its appeals; for a grant of one seller."""
    READ_STATEMENTS = "read_statements"
    """Explanations and statements of reasons for a regulator."""
    READ_MEASURES = "read_measures"
    """Measures in force with their rules and entries, payout terms, and restitution."""
    READ_LEDGER = "read_ledger"
    """Entries, violations, notifiers and the review queue."""
    APPEND = "append"
    """Appends facts of the granted kinds, sources, notifiers and entry ids."""
    DECIDE = "decide"
    """Decides single violations and cases, corrects entries, and moves violations between incidents."""
    BULK_DECIDE = "bulk_decide"
    """Decides many violations at once."""
    OVERRIDE = "override"
    """Appends overrides, which set a seller's tier and badge."""
    IMPOSE_MEASURES = "impose_measures"
    """Appends measures against a seller."""
    DECIDE_COMPLAINTS = "decide_complaints"
    """Decides complaints about measures; an upheld complaint lifts the measure."""
    READ_MODELS = "read_models"
    """Reads published models, their figures and reports."""
    MODELS = "models"
    """Promotes and rolls back models."""
    READ_POLICIES = "read_policies"
    """Reads committed policies and their moves."""
    POLICIES = "policies"
    """Commits and rolls back policies."""
    PROPOSE = "propose"
    """Proposes requests that the caller may make itself and that need approval; reads and withdraws proposals."""
    APPROVE = "approve"
    """Approves other persons' proposals."""
    READ_REPORT = "read_report"
    """The figures of the public report."""
    AUDIT = "audit"
    """Reads and verifies the audit file, of a marketplace or whole."""
    ERASE = "erase"
    """Erases sellers' sealed texts."""
    READ_NETWORK = "read_network"
    """Links between sellers, rings, and certificates of links."""
    REFRESH_LINKS = "refresh_links"
    """Measures the precision of links, and states what time changed."""
    EXPORT_CASES = "export_cases"
    """Exports sellers' cases for an authority; two persons approve each."""
    OPERATE = "operate"
    """Corrects what a faulty clock recorded."""


class Scope(Enum):
    __hash__ = object.__hash__

    SELLER = "the seller in `seller`"
    MEASURES = "the seller in `seller`; a `policy` that is stated needs `read_policies` besides"
    AUDIENCE = "the seller in `seller`, by the right of the `audience`"
    SELLERS = "each seller in `sellers`"
    EVERY_SELLER = "every seller of the marketplace of the seller in `seller`"
    PARENT = "the marketplace or the seller in `parent`"
    MARKETPLACE = "every seller of the marketplace in `parent`"
    VIOLATION = "every seller of the marketplace of the violation in `name`"
    NOTIFIER = "every seller of the marketplace of the notifier in `name`"
    ENTRIES = "each entry in `entries`"
    DECISION = "every seller of the marketplace of the violation in `name`, the action and `entry_id`"
    SERVER = "the server: every marketplace"
    PROPOSED = "the marketplace of the request in it, and what that asks for"
    PROPOSAL = "every seller of the marketplace of the proposal in `name`, or every marketplace"
    ERASED = "the seller in `seller`, and `entry_id`"
    PROPOSALS = "every seller of the marketplace in `parent`, or every marketplace"


@frozen
class MethodRow:
    right: Right
    scope: Scope
    pool: Pool = Pool.SLOW
    """Its threads. What can be answered without the database shares no pool with the rest."""
    action: str = ""
    is_emergency: bool = False


METHODS: Mapping[str, MethodRow] = MappingProxyType(
    {
        "TrustScoreService/GetTrustScore": MethodRow(Right.READ_SCORES, Scope.SELLER, Pool.READ),
        "TrustScoreService/BatchGetTrustScores": MethodRow(Right.READ_SCORES, Scope.SELLERS, Pool.BATCH),
        "TrustScoreService/ExplainTrustScore": MethodRow(Right.EXPLAIN, Scope.AUDIENCE),
        "AnswerService/SimulateTrustScore": MethodRow(Right.EXPLAIN, Scope.AUDIENCE),
        "AnswerService/FindTierPath": MethodRow(Right.EXPLAIN, Scope.AUDIENCE),
        "AnswerService/ReplayTrustScore": MethodRow(Right.EXPLAIN, Scope.SELLER),
        "AnswerService/ListStatementsOfReasons": MethodRow(Right.EXPLAIN, Scope.AUDIENCE),
        "MeasureService/EvaluateMeasures": MethodRow(Right.READ_MEASURES, Scope.MEASURES),
        "MeasureService/EvaluatePayout": MethodRow(Right.READ_MEASURES, Scope.SELLER),
        "MeasureService/GetRestitution": MethodRow(Right.READ_MEASURES, Scope.SELLER),
        "LedgerService/AppendEntries": MethodRow(Right.APPEND, Scope.ENTRIES, Pool.WRITE),
        "LedgerService/StreamEntries": MethodRow(Right.APPEND, Scope.ENTRIES, Pool.STREAM),
        "LedgerService/ListEntries": MethodRow(Right.READ_LEDGER, Scope.PARENT),
        "LedgerService/WatchEntries": MethodRow(Right.READ_LEDGER, Scope.PARENT, Pool.STREAM),
        "LedgerService/GetViolation": MethodRow(Right.READ_LEDGER, Scope.VIOLATION),
        "LedgerService/ListViolations": MethodRow(Right.READ_LEDGER, Scope.PARENT),
        **{
            f"LedgerService/{action.name.capitalize()}Violation": MethodRow(
                Right.DECIDE, Scope.DECISION, Pool.WRITE, action.word
            )
            for action in Action
        },
        "LedgerService/EraseSeller": MethodRow(Right.ERASE, Scope.ERASED, Pool.WRITE),
        "LedgerService/MendClock": MethodRow(Right.OPERATE, Scope.SERVER, Pool.WRITE),
        "ReviewService/GetNotifier": MethodRow(Right.READ_LEDGER, Scope.NOTIFIER, Pool.REVIEW),
        "ReviewService/ListNotifiers": MethodRow(Right.READ_LEDGER, Scope.MARKETPLACE, Pool.REVIEW),
        "ReviewService/ListReviewQueue": MethodRow(Right.READ_LEDGER, Scope.MARKETPLACE, Pool.REVIEW),
        "ReviewService/DecideViolations": MethodRow(Right.BULK_DECIDE, Scope.MARKETPLACE, Pool.REVIEW),
        "ReviewService/GetTransparencyReport": MethodRow(Right.READ_REPORT, Scope.MARKETPLACE, Pool.REVIEW),
        "ModelService/ListModels": MethodRow(Right.READ_MODELS, Scope.SERVER, Pool.MODEL),
        "ModelService/GetModel": MethodRow(Right.READ_MODELS, Scope.SERVER, Pool.MODEL),
        "ModelService/DiffModels": MethodRow(Right.READ_MODELS, Scope.SERVER, Pool.MODEL),
        "ModelService/ListModelMoves": MethodRow(Right.READ_MODELS, Scope.SERVER, Pool.MODEL),
        "ModelService/GetModelReport": MethodRow(Right.READ_MODELS, Scope.SERVER, Pool.MODEL),
        "ModelService/PromoteModel": MethodRow(Right.MODELS, Scope.SERVER, Pool.MODEL),
        "ModelService/RollbackModel": MethodRow(Right.MODELS, Scope.SERVER, Pool.MODEL, is_emergency=True),
        "PolicyService/GetPolicy": MethodRow(Right.READ_POLICIES, Scope.SERVER, Pool.REVIEW),
        "PolicyService/ListPolicyMoves": MethodRow(Right.READ_POLICIES, Scope.SERVER, Pool.REVIEW),
        "PolicyService/CommitPolicy": MethodRow(Right.POLICIES, Scope.SERVER, Pool.REVIEW),
        "PolicyService/RollbackPolicy": MethodRow(Right.POLICIES, Scope.SERVER, Pool.REVIEW, is_emergency=True),
        "ProposalService/CreateProposal": MethodRow(Right.PROPOSE, Scope.PROPOSED, Pool.WRITE),
        "ProposalService/GetProposal": MethodRow(Right.PROPOSE, Scope.PROPOSAL),
        "ProposalService/ListProposals": MethodRow(Right.PROPOSE, Scope.PROPOSALS),
        "ProposalService/ApproveProposal": MethodRow(Right.APPROVE, Scope.PROPOSAL, Pool.WRITE),
        "ProposalService/WithdrawProposal": MethodRow(Right.PROPOSE, Scope.PROPOSAL, Pool.WRITE),
        "NetworkService/GetSellerNetwork": MethodRow(Right.READ_NETWORK, Scope.EVERY_SELLER),
        "NetworkService/ListRings": MethodRow(Right.READ_NETWORK, Scope.MARKETPLACE, Pool.REVIEW),
        "NetworkService/RefreshLinks": MethodRow(Right.REFRESH_LINKS, Scope.MARKETPLACE, Pool.REVIEW),
        "NetworkService/ExportCase": MethodRow(Right.EXPORT_CASES, Scope.MARKETPLACE, Pool.REVIEW),
        "AuditService/ListAuditRecords": MethodRow(Right.AUDIT, Scope.PROPOSALS, Pool.MODEL),
        "AuditService/VerifyAudit": MethodRow(Right.AUDIT, Scope.SERVER, Pool.MODEL),
    }
)
"""Health is open to all and has no row."""

RIGHT_OF_KIND: Mapping[Kind, Right] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                Kind.VIOLATION,
                Kind.EXPOSURE,
                Kind.IDENTITY,
                Kind.RATING,
                Kind.DISPUTE,
                Kind.INSPECTION,
                Kind.PROFILE,
                Kind.OPERATOR,
                Kind.CONTROL,
                Kind.PRODUCT,
                Kind.PRODUCT_VIOLATION,
                Kind.LINK,
                Kind.REMEDIATION,
                Kind.FLOW,
                Kind.DEPOSIT,
                Kind.CLAIM,
                Kind.COMPLAINT,
            ),
            Right.APPEND,
        ),
        Kind.ERASURE: Right.ERASE,
        Kind.CLOCK: Right.OPERATE,
        **dict.fromkeys(
            (Kind.STATUS, Kind.ATTRIBUTION, Kind.INCIDENT, Kind.CORRECTION, Kind.CASE),
            Right.DECIDE,
        ),
        Kind.OVERRIDE: Right.OVERRIDE,
        Kind.MEASURE: Right.IMPOSE_MEASURES,
        Kind.PAYOUTS: Right.IMPOSE_MEASURES,
        Kind.COMPLAINT_DECISION: Right.DECIDE_COMPLAINTS,
    }
)
"""For appends. A missing kind stops the server's start."""

RIGHT_OF_AUDIENCE = (Right.EXPLAIN, Right.READ_OWN, Right.EXPLAIN, Right.READ_STATEMENTS, Right.READ_SCORES)
"""By the audience's number; unspecified is staff."""

BOUND = frozenset(
    {
        *(Right.DECIDE, Right.BULK_DECIDE, Right.OVERRIDE, Right.IMPOSE_MEASURES, Right.DECIDE_COMPLAINTS),
        *(Right.MODELS, Right.POLICIES, Right.APPROVE, Right.ERASE, Right.OPERATE),
        Right.EXPORT_CASES,
    }
)
"""They need a client certificate, because a bearer token can be replayed."""

READS = frozenset(
    {
        *(
            name
            for name, row in METHODS.items()
            if row.right in {Right.READ_LEDGER, Right.READ_NETWORK, Right.EXPLAIN, Right.READ_MEASURES, Right.AUDIT}
        ),
        *("ProposalService/GetProposal", "ProposalService/ListProposals"),
    }
)
"""Persons' calls that read about sellers are audited if the grants file says so."""

MAY_BE_WRITTEN = READS | {
    name for name, row in METHODS.items() if row.right in BOUND or row.scope in {Scope.ENTRIES, Scope.PROPOSED}
}

NEEDING_TWO = frozenset(
    {
        *(Right.MODELS, Right.POLICIES, Right.OVERRIDE, Right.BULK_DECIDE, Right.EXPORT_CASES),
        Right.IMPOSE_MEASURES,
    }
)
"""A grants file may put them under four eyes; of measures, suspensions and closures alone."""

OF_SERVER = frozenset({Right.READ_MODELS, Right.MODELS, Right.READ_POLICIES, Right.POLICIES, Right.OPERATE})
"""A grant covers every marketplace."""

ACTIONS = frozenset(action.word for action in Action) | {
    kind.word for kind, right in RIGHT_OF_KIND.items() if right is Right.DECIDE and kind is not Kind.STATUS
}
"""Actions on violations, and kinds of entries that decide without one, as a grant of `decide` names them."""

WRITING = frozenset(
    {
        *(Right.APPEND, Right.DECIDE, Right.OVERRIDE, Right.IMPOSE_MEASURES, Right.DECIDE_COMPLAINTS, Right.ERASE),
    }
)
"""They append entries with ids that the caller chooses."""

FILTERED = frozenset({Scope.SELLERS, Scope.PARENT})
"""A caller who may see some of the sellers gets only those."""


_APPENDING = frozenset(right for kind, right in RIGHT_OF_KIND.items() if kind not in BY_COMMAND)


def rights_of(method: str) -> frozenset[Right]:
    """Return the rights that each admit a call of `Service/Method`; for appends the rights of all kinds."""
    row = METHODS[method]
    if row.scope is Scope.AUDIENCE:
        return frozenset(RIGHT_OF_AUDIENCE)
    return _APPENDING if row.scope is Scope.ENTRIES else frozenset({row.right})


def require_rows(methods: Iterable[str]) -> None:
    """Raise TypeError if a kind of entry, or a method such as "TrustScoreService/GetTrustScore", has no row."""
    missing = [method for method in methods if method not in METHODS]
    missing += [f"entries of the kind {kind.word}" for kind in KINDS if kind not in RIGHT_OF_KIND]
    if missing:
        raise TypeError(f"without a right in service/access/rights.py: {', '.join(missing)}")


def not_granted(right: Right, *, needs_certificate: bool = False, of_entry: bool = False) -> PermissionDenied:
    """Return the error for a call without a grant, which names the needed right but no resource.

    `needs_certificate`: a token does not suffice. `of_entry`: the call appends an entry, which one grant must cover
    completely.
    """
    text = f"the caller is not granted what the call asks for; it needs the right {right.value}"
    if of_entry:
        text += ", by one grant that covers marketplace, seller, kind, source, notifier and id of the entry together"
    if needs_certificate:
        text += ", which a token carries only beside a client certificate"
    return PermissionDenied(text, {"right": right.value})
