"""Protobuf to domain and back: entries, violations, scores, times and errors.

The numbers of the contract's enums are the domain's, so an enum converts by its number. Into the domain, everything
that is wrong is collected over the whole request and named by its path, as in `entries[17].violation.harm`.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields as dataclass_fields
from typing import Any, TypeVar, cast

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from scoring import answer
from scoring.entries import MAX_BATCH, Entry
from scoring.errors import FieldViolation, InvalidInput, SellertrustError, invalid
from scoring.kinds import FIELD_OF, KIND_OF, KINDS, Fact, Need
from scoring.shapes import Stated
from scoring.time import MAX_TIME, SECOND, format_day, parse_day
from scoring.words import Kind, Severity, Status
from sellertrust.v1 import entry_pb2, ledger_service_pb2, trust_score_service_pb2
from service.ledger import Appended, RecordedEntry, ViolationView
from service.names import seller_name, seller_of, violation_name
from service.statuses import item_error

T = TypeVar("T")


class Wrong:
    """What is wrong with a request, collected while it is converted."""

    def __init__(self) -> None:
        self.fields: list[FieldViolation] = []

    def take(self, convert: Callable[..., T], *arguments: object) -> T | None:
        """What `convert` makes of the arguments; None if it finds them wrong, which is kept."""
        try:
            return convert(*arguments)
        except InvalidInput as error:
            self.fields += error.violations
            return None

    def refuse(self) -> None:
        """Raises InvalidInput if anything was wrong."""
        if self.fields:
            raise InvalidInput(self.fields)


# --- times ------------------------------------------------------------------------------------------------------------


def time_of(message: Timestamp, field: str) -> int:
    """Microseconds since 1970; what is finer is cut off. InvalidInput outside 1970 to 9999, or if `nanos` is malformed.

    Clients in Go and Java send nanoseconds. Cutting them off moves no event into the future, and the same text
    twice stays the same entry.
    """
    if not 0 <= message.nanos < 1_000_000_000:
        raise invalid(field, "must have nanos of 0 to 999,999,999")
    if not 0 <= message.seconds <= MAX_TIME // SECOND:
        raise invalid(field, "must lie between 1970 and 9999")
    return message.seconds * SECOND + message.nanos // 1_000


def optional_time(message: Message, field: str, path: str = "") -> int | None:
    """The time in a message's field, in microseconds; None if it is not set. `path` names the field in errors."""
    return time_of(getattr(message, field), path or field) if message.HasField(field) else None


