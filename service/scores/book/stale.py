"""What stands of a seller while the ledger's database is away: the last known answer, and how old it is."""

from typing import NamedTuple

from scoring.answer import MadeBy
from scoring.enums import ScoreState
from scoring.errors import TooStale
from scoring.time import SECOND
from sellertrust.v1 import trust_score_service_pb2 as pb
from service.ledger.records import Cut
from service.scores.book.follower import Beat, Watermark
from service.scores.book.table import Answer


class Standing(NamedTuple):
    """The last known answer of a seller."""

    body: bytes
    """The TrustScore without stamp and freshness."""
    made_by: MadeBy
    """The model and the policy."""
    cut: Cut
    """What its stamp states: it is the answer of these times, to the bit."""
    as_of_time: int
    """What was recorded by then is in it, in microseconds."""
    age: int
    """The time since then, in microseconds."""


def find_standing(answer: Answer, now: int, mark: Watermark | None, beat: Beat | None) -> Standing:
    """Return an answer with its times and age as of `now` (microseconds).

    `mark`: the watermark, if nothing ended the answer up to there, which is then in it up to the last look at the ledger
    (`beat`), though not beyond the answer's own time. What an entry, another model or policy ended is as of its
    computation, since nobody knows how long before its end it was right.
    """
    if mark is None or beat is None:
        cut = Cut(answer.since, answer.known_time, answer.at)
        return Standing(answer.body, answer.made_by, cut, answer.as_of, max(now - answer.as_of, 0))
    sequence, known_time = answer.at, answer.known_time
    if mark.sequence >= sequence:
        sequence, known_time = mark.sequence, mark.known_time
    observe_time = min(max(now, answer.since), answer.until - 1)
    as_of_time = min(max(beat.time, answer.since), answer.until - 1)
    cut = Cut(observe_time, known_time, sequence)
    return Standing(answer.body, answer.made_by, cut, as_of_time, max(now - as_of_time, 0))


def require_young(standing: Standing | None, max_staleness: int | None) -> None:
    """Refuse, by TooStale, an answer that is older than `max_staleness`, or that is missing.

    In microseconds; None accepts everything.
    """
    if max_staleness is None or (standing is not None and standing.age <= max_staleness):
        return
    away = "the ledger's database does not answer"
    if standing is None:
        raise TooStale(
            f"{away}, and no answer is remembered that is young enough; ask again later", {"age_seconds": ""}
        )
    seconds = str(standing.age // SECOND)
    text = f"{away}, and what is remembered is {seconds} s old; ask again later, or with a larger max_staleness"
    raise TooStale(text, {"age_seconds": seconds})


def unknown_body(name: str, badge: str) -> bytes:
    """Return a serialized TrustScore in the state UNKNOWN, for a seller without an answer."""
    state = pb.ScoreState.ValueType(ScoreState.UNKNOWN)
    return pb.TrustScore(seller=name, state=state, badge=badge).SerializeToString()
