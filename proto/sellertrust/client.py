"""The client: trust scores and the ledger over gRPC, with deadlines, safe retries and decoded errors.

    with Client("trust.example:50051", tls="ca.pem", certificate="client.pem", key="client.key") as client:
        score = client.get_trust_score("acme", "seller-1", on_error="unknown")
        client.append_entries("acme", [Entry(entry_id="...", seller=seller_name("acme", "seller-1"), ...)])

Ids are the marketplace's own; times are datetimes with a zone, or protobuf Timestamps. Every call has a deadline and is
retried while the server is UNAVAILABLE, which is safe: an append identifies its facts by `entry_id`. A read with
`at_least_sequence` sees the append that answered this sequence. A client is thread-safe, but not fork-safe.
"""

import json
import logging
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from time import monotonic
from typing import Any, Literal, Self, get_args

import grpc

from sellertrust.answers import Answers
from sellertrust.audit import Audits
from sellertrust.channel import CallerChannel, CallerFiles, Token
from sellertrust.decisions import Decided, Decision, Decisions
from sellertrust.errors import SellertrustCallError
from sellertrust.measures import Measures
from sellertrust.models import Models
from sellertrust.names import marketplace_name, seller_name, violation_name
from sellertrust.network import Networks
from sellertrust.operations import Operations
from sellertrust.policies import Policies
from sellertrust.proposals import Proposals
from sellertrust.remembered import RememberedScores
from sellertrust.requests import MaxStaleness, Time, bounds, invoke, pages, parent_name, printable, staleness
from sellertrust.review import Reviews
from sellertrust.scores import ScoreResult, TrustScore
from sellertrust.streams import Acknowledgement, Patience, stream_entries, watch_entries
from sellertrust.v1 import entry_pb2, ledger_service_pb2, trust_score_service_pb2
from sellertrust.v1.entry_pb2 import Category, Entry, Harm, Severity, Source, Tier, ViolationStatus
from sellertrust.v1.trust_score_service_pb2 import FreshnessState, ScoreState

__all__ = [
    "SERVICE_CONFIG",
    "Acknowledgement",
    "Category",
    "Client",
    "Decided",
    "Decision",
    "Entry",
    "FreshnessState",
    "Harm",
    "ScoreResult",
    "ScoreState",
    "SellertrustCallError",
    "Severity",
    "Source",
    "Tier",
    "TrustScore",
    "ViolationStatus",
    "seller_name",
    "unknown_score",
    "violation_name",
]

READ_SECONDS = 1.0
WRITE_SECONDS = 10.0
PATIENCE_SECONDS = 60.0
"""A stream without a message is reopened for this long before it fails."""
MAX_MESSAGE_BYTES = 16 << 20
"""As the server's: a batch of 10,000 entries exceeds gRPC's default of 4 MB."""

SERVICE_CONFIG = files("sellertrust").joinpath("service_config.json").read_text()
"""Balancing and retries, for clients in any language. It has no `timeout`: each call sets its deadline."""

OnError = Literal["raise", "unknown"]
Use = Literal["badge", "payout"]
"""A badge always gets an answer, at most `badge_seconds` old unless no server answers; a payout a fresh one or an error."""
_USES: dict[Use, tuple[OnError, MaxStaleness]] = {"badge": ("unknown", "any"), "payout": ("raise", "fresh")}
_Result = trust_score_service_pb2.BatchGetTrustScoresResponse.Result

_LOG = logging.getLogger("sellertrust.client")
LOG_SECONDS = 60.0
"""Seconds after which a cause of unknown scores is logged again."""


def _apply_use(use: Use | None, on_error: OnError, max_staleness: MaxStaleness) -> tuple[OnError, MaxStaleness]:
    if use is not None and use not in _USES:  # a misspelt payout would be answered without `fresh`
        raise ValueError(f"use must be 'badge' or 'payout', not {use!r}")
    if on_error not in get_args(OnError):
        raise ValueError(f"on_error must be 'raise' or 'unknown', not {on_error!r}")
    return _USES[use] if use is not None else (on_error, max_staleness)


def unknown_score(name: str) -> TrustScore:
    """Return the answer for an unknown score: SCORE_STATE_UNKNOWN, badge `unknown`, no points."""
    state = trust_score_service_pb2.SCORE_STATE_UNKNOWN
    unknown = trust_score_service_pb2.Freshness(state=trust_score_service_pb2.FRESHNESS_STATE_UNKNOWN)
    return TrustScore(seller=name, state=state, badge="unknown", freshness=unknown)