def timestamp(time: int) -> Timestamp:
    """Microseconds since 1970 as a Timestamp: `timestamp(1_500_000) == Timestamp(seconds=1, nanos=500_000_000)`."""
    return Timestamp(seconds=time // SECOND, nanos=time % SECOND * 1_000)


# --- entries ----------------------------------------------------------------------------------------------------------


def entries_of(marketplace: str, messages: Sequence[entry_pb2.Entry]) -> list[Entry]:
    """The entries of a batch in its order. InvalidInput names what cannot be converted, of all entries.

    What converts is validated by `scoring.entries.prepare_batch`, which the ledger applies.
    """
    if len(messages) > MAX_BATCH:  # before a million of them are converted
        raise invalid("entries", f"has {len(messages):,} entries; a batch holds 1 to {MAX_BATCH:,}, so split it")
    wrong = Wrong()
    entries = [entry_of(marketplace, message, f"entries[{index}]", wrong) for index, message in enumerate(messages)]
    wrong.refuse()
    return cast(list[Entry], entries)


def entry_of(marketplace: str, message: entry_pb2.Entry, path: str, wrong: Wrong) -> Entry | None:
    """One entry, whose seller must be in `marketplace`; None if it cannot be converted, which is added to `wrong`.

    What is output only is ignored, so that what was listed elsewhere can be appended.
    """
    occur_time = wrong.take(optional_time, message, "occur_time", f"{path}.occur_time")
    report_time = wrong.take(optional_time, message, "report_time", f"{path}.report_time")
    kind = KIND_BY_KEY.get(message.WhichOneof("fact") or "")
    if kind is None:
        text = f"must state one fact: {', '.join(FIELD_OF.values())}"
        wrong.fields.append(FieldViolation(f"{path}.fact", text))
        return None
    fact = wrong.take(fact_of, kind, message, path)
    seller: str | None = ""
    if message.seller or KINDS[kind].seller is Need.REQUIRED:
        seller = wrong.take(seller_of, message.seller, marketplace, f"{path}.seller")
    return None if fact is None or seller is None else Entry(message.entry_id, seller, fact, occur_time, report_time)


def fact_of(kind: Kind, message: entry_pb2.Entry, path: str) -> Fact:
    """The fact that an entry states, field by field by its shape. InvalidInput if a day or time cannot be read."""
    row = KINDS[kind]
    stated = getattr(message, row.key)
    return cast(Fact, row.fact(*[read(stated, f"{path}.{row.key}.{name}") for name, read in _READERS[kind]]))


Reader = Callable[[Any, str], Any]


def _reader(field: Stated) -> Reader:
    """How a field is read from the message of its fact."""
    name, shape, required = field.name, field.shape, field.required
    if shape.words is not None:
        known = {int(member): member for member in shape.words}
        # A number that is no word goes on as it is: `prepare` names it with all else that is wrong.
        return lambda message, _: (
            known.get(n := getattr(message, name), n) if (getattr(message, name) or required) else None
        )
    match shape.kind:
        case "ids":
            return lambda message, _: tuple(getattr(message, name))
        case "attributes":
            return lambda message, _: dict(getattr(message, name))
        case "time":
            return lambda message, path: optional_time(message, name, path)
        case "day":
            return lambda message, path: _day_of(getattr(message, name), path)
    return lambda message, _: getattr(message, name)


def _day_of(text: str, path: str) -> int:
    try:
        return parse_day(text)
    except ValueError:
        raise invalid(path, f"must be a date of the form YYYY-MM-DD, not {text[:20]!r}") from None


KIND_BY_KEY = {row.key: kind for kind, row in KINDS.items()}
_BY_NAME = {kind: {field.name: field for field in row.fields} for kind, row in KINDS.items()}
_READERS = {
    kind: [(f.name, _reader(_BY_NAME[kind][f.name])) for f in dataclass_fields(row.fact)] for kind, row in KINDS.items()
}


def entry_message(marketplace: str, recorded: RecordedEntry) -> entry_pb2.Entry:
    """A recorded entry as the contract shows it; an exposure has its day and no `occur_time`, as when it was stated."""
    entry, fact = recorded.entry, recorded.entry.fact
    kind = KIND_OF[type(fact)]
    message = entry_pb2.Entry(
        entry_id=entry.entry_id,
        seller=seller_name(marketplace, recorded.seller) if recorded.seller else "",
        report_time=timestamp(recorded.report_time),
        record_time=timestamp(recorded.record_time),
        sequence=recorded.sequence,
        pending=recorded.pending,
        origin=entry.origin,
        erased=recorded.erased,
    )
    if KINDS[kind].occur_time is not Need.REFUSED:
        message.occur_time.CopyFrom(timestamp(recorded.occur_time))
    stated = getattr(message, KINDS[kind].key)
    stated.SetInParent()
    for name, field in _BY_NAME[kind].items():
        _write(stated, name, field.shape.kind, getattr(fact, name))
    return message


def _write(message: Any, name: str, shape: str, value: Any) -> None:
    match shape:
        case "ids":
            getattr(message, name).extend(value)
        case "attributes":
            getattr(message, name).update(value)
        case "time":
            if value is not None:
                getattr(message, name).CopyFrom(timestamp(value))
        case "day":
            setattr(message, name, format_day(value))
        case _:
            if value:
                setattr(message, name, value)


def appended_response(appended: Sequence[Appended]) -> ledger_service_pb2.AppendEntriesResponse:
    """What became of a batch."""
    return ledger_service_pb2.AppendEntriesResponse(
        results=[appended_message(one) for one in appended], sequence=max(one.sequence for one in appended)
    )


def appended_message(appended: Appended) -> ledger_service_pb2.AppendEntriesResponse.Result:
    """What was appended or found under one entry id."""
    return ledger_service_pb2.AppendEntriesResponse.Result(
        entry_id=appended.entry_id,
        sequence=appended.sequence,
        record_time=timestamp(appended.record_time),
        already_present=appended.already_present,
        pending=appended.pending,
        erased=appended.erased,
    )


# --- violations -------------------------------------------------------------------------------------------------------


def statuses_of(numbers: Sequence[int]) -> tuple[Status, ...]:
    """The statuses to list by. InvalidInput names each that is not stated or not known, as in `statuses[2]`."""
    known = Status.__members__.values()
    names = ", ".join(status.name.lower() for status in known)
    wrong = [
        FieldViolation(f"statuses[{index}]", f"must be one of {names}")
        for index, number in enumerate(numbers)
        if number not in known
    ]
    if wrong:
        raise InvalidInput(wrong)
    return tuple(Status(number) for number in numbers)


def severity_of(request: Message) -> Severity | None:
    """The severity that a decision leaves; None if it states none. A number that is no word goes on as it is."""
    number = getattr(request, "severity", 0)
    if not number:
        return None
    return Severity(number) if number in Severity.__members__.values() else cast(Severity, number)


def violation_message(marketplace: str, view: ViolationView) -> ledger_service_pb2.Violation:
    """A violation as resolved from its entries."""
    return ledger_service_pb2.Violation(
        name=violation_name(marketplace, view.violation),
        seller=seller_name(marketplace, view.seller) if view.seller else "",
        incident=view.incident,
        violation_type=view.violation_type,
        category=entry_pb2.Category.ValueType(view.category),
        severity=entry_pb2.Severity.ValueType(view.severity),
        harm=entry_pb2.Harm.ValueType(view.harm),
        source=entry_pb2.Source.ValueType(view.source),
        notifier=view.notifier,
        status=entry_pb2.ViolationStatus.ValueType(view.status),
        attribution=entry_pb2.Attribution.ValueType(view.attribution or 0),
        occur_time=timestamp(view.occur_time),
        report_time=timestamp(view.report_time),
        record_time=timestamp(view.record_time),
        entries=view.entries,
        allowed_actions=[entry_pb2.Action.ValueType(action) for action in view.allowed_actions],
    )


# --- scores -----------------------------------------------------------------------------------------------------------


def stamp_message(stamp: answer.Stamp) -> trust_score_service_pb2.Stamp:
    """What an answer is made from."""
    return trust_score_service_pb2.Stamp(
        observe_time=timestamp(stamp.observe_time),
        known_time=timestamp(stamp.known_time),
        ledger_sequence=stamp.ledger_sequence,
        model_digest=stamp.model_digest,
        policy_digest=stamp.policy_digest,
        core_version=stamp.core_version,
    )


def score_message(
    name: str, score: answer.TrustScore, stamp: trust_score_service_pb2.Stamp
) -> trust_score_service_pb2.TrustScore:
    """The trust score of the seller called `name`, with its stamp. What is None is not set."""
    return trust_score_service_pb2.TrustScore(
        seller=name,
        state=trust_score_service_pb2.ScoreState.ValueType(score.state),
        points=score.points,
        points_low=score.points_low,
        points_high=score.points_high,
        points_if_upheld=score.points_if_upheld,
        tier_points=score.tier_points,
        tier=entry_pb2.Tier.ValueType(score.tier or 0),
        badge=score.badge,
        p_bad=score.p_bad,
        reason_codes=score.reason_codes,
        counted_incidents=score.counted_incidents,
        open_allegations=score.open_allegations,
        override=score.override,
        stamp=stamp,
    )


def result_message(
    name: str, outcome: answer.TrustScore | SellertrustError, stamp: trust_score_service_pb2.Stamp
) -> trust_score_service_pb2.BatchGetTrustScoresResponse.Result:
    """One seller's outcome in a batch: the trust score, or why there is none."""
    result = trust_score_service_pb2.BatchGetTrustScoresResponse.Result
    if isinstance(outcome, SellertrustError):
        return result(seller=name, error=item_error(outcome))
    return result(seller=name, trust_score=score_message(name, outcome, stamp))


def explanation_message(
    name: str, explanation: answer.Explanation, stamp: answer.Stamp
) -> trust_score_service_pb2.ExplainTrustScoreResponse:
    """The trust score of the seller called `name` with the facts behind it."""
    response = trust_score_service_pb2.ExplainTrustScoreResponse(
        trust_score=score_message(name, explanation.score, stamp_message(stamp)),
        baseline_points=explanation.baseline_points,
        reasons=[_reason_message(reason) for reason in explanation.reasons],
    )
    if explanation.thin_file is not None:
        thin = explanation.thin_file
        response.thin_file.CopyFrom(
            trust_score_service_pb2.ThinFile(
                settled_orders=thin.settled_orders,
                settled_orders_needed=thin.settled_orders_needed,
                tenure_days=thin.tenure_days,
                tenure_days_needed=thin.tenure_days_needed,
            )
        )
    return response


def _reason_message(reason: answer.Reason) -> trust_score_service_pb2.Reason:
    return trust_score_service_pb2.Reason(
        reason_code=reason.reason_code,
        points=reason.points,
        incidents=[
            trust_score_service_pb2.IncidentEffect(
                incident=effect.incident,
                category=entry_pb2.Category.ValueType(effect.category),
                severity=entry_pb2.Severity.ValueType(effect.severity),
                occur_time=timestamp(effect.occur_time),
                points_if_overturned=effect.points_if_overturned,
                entries=effect.entries,
            )
            for effect in reason.incidents
        ],
    )
