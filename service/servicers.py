"""The RPCs, as functions from request to response: take apart, ask the domain, put together.

They raise domain errors and know neither gRPC nor threads; `service.calls` does the rest.
"""

import base64
import re
import struct
import uuid
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import TypeVar

from scoring.entries import Entry
from scoring.errors import FieldViolation, InvalidInput, SellertrustError, invalid
from scoring.kinds import StatusChanged
from scoring.words import Action
from sellertrust.v1 import ledger_service_pb2 as ledger_pb
from sellertrust.v1 import trust_score_service_pb2 as score_pb
from service.convert import (
    Wrong,
    appended_response,
    entries_of,
    entry_message,
    explanation_message,
    optional_time,
    result_message,
    score_message,
    severity_of,
    stamp_message,
    statuses_of,
    violation_message,
)
from service.entry_streams import MAX_PAGE, EntryStreams, fitting
from service.ledger import Cut, Ledger
from service.names import parse_marketplace, parse_parent, parse_seller, parse_violation, seller_of
from service.scorer import Scorer
from service.tail import Tail

MAX_SELLERS = 1_000
DEFAULT_PAGE = 100
WRITES = ("AppendEntries", *(f"{action.name.capitalize()}Violation" for action in Action))
"""The methods of LedgerService that append."""

_TOKEN = struct.Struct(">qqqq")
_BINDING_BYTES = 12

ScoreRequest = score_pb.GetTrustScoreRequest | score_pb.BatchGetTrustScoresRequest | score_pb.ExplainTrustScoreRequest
ListRequest = ledger_pb.ListEntriesRequest | ledger_pb.ListViolationsRequest
ReadRequest = ScoreRequest | ListRequest | ledger_pb.GetViolationRequest
Decision = (
    ledger_pb.ReviewViolationRequest
    | ledger_pb.ConfirmViolationRequest
    | ledger_pb.DismissViolationRequest
    | ledger_pb.WithdrawViolationRequest
    | ledger_pb.AppealViolationRequest
    | ledger_pb.ReduceViolationRequest
    | ledger_pb.OverturnViolationRequest
    | ledger_pb.ReinstateViolationRequest
)
Decided = TypeVar(
    "Decided",
    ledger_pb.ReviewViolationResponse,
    ledger_pb.ConfirmViolationResponse,
    ledger_pb.DismissViolationResponse,
    ledger_pb.WithdrawViolationResponse,
    ledger_pb.AppealViolationResponse,
    ledger_pb.ReduceViolationResponse,
    ledger_pb.OverturnViolationResponse,
    ledger_pb.ReinstateViolationResponse,
)


class TrustScoreServicer:
    """TrustScoreService."""

    def __init__(self, ledger: Ledger, scorer: Scorer, tail: Tail) -> None:
        self._ledger = ledger
        self._scorer = scorer
        self._tail = tail

    def GetTrustScore(self, request: score_pb.GetTrustScoreRequest) -> score_pb.GetTrustScoreResponse:
        marketplace, seller = parse_seller(request.seller, "seller")
        [outcome], stamp = self._scorer.scores(marketplace, [seller], _cut_of(self._ledger, self._tail, request))
        if isinstance(outcome, SellertrustError):
            raise outcome
        return score_pb.GetTrustScoreResponse(trust_score=score_message(request.seller, outcome, stamp_message(stamp)))

    def BatchGetTrustScores(self, request: score_pb.BatchGetTrustScoresRequest) -> score_pb.BatchGetTrustScoresResponse:
        marketplace = parse_marketplace(request.parent, "parent")
        sellers = _sellers_of(request, marketplace)
        outcomes, stamp = self._scorer.scores(marketplace, sellers, _cut_of(self._ledger, self._tail, request))
        message = stamp_message(stamp)
        named = zip(request.sellers, outcomes, strict=True)
        return score_pb.BatchGetTrustScoresResponse(
            results=[result_message(name, outcome, message) for name, outcome in named]
        )

    def ExplainTrustScore(self, request: score_pb.ExplainTrustScoreRequest) -> score_pb.ExplainTrustScoreResponse:
        marketplace, seller = parse_seller(request.seller, "seller")
        explanation, stamp = self._scorer.explain(marketplace, seller, _cut_of(self._ledger, self._tail, request))
        return explanation_message(request.seller, explanation, stamp)


