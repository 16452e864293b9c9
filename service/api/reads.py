"""What reads share: the cut of the ledger that a request asks for, and the pages of lists with their tokens."""

import base64
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from scoring.base.errors import FieldViolation, InvalidInput, invalid
from sellertrust.v1 import audit_service_pb2 as audit_pb
from sellertrust.v1 import ledger_service_pb2 as ledger_pb
from sellertrust.v1 import measure_service_pb2 as measure_pb
from sellertrust.v1 import model_service_pb2 as model_pb
from sellertrust.v1 import policy_service_pb2 as policy_pb
from sellertrust.v1 import proposal_service_pb2 as proposal_pb
from sellertrust.v1 import review_service_pb2 as review_pb
from sellertrust.v1 import trust_score_service_pb2 as score_pb
from service.call_context import current_call
from service.contract.fields import FieldErrors, optional_time
from service.ledger.clock.server_clock import SKEW
from service.ledger.clock.tail import Tail
from service.ledger.records import Cut
from service.ledger.store import Ledger

DEFAULT_PAGE = 100
MAX_PAGE = 1_000
NO_CUT = Cut(0, 0, 0)
"""The cut of a list that is not of the ledger."""

_CUT = struct.Struct(">qqq")
_BINDING_BYTES = 12

ReadRequest = (
    score_pb.GetTrustScoreRequest
    | score_pb.BatchGetTrustScoresRequest
    | score_pb.ExplainTrustScoreRequest
    | measure_pb.EvaluateMeasuresRequest
    | measure_pb.EvaluatePayoutRequest
    | measure_pb.GetRestitutionRequest
    | ledger_pb.GetViolationRequest
    | ledger_pb.ListEntriesRequest
    | ledger_pb.ListViolationsRequest
    | review_pb.GetNotifierRequest
    | review_pb.ListNotifiersRequest
    | review_pb.ListReviewQueueRequest
)
LedgerListRequest = (
    ledger_pb.ListEntriesRequest
    | ledger_pb.ListViolationsRequest
    | review_pb.ListNotifiersRequest
    | review_pb.ListReviewQueueRequest
)
ListRequest = (
    LedgerListRequest
    | model_pb.ListModelsRequest
    | model_pb.ListModelMovesRequest
    | policy_pb.ListPolicyMovesRequest
    | proposal_pb.ListProposalsRequest
    | audit_pb.ListAuditRecordsRequest
)


