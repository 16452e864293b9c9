"""Answers on the wire: bytes that were made once are joined with stamp and freshness, without a message being built.

Fields of a message may come in any order, so that these behind a finished TrustScore are the same message as one made whole.
"""

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from scoring.answer import Stamp
from scoring.enums import FreshnessState
from scoring.time import SECOND
from sellertrust.v1 import trust_score_service_pb2 as pb
from service.contract.scores import freshness_message, stamp_message


def _tag(message: type[Message], field: str) -> bytes:
    """Return the tag of a field that holds bytes or a message (wire type 2)."""
    return varint(message.DESCRIPTOR.fields_by_name[field].number << 3 | 2)


def varint(number: int) -> bytes:
    """Encode a number, at least 0, as protobuf's varint: `varint(300) == bytes((0xAC, 0x02))`."""
    if number < 0x80:
        return bytes((number,))
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


_RESULT = pb.BatchGetTrustScoresResponse.Result
_STAMP, _OBSERVE_TIME = _tag(pb.TrustScore, "stamp"), _tag(pb.Stamp, "observe_time")
_FRESHNESS = _tag(pb.TrustScore, "freshness")
_SCORE, _RESULTS = _tag(pb.GetTrustScoreResponse, "trust_score"), _tag(pb.BatchGetTrustScoresResponse, "results")
_RESULT_SELLER, _RESULT_SCORE = _tag(_RESULT, "seller"), _tag(_RESULT, "trust_score")


def stamp_rest(stamp: Stamp) -> bytes:
    """Serialize a stamp without its observe time.

    That is what answers of one sequence, model and policy share.
    """
    message = stamp_message(stamp)
    message.ClearField("observe_time")
    return message.SerializeToString()


def stamp_field(rest: bytes, observe_time: int) -> bytes:
    """Serialize the stamp of a TrustScore as its field: its observe time, then `rest`.

    `observe_time`: microseconds; `rest`: from `stamp_rest`.
    """
    seconds, micros = divmod(observe_time, SECOND)
    time = Timestamp(seconds=seconds, nanos=micros * 1_000).SerializeToString()
    return b"".join(
        (_STAMP, varint(len(_OBSERVE_TIME) + 1 + len(time) + len(rest)), _OBSERVE_TIME, bytes((len(time),)), time, rest)
    )


def freshness_field(state: FreshnessState, as_of_time: int | None, age: int | None = None) -> bytes:
    """Serialize the freshness of a TrustScore as its field: how far it reflects the ledger.

    Times in microseconds.
    """
    data = freshness_message(state, as_of_time, age).SerializeToString()
    return b"".join((_FRESHNESS, varint(len(data)), data))


def score_response(body: bytes, rest: bytes) -> bytes:
    """Serialize a GetTrustScoreResponse from parts that are serialized already.

    `body`: the TrustScore; `rest`: its fields of stamp and freshness.
    """
    return b"".join((_SCORE, varint(len(body) + len(rest)), body, rest))


def batch_score(name: str, body: bytes, rest: bytes) -> bytes:
    """Serialize one seller's result of a batch from parts that are serialized already.

    `body`: the TrustScore; `rest`: its fields of stamp and freshness.
    """
    seller = name.encode()
    score = varint(len(body) + len(rest))
    size = len(seller) + len(score) + len(body) + len(rest) + 2 + len(varint(len(seller)))
    return b"".join(
        (_RESULTS, varint(size), _RESULT_SELLER, varint(len(seller)), seller, _RESULT_SCORE, score, body, rest)
    )


def batch_result(result: Message) -> bytes:
    """Serialize one result as an element of `results` in the batch response.

    With tag and length, so that such pieces joined are the response's field.
    """
    data = result.SerializeToString()
    return b"".join((_RESULTS, varint(len(data)), data))
