"""The serialized stamp and freshness of answers; shared parts are serialized once. Times in microseconds."""

from functools import lru_cache

from scoring.base.enums import FreshnessState
from scoring.base.version import CORE_VERSION
from scoring.scores.answer import MadeBy, Stamp
from service.scores.book import wire
from service.scores.book.stale import Standing

_KEPT = 4


def encode_fresh(sequence: int, known_time: int, made_by: MadeBy, observe_time: int, as_of: int) -> bytes:
    """Serialize stamp and freshness of an answer that has everything recorded before `as_of`; times in microseconds."""
    return wire.stamp_field(_encode_rest(sequence, known_time, made_by), observe_time) + _encode_freshness(as_of)


def encode_stale(standing: Standing) -> bytes:
    """Serialize stamp and freshness of an answer that may lack entries."""
    cut = standing.cut
    rest = _encode_rest(cut.sequence, cut.known_time, standing.made_by)
    freshness = wire.freshness_field(FreshnessState.STALE, standing.as_of_time, standing.age)
    return wire.stamp_field(rest, cut.observe_time) + freshness


@lru_cache(_KEPT)
def _encode_rest(sequence: int, known_time: int, made_by: MadeBy) -> bytes:
    stamp = Stamp(0, known_time, sequence, made_by.model, made_by.policy, CORE_VERSION)
    return wire.encode_stamp_without_time(stamp)


@lru_cache(_KEPT)
def _encode_freshness(as_of: int) -> bytes:
    return wire.freshness_field(FreshnessState.FRESH, as_of)