class Client(Answers, Audits, Decisions, Measures, Models, Networks, Operations, Policies, Proposals, Reviews):
    """A connection to sellertrust at `target`.

    `target` is in gRPC's syntax: `host:port`, `dns:///name:port`, `ipv4:a:1,b:2`. A client's `deadline_seconds`
    replaces the defaults of 1 s for reads and 10 s for writes; a call's replaces both. `tls` is a file of root
    certificates or gRPC credentials; without it the connection is in plain text. `certificate` and `key` are PEM files
    for a server that asks for a client certificate. `token` is a file of the bearer token for each call, or a function
    that returns it. Files are read again when they change, and the function is called again each half minute, in a
    thread. `badge_seconds`: how long a score for a badge is remembered. Methods raise SellertrustCallError, lists
    while they are read. Use `channel` for other services of the server, such as health.
    """

    _grpc: Any = grpc
    """Makes the channels, as OpenTelemetry has changed it."""

    def __init__(
        self,
        target: str,
        *,
        deadline_seconds: float | None = None,
        tls: grpc.ChannelCredentials | str | Path | None = None,
        certificate: str | Path | None = None,
        key: str | Path | None = None,
        token: Token = None,
        service_config: Mapping[str, Any] | str | None = None,
        badge_seconds: float = 0.0,
    ) -> None:
        self.target = target
        self._unknown = _UnknownScores()
        self._badges = RememberedScores(badge_seconds, self._waits)
        self._read_seconds = deadline_seconds or READ_SECONDS
        self._write_seconds = deadline_seconds or WRITE_SECONDS
        config = SERVICE_CONFIG if service_config is None else service_config
        options = (
            ("grpc.service_config", config if isinstance(config, str) else json.dumps(config)),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 5_000),
            # To find a returned server at once: by default a second passes between two tries, then more.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2_000),
            ("grpc.min_reconnect_backoff_ms", 5_000),  # despite its name: how long one try may take
        )
        self.channel = CallerChannel(
            CallerFiles(target, tls, certificate, key, token),
            lambda credentials: (
                self._grpc.insecure_channel(target, options)
                if credentials is None
                else self._grpc.secure_channel(target, credentials, options)
            ),
        )
        self._closed = threading.Event()
        super().__init__(self.channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, which cancels running calls and streams."""
        self._closed.set()
        self.channel.close()

    def get_trust_score(
        self,
        marketplace: str,
        seller: str,
        *,
        observe_time: Time | None = None,
        known_time: Time | None = None,
        at_least_sequence: int = 0,
        max_staleness: MaxStaleness = "any",
        on_error: OnError = "raise",
        use: Use | None = None,
        deadline_seconds: float | None = None,
    ) -> TrustScore:
        """Return one seller's trust score.

        It has no `points` if its `state` is unrated, or unknown. It is unknown without a model, or while the ledger's
        database is away and the server remembers no answer.

        With `on_error="unknown"`, for a checkout, there is always an answer. Any failure gives `unknown_score`: no
        server, a missed deadline, an unknown seller, a malformed id. The cause, without the seller, is logged as a
        warning of `sellertrust.client`, each cause once a minute. Only wrong times and a wrong `max_staleness`,
        `on_error` or `use` still raise.

        While the ledger's database is away, the server answers what it last knew, with its age in `freshness`.
        `max_staleness="fresh"`, for a payout, gets a fresh answer, or an error with the reason `TOO_STALE`.
        `use="badge"` is `on_error="unknown"`, remembered for `badge_seconds`; `use="payout"` is `max_staleness="fresh"`
        with `on_error="raise"`.
        """
        on_error, max_staleness = _apply_use(use, on_error, max_staleness)
        read_options = bounds(observe_time, known_time, at_least_sequence) | staleness(max_staleness)
        name = seller_name(marketplace, seller)

        def ask() -> TrustScore:
            request = trust_score_service_pb2.GetTrustScoreRequest(seller=name, **read_options)
            seconds = deadline_seconds or self._read_seconds
            return TrustScore(invoke(self._scores.GetTrustScore, request, seconds).trust_score)

        try:
            score = self._badges.get(name, ask) if use == "badge" and not read_options else ask()
        except Exception as error:
            if self._unknown.must_raise(on_error, error):
                raise
            return unknown_score(printable(name))
        if score.freshness.state == trust_score_service_pb2.FRESHNESS_STATE_UNKNOWN and on_error == "unknown":
            self._unknown.note("the server's ledger is away, and it remembers no answer")
        return score

    def batch_get_trust_scores(
        self,
        marketplace: str,
        sellers: Iterable[str],
        *,
        observe_time: Time | None = None,
        known_time: Time | None = None,
        at_least_sequence: int = 0,
        max_staleness: MaxStaleness = "any",
        on_error: OnError = "raise",
        use: Use | None = None,
        deadline_seconds: float | None = None,
    ) -> list[ScoreResult]:
        """Return the trust scores of up to 1,000 sellers from one snapshot of the ledger, one result each, in order.

        A result holds a `trust_score` or that seller's `error`. With `on_error="unknown"` each holds a trust score:
        `unknown_score` in place of errors, also if the whole call fails. Wrong times and a wrong `max_staleness` still
        raise. A call for more sellers fails. A seller named twice is asked for once and answered twice. `max_staleness`
        and `use` as in `get_trust_score`, seller by seller; nothing is remembered.
        """
        on_error, max_staleness = _apply_use(use, on_error, max_staleness)
        read_options = bounds(observe_time, known_time, at_least_sequence) | staleness(max_staleness)
        names = [seller_name(marketplace, seller) for seller in sellers]
        results: dict[str, _Result] = {}
        try:
            request = trust_score_service_pb2.BatchGetTrustScoresRequest(
                parent=marketplace_name(marketplace), sellers=dict.fromkeys(names), **read_options
            )
            response = invoke(self._scores.BatchGetTrustScores, request, deadline_seconds or self._read_seconds)
            results = {result.seller: result for result in response.results}
        except Exception as error:
            if self._unknown.must_raise(on_error, error):
                raise
        if on_error == "raise":
            return [ScoreResult(results[name]) for name in names]
        return [_replace_error(name, results.get(name)) for name in names]

    def explain_trust_score(
        self,
        marketplace: str,
        seller: str,
        *,
        observe_time: Time | None = None,
        known_time: Time | None = None,
        at_least_sequence: int = 0,
        audience: "trust_score_service_pb2.Audience.ValueType" = trust_score_service_pb2.AUDIENCE_UNSPECIFIED,
        language: str = "",
        past_days: Iterable[int] = (),
        deadline_seconds: float | None = None,
    ) -> trust_score_service_pb2.ExplainTrustScoreResponse:
        """Return one seller's trust score with the facts behind every point; with an `audience`, also in plain words.

        `past_days`: at most 60 numbers of days before that of `observe_time`, 1 to 3,650; only for staff.
        In this message of the contract, unset numbers read 0: test `HasField`, or use
        `TrustScore(explanation.trust_score)`.
        """
        request = trust_score_service_pb2.ExplainTrustScoreRequest(
            seller=seller_name(marketplace, seller),
            audience=audience,
            language=language,
            past_days=past_days,
            **bounds(observe_time, known_time, at_least_sequence),
        )
        return invoke(self._scores.ExplainTrustScore, request, deadline_seconds or self._read_seconds)

    def append_entries(
        self,
        marketplace: str,
        entries: Iterable[entry_pb2.Entry],
        *,
        proposal: str = "",
        deadline_seconds: float | None = None,
    ) -> list[ledger_service_pb2.AppendEntriesResponse.Result]:
        """Append 1 to 10,000 entries, all or none; return each one's result, in order.

        `proposal` names the approved proposal of exactly these entries, if the server requires one. After
        DEADLINE_EXCEEDED it is unknown whether they were appended: call again with the same entry ids.
        """
        request = ledger_service_pb2.AppendEntriesRequest(
            parent=marketplace_name(marketplace), entries=entries, proposal=proposal
        )
        return list(invoke(self._ledger.AppendEntries, request, deadline_seconds or self._write_seconds).results)

    def stream_entries(
        self,
        marketplace: str,
        batches: Iterable[Sequence[entry_pb2.Entry]],
        *,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> Iterator[Acknowledgement]:
        """Append batches of entries in order; yield one acknowledgement a batch.

        A batch has 1 to 10,000 entries, and is appended whole or not at all. The stream runs while its acknowledgements
        are taken. A separate thread reads batches a few ahead; its exceptions are raised here after all earlier
        acknowledgements. A rejected batch has an `error` in its acknowledgement, and the next ones go on. After a
        broken connection, unacknowledged batches are sent again, which is safe because of `entry_id`. Raises
        SellertrustCallError once that has failed for `patience_seconds`.
        """
        patience = Patience(patience_seconds, self._closed, self._waits)
        return stream_entries(self._ledger.StreamEntries, marketplace_name(marketplace), batches, patience)

    def watch_entries(
        self,
        marketplace: str,
        seller: str | None = None,
        *,
        after_sequence: int = 0,
        resume_token: str = "",
        page_size: int = 1_000,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> Iterator[ledger_service_pb2.WatchEntriesResponse]:
        """Yield the entries of a marketplace or seller after a position: recorded ones, then new ones.

        Each response has `entries`, none in a heartbeat, `sequence` and `resume_token`. To resume, pass the token once
        the entries are processed; a sequence alone cannot show that the ledger has lost entries. Broken connections
        resume automatically, without loss or repeats. Raises SellertrustCallError once resuming has failed for
        `patience_seconds`, and if the ledger has lost entries that were sent.
        """
        request = ledger_service_pb2.WatchEntriesRequest(
            parent=parent_name(marketplace, seller),
            after_sequence=after_sequence,
            page_size=page_size,
            resume_token=resume_token,
        )
        return watch_entries(self._ledger.WatchEntries, request, Patience(patience_seconds, self._closed, self._waits))

    def list_entries(
        self,
        marketplace: str,
        seller: str | None = None,
        *,
        observe_time: Time | None = None,
        known_time: Time | None = None,
        at_least_sequence: int = 0,
        page_size: int = 1_000,
        deadline_seconds: float | None = None,
    ) -> Iterator[entry_pb2.Entry]:
        """Yield the entries of a marketplace or seller by sequence, in pages as of the first page.

        `deadline_seconds` is for one page.
        """
        request = ledger_service_pb2.ListEntriesRequest(
            parent=parent_name(marketplace, seller),
            page_size=page_size,
            **bounds(observe_time, known_time, at_least_sequence),
        )
        yield from pages(self._ledger.ListEntries, request, "entries", deadline_seconds or self._read_seconds)

    def get_violation(
        self,
        marketplace: str,
        violation: str,
        *,
        known_time: Time | None = None,
        at_least_sequence: int = 0,
        deadline_seconds: float | None = None,
    ) -> ledger_service_pb2.Violation:
        """Return one violation, by its report's `entry_id`."""
        return self.get_recorded_violation(
            marketplace,
            violation,
            known_time=known_time,
            at_least_sequence=at_least_sequence,
            deadline_seconds=deadline_seconds,
        ).violation

    def get_recorded_violation(
        self,
        marketplace: str,
        violation: str,
        *,
        known_time: Time | None = None,
        at_least_sequence: int = 0,
        deadline_seconds: float | None = None,
    ) -> ledger_service_pb2.GetViolationResponse:
        """Return one violation with its entries: the report, then each change."""
        request = ledger_service_pb2.GetViolationRequest(
            name=violation_name(marketplace, violation),
            **bounds(known_time=known_time, at_least_sequence=at_least_sequence),
        )
        return invoke(self._ledger.GetViolation, request, deadline_seconds or self._read_seconds)

    def list_violations(
        self,
        marketplace: str,
        seller: str | None = None,
        *,
        statuses: Iterable[entry_pb2.ViolationStatus.ValueType] = (),
        notifier: str = "",
        observe_time: Time | None = None,
        known_time: Time | None = None,
        at_least_sequence: int = 0,
        page_size: int = 1_000,
        deadline_seconds: float | None = None,
    ) -> Iterator[ledger_service_pb2.Violation]:
        """Yield the violations of a marketplace or seller in the order of their report, paged as `list_entries`.

        `statuses` and `notifier`, if given, select.
        """
        request = ledger_service_pb2.ListViolationsRequest(
            parent=parent_name(marketplace, seller),
            page_size=page_size,
            statuses=statuses,
            notifier=notifier,
            **bounds(observe_time, known_time, at_least_sequence),
        )
        yield from pages(self._ledger.ListViolations, request, "violations", deadline_seconds or self._read_seconds)


class _UnknownScores:
    """Logs each cause of unknown scores once, and again after LOG_SECONDS."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due: dict[str, float] = {}
        self._more: Counter[str] = Counter()

    def note(self, cause: str) -> None:
        with self._lock:
            if monotonic() < self._due.get(cause, 0.0):
                self._more[cause] += 1
                return
            self._due[cause] = monotonic() + LOG_SECONDS
            more = self._more.pop(cause, 0)
        _LOG.warning("trust score unknown: %s%s", cause, f" ({more} more since the last line)" if more else "")

    def must_raise(self, on_error: OnError, error: Exception) -> bool:
        """Return whether to raise an error to the caller.

        Otherwise log its cause, and leave out the message, which may name the seller.
        """
        if on_error == "unknown":
            self.note(_describe_cause(error))
        return on_error != "unknown"


def _describe_cause(error: Exception) -> str:
    if not isinstance(error, SellertrustCallError):
        return type(error).__name__
    if error.reason:
        return f"the server refused the call ({error.code.name} {error.reason})"
    if error.code is grpc.StatusCode.UNAVAILABLE:
        return "no connection to a server (UNAVAILABLE)"
    if error.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return "no answer within the deadline (DEADLINE_EXCEEDED)"
    return f"the call failed ({error.code.name})"


def _replace_error(name: str, result: _Result | None) -> ScoreResult:
    if result is not None and result.HasField("trust_score"):
        return ScoreResult(result)
    return ScoreResult(_Result(seller=printable(name), trust_score=unknown_score(printable(name)).message))
