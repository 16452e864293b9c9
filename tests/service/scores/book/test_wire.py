from hypothesis import example, given
from hypothesis import strategies as st

from scoring.base.time import SECOND
from scoring.scores.answer import Stamp
from sellertrust.v1 import trust_score_service_pb2 as pb
from service.contract.scores import stamp_message
from service.scores.book.wire import encode_stamp_without_time, stamp_field, varint

TIMES = st.integers(SECOND, 4_000_000_000 * SECOND)


@given(TIMES, st.integers(0, 2**62))
@example(1_790_000_000 * SECOND, 1)
@example(1_790_000_000 * SECOND + 1, 1)
@example((1 << 35) * SECOND + 268_435, 1)
def test_a_stamp_that_is_joined_is_the_stamp_whatever_its_time(observe_time: int, sequence: int) -> None:
    stamp = Stamp(observe_time, observe_time, sequence, "m" * 64, "p" * 64, "c")
    joined = stamp_field(encode_stamp_without_time(stamp), observe_time)
    whole = pb.TrustScore(stamp=stamp_message(stamp))
    assert pb.TrustScore.FromString(joined) == whole
    assert len(joined) == whole.ByteSize(), "nothing is written twice or at length"


@given(st.integers(0, 62).flatmap(lambda bits: st.integers(max(0, (1 << bits) - 2), (1 << bits) + 2)))
def test_a_number_is_written_as_protobuf_writes_it(number: int) -> None:
    field = pb.Stamp.DESCRIPTOR.fields_by_name["ledger_sequence"].number
    expected = pb.Stamp(ledger_sequence=number).SerializeToString()
    assert (varint(field << 3) + varint(number) if number else b"") == expected