class LedgerServicer(EntryStreams):
    """LedgerService."""

    def AppendEntries(self, request: ledger_pb.AppendEntriesRequest) -> ledger_pb.AppendEntriesResponse:
        marketplace = parse_marketplace(request.parent, "parent")
        response = appended_response(self._ledger.append(marketplace, entries_of(marketplace, request.entries)))
        self._tail.saw(response.sequence)
        return response

    def ListEntries(self, request: ledger_pb.ListEntriesRequest) -> ledger_pb.ListEntriesResponse:
        marketplace, seller = parse_parent(request.parent, "parent")
        cut, after, limit = _page_of(self._ledger, self._tail, request)
        found = self._ledger.entries(marketplace, cut, seller=seller, after_sequence=after, limit=limit + 1)
        page = fitting([entry_message(marketplace, recorded) for recorded in found[:limit]])
        more = len(page) < len(found)
        return ledger_pb.ListEntriesResponse(
            entries=page, next_page_token=_token_of(request, cut, page[-1].sequence) if more else ""
        )

    def GetViolation(self, request: ledger_pb.GetViolationRequest) -> ledger_pb.GetViolationResponse:
        marketplace, violation = parse_violation(request.name, "name")
        cut = _cut_of(self._ledger, self._tail, request)
        view = self._ledger.violation(marketplace, violation, cut)
        return ledger_pb.GetViolationResponse(violation=violation_message(marketplace, view))

    def ListViolations(self, request: ledger_pb.ListViolationsRequest) -> ledger_pb.ListViolationsResponse:
        marketplace, seller = parse_parent(request.parent, "parent")
        statuses = statuses_of(request.statuses)
        cut, after, limit = _page_of(self._ledger, self._tail, request)
        found, following = self._ledger.violations(
            marketplace,
            cut,
            seller=seller,
            statuses=statuses,
            after_sequence=after,
            limit=limit,
        )
        return ledger_pb.ListViolationsResponse(
            violations=[violation_message(marketplace, view) for view in found],
            next_page_token="" if following is None else _token_of(request, cut, following),
        )

    def ReviewViolation(self, request: ledger_pb.ReviewViolationRequest) -> ledger_pb.ReviewViolationResponse:
        return self._decide(request, Action.REVIEW, ledger_pb.ReviewViolationResponse)

    def ConfirmViolation(self, request: ledger_pb.ConfirmViolationRequest) -> ledger_pb.ConfirmViolationResponse:
        return self._decide(request, Action.CONFIRM, ledger_pb.ConfirmViolationResponse)

    def DismissViolation(self, request: ledger_pb.DismissViolationRequest) -> ledger_pb.DismissViolationResponse:
        return self._decide(request, Action.DISMISS, ledger_pb.DismissViolationResponse)

    def WithdrawViolation(self, request: ledger_pb.WithdrawViolationRequest) -> ledger_pb.WithdrawViolationResponse:
        return self._decide(request, Action.WITHDRAW, ledger_pb.WithdrawViolationResponse)

    def AppealViolation(self, request: ledger_pb.AppealViolationRequest) -> ledger_pb.AppealViolationResponse:
        return self._decide(request, Action.APPEAL, ledger_pb.AppealViolationResponse)

    def ReduceViolation(self, request: ledger_pb.ReduceViolationRequest) -> ledger_pb.ReduceViolationResponse:
        return self._decide(request, Action.REDUCE, ledger_pb.ReduceViolationResponse)

    def OverturnViolation(self, request: ledger_pb.OverturnViolationRequest) -> ledger_pb.OverturnViolationResponse:
        return self._decide(request, Action.OVERTURN, ledger_pb.OverturnViolationResponse)

    def ReinstateViolation(self, request: ledger_pb.ReinstateViolationRequest) -> ledger_pb.ReinstateViolationResponse:
        return self._decide(request, Action.REINSTATE, ledger_pb.ReinstateViolationResponse)

    def _decide(self, request: Decision, action: Action, response: Callable[..., Decided]) -> Decided:
        """Appends the decision; answers the violation as it was just after it, on a retry too."""
        marketplace, violation = parse_violation(request.name, "name")
        decision = StatusChanged(
            violation,
            action,
            request.actor,
            request.reason,
            severity=severity_of(request),
            ground=request.ground,
            units=getattr(request, "units", 0),
        )
        try:
            [done] = self._ledger.append(marketplace, [Entry(request.entry_id or uuid.uuid4().hex, "", decision)])
        except InvalidInput as error:
            raise InvalidInput(_of_request(wrong) for wrong in error.violations) from None
        except SellertrustError as error:
            error.message = re.sub(r"^entries\[0\]\.[a-z_.]+: ", "", error.message)
            raise
        self._tail.saw(done.sequence)
        view = self._ledger.violation(marketplace, violation, replace(self._ledger.cut(), sequence=done.sequence))
        return response(violation=violation_message(marketplace, view), sequence=done.sequence)


