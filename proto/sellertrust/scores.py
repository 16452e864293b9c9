"""Trust scores as the client returns them: the contract's messages, but with None for unset numbers.

In protobuf an unset number reads 0. So `score.points < 500` would be true if a seller has no points.
"""

from typing import Any

from sellertrust.v1 import trust_score_service_pb2 as pb
from sellertrust.v1.entry_pb2 import Tier
from sellertrust.v1.errors_pb2 import ItemError

_OPTIONAL = {field.name for field in pb.TrustScore.DESCRIPTOR.fields if field.has_presence and not field.message_type}


class _View:
    __slots__ = ("message",)

    def __init__(self, message: Any) -> None:
        self.message = message

    def __getattr__(self, name: str) -> Any:
        if name == "message" or name.startswith("__"):  # while it is copied or unpickled
            raise AttributeError(name)
        return getattr(self.message, name)

    def __eq__(self, other: object) -> bool:
        return bool(self.message == (other.message if isinstance(other, _View) else other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.message!r})"


class TrustScore(_View):
    """One seller's trust score, with the fields and methods of the contract's `TrustScore`, which is `message`.

    Made of a message or of fields, as `TrustScore(seller=..., badge="trusted")` in a test. Missing numbers are None:
    unrated sellers and unknown scores have no points.
    """

    seller: str
    state: "pb.ScoreState.ValueType"
    points: int | None
    points_low: int | None
    points_high: int | None
    points_if_upheld: int | None
    tier_points: int | None
    tier: "Tier.ValueType"
    badge: str
    band: str
    p_bad: float | None
    standing: int | None
    counted_incidents: int
    open_allegations: int
    stamp: pb.Stamp
    override: str
    freshness: pb.Freshness

    def __init__(self, message: pb.TrustScore | None = None, **fields: Any) -> None:
        super().__init__(pb.TrustScore(**fields) if message is None else message)

    def __getattr__(self, name: str) -> Any:
        found = super().__getattr__(name)
        return None if name in _OPTIONAL and not self.message.HasField(name) else found


class ScoreResult(_View):
    """One seller's part of a batch: its trust score, or its error. `HasField` says which."""

    seller: str
    error: ItemError

    @property
    def trust_score(self) -> TrustScore | None:
        """Return the trust score; None if there is an error instead."""
        return TrustScore(self.message.trust_score) if self.message.HasField("trust_score") else None
