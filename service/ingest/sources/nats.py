"""NATS JetStream as a source: one stream, by its own sequence, from the ledger's position.

An ephemeral consumer is created at the wanted sequence, and again after a broken connection or a gap. So every message
is read, and no acknowledgement is needed.
"""

import asyncio
import contextlib
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import nats
from nats import errors as nats_errors
from nats.aio.client import Client as Connection
from nats.js import JetStreamContext, api
from nats.js import errors as jetstream_errors

from scoring.base.errors import ConfigurationWrong, SourceUnavailable
from service.ingest.sources.source import Message

T = TypeVar("T")
ANSWER_SECONDS = 10.0
RECONNECT_SECONDS = 0.5
FORGET_SECONDS = 300.0


class NatsSource:
    """A stream of NATS, or its messages of one `subject`.

    `servers` is `host:port,host:port`; one partition, 0. asyncio runs in its own thread.
    """

    def __init__(
        self, servers: str, stream: str, subject: str = "", credentials: Path | None = None, name: str = ""
    ) -> None:
        self.name = name or f"nats://{servers}/{stream}" + (f"?subject={subject}" if subject else "")
        self._servers = [f"nats://{server}" for server in servers.split(",")]
        self._stream = stream
        self._subject = subject
        self._credentials = credentials
        self._connection: Connection | None = None
        self._consumer: JetStreamContext.PullSubscription | None = None
        self._next: int | None = None
        self._delivered = 0
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="nats", daemon=True)
        self._thread.start()

    def partitions(self) -> Sequence[int]:
        """Return [0], once the stream answers."""
        self._run(self._info())
        return [0]

    def seek(self, partition: int, position: int | None) -> None:  # noqa: ARG002 (there is but one)
        self._next = position
        self._run(self._begin())

    def poll(self, limit: int, seconds: float) -> Sequence[Message]:
        return self._run(self._fetch(limit, seconds))

    def caught_up(self) -> bool:
        return self._run(self._is_caught_up())

    def close(self) -> None:
        with contextlib.suppress(SourceUnavailable):
            self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except jetstream_errors.NotFoundError:
            self._consumer = None
            raise ConfigurationWrong(f"there is no stream {self._stream}; create it, or mend the name") from None
        except (nats_errors.AuthorizationError, nats_errors.InvalidUserCredentialsError):
            raise ConfigurationWrong("NATS refuses this reader; see --credentials") from None
        except (nats_errors.Error, jetstream_errors.Error, OSError, TimeoutError) as error:
            self._consumer = None
            raise SourceUnavailable(f"NATS does not answer: {str(error) or type(error).__name__}") from None

    async def _stream_context(self) -> JetStreamContext:
        if self._connection is None or self._connection.is_closed:
            self._consumer = None
            self._connection = await nats.connect(
                servers=self._servers,
                user_credentials=None if self._credentials is None else str(self._credentials),
                connect_timeout=int(ANSWER_SECONDS),
                reconnect_time_wait=RECONNECT_SECONDS,
                max_reconnect_attempts=2,
                allow_reconnect=True,
                disconnected_cb=self._disconnected,
                error_cb=_ignored,
            )
        return self._connection.jetstream(timeout=ANSWER_SECONDS)

    async def _disconnected(self) -> None:
        self._consumer = None

    async def _info(self) -> api.StreamInfo:
        return await (await self._stream_context()).stream_info(self._stream)

    async def _begin(self) -> JetStreamContext.PullSubscription:
        """Return a consumer from the next sequence on, or raise ConfigurationWrong if the stream lacks it."""
        context = await self._stream_context()
        state = (await context.stream_info(self._stream)).state
        if self._next is not None:
            self._check(self._next, state)
        config = api.ConsumerConfig(
            deliver_policy=api.DeliverPolicy.ALL if self._next is None else api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=self._next,
            ack_policy=api.AckPolicy.NONE,
            filter_subject=self._subject or None,
            inactive_threshold=FORGET_SECONDS,
            mem_storage=True,
        )
        self._delivered = 0
        self._consumer = await context.pull_subscribe(self._subject, stream=self._stream, config=config)
        return self._consumer

    def _check(self, position: int, state: api.StreamState) -> None:
        if position > state.last_seq + 1:
            raise ConfigurationWrong(
                f"the stream {self._stream} ends at {state.last_seq}, before {position}, where reading is to go on; if it"
                " was made anew, read it under another --source name, from its beginning: nothing is added twice"
            )
        if position < state.first_seq and not self._subject:
            raise ConfigurationWrong(
                f"the stream {self._stream} begins at {state.first_seq}, after {position}, where reading is to go on:"
                " messages expired unread. Restate their facts, and read on under another --source name"
            )

    async def _fetch(self, limit: int, seconds: float) -> list[Message]:
        consumer = self._consumer or await self._begin()
        began = time.monotonic()
        try:
            fetched = await consumer.fetch(limit, timeout=seconds)
        except TimeoutError:
            fetched = []
        found: list[Message] = []
        for message in fetched:
            sequence = message.metadata.sequence
            if sequence.consumer != self._delivered + 1:
                self._consumer = None
                break
            self._delivered = sequence.consumer
            self._next = sequence.stream + 1
            found.append(Message(0, self._next, message.data))
        if not found and self._consumer is not None:
            await self._look_for_lost(consumer)
        if not found:
            await asyncio.sleep(max(0.0, min(seconds, 0.05) - (time.monotonic() - began)))
        return found

    async def _look_for_lost(self, consumer: JetStreamContext.PullSubscription) -> None:
        try:
            info = await consumer.consumer_info()
        except jetstream_errors.NotFoundError:
            self._consumer = None
            return
        if info.delivered is not None and info.delivered.consumer_seq != self._delivered:
            self._consumer = None

    async def _is_caught_up(self) -> bool:
        if self._consumer is None:
            return False
        info = await self._consumer.consumer_info()
        delivered = info.delivered is None or info.delivered.consumer_seq == self._delivered
        return delivered and not info.num_pending

    async def _close(self) -> None:
        if self._connection is not None and not self._connection.is_closed:
            with contextlib.suppress(nats_errors.Error, jetstream_errors.Error, TimeoutError):
                await self._connection.close()


async def _ignored(error: Exception) -> None:
    """Ignore what NATS mends itself."""