class Reads:
    """The cuts and the pages of whatever is read from one ledger, whose end is followed by `tail`."""

    def __init__(self, ledger: Ledger, tail: Tail) -> None:
        self._ledger = ledger
        self._tail = tail

    def settled(self) -> int:
        """Return a time before which all that was recorded is in a later cut, in microseconds; 0 if none is known."""
        return self._ledger.clock.settled() or 0

    def doubt(self) -> int:
        """Return how old an answer may be because the clock is in doubt, in microseconds; 0 if it is not."""
        return self._ledger.clock.doubt()

    def reach(self, sequence: int) -> None:
        """Wait until the ledger holds a sequence, as `cut` does."""
        self._tail.reach(sequence)

    def cut(self, request: ReadRequest) -> Cut:
        """Return the cut of the ledger by a request's times, after waiting for its sequence.

        It waits within the call's time until the ledger holds `at_least_sequence`. InvalidInput names the times, or that
        field; raises SequenceNotReached if the ledger does not hold it in time, TooManyCalls if too many wait.
        """
        wrong = FieldErrors()
        names = [field.name for field in request.DESCRIPTOR.fields]
        observe_time = wrong.convert(optional_time, request, "observe_time") if "observe_time" in names else None
        known_time = wrong.convert(optional_time, request, "known_time") if "known_time" in names else None
        wanted: int = getattr(request, "at_least_sequence", 0)
        if wanted < 0:
            wrong.fields.append(FieldViolation(("at_least_sequence",), "must not be negative"))
        wrong.raise_if_any()
        if known_time is None:
            self._tail.reach(wanted)
        cut = self._ledger.cut(observe_time, known_time)
        if cut.sequence < wanted:  # whatever is appended from now on is recorded after `known_time`
            text = (
                f"is excluded by known_time, before which the ledger ended at {cut.sequence}; leave one of the two out"
            )
            raise invalid("at_least_sequence", text)
        return cut

    def page(self, request: LedgerListRequest, is_after: Callable[[str], bool]) -> "Page":
        """Return the page of a list of the ledger that a request asks for.

        `is_after`: whether a text may be what the page goes on after. InvalidInput names `page_size`, `page_token` or the
        times.
        """
        return page_of(request, is_after, lambda: self.cut(request), self.has_given)

    def has_given(self, cut: Cut) -> bool:
        """Return whether a cut, stated in a page token, can be one that this ledger has given.

        It is if for its times the ledger gives the same known time and sequence. The clock that made it may have been
        SKEW ahead of the present one: servers' clocks differ, and are put back.
        """
        if cut.observe_time < 0:
            return False
        try:
            again = self._ledger.cut(max(cut.observe_time - SKEW, 0), cut.known_time)
        except InvalidInput:
            return False
        return (again.known_time, again.sequence) == (cut.known_time, cut.sequence)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list."""

    request: ListRequest
    """The request for it."""
    cut: Cut
    """What all pages of the list see: the cut of its first one."""
    after: str
    """The item that the page goes on after, as the list names its items; empty for the first page."""
    limit: int
    """The largest number of items that it may hold."""

    @property
    def after_number(self) -> int:
        """Return the number after which the page goes on, a sequence or a count; 0 for the first."""
        return int(self.after or 0)

    def token(self, after: object) -> str:
        """Return the token of the next page, which goes on after `after` by the same cut."""
        body = _CUT.pack(self.cut.observe_time, self.cut.known_time, self.cut.sequence) + str(after).encode()
        return base64.urlsafe_b64encode(_binding(self.request, body) + body).decode()


def page_limit(page_size: int, default: int = DEFAULT_PAGE) -> int:
    """Return the most items for a page of the stated size; 0 stands for `default`.

    At most MAX_PAGE. InvalidInput, naming `page_size`, if it is negative.
    """
    if page_size < 0:
        raise invalid("page_size", f"must be 1 to {MAX_PAGE:,}, or 0 for {default:,}")
    return min(page_size or default, MAX_PAGE)


def page_of(
    request: ListRequest,
    is_after: Callable[[str], bool],
    first_cut: Callable[[], Cut] = lambda: NO_CUT,
    has_given: Callable[[Cut], bool] = lambda cut: cut == NO_CUT,
) -> Page:
    """Return the page that a list request asks for: its cut, where it begins, and its limit.

    `is_after` states what a token of this list may go on after; `first_cut` gives the cut of the first page, and
    `has_given` states of which cuts it can have been; without either the list is of no ledger. The token binds the
    request's other parameters but `page_size`, which may change from page to page (AIP-158). InvalidInput names
    `page_size` or `page_token`.
    """
    limit = page_limit(request.page_size)
    if not request.page_token:
        return Page(request, first_cut(), "", limit)
    try:
        token = base64.b64decode(request.page_token, b"-_", validate=True)
    except ValueError:
        token = b""
    body = token[_BINDING_BYTES:]
    after = body[_CUT.size :].decode(errors="replace")
    # Anybody can forge a token, and it shows its maker nothing he may not list; what stands in it must make sense.
    if token[:_BINDING_BYTES] == _binding(request, body) and len(body) > _CUT.size and is_after(after):
        cut = Cut(*_CUT.unpack_from(body))
        if has_given(cut):
            return Page(request, cut, after, limit)
    text = "must be the next_page_token of the page before, with all else but page_size as in that request"
    raise invalid("page_token", text)


def is_number(text: str) -> bool:
    """Return whether a text is a sequence or a count as page tokens hold it: 0 to 10^18 - 1."""
    return re.fullmatch("[0-9]{1,18}", text) is not None


def _binding(request: ListRequest, body: bytes) -> bytes:
    """Tie a token to its request, to who made it, and to whom that caller may see.

    A checksum and no seal: a forged token shows its maker nothing he may not list.
    """
    same = type(request)()
    same.MergeFrom(request)  # type: ignore[arg-type]
    for field in ("page_size", "page_token"):
        same.ClearField(field)
    text = same.DESCRIPTOR.full_name.encode() + same.SerializeToString(deterministic=True)
    call = current_call()
    sellers = "*" if call.visible_sellers is None else " ".join(sorted(call.visible_sellers))
    text += f"\0{call.caller}\0{sellers}".encode()
    return sha256(text + b"\0" + body).digest()[:_BINDING_BYTES]
