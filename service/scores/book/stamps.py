"""The serialized stamp and freshness of answers; shared parts are serialized once."""

from scoring.base.enums import FreshnessState
from scoring.base.version import CORE_VERSION
from scoring.scores.answer import MadeBy, Stamp
from service.ledger.records import Cut
from service.scores.book import wire
from service.scores.book.follower import Beat
from service.scores.book.stale import Standing


class Stamps:
    """Serializes stamp and freshness; times in microseconds. Thread-safe: the shared part is replaced whole."""

    def __init__(self) -> None:
        self._rest: tuple[tuple[int, int, MadeBy], bytes] = ((-1, 0, MadeBy("", "")), b"")
        self._fresh: tuple[Beat | None, bytes] = (None, b"")

    def encode_computed(self, cut: Cut, stamp: Stamp, as_of: int) -> bytes:
        rest = self._rest_of(cut.sequence, cut.known_time, stamp.made_by)
        return wire.stamp_field(rest, cut.observe_time) + wire.freshness_field(FreshnessState.FRESH, as_of)

    def encode_remembered(
        self, sequence: int, known_time: int, made_by: MadeBy, observe_time: int, beat: Beat
    ) -> bytes:
        known, fresh = self._fresh
        if known is not beat:
            fresh = wire.freshness_field(FreshnessState.FRESH, beat.time)
            self._fresh = (beat, fresh)
        return wire.stamp_field(self._rest_of(sequence, known_time, made_by), observe_time) + fresh

    def encode_stale(self, standing: Standing) -> bytes:
        cut = standing.cut
        rest = self._rest_of(cut.sequence, cut.known_time, standing.made_by)
        freshness = wire.freshness_field(FreshnessState.STALE, standing.as_of_time, standing.age)
        return wire.stamp_field(rest, cut.observe_time) + freshness

    def _rest_of(self, sequence: int, known_time: int, made_by: MadeBy) -> bytes:
        key, rest = self._rest
        if key == (sequence, known_time, made_by):
            return rest
        rest = wire.encode_stamp_without_time(
            Stamp(0, known_time, sequence, made_by.model, made_by.policy, CORE_VERSION)
        )
        self._rest = ((sequence, known_time, made_by), rest)
        return rest
