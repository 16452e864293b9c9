"""The client for an event loop: the methods of `sellertrust.client.Client`, to await, with the same names.

    async with AsyncClient("trust.example:50051", tls="ca.pem") as client:
        score = await client.get_trust_score("acme", "seller-1", use="badge")
        async for entry in client.list_entries("acme"): ...

Needs the extra `async`. `stream_entries` also takes batches from an asynchronous iterator.
"""

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial, wraps
from typing import Any, Self, get_origin

import grpc.aio

from sellertrust.client import Client
from sellertrust.waiting import Loop, run

METHODS = {
    name: method
    for name, method in inspect.getmembers(Client, inspect.isfunction)
    if not name.startswith("_") and name != "close"
}


class _LoopClient(Client):
    _grpc = grpc.aio

    _waits = Loop


def _make_async(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    if get_origin(inspect.signature(method).return_annotation) is Iterator:

        @wraps(method)
        async def iterate(self: "AsyncClient", *arguments: Any, **options: Any) -> AsyncIterator[Any]:
            items, end = getattr(self._client, name)(*arguments, **options), object()
            try:
                while (item := await run(partial(next, items, end))) is not end:
                    yield item
            finally:
                items.close()

        return iterate

    @wraps(method)
    async def call(self: "AsyncClient", *arguments: Any, **options: Any) -> Any:
        return await run(partial(getattr(self._client, name), *arguments, **options))

    return call


class AsyncClient:
    """A connection for the running event loop, with the options of `Client`."""

    def __init__(self, target: str, **options: Any) -> None:
        self._client = _LoopClient(target, **options)
        self.channel = self._client.channel

    async def close(self) -> None:
        """Close the connection, which cancels running calls and streams."""
        self._client._closed.set()
        for channel in self._client.channel.held():
            await channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


for _name, _method in METHODS.items():
    setattr(AsyncClient, _name, _make_async(_name, _method))