def _of_request(wrong: FieldViolation) -> FieldViolation:
    """A decision's fields lie flat in its request: `entries[0].status.actor` is `actor`, the violation is `name`."""
    field = wrong.field.rsplit(".", 1)[-1]
    return FieldViolation("name" if field == "violation" else field, wrong.description)


def _cut_of(ledger: Ledger, tail: Tail, request: ReadRequest) -> Cut:
    """The cut of the ledger that a request's times ask for, once the ledger holds the sequence that it asks for."""
    wrong = Wrong()
    names = [field.name for field in request.DESCRIPTOR.fields]
    observe_time = wrong.take(optional_time, request, "observe_time") if "observe_time" in names else None
    known_time = wrong.take(optional_time, request, "known_time")
    wanted = request.at_least_sequence
    if wanted < 0:
        wrong.fields.append(FieldViolation("at_least_sequence", "must not be negative"))
    wrong.refuse()
    if known_time is None:
        tail.reach(wanted)
    cut = ledger.cut(observe_time, known_time)
    if cut.sequence < wanted:  # whatever is appended from now on is recorded after `known_time`
        text = f"is excluded by known_time, before which the ledger ended at {cut.sequence}; leave one of the two out"
        raise invalid("at_least_sequence", text)
    return cut


def _sellers_of(request: score_pb.BatchGetTrustScoresRequest, marketplace: str) -> list[str]:
    """The sellers' ids: 1 to 1,000, all in the marketplace and none twice; InvalidInput names each wrong one."""
    if not 1 <= len(request.sellers) <= MAX_SELLERS:
        raise invalid("sellers", f"has {len(request.sellers):,} names; a batch holds 1 to {MAX_SELLERS:,}, so split it")
    wrong = Wrong()
    first: dict[str, int] = {}
    for index, name in enumerate(request.sellers):
        seller = wrong.take(seller_of, name, marketplace, f"sellers[{index}]")
        if seller is not None and first.setdefault(seller, index) != index:
            wrong.fields.append(FieldViolation(f"sellers[{index}]", f"is the same as sellers[{first[seller]}]"))
    wrong.refuse()
    return list(first)


def _page_of(ledger: Ledger, tail: Tail, request: ListRequest) -> tuple[Cut, int, int]:
    """(cut, sequence to go on after, entries a page). All pages of a list see the cut of its first one.

    The token binds the request's other parameters but `page_size`, which may change from page to page (AIP-158).
    """
    if request.page_size < 0:
        raise invalid("page_size", f"must be 1 to {MAX_PAGE:,}, or 0 for {DEFAULT_PAGE}")
    limit = min(request.page_size or DEFAULT_PAGE, MAX_PAGE)
    if not request.page_token:
        return _cut_of(ledger, tail, request), 0, limit
    try:
        token = base64.b64decode(request.page_token, b"-_", validate=True)
    except ValueError:
        token = b""
    body = token[_BINDING_BYTES:]
    if len(body) != _TOKEN.size or token[:_BINDING_BYTES] != _binding(request, body):
        text = "must be the next_page_token of the page before, with all else but page_size as in that request"
        raise invalid("page_token", text)
    observe_time, known_time, sequence, after = _TOKEN.unpack(body)
    return Cut(observe_time, known_time, sequence), after, limit


def _token_of(request: ListRequest, cut: Cut, after: int) -> str:
    body = _TOKEN.pack(cut.observe_time, cut.known_time, cut.sequence, after)
    return base64.urlsafe_b64encode(_binding(request, body) + body).decode()


def _binding(request: ListRequest, body: bytes) -> bytes:
    """Ties a token to its request. A checksum and no seal: a forged token shows its maker nothing he may not list."""
    same = type(request)()
    same.MergeFrom(request)  # type: ignore[arg-type]
    for field in ("page_size", "page_token"):
        same.ClearField(field)
    text = same.DESCRIPTOR.full_name.encode() + same.SerializeToString(deterministic=True)
    return sha256(text + b"\0" + body).digest()[:_BINDING_BYTES]
