from collections.abc import Sequence
from typing import NamedTuple

from scoring.base.enums import ScoreState
from scoring.base.errors import TooStale
from scoring.base.time import DAY, SECOND
from scoring.scores.answer import MadeBy
from sellertrust.v1 import trust_score_service_pb2 as pb
from service.ledger.records import Cut
from service.scores.book.follower import Beat, Follower, Watermark
from service.scores.book.generations import Generations
from service.scores.book.table import AnswerTable, RememberedAnswer


class LastAnswer(NamedTuple):
    body: bytes
    """The TrustScore without stamp and freshness."""
    made_by: MadeBy
    cut: Cut
    """The cut of its stamp: it replays to the bit."""
    as_of_time: int
    """The answer has everything recorded by then, in microseconds."""
    age: int

    @property
    def made_for(self) -> tuple[int, MadeBy]:
        """Return (day since 1970, model and policy)."""
        return self.cut.observe_time // DAY, self.made_by


class LastKnown:
    """The last known answers from table and generations, at most `stale_seconds` old. Thread-safe."""

    def __init__(self, table: AnswerTable, generations: Generations, follower: Follower, stale_seconds: float) -> None:
        self._table = table
        self._generations = generations
        self._follower = follower
        self._stale_seconds = stale_seconds

    def find(self, name: str, made_by: MadeBy, now: int) -> LastAnswer | None:
        """Return a seller's last known answer; None if it is too old or unknown. `now` is in microseconds."""
        answer = self._table.get(name)
        answers = [] if answer is None else [answer]
        if len(self._generations) and (answer is None or answer.until <= now or not self._is_exact(answer, made_by)):
            answers += filter(
                None, (self._generations.adopt(name, made_by, now), self._generations.latest(name, made_by, now))
            )
        return self._choose_youngest(answers, made_by, now)

    def find_of_one_day(
        self, names: Sequence[str], made_by: MadeBy, now: int, max_staleness: int | None
    ) -> list[LastAnswer | None]:
        """Return each seller's last known answer, all of one model, policy and day; others have none.

        It selects those with the most answers of at most `max_staleness` (microseconds; None: any age), of equals the
        latest.
        """
        last_answers = [self.find(name, made_by, now) for name in names]
        kinds = {last_answer.made_for for last_answer in last_answers if last_answer is not None}
        if len(kinds) < 2:
            return last_answers
        of_kinds = {
            kind: [self._find_of_kind(*pair, kind, now) for pair in zip(names, last_answers, strict=True)]
            for kind in kinds
        }

        def rank(kind: tuple[int, MadeBy]) -> tuple[int, int, bool]:
            young = [
                answer for answer in of_kinds[kind] if answer and (max_staleness is None or answer.age <= max_staleness)
            ]
            return len(young), kind[0], kind[1] == made_by

        return of_kinds[max(kinds, key=rank)]

    def _find_of_kind(
        self, name: str, last_answer: LastAnswer | None, kind: tuple[int, MadeBy], now: int
    ) -> LastAnswer | None:
        """Return a seller's last answer of a kind: a day, model and policy."""
        if last_answer is None or last_answer.made_for == kind:
            return last_answer
        day, made_by = kind
        answer = self._generations.latest(name, made_by, now, day)
        return None if answer is None else self._choose_youngest([answer], made_by, now)

    def _choose_youngest(self, answers: Sequence[RememberedAnswer], made_by: MadeBy, now: int) -> LastAnswer | None:
        """Return the youngest answer with its age, unless it is older than `stale_seconds`."""
        mark, beat = self._follower.watermark, self._follower.heartbeat
        last_answers: list[LastAnswer] = []
        for answer in answers:
            answer.is_used = True
            last_answers.append(find_last_answer(answer, now, mark if self._is_exact(answer, made_by) else None, beat))
        last_answer = min(last_answers, key=lambda last_answer: last_answer.age, default=None)
        if last_answer is None or last_answer.age > self._stale_seconds * SECOND:
            return None
        return last_answer._replace(age=max(last_answer.age, beat.doubt)) if beat else last_answer

    def _is_exact(self, answer: RememberedAnswer, made_by: MadeBy) -> bool:
        return answer.made_by == made_by and self._table.is_exact(answer)


def find_last_answer(answer: RememberedAnswer, now: int, mark: Watermark | None, beat: Beat | None) -> LastAnswer:
    """Return an answer with its cut, times and age as of `now` (microseconds).

    `mark`: the follower's watermark while the answer still holds; None once an entry, a model or a policy ended it. An
    ended answer is as of its computation. One that holds is as of the last reading (`beat`), but before its `until`.
    """
    if mark is None or beat is None:
        cut = Cut(answer.since, answer.known_time, answer.at)
        return LastAnswer(answer.body, answer.made_by, cut, answer.as_of, max(now - answer.as_of, 0))
    sequence, known_time = answer.at, answer.known_time
    if mark.sequence >= sequence:
        sequence, known_time = mark.sequence, mark.known_time
    observe_time = min(max(now, answer.since), answer.until - 1)
    as_of_time = min(max(beat.time, answer.as_of), observe_time)
    cut = Cut(observe_time, known_time, sequence)
    return LastAnswer(answer.body, answer.made_by, cut, as_of_time, max(now - as_of_time, 0))


def require_young(
    last_answer: LastAnswer | None, max_staleness: int | None, why: str = "the ledger's database does not answer"
) -> None:
    """Raise TooStale for an answer that is missing or older than `max_staleness` (microseconds; None: any age).

    `why` says why there is no fresh answer.
    """
    if max_staleness is None or (last_answer is not None and last_answer.age <= max_staleness):
        return
    if last_answer is None:
        raise TooStale(f"{why}, and no answer is remembered that is young enough; ask again later", {"age_seconds": ""})
    seconds = str(last_answer.age // SECOND)
    text = f"{why}, and what is remembered is {seconds} s old; ask again later, or with a larger max_staleness"
    raise TooStale(text, {"age_seconds": seconds})


def encode_unknown_score(name: str, badge: str) -> bytes:
    state = pb.ScoreState.ValueType(ScoreState.UNKNOWN)
    return pb.TrustScore(seller=name, state=state, badge=badge).SerializeToString()
