"""What reads share: the cut of the ledger that a request asks for, and the pages of lists with their tokens."""

import base64
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from scoring.errors import FieldViolation, invalid
from scoring.time import MAX_TIME
from sellertrust.v1 import ledger_service_pb2 as ledger_pb
from sellertrust.v1 import model_service_pb2 as model_pb
from sellertrust.v1 import review_service_pb2 as review_pb
from sellertrust.v1 import trust_score_service_pb2 as score_pb
from service.contract.fields import Wrong, optional_time
from service.ledger.records import Cut
from service.ledger.store import Ledger
from service.ledger.tail import Tail

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
    | ledger_pb.GetViolationRequest
    | ledger_pb.ListEntriesRequest
    | ledger_pb.ListViolationsRequest
    | review_pb.GetNotifierRequest
    | review_pb.ListNotifiersRequest
    | review_pb.ListReviewQueueRequest
)
ListRequest = (
    ledger_pb.ListEntriesRequest
    | ledger_pb.ListViolationsRequest
    | review_pb.ListNotifiersRequest
    | review_pb.ListReviewQueueRequest
    | model_pb.ListModelsRequest
    | model_pb.ListModelMovesRequest
)


def cut_of(ledger: Ledger, tail: Tail | None, request: ReadRequest) -> Cut:
    """The cut of the ledger that a request's times ask for, once the ledger holds the sequence that it asks for.

    `tail`: None for requests that cannot ask for a sequence.
    """
    wrong = Wrong()
    names = [field.name for field in request.DESCRIPTOR.fields]
    observe_time = wrong.take(optional_time, request, "observe_time") if "observe_time" in names else None
    known_time = wrong.take(optional_time, request, "known_time")
    wanted: int = getattr(request, "at_least_sequence", 0)
    if wanted < 0:
        wrong.fields.append(FieldViolation(("at_least_sequence",), "must not be negative"))
    wrong.refuse()
    if known_time is None and tail is not None:
        tail.reach(wanted)
    cut = ledger.cut(observe_time, known_time)
    if cut.sequence < wanted:  # whatever is appended from now on is recorded after `known_time`
        text = f"is excluded by known_time, before which the ledger ended at {cut.sequence}; leave one of the two out"
        raise invalid("at_least_sequence", text)
    return cut


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list."""

    request: ListRequest
    cut: Cut
    """What all pages of the list see: the cut of its first one."""
    after: str
    """After what the page goes on, in the list's own words; empty for the first page."""
    limit: int
    """How many items it holds at most."""

    def token(self, after: object) -> str:
        """Return the token of the page that goes on after `after`, by the same cut."""
        body = _CUT.pack(self.cut.observe_time, self.cut.known_time, self.cut.sequence) + str(after).encode()
        return base64.urlsafe_b64encode(_binding(self.request, body) + body).decode()


def page_of(
    request: ListRequest, is_after: Callable[[str], bool], first_cut: Callable[[], Cut] = lambda: NO_CUT
) -> Page:
    """Return the page that a list request asks for. InvalidInput names `page_size` or `page_token`.

    `is_after` says what a token of this list may go on after; `first_cut` gives the cut of the first page. The token
    binds the request's other parameters but `page_size`, which may change from page to page (AIP-158).
    """
    if request.page_size < 0:
        raise invalid("page_size", f"must be 1 to {MAX_PAGE:,}, or 0 for {DEFAULT_PAGE}")
    limit = min(request.page_size or DEFAULT_PAGE, MAX_PAGE)
    if not request.page_token:
        return Page(request, first_cut(), "", limit)
    try:
        token = base64.b64decode(request.page_token, b"-_", validate=True)
    except ValueError:
        token = b""
    body = token[_BINDING_BYTES:]
    cut = Cut(*_CUT.unpack_from(body)) if len(body) > _CUT.size else Cut(-1, -1, -1)
    after = body[_CUT.size :].decode(errors="replace")
    # Anybody can forge a token, and it shows its maker nothing he may not list; what stands in it must make sense.
    is_sound = 0 <= cut.observe_time <= MAX_TIME and 0 <= cut.known_time <= MAX_TIME and cut.sequence >= 0
    if not (is_sound and is_after(after)) or token[:_BINDING_BYTES] != _binding(request, body):
        text = "must be the next_page_token of the page before, with all else but page_size as in that request"
        raise invalid("page_token", text)
    return Page(request, cut, after, limit)


def is_number(text: str) -> bool:
    """Whether it is a sequence, or how many items come before: 0 to 10^18 - 1."""
    return re.fullmatch("[0-9]{1,18}", text) is not None


def _binding(request: ListRequest, body: bytes) -> bytes:
    """Ties a token to its request. A checksum and no seal: a forged token shows its maker nothing he may not list."""
    same = type(request)()
    same.MergeFrom(request)  # type: ignore[arg-type]
    for field in ("page_size", "page_token"):
        same.ClearField(field)
    text = same.DESCRIPTOR.full_name.encode() + same.SerializeToString(deterministic=True)
    return sha256(text + b"\0" + body).digest()[:_BINDING_BYTES]
