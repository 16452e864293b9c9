"""A pool of threads for each class of methods, so that slow ones do not hold up quick ones."""

from collections.abc import Mapping
from enum import Enum
from math import inf

from service.engine.turnstile import MAX_HELD
from service.engine.waiting_line import LineRules
from service.limits import Limits


class Pool(Enum):
    READ = "read"
    """Scores of one seller, which checkouts wait for.

    Half of the threads are reserved for calls without the database.
    """
    BATCH = "batch"
    """Scores of many sellers. Half of the threads are reserved for calls without the database."""
    SLOW = "slow"
    WRITE = "write"
    """Appends."""
    REVIEW = "review"
    """Reads of a whole marketplace, bulk decisions and policies, seconds of the database each."""
    MODEL = "model"
    """Models and the audit file: large files, processes and checks, without the database."""
    STREAM = "stream"
    """Streams. Each holds a thread while it is open (`stream_threads`)."""
    HEALTH = "health"


FEW_THREADS = 2

TARGET_SECONDS = 0.005
"""The wait that expensive reads may exceed for at most an interval, unless their work takes longer."""

WRITE_TARGET_SECONDS = 0.5
"""The same for appends. They wait for one lock, are retried if refused, and have deadlines of seconds."""

MAX_MESSAGE_BYTES = 16 << 20
"""Room for a batch of 10,000 entries; gRPC's default is 4 MB."""

RULES: Mapping[Pool, LineRules] = {
    Pool.READ: LineRules(256, inf),
    Pool.BATCH: LineRules(64, TARGET_SECONDS),
    Pool.SLOW: LineRules(64, TARGET_SECONDS),
    Pool.REVIEW: LineRules(32, TARGET_SECONDS),
    Pool.WRITE: LineRules(32, WRITE_TARGET_SECONDS, message_seconds=10.0, message_bytes=MAX_MESSAGE_BYTES),
    Pool.MODEL: LineRules(32, TARGET_SECONDS),
    Pool.STREAM: LineRules(64, inf),
    Pool.HEALTH: LineRules(256, inf),
}
"""Waiting rules of each class. An append of 16 MB may take as long to arrive as the client waits."""


def threads_of(limits: Limits) -> dict[Pool, int]:
    return {
        Pool.READ: limits.worker_threads,
        Pool.BATCH: 2 * limits.slow_threads,
        Pool.SLOW: limits.slow_threads,
        Pool.REVIEW: FEW_THREADS,
        Pool.WRITE: FEW_THREADS,
        Pool.MODEL: FEW_THREADS,
        Pool.STREAM: limits.stream_threads + 1,
        Pool.HEALTH: FEW_THREADS,
    }


def max_calls(limits: Limits) -> int:
    """Return the most calls at once: running, waiting, held or arriving."""
    return sum(threads_of(limits).values()) + sum(2 * rules.limit for rules in RULES.values()) + MAX_HELD
