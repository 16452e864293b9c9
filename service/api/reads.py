"""What reads share: the cut of the ledger that a request asks for, pages, and the tokens of pages."""

import base64
import struct
from hashlib import sha256

from scoring.errors import FieldViolation, invalid
from sellertrust.v1 import ledger_service_pb2 as ledger_pb
from sellertrust.v1 import trust_score_service_pb2 as score_pb
from service.api.entry_streams import MAX_PAGE
from service.contract.fields import Wrong, optional_time
from service.ledger.records import Cut
from service.ledger.store import Ledger
from service.ledger.tail import Tail

DEFAULT_PAGE = 100


_TOKEN = struct.Struct(">qqqq")


_BINDING_BYTES = 12


ScoreRequest = score_pb.GetTrustScoreRequest | score_pb.BatchGetTrustScoresRequest | score_pb.ExplainTrustScoreRequest


ListRequest = ledger_pb.ListEntriesRequest | ledger_pb.ListViolationsRequest


ReadRequest = ScoreRequest | ListRequest | ledger_pb.GetViolationRequest


def cut_of(ledger: Ledger, tail: Tail, request: ReadRequest) -> Cut:
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


def page_of(ledger: Ledger, tail: Tail, request: ListRequest) -> tuple[Cut, int, int]:
    """(cut, sequence to go on after, entries a page). All pages of a list see the cut of its first one.

    The token binds the request's other parameters but `page_size`, which may change from page to page (AIP-158).
    """
    if request.page_size < 0:
        raise invalid("page_size", f"must be 1 to {MAX_PAGE:,}, or 0 for {DEFAULT_PAGE}")
    limit = min(request.page_size or DEFAULT_PAGE, MAX_PAGE)
    if not request.page_token:
        return cut_of(ledger, tail, request), 0, limit
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


def token_of(request: ListRequest, cut: Cut, after: int) -> str:
    """The token of the page that goes on after the sequence `after`, by the same cut."""
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
