"""LedgerService, as functions from request to response."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from scoring.base.enums import Action
from scoring.base.errors import FieldViolation, InvalidInput, SellertrustError, invalid
from scoring.entries.entry import Entry
from scoring.entries.field_types import ID_FORM, is_id
from scoring.entries.kinds.conduct import StatusChanged
from sellertrust.v1 import ledger_service_pb2 as ledger_pb
from service.api.reads import is_number
from service.api.servicers.entry_streams import EntryStreams, cut_to_message, list_visible_sellers
from service.contract.entries import appended_response, entry_message
from service.contract.fields import timestamp
from service.contract.resource_names import parse_marketplace, parse_parent, parse_seller, parse_violation
from service.contract.violations import severity_of, statuses_of, violation_message

DecideViolation = Callable[[Any, Any], Any]


def _make_decision_method(action: Action) -> DecideViolation:
    response = getattr(ledger_pb, f"{action.name.capitalize()}ViolationResponse")

    def decide(servicer: "LedgerServicer", request: Any) -> Any:
        return servicer._decide(request, action, response)

    return decide


class LedgerServicer(EntryStreams):
    def AppendEntries(self, request: ledger_pb.AppendEntriesRequest) -> ledger_pb.AppendEntriesResponse:
        """Append all entries or none. Raises as `Ledger.append`."""
        marketplace = parse_marketplace(request.parent, "parent")
        self._tail.require_answering()
        response = appended_response(self._append(marketplace, request.entries))
        self._tail.note_sequence(response.sequence)
        return response

    def ListEntries(self, request: ledger_pb.ListEntriesRequest) -> ledger_pb.ListEntriesResponse:
        """Return a page of the visible entries, by sequence, as of the first page's cut."""
        parent = parse_parent(request.parent, "parent")
        page = self._reads.page(request, is_number)
        after, limit = page.after_number, page.limit
        sellers = list_visible_sellers(parent)
        recorded_entries = self._ledger.entries.list(
            parent.marketplace, page.cut, sellers=sellers, after_sequence=after, limit=limit + 1
        )
        entries = cut_to_message([entry_message(parent.marketplace, recorded) for recorded in recorded_entries[:limit]])
        more = len(entries) < len(recorded_entries)
        return ledger_pb.ListEntriesResponse(
            entries=entries, next_page_token=page.make_token(entries[-1].sequence) if more else ""
        )

    def GetViolation(self, request: ledger_pb.GetViolationRequest) -> ledger_pb.GetViolationResponse:
        """Return a violation as of a cut, and all entries about it. Raises ViolationNotFound."""
        marketplace, violation = parse_violation(request.name, "name")
        cut = self._reads.cut(request)
        view = self._ledger.violations.find(marketplace, violation, cut)
        recorded = self._ledger.entries.list_by_id(marketplace, view.entries, cut)
        return ledger_pb.GetViolationResponse(
            violation=violation_message(marketplace, view),
            recorded=[entry_message(marketplace, entry) for entry in recorded],
        )

    def ListViolations(self, request: ledger_pb.ListViolationsRequest) -> ledger_pb.ListViolationsResponse:
        """Return a page of violations by report; with `statuses` a page may be short or empty before the last."""
        parent = parse_parent(request.parent, "parent")
        statuses = statuses_of(request.statuses)
        page = self._reads.page(request, is_number)
        if request.notifier and not is_id(request.notifier):
            raise invalid("notifier", f"must be {ID_FORM}")
        views, following = self._ledger.violations.list(
            parent.marketplace,
            page.cut,
            sellers=list_visible_sellers(parent),
            notifier=request.notifier,
            after_sequence=page.after_number,
            limit=page.limit,
        )
        return ledger_pb.ListViolationsResponse(
            violations=[
                violation_message(parent.marketplace, view) for view in views if not statuses or view.status in statuses
            ],
            next_page_token="" if following is None else page.make_token(following),
        )

    ReviewViolation = _make_decision_method(Action.REVIEW)
    ConfirmViolation = _make_decision_method(Action.CONFIRM)
    DismissViolation = _make_decision_method(Action.DISMISS)
    WithdrawViolation = _make_decision_method(Action.WITHDRAW)
    AppealViolation = _make_decision_method(Action.APPEAL)
    ReduceViolation = _make_decision_method(Action.REDUCE)
    OverturnViolation = _make_decision_method(Action.OVERTURN)
    ReinstateViolation = _make_decision_method(Action.REINSTATE)

    def EraseSeller(self, request: ledger_pb.EraseSellerRequest) -> ledger_pb.EraseSellerResponse:
        """Delete the key of a seller's sealed texts. Raises as `Ledger.erase`."""
        name, entry_id = parse_seller(request.seller, "seller"), request.entry_id or uuid.uuid4().hex
        with _convert_entry_errors():
            erasure = self._ledger.erase(*name, actor=request.actor, ground=request.ground, entry_id=entry_id)
        self._tail.note_sequence(erasure.sequence)
        return ledger_pb.EraseSellerResponse(sequence=erasure.sequence, entry_id=erasure.entry_id)

    def MendClock(self, request: ledger_pb.MendClockRequest) -> ledger_pb.MendClockResponse:
        """Correct record times of all marketplaces. Raises as `Ledger.mend_clock`."""
        marketplace = parse_marketplace(request.parent, "parent")
        with _convert_entry_errors():
            mended = self._ledger.mend_clock(
                marketplace,
                actor=request.actor,
                reason=request.reason,
                first_sequence=request.first_sequence,
                ahead=request.ahead_micros,
                entry_id=request.entry_id or uuid.uuid4().hex,
            )
        self._tail.note_sequence(mended.sequence)
        record_time = timestamp(mended.record_time)
        return ledger_pb.MendClockResponse(sequence=mended.sequence, entry_id=mended.entry_id, record_time=record_time)

    def _decide(self, request: Any, action: Action, response: Callable[..., Any]) -> Any:
        """Append the decision; return the violation as it was just after it, also on a retry."""
        marketplace, violation = parse_violation(request.name, "name")
        self._tail.require_answering()
        decision = StatusChanged(
            violation,
            action,
            request.actor,
            request.reason,
            severity=severity_of(request),
            ground=request.ground,
            units=getattr(request, "units", 0),
        )
        with _convert_entry_errors():
            [appended] = self._ledger.append(marketplace, [Entry(request.entry_id or uuid.uuid4().hex, "", decision)])
        self._tail.note_sequence(appended.sequence)
        view = self._ledger.violations.find(
            marketplace, violation, replace(self._ledger.cut(), sequence=appended.sequence)
        )
        return response(violation=violation_message(marketplace, view), sequence=appended.sequence)


@contextmanager
def _convert_entry_errors() -> Iterator[None]:
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(_name_request_field(wrong) for wrong in error.violations) from None
    except SellertrustError as error:
        error.path = ()
        raise


def _name_request_field(wrong: FieldViolation) -> FieldViolation:
    field = wrong.path[-1]
    return FieldViolation(("name" if field == "violation" else field,), wrong.description)
