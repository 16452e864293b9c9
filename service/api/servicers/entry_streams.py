import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import TypeVar

from google.protobuf.message import Message
from google.rpc import code_pb2

from scoring.base.errors import SellertrustError, SequenceNotReached, invalid
from scoring.base.time import MAX_TIME
from sellertrust.names import marketplace_name
from sellertrust.v1 import entry_pb2 as entry_pb
from sellertrust.v1 import ledger_service_pb2 as ledger_pb
from service.api.reads import MAX_PAGE, Reads, page_limit
from service.call_context import current_call
from service.contract.entries import appended_response, entry_message
from service.contract.resource_names import Parent, parse_marketplace, parse_parent
from service.contract.statuses import code_of, item_error
from service.engine.fairness import LockByTurns
from service.ingest.listed_entries import append_messages
from service.ledger.clock.tail import Tail, sequence_not_reached_error, server_stopping_error
from service.ledger.records import AppendedEntry, Cut
from service.ledger.store import Ledger
from service.mechanism.recorder import Recorder

M = TypeVar("M", bound=Message)

MAX_PAGE_BYTES = 8 << 20
HEARTBEAT_SECONDS = 5.0
TOKEN_DIGITS = 16
_TOKEN = re.compile(f"([0-9]{{1,18}})-[0-9a-f]{{{TOKEN_DIGITS}}}")
ENDING = (code_pb2.UNAVAILABLE, code_pb2.INTERNAL)


@dataclass(frozen=True)
class EntryStreams:
    """LedgerService's streams, documented in `ledger_service.proto`. At most one appends and one reads at a time."""

    _ledger: Ledger
    _tail: Tail
    _reads: Reads
    _recorder: Recorder
    _appending: LockByTurns = field(default_factory=LockByTurns)
    _reading: LockByTurns = field(default_factory=LockByTurns)

    def _append(self, marketplace: str, entries: Sequence[entry_pb.Entry]) -> list[AppendedEntry]:
        return append_messages(self._ledger, marketplace, entries, self._recorder.record_contested)

    def StreamEntries(
        self, requests: Iterator[ledger_pb.StreamEntriesRequest]
    ) -> Iterator[ledger_pb.StreamEntriesResponse]:
        """Append each request as a batch of its own; yield its acknowledgement or error.

        Only UNAVAILABLE and INTERNAL end the stream: that batch may be recorded.
        """
        counts = current_call().counts
        parent = marketplace = ""
        for index, request in enumerate(requests):
            if not index:
                parent, marketplace = request.parent, parse_marketplace(request.parent, "parent")
            response = ledger_pb.StreamEntriesResponse(index=index)
            try:
                if request.parent not in {"", parent}:
                    raise invalid("parent", f"must be empty or that of the stream, {marketplace_name(marketplace)}")
                self._tail.require_answering()
                with self._appending.hold(marketplace):
                    appended = self._append(marketplace, request.entries)
                response.acknowledgement.CopyFrom(appended_response(appended))
            except SellertrustError as error:
                if code_of(error) in ENDING:
                    raise  # this batch may be recorded, and the next would fare no better: the client resumes with this one
                response.error.CopyFrom(item_error(error))
                counts["refused"] += 1
            else:
                self._tail.note_sequence(response.acknowledgement.sequence)
                counts["items"] += len(appended)
            yield response

    def WatchEntries(self, request: ledger_pb.WatchEntriesRequest) -> Iterator[ledger_pb.WatchEntriesResponse]:
        """Yield recorded entries by sequence without end; every five seconds at least an empty page.

        Raises SequenceNotReached if the ledger lacks the position, or loses entries that it sent.
        """
        parent = parse_parent(request.parent, "parent")
        if request.after_sequence < 0:
            raise invalid("after_sequence", "must not be negative")
        limit = page_limit(request.page_size, default=MAX_PAGE)
        losses = self._tail.losses
        position, (last, _) = self._find_first_position(request), self._ledger.last()
        if position > last:
            raise sequence_not_reached_error("after_sequence", position, last)
        self._tail.note_sequence(last)
        call, answered_at = current_call(), -inf
        while call.is_active():
            if self._tail.losses > losses:
                raise self._lost_error("after_sequence")
            page: list[entry_pb.Entry] = []
            if last > position:
                page, position = self._read_page_after(parent, position, last, limit)
            if page or monotonic() - answered_at >= HEARTBEAT_SECONDS:
                call.counts["items"] += len(page)
                yield ledger_pb.WatchEntriesResponse(
                    entries=page, sequence=position, resume_token=self._make_resume_token(position)
                )
                answered_at = monotonic()
            if position == last:
                last = max(last, self._tail.wait(position + 1, answered_at + HEARTBEAT_SECONDS - monotonic()))
            elif self._tail.is_closed:
                raise server_stopping_error()

    def _find_first_position(self, request: ledger_pb.WatchEntriesRequest) -> int:
        token = request.resume_token
        if not token:
            return request.after_sequence
        if request.after_sequence:
            raise invalid("resume_token", "must be empty beside after_sequence")
        if not (match := _TOKEN.fullmatch(token)):
            raise invalid("resume_token", "must be that of a response of WatchEntries")
        position = int(match[1])
        if token != self._make_resume_token(position):
            raise self._lost_error("resume_token")
        return position

    def _make_resume_token(self, position: int) -> str:
        chain = self._ledger.seals.chain_over(position) if position else None
        return "" if chain is None else f"{position}-{chain.hex()[:TOKEN_DIGITS]}"

    def _lost_error(self, field: str) -> SequenceNotReached:
        return SequenceNotReached(
            "the ledger has lost entries that were sent, so another may stand at each sequence; watch again from an"
            " entry that it still holds, or from 0",
            {"last_sequence": str(self._ledger.last().sequence)},
            (field,),
        )

    def _read_page_after(self, parent: Parent, after: int, last: int, limit: int) -> tuple[list[entry_pb.Entry], int]:
        # All recorded entries, whenever they occurred: the ledger's end does not depend on the clock.
        cut = Cut(MAX_TIME + 1, MAX_TIME + 1, last)
        with self._reading.hold(parent.marketplace):
            sellers = list_visible_sellers(parent)
            entries = self._ledger.entries.list(
                parent.marketplace, cut, sellers=sellers, after_sequence=after, limit=limit + 1
            )
            page = cut_to_message([entry_message(parent.marketplace, recorded) for recorded in entries[:limit]])
        return page, last if len(page) == len(entries) else page[-1].sequence


def list_visible_sellers(parent: Parent) -> Collection[str] | None:
    """Return the sellers whose entries a list may show; None: all, and entries without a seller.

    Entries without a seller, such as a violation of a product, need a right over every seller.
    """
    visible = current_call().visible_sellers
    return visible if parent.seller is None else (parent.seller,)


def cut_to_message(items: list[M]) -> list[M]:
    """Return the first items that fit into MAX_PAGE_BYTES, at least one (AIP-158 allows short pages)."""
    total = 0
    for index, item in enumerate(items):
        total += item.ByteSize()
        if total > MAX_PAGE_BYTES and index:
            return items[:index]
    return items
