"""An event store in memory: for specifications of what stands on the port, and for the simulation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
from typing import Literal
from uuid import UUID

from horae.commands.ports import NOTHING_EXPECTED, EventReader, StreamConflict
from horae.domain import codec
from horae.domain.envelope import NewEvent, Recorded
from horae.infra.eventstore.batch import make_append

#: Events in one batch of a subscription.
_BATCH = 500


@dataclass
class InMemoryEventStore:
    """Passes the contract of the real one, codec included. For one event loop; `log` may be given, and may grow."""

    log: list[Recorded] = field(default_factory=list)
    _streams: dict[UUID, list[Recorded]] = field(default_factory=dict)
    _indexed: int = 0
    #: Who waits for more, in the order of coming: a set would have another order in every run.
    _waiting: dict[asyncio.Future[None], None] = field(default_factory=dict)

    async def append(
        self,
        events: Sequence[NewEvent],
        expects: Mapping[UUID, int] = NOTHING_EXPECTED,
        *,
        lane: Literal["fast", "bulk"] = "fast",
    ) -> int:
        command = make_append(events, expects)
        streams = self.streams
        for stream, expected in command.expects.items():
            actual = len(streams.get(stream, ()))
            if actual != expected:
                same = [self._same(row.stream, row.version, row.event_id) for row in command.rows]
                if all(same):
                    return max(same)
                raise StreamConflict(stream, expected, actual)
        for row in command.rows:
            self.log.append(codec.load(row.topic, row.state, row.stream, row.version, len(self.log) + 1))
        for waiter in list(self._waiting):
            if not waiter.done():
                waiter.set_result(None)
        return len(self.log)

    def _same(self, stream: UUID, version: int, event_id: UUID | None) -> int:
        """The position of this very event, 0 if the log holds another one there, or none."""
        stored = self.streams.get(stream, [])[version - 1 : version]
        return stored[0].position if stored and stored[0].meta.event_id == event_id else 0

    @property
    def streams(self) -> dict[UUID, list[Recorded]]:
        """The log by stream."""
        for event in self.log[self._indexed :]:
            self._streams.setdefault(event.stream, []).append(event)
        self._indexed = len(self.log)
        return self._streams

    async def load(
        self,
        stream: UUID,
        *,
        after_version: int = 0,
        upto_version: int | None = None,
        until: datetime | None = None,
        upto_position: int | None = None,
    ) -> list[Recorded]:
        reader = _Reader(self)
        return await reader.load(
            stream, after_version=after_version, upto_version=upto_version, until=until, upto_position=upto_position
        )

    async def load_many(self, streams: Collection[UUID]) -> dict[UUID, list[Recorded]]:
        return await _Reader(self).load_many(streams)

    async def after(self, position: int, limit: int = 500) -> list[Recorded]:
        return await _Reader(self).after(position, limit)

    async def version(self, stream: UUID) -> int:
        return await _Reader(self).version(stream)

    async def shard_events(self, shards: Collection[int], after: int, upto: int, limit: int = 500) -> list[Recorded]:
        found = [event for event in self.log[after:] if event.position <= upto and event.meta.shard in shards]
        return found[:limit]

    async def head(self) -> int:
        return len(self.log)

    def scoped(self, tenant: str) -> EventReader:
        return _Reader(self, tenant)

    @asynccontextmanager
    async def subscribe(self, after: int = 0) -> AsyncIterator[AsyncIterator[list[Recorded]]]:
        """Batches of events later than the position, in order, each once, for as long as somebody iterates."""

        async def batches() -> AsyncIterator[list[Recorded]]:
            position = after
            while True:
                await self.grown(position)
                batch = self.log[position : position + _BATCH]
                position = batch[-1].position
                yield batch

        yield batches()

    async def grown(self, position: int) -> None:
        """Return when the log goes further than `position`."""
        while len(self.log) <= position:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting[waiter] = None
            try:
                await waiter
            finally:
                self._waiting.pop(waiter, None)


class _Reader:
    def __init__(self, store: InMemoryEventStore, tenant: str | None = None) -> None:
        self._store = store
        self._tenant = tenant

    def _ours(self, events: Sequence[Recorded]) -> list[Recorded]:
        return [event for event in events if self._tenant in (None, event.meta.tenant)]

    async def load(
        self,
        stream: UUID,
        *,
        after_version: int = 0,
        upto_version: int | None = None,
        until: datetime | None = None,
        upto_position: int | None = None,
    ) -> list[Recorded]:
        found = (
            event
            for event in self._ours(self._store.streams.get(stream, []))
            if event.version > after_version
            and (upto_version is None or event.version <= upto_version)
            and (upto_position is None or event.position <= upto_position)
        )
        return list(takewhile(lambda event: until is None or event.meta.recorded_at <= until, found))

    async def load_many(self, streams: Collection[UUID]) -> dict[UUID, list[Recorded]]:
        known = self._store.streams
        found = {stream: self._ours(known[stream]) for stream in streams if stream in known}
        return {stream: events for stream, events in found.items() if events}

    async def after(self, position: int, limit: int = 500) -> list[Recorded]:
        return self._ours(self._store.log[position:])[:limit]

    async def version(self, stream: UUID) -> int:
        return len(self._ours(self._store.streams.get(stream, [])))
