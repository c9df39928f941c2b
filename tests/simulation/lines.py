"""Lines to the event store and to the read models, over which anything may be lost, late or heard twice.

Place in the simulation: between the product's parts and the stores in memory. What a line loses on the way there never
happened; what it loses on the way back happened, and nobody was told; what is late happens after all, when the one who
asked has given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from horae.commands.ports import NOTHING_EXPECTED, EventReader
from horae.domain.envelope import NewEvent, Recorded
from horae.domain.errors import Busy, Unavailable
from tests.fakes.event_store import InMemoryEventStore
from tests.fakes.read_models import ConnectionLost, InMemoryConnection, InMemoryReadModels
from tests.simulation.house import House

_APPEND = {"lost request": 0.03, "lost acknowledgement": 0.04, "late": 0.02, "busy": 0.02}
_READ = {"unreachable": 0.02}


class LineToStore:
    """The event store as one process has it."""

    def __init__(self, house: House, store: InMemoryEventStore) -> None:
        self._house, self._store = house, store

    async def append(
        self,
        events: Sequence[NewEvent],
        expects: Mapping[UUID, int] = NOTHING_EXPECTED,
        *,
        lane: Literal["fast", "bulk"] = "fast",
    ) -> int:
        match await self._house.gate("append", _APPEND):
            case "busy":
                raise Busy("the queue is full", retry_after_s=0.5)
            case "lost request":
                raise Unavailable("the log could not be reached")
            case "late":
                self._house.outside(self._later(events, expects))
                raise Unavailable("the log did not answer in time")
            case "lost acknowledgement":
                await self._store.append(events, expects, lane=lane)
                raise Unavailable("the log did not answer")
            case _:
                pass
        position = await self._store.append(events, expects, lane=lane)
        if self._house.tracing:
            for event in events:
                body = event.body
                self._house.note(f"stored {event.stream.hex[-6:]}/{event.version} {body.name} at {position}")
        await self._house.gate("appended", {})
        return position

    async def _later(self, events: Sequence[NewEvent], expects: Mapping[UUID, int]) -> None:
        await asyncio.sleep(self._house.dice.between("late append", 0.01, 3.0 * self._house.pace))
        try:
            await self._store.append(events, expects)
        except Exception as error:  # noqa: BLE001 - nobody waits for it any more
            self._house.note(f"what came late was refused: {error}")

    async def load(self, stream: UUID, **limits: Any) -> list[Recorded]:
        await self._reach("load")
        return await self._store.load(stream, **limits)

    async def load_many(self, streams: Collection[UUID]) -> dict[UUID, list[Recorded]]:
        await self._reach("load many")
        found = await self._store.load_many(streams)
        await self._house.gate("loaded", {})
        return found

    async def after(self, position: int, limit: int = 500) -> list[Recorded]:
        await self._reach("after")
        return await self._store.after(position, limit)

    async def version(self, stream: UUID) -> int:
        await self._reach("version")
        return await self._store.version(stream)

    async def shard_events(self, shards: Collection[int], after: int, upto: int, limit: int = 500) -> list[Recorded]:
        await self._reach("shard events")
        return await self._store.shard_events(shards, after, upto, limit)

    async def head(self) -> int:
        await self._reach("head")
        return await self._store.head()

    def scoped(self, tenant: str) -> EventReader:
        return _Scoped(self, self._store.scoped(tenant))

    async def _reach(self, place: str) -> None:
        if await self._house.gate(place, _READ) is not None:
            raise Unavailable("the log could not be read")

    @asynccontextmanager
    async def subscribe(self, after: int = 0) -> AsyncIterator[AsyncIterator[list[Recorded]]]:
        """In portions of any size; delayed, and some of it told again."""
        yield self._batches(after)

    async def _batches(self, after: int) -> AsyncIterator[list[Recorded]]:
        position, house = after, self._house
        while True:
            await self._store.grown(position)
            fault = await house.gate("feed", {"delayed": 0.1, "repeated": 0.1, "cut short": 0.1})
            if fault == "delayed":
                await asyncio.sleep(house.dice.between("feed delay", 0.1, 6.0 * house.pace))
            begin = max(0, position - int(house.dice.between("feed repeat", 1, 8))) if fault == "repeated" else position
            batch = self._store.log[begin : begin + 500]
            if fault == "cut short":
                batch = batch[:1]
            position = max(position, batch[-1].position)
            yield batch


class _Scoped:
    """One tenant's part of the log, over the same line."""

    def __init__(self, line: LineToStore, reader: EventReader) -> None:
        self._line, self._reader = line, reader

    async def load(
        self,
        stream: UUID,
        *,
        after_version: int = 0,
        upto_version: int | None = None,
        until: datetime | None = None,
        upto_position: int | None = None,
    ) -> list[Recorded]:
        await self._line._reach("load")
        return await self._reader.load(
            stream, after_version=after_version, upto_version=upto_version, until=until, upto_position=upto_position
        )

    async def load_many(self, streams: Collection[UUID]) -> dict[UUID, list[Recorded]]:
        await self._line._reach("load many")
        return await self._reader.load_many(streams)

    async def after(self, position: int, limit: int = 500) -> list[Recorded]:
        await self._line._reach("after")
        return await self._reader.after(position, limit)

    async def version(self, stream: UUID) -> int:
        await self._line._reach("version")
        return await self._reader.version(stream)


class LineToReadModels:
    """Sessions of one process on the read models. Use `connect`, or as a pool by `acquire`."""

    def __init__(self, house: House, database: InMemoryReadModels) -> None:
        self._house, self._database = house, database
        self._open: list[InMemoryConnection] = []
        process = house.here()
        assert process is not None
        process.last_rites.append(self._end)
        process.idle.append(self._end_idle)

    async def connect(self) -> Any:
        """A session. Raises `ConnectionLost`."""
        if await self._house.gate("connect", {"unreachable": 0.02}) is not None:
            raise ConnectionLost("the read models are away")
        self._open = [connection for connection in self._open if not connection.is_closed()]
        connection = self._database.connect(self._disturb)
        self._open.append(connection)
        return connection

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        """A session of a pool."""
        connection = await self.connect()
        try:
            yield connection
        finally:
            connection.terminate()

    async def _disturb(self, what: str) -> None:
        if await self._house.gate(f"sql {what}", {"cut": 0.015}) is not None:
            raise ConnectionLost(f"the session broke at {what}")

    def _end(self) -> None:
        for connection in self._open:
            connection.terminate()

    def _end_idle(self) -> None:
        for connection in self._open:
            if connection.in_transaction:
                connection.terminate()
