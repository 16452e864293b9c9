"""One body for the methods of both clients: `settle` waits for a call on an event loop without blocking it.

The asynchronous client runs a method in a greenlet. `settle` there hands what is awaited to the loop, as SQLAlchemy does.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


def settle(call: Awaitable[Any]) -> Any:
    """Return the result of an awaitable, in a body of `run`."""
    import greenlet

    return greenlet.getcurrent().parent.switch(call)


async def run(work: Callable[[], Result]) -> Result:
    """Run a body of `settle`s on this loop. Needs the extra `async`."""
    import greenlet

    body = greenlet.greenlet(work)
    body.gr_context = greenlet.getcurrent().gr_context  # so that traces know the caller's span
    awaited: Any = body.switch()
    while not body.dead:
        awaited = await _step(body, awaited)
    found: Result = awaited
    return found


async def _step(body: Any, awaited: Awaitable[Any]) -> Any:
    try:
        result = await awaited
    except BaseException as error:  # noqa: BLE001 (the body decides, also about a cancellation)
        return body.throw(error)
    return body.switch(result)
