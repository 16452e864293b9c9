"""One body for the methods of both clients, which differ in how they wait: `Threads` and `Loop`.

The asynchronous client runs a method in a greenlet, where `settle` hands what is awaited to the loop. Where a body of
streams blocks, another thread waits.
"""

import asyncio
import threading
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

import grpc.aio

Result = TypeVar("Result")


class Threads:
    @staticmethod
    def result(future: "Future[Result]") -> Result:
        return future.result()

    @staticmethod
    def block(work: Callable[[], Result]) -> Result:
        return work()

    @staticmethod
    def messages(call: Any) -> Iterator[Any]:
        return iter(call)

    @staticmethod
    def requests(requests: Iterator[Any]) -> Any:
        """Return requests as gRPC takes them."""
        return requests

    @staticmethod
    def batches(batches: Any) -> Iterable[Any]:
        return batches  # type: ignore[no-any-return]


class Loop(Threads):
    """Waits on the event loop, in a body of `run`."""

    @staticmethod
    def result(future: "Future[Result]") -> Result:
        found: Result = settle(asyncio.wrap_future(future))
        return found

    @staticmethod
    def block(work: Callable[[], Result]) -> Result:
        return Loop.result(in_thread(work))

    @staticmethod
    def messages(call: Any) -> Iterator[Any]:
        return iter(lambda: settle(call.read()), grpc.aio.EOF)

    @staticmethod
    async def requests(requests: Iterator[Any]) -> AsyncIterator[Any]:
        while (request := await asyncio.wrap_future(in_thread(lambda: next(requests, None)))) is not None:
            yield request

    @staticmethod
    def batches(batches: Any) -> Iterable[Any]:
        """Return asynchronous batches for the thread that reads them."""
        if not isinstance(batches, AsyncIterable):
            return batches  # type: ignore[no-any-return]
        loop, items = asyncio.get_running_loop(), aiter(batches)

        async def read() -> Any:
            return await anext(items, None)

        return iter(lambda: asyncio.run_coroutine_threadsafe(read(), loop).result(), None)


def in_thread(work: Callable[[], Result]) -> "Future[Result]":
    """Run work in a thread of its own: a pool could be full of others that wait."""
    future: Future[Result] = Future()

    def run_work() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 (raised by `result`)
            future.set_exception(error)

    threading.Thread(target=run_work, name="sellertrust-wait", daemon=True).start()
    return future


def settle(call: Awaitable[Any]) -> Any:
    """Await the call from synchronous code inside `run`, by its greenlet; return the result."""
    import greenlet

    return greenlet.getcurrent().parent.switch(call)


async def run(work: Callable[[], Result]) -> Result:
    """Call `work`, and return its result; each `settle` in it lets the running event loop go on meanwhile.

    Raises ImportError without the extra `async`.
    """
    try:
        import greenlet
    except ImportError as error:
        raise ImportError("AsyncClient needs greenlet: pip install 'sellertrust-client[async]'") from error

    body = greenlet.greenlet(work)
    body.gr_context = greenlet.getcurrent().gr_context  # so that traces know the caller's span
    awaited: Any = body.switch()
    while not body.dead:
        awaited = await _await_and_resume(body, awaited)
    found: Result = awaited
    return found


async def _await_and_resume(body: Any, awaited: Awaitable[Any]) -> Any:
    try:
        result = await awaited
    except BaseException as error:  # noqa: BLE001 (the body decides, also about a cancellation)
        return body.throw(error)
    return body.switch(result)
