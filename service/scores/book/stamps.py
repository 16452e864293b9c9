"""The serialized stamp and freshness of answers; shared parts are serialized once. Times in microseconds."""

from functools import lru_cache

from scoring.base.enums import FreshnessState
from scoring.base.version import CORE_VERSION
from scoring.scores.answer import MadeBy, Stamp
from service.scores.book import wire
from service.scores.book.stale import LastAnswer

_KEPT = 4


def encode_fresh(sequence: int, known_time: int, made_by: MadeBy, observe_time: int, as_of: int) -> bytes:
    """Serialize stamp and freshness of an answer that has everything recorded before `as_of`; times in microseconds."""
    return wire.stamp_field(_encode_stamp(sequence, known_time, made_by), observe_time) + _encode_freshness(as_of)


def encode_stale(last_answer: LastAnswer) -> bytes:
    """Serialize stamp and freshness of an answer that may lack entries."""
    cut = last_answer.cut
    stamp = _encode_stamp(cut.sequence, cut.known_time, last_answer.made_by)
    freshness = wire.freshness_field(FreshnessState.STALE, last_answer.as_of_time, last_answer.age)
    return wire.stamp_field(stamp, cut.observe_time) + freshness


@lru_cache(_KEPT)
def _encode_stamp(sequence: int, known_time: int, made_by: MadeBy) -> bytes:
    stamp = Stamp(0, known_time, sequence, made_by.model, made_by.policy, CORE_VERSION)
    return wire.encode_stamp_without_time(stamp)


@lru_cache(_KEPT)
def _encode_freshness(as_of: int) -> bytes:
    return wire.freshness_field(FreshnessState.FRESH, as_of)
