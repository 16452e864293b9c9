from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from scoring.base.errors import ConfigurationWrong
from service.engine.call_pool import CallPool


def run_in_pool(behave: Any, pool: ThreadPoolExecutor, method: object = None, at_once: object = None) -> None:
    """Make gRPC hand the calls of a behaviour to a pool.

    The pool reads the name of `method` and whether it streams, and calls `at_once` before a call gets a thread.
    """
    behave.experimental_thread_pool = pool
    behave.method, behave.at_once = method, at_once


def stream_by_callback(behave: Any) -> None:
    """Make gRPC call a streaming behaviour with a callback for its messages, so that it holds no thread."""
    behave.experimental_non_blocking = True


def require_handover(pool: CallPool) -> None:
    """Raise ConfigurationWrong if gRPC has not handed a call to its pool."""
    if not pool.taken_over:
        raise ConfigurationWrong(
            f"grpcio {grpc.__version__} does not hand calls over as this server expects, so nothing would bound them;"
            " install the version that it names: pip install 'grpcio>=1.85,<1.86'"
        )
