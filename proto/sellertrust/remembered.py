"""Trust scores that a client remembers for badges."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic

import grpc
from google.protobuf.duration_pb2 import Duration

from sellertrust.errors import SellertrustCallError
from sellertrust.scores import TrustScore
from sellertrust.v1 import trust_score_service_pb2 as pb
from sellertrust.waiting import Threads

MAX_SELLERS = 10_000
"""The longest remembered leaves first: some 5 MB in all."""


class RememberedScores:
    """A score answers for `seconds`. Then one call asks anew, and others of that seller wait for its answer.

    If the call fails, the last score answers, marked as stale with its age.
    """

    def __init__(self, seconds: float, wait: type[Threads]) -> None:
        self._seconds = seconds
        self._wait = wait
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[float, TrustScore]] = OrderedDict()
        self._asked: dict[str, Future[TrustScore]] = {}

    def get(self, name: str, ask: Callable[[], TrustScore]) -> TrustScore:
        """Return a seller's score, remembered or from `ask`.

        If `ask` fails, the last score answers, marked as stale; without one the exception is raised.
        """
        mine: Future[TrustScore] = Future()
        with self._lock:
            known = self._known.get(name)
            if known is not None and monotonic() - known[0] < self._seconds:
                return known[1]
            asked = self._asked.setdefault(name, mine)
        if asked is not mine:
            return self._wait.result(asked)
        try:
            score = ask()
        except BaseException as error:
            self._end(name)
            if known is not None and isinstance(error, Exception):
                mine.set_result(stale := _stale(*known))
                return stale
            ended = SellertrustCallError(grpc.StatusCode.CANCELLED, "the call that others waited for was cancelled")
            mine.set_exception(error if isinstance(error, Exception) else ended)
            raise
        self._end(name, score)
        mine.set_result(score)
        return score

    def _end(self, name: str, score: TrustScore | None = None) -> None:
        with self._lock:
            del self._asked[name]
            if score is not None:
                self._known[name] = monotonic(), score
                self._known.move_to_end(name)
                if len(self._known) > MAX_SELLERS:
                    self._known.popitem(last=False)


def _stale(since: float, score: TrustScore) -> TrustScore:
    message = pb.TrustScore.FromString(score.message.SerializeToString())
    age = Duration()
    age.FromNanoseconds(int((monotonic() - since) * 1e9) + message.freshness.age.ToNanoseconds())
    message.freshness.state = pb.FRESHNESS_STATE_STALE
    message.freshness.age.CopyFrom(age)
    return TrustScore(message)
