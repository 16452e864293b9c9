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
        self._remembered: OrderedDict[str, tuple[float, TrustScore]] = OrderedDict()
        self._running_calls: dict[str, Future[TrustScore]] = {}

    def get(self, name: str, ask: Callable[[], TrustScore]) -> TrustScore:
        """Return a seller's score, remembered or from `ask`.

        If `ask` fails, the last score answers, marked as stale; without one the exception is raised.
        """
        new_call: Future[TrustScore] = Future()
        with self._lock:
            remembered = self._remembered.get(name)
            if remembered is not None and monotonic() - remembered[0] < self._seconds:
                return remembered[1]
            running_call = self._running_calls.setdefault(name, new_call)
        if running_call is not new_call:
            return self._wait.result(running_call)
        try:
            score = ask()
        except BaseException as error:
            self._finish_call(name)
            if remembered is not None and isinstance(error, Exception):
                new_call.set_result(stale := _mark_as_stale(*remembered))
                return stale
            cancelled = SellertrustCallError(grpc.StatusCode.CANCELLED, "the call that others waited for was cancelled")
            new_call.set_exception(error if isinstance(error, Exception) else cancelled)
            raise
        self._finish_call(name, score)
        new_call.set_result(score)
        return score

    def _finish_call(self, name: str, score: TrustScore | None = None) -> None:
        with self._lock:
            del self._running_calls[name]
            if score is not None:
                self._remembered[name] = monotonic(), score
                self._remembered.move_to_end(name)
                if len(self._remembered) > MAX_SELLERS:
                    self._remembered.popitem(last=False)


def _mark_as_stale(since: float, score: TrustScore) -> TrustScore:
    message = pb.TrustScore.FromString(score.message.SerializeToString())
    age = Duration()
    age.FromNanoseconds(int((monotonic() - since) * 1e9) + message.freshness.age.ToNanoseconds())
    message.freshness.state = pb.FRESHNESS_STATE_STALE
    message.freshness.age.CopyFrom(age)
    return TrustScore(message)
