"""Answers on the wire: a serialized TrustScore (`body`) joined with its stamp and freshness, without a message.

Fields may come in any order.
"""

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from scoring.base.enums import FreshnessState
from scoring.base.time import SECOND
from scoring.scores.answer import Stamp
from sellertrust.v1 import trust_score_service_pb2 as pb
from service.contract.scores import freshness_message, stamp_message


def varint(number: int) -> bytes:
    """Encode an integer, at least 0, as protobuf's varint: `varint(300) == bytes((0xAC, 0x02))`."""
    if number < 1 << 7:
        return _SHORT[number]
    if number < 1 << 14:
        return bytes((number & 0x7F | 0x80, number >> 7))
    if 1 << 28 <= number < 1 << 35:
        return bytes(
            (
                number & 0x7F | 0x80,
                number >> 7 & 0x7F | 0x80,
                number >> 14 & 0x7F | 0x80,
                number >> 21 & 0x7F | 0x80,
                number >> 28,
            )
        )
    return bytes((number & 0x7F | 0x80,)) + varint(number >> 7)


_SHORT = tuple(bytes((number,)) for number in range(1 << 7))


def _encode_tag(message: type[Message], field: str, wire_type: int = 2) -> bytes:
    return varint(message.DESCRIPTOR.fields_by_name[field].number << 3 | wire_type)


_RESULT = pb.BatchGetTrustScoresResponse.Result
_STAMP, _OBSERVE_TIME = _encode_tag(pb.TrustScore, "stamp"), _encode_tag(pb.Stamp, "observe_time")
_SECONDS, _NANOS = _encode_tag(Timestamp, "seconds", 0), _encode_tag(Timestamp, "nanos", 0)
_FRESHNESS = _encode_tag(pb.TrustScore, "freshness")
_SCORE, _RESULTS = (
    _encode_tag(pb.GetTrustScoreResponse, "trust_score"),
    _encode_tag(pb.BatchGetTrustScoresResponse, "results"),
)
_RESULT_SELLER, _RESULT_SCORE = _encode_tag(_RESULT, "seller"), _encode_tag(_RESULT, "trust_score")


def encode_stamp_without_time(stamp: Stamp) -> bytes:
    message = stamp_message(stamp)
    message.ClearField("observe_time")
    return message.SerializeToString()


def stamp_field(stamp_without_time: bytes, observe_time: int) -> bytes:
    """Serialize a TrustScore's stamp field: its observe time (microseconds), then `stamp_without_time`."""
    time = _time_field(observe_time)
    return b"".join((_STAMP, varint(len(time) + len(stamp_without_time)), time, stamp_without_time))


def _time_field(time: int) -> bytes:
    seconds, micros = divmod(time, SECOND)
    if micros == 0 or seconds <= 0:
        data = Timestamp(seconds=seconds, nanos=micros * 1_000).SerializeToString()
    else:
        data = b"".join((_SECONDS, varint(seconds), _NANOS, varint(micros * 1_000)))
    return b"".join((_OBSERVE_TIME, _SHORT[len(data)], data))


def freshness_field(state: FreshnessState, as_of_time: int | None, age: int | None = None) -> bytes:
    """Serialize a TrustScore's freshness; time and age in microseconds, None is unset."""
    data = freshness_message(state, as_of_time, age).SerializeToString()
    return b"".join((_FRESHNESS, varint(len(data)), data))


def score_response(body: bytes, stamp_and_freshness: bytes) -> bytes:
    return b"".join((_SCORE, varint(len(body) + len(stamp_and_freshness)), body, stamp_and_freshness))


def batch_score(name: str, body: bytes, stamp_and_freshness: bytes) -> bytes:
    seller = name.encode()
    score = varint(len(body) + len(stamp_and_freshness))
    size = len(seller) + len(score) + len(body) + len(stamp_and_freshness) + 2 + len(varint(len(seller)))
    return b"".join(
        (
            _RESULTS,
            varint(size),
            _RESULT_SELLER,
            varint(len(seller)),
            seller,
            _RESULT_SCORE,
            score,
            body,
            stamp_and_freshness,
        )
    )


def batch_result(result: Message) -> bytes:
    data = result.SerializeToString()
    return b"".join((_RESULTS, varint(len(data)), data))
