"""The cut of the ledger that a read asks for, and the pages of lists with their tokens."""

import base64
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from scoring.base.errors import FieldViolation, InvalidInput, invalid
from scoring.base.frozen import frozen
from service.call_context import current_call
from service.contract.fields import FieldErrors, optional_time
from service.ledger.clock.server_clock import SKEW
from service.ledger.clock.tail import Tail
from service.ledger.records import Cut
from service.ledger.store import Ledger

DEFAULT_PAGE = 100
MAX_PAGE = 1_000
NO_CUT = Cut(0, 0, 0)

_CUT_FORMAT = struct.Struct(">qqq")
_BINDING_BYTES = 12


@dataclass(frozen=True)
class Reads:
    ledger: Ledger
    tail: Tail

    def find_settled_time(self) -> int:
        """Return a time in microseconds; all entries recorded before it are in later cuts. 0: unknown."""
        return self.ledger.clock.settled() or 0

    def cut(self, request: Any) -> Cut:
        """Return the cut by a request's times, after waiting for `at_least_sequence` within the call's time.

        Raises InvalidInput, SequenceNotReached if the ledger does not hold the sequence in time, TooManyCalls if too
        many calls wait.
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
            self.tail.reach(wanted)
        cut = self.ledger.cut(observe_time, known_time)
        if cut.sequence < wanted:  # later entries are recorded after `known_time`
            text = (
                f"is excluded by known_time, before which the ledger ended at {cut.sequence}; leave one of the two out"
            )
            raise invalid("at_least_sequence", text)
        return cut

    def page(self, request: Any, is_place: Callable[[str], bool]) -> "ListPage":
        """Return the page of a list, as of the first page's cut; raises as `parse_page`."""
        return parse_page(request, is_place, lambda: self.cut(request), self.can_be_own)

    def can_be_own(self, cut: Cut) -> bool:
        """Return whether this ledger can have given the cut in a page token.

        It must give the same known time and sequence for the cut's times. The cut's clock may have been up to SKEW
        ahead.
        """
        if cut.observe_time < 0:
            return False
        try:
            again = self.ledger.cut(max(cut.observe_time - SKEW, 0), cut.known_time)
        except InvalidInput:
            return False
        return (again.known_time, again.sequence) == (cut.known_time, cut.sequence)


@frozen
class ListPage:
    request: Any
    cut: Cut
    after: str
    limit: int

    @property
    def after_number(self) -> int:
        """Return the number behind which the page begins; 0 for the first."""
        return int(self.after or 0)

    def make_token(self, after: object) -> str:
        """Return the next page's token; `after`: this page's last id or sequence."""
        body = _CUT_FORMAT.pack(self.cut.observe_time, self.cut.known_time, self.cut.sequence) + str(after).encode()
        return base64.urlsafe_b64encode(_compute_binding(self.request, body) + body).decode()


def page_limit(page_size: int, default: int = DEFAULT_PAGE) -> int:
    """Return the most items, at most MAX_PAGE; 0 means `default`. Raises InvalidInput for a negative `page_size`."""
    if page_size < 0:
        raise invalid("page_size", f"must be 1 to {MAX_PAGE:,}, or 0 for {default:,}")
    return min(page_size or default, MAX_PAGE)


def parse_page(
    request: Any,
    is_place: Callable[[str], bool],
    first_cut: Callable[[], Cut] = lambda: NO_CUT,
    can_be_own: Callable[[Cut], bool] = lambda cut: cut == NO_CUT,
) -> ListPage:
    """Return the page that a list request asks for.

    `is_place`: whether a text can be the last id or number of a page. `first_cut` gives the first page's cut,
    `can_be_own` whether this ledger can have given a cut; lists outside the ledger have neither. The token binds all
    parameters except `page_size` (AIP-158). Raises InvalidInput for `page_size` or `page_token`.
    """
    limit = page_limit(request.page_size)
    if not request.page_token:
        return ListPage(request, first_cut(), "", limit)
    try:
        token = base64.b64decode(request.page_token, b"-_", validate=True)
    except ValueError:
        token = b""
    body = token[_BINDING_BYTES:]
    after = body[_CUT_FORMAT.size :].decode(errors="replace")
    if token[:_BINDING_BYTES] == _compute_binding(request, body) and len(body) > _CUT_FORMAT.size and is_place(after):
        cut = Cut(*_CUT_FORMAT.unpack_from(body))
        if can_be_own(cut):
            return ListPage(request, cut, after, limit)
    text = "must be the next_page_token of the page before, with all else but page_size as in that request"
    raise invalid("page_token", text)


def is_number(text: str) -> bool:
    """Return whether a text is 1 to 18 digits."""
    return re.fullmatch("[0-9]{1,18}", text) is not None


def _compute_binding(request: Any, body: bytes) -> bytes:
    """Return a checksum that ties a token to its request, caller and visible sellers.

    A forged token shows only what its maker may list.
    """
    same = type(request)()
    same.MergeFrom(request)
    for field in ("page_size", "page_token"):
        same.ClearField(field)
    text = same.DESCRIPTOR.full_name.encode() + same.SerializeToString(deterministic=True)
    call = current_call()
    sellers = "*" if call.visible_sellers is None else " ".join(sorted(call.visible_sellers))
    text += f"\0{call.caller}\0{sellers}".encode()
    return sha256(text + b"\0" + body).digest()[:_BINDING_BYTES]
