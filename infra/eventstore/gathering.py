"""Reads of single streams that come at about the same time, gathered into one query.

Place in the flow: many requests at once -> *gathering* -> one query. As appends do in the writer: while one query is
under way those that come wait, and go together with the next one. A caller alone waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Generic, TypeVar
from uuid import UUID

V = TypeVar("V")

#: A caller that wants more than this goes by itself.
MAX_STREAMS_EACH = 16
#: Streams in one query.
_MAX_STREAMS = 512


class Gathering(Generic[V]):
    """Gathers calls of `read`, which gives something per stream, and nothing for a stream that is empty.

    A call sees all that was committed before it: it never joins a query that has begun.
    """

    def __init__(self, read: Callable[[Collection[UUID]], Awaitable[dict[UUID, V]]]) -> None:
        self._read = read
        self._waiting: list[tuple[Collection[UUID], asyncio.Future[dict[UUID, V]]]] = []
        self._running: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        """Whether nobody waits."""
        return self._running is None

    async def read(self, streams: Collection[UUID]) -> dict[UUID, V]:
        """What `read` gives for these. Raises what it raises; whoever is cancelled does not disturb the others."""
        if len(streams) > MAX_STREAMS_EACH:
            return await self._read(streams)
        answer: asyncio.Future[dict[UUID, V]] = asyncio.get_running_loop().create_future()
        self._waiting.append((streams, answer))
        if self._running is None:
            self._running = asyncio.create_task(self._run(), name="gathered-reads")
        return await answer

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._answer(self._next())
        finally:
            self._running = None

    def _next(self) -> list[tuple[Collection[UUID], asyncio.Future[dict[UUID, V]]]]:
        total = taken = 0
        for streams, _ in self._waiting:
            total += len(streams)
            if taken and total > _MAX_STREAMS:
                break
            taken += 1
        calls, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return [(streams, answer) for streams, answer in calls if not answer.done()]

    async def _answer(self, calls: list[tuple[Collection[UUID], asyncio.Future[dict[UUID, V]]]]) -> None:
        try:
            found = await self._read({stream for streams, _ in calls for stream in streams})
        except BaseException as error:
            for _, answer in calls:
                if not answer.done():
                    answer.set_exception(error) if isinstance(error, Exception) else answer.cancel()
            if not isinstance(error, Exception):
                raise
            return
        for streams, answer in calls:
            if not answer.done():
                answer.set_result({stream: found[stream] for stream in streams if stream in found})
