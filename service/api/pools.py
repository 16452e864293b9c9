"""Which threads answer which method: a table, so that what is slow holds up nothing that is quick."""

from collections.abc import Mapping
from enum import Enum

from service.settings import Settings


class Pool(Enum):
    """A pool of threads. Calls wait for a thread of their own pool alone."""

    READ = "read"
    """Reads of one seller or one violation: checkouts wait for them."""
    SLOW = "slow"
    """Reads of many, or that explain: up to seconds each."""
    WRITE = "write"
    """Appends."""
    MODEL = "model"
    """Whatever looks at models or promotes one, which reads megabytes and waits for processes."""


WRITE_THREADS = 2
"""Appends queue for the ledger's one lock anyway; with threads of their own they cannot hold up the reads."""

MODEL_THREADS = 2
"""Whoever looks at models or promotes one waits for others who do, and holds up nobody else."""


def threads_of(settings: Settings) -> dict[Pool, int]:
    """Return how many threads each pool has."""
    return {
        Pool.READ: settings.worker_threads,
        Pool.SLOW: settings.slow_threads,
        Pool.WRITE: WRITE_THREADS,
        Pool.MODEL: MODEL_THREADS,
    }


POOLS: Mapping[str, Pool] = {
    "TrustScoreService/GetTrustScore": Pool.READ,
    "TrustScoreService/BatchGetTrustScores": Pool.SLOW,
    "TrustScoreService/ExplainTrustScore": Pool.SLOW,
    "LedgerService/AppendEntries": Pool.WRITE,
    "LedgerService/ListEntries": Pool.SLOW,
    "LedgerService/GetViolation": Pool.READ,
    "LedgerService/ListViolations": Pool.SLOW,
    "LedgerService/ReviewViolation": Pool.WRITE,
    "LedgerService/ConfirmViolation": Pool.WRITE,
    "LedgerService/DismissViolation": Pool.WRITE,
    "LedgerService/WithdrawViolation": Pool.WRITE,
    "LedgerService/AppealViolation": Pool.WRITE,
    "LedgerService/ReduceViolation": Pool.WRITE,
    "LedgerService/OverturnViolation": Pool.WRITE,
    "LedgerService/ReinstateViolation": Pool.WRITE,
    "ReviewService/GetNotifier": Pool.SLOW,
    "ReviewService/ListNotifiers": Pool.SLOW,
    "ReviewService/ListReviewQueue": Pool.SLOW,
    "ReviewService/DecideViolations": Pool.WRITE,
    "ModelService/ListModels": Pool.MODEL,
    "ModelService/GetModel": Pool.MODEL,
    "ModelService/DiffModels": Pool.MODEL,
    "ModelService/PromoteModel": Pool.MODEL,
    "ModelService/RollbackModel": Pool.MODEL,
    "ModelService/ListModelMoves": Pool.MODEL,
    "ModelService/GetModelReport": Pool.MODEL,
}
"""The pool of each method but streams, which have threads of their own (`stream_threads`). A server whose contract has
a method that is missing here does not start."""
