"""Feeds the read models from the log: one subscription, one projector, and those who want to know what was applied.

Place in the flow: log -> *feed* -> projector -> `on_applied` (the dispatcher takes the changes of the due index).
Trouble with the machine is met with patience, a position that somebody else moved with another look, an event that
cannot be applied by parking what it shares rows with.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

import asyncpg
import structlog

from horae.domain.envelope import Recorded
from horae.domain.errors import NotFound
from horae.projections.parked import ParkedEvent, list_parked, parked_of
from horae.projections.projector import Applied, PositionGap, PositionMoved, Projector
from horae.streams.parking import apply_or_park

if TYPE_CHECKING:
    from horae.projections.schema import Connection

log = structlog.get_logger(__name__)

FIRST_WAIT_S = 0.05
LONGEST_WAIT_S = 2.0

#: What asyncpg raises when the server is away, restarting, out of something, or out of luck.
INTERRUPTED = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class Log(Protocol):
    """What the feed needs of the event store."""

    def subscribe(self, after: int = 0) -> AbstractAsyncContextManager[AsyncIterator[list[Recorded]]]:
        """Batches of events later than the position, in order, each once; the iteration ends when closed."""
        ...

    async def load_many(self, streams: Collection[UUID]) -> dict[UUID, list[Recorded]]:
        """The events of streams."""
        ...


OnApplied = Callable[[Applied], Awaitable[None]]
"""Told of every batch, in order, after its commit. Must be quick; what it raises ends the feed."""


@dataclass(slots=True)
class FeedCounts:
    """Since the feed was made."""

    batches: int = 0
    events: int = 0
    #: Events that were parked or queued behind a parked one.
    parked: int = 0
    #: How often it began anew after trouble.
    restarts: int = 0


class Feed:
    """Runs for the life of the process that owns the read models. `connect` opens a connection of the owner's role."""

    def __init__(
        self,
        log: Log,
        connect: Callable[[], Awaitable[Connection]],
        on_applied: Sequence[OnApplied] = (),
        projector: Projector | None = None,
    ) -> None:
        self._log = log
        self._connect = connect
        self._on_applied = list(on_applied)
        self._projector = projector or Projector()
        self._conn: Connection | None = None
        self._applying = asyncio.Lock()
        self.counts = FeedCounts()

    @property
    def position(self) -> int:
        """Everything up to here is applied."""
        return self._projector.position

    @property
    def parked(self) -> frozenset[UUID]:
        """Families with parked events; anything but empty deserves an alarm."""
        return self._projector.parked

    async def run(self) -> None:
        """Feed until cancelled. Raises only what patience does not mend: a fault in the code or in the log.

        Each (re)start is told as `Applied(reset=True)`: changes may have been missed, so whoever keeps a copy of the
        due index loads it again.
        """
        wait_s = FIRST_WAIT_S
        while True:
            before = self._projector.position
            try:
                await self._follow()
                return
            except (PositionMoved, PositionGap) as moved:
                log.warning("feed_position_moved", position=self._projector.position, reason=str(moved))
            except INTERRUPTED as error:
                wait_s = FIRST_WAIT_S if self._projector.position > before else min(2 * wait_s, LONGEST_WAIT_S)
                log.warning("feed_interrupted", position=self._projector.position, error=str(error), wait_s=wait_s)
                await asyncio.sleep(wait_s)
            finally:
                await self._disconnect()
            self.counts.restarts += 1

    async def replay_parked(self, family: UUID) -> Applied:
        """Apply a family's parked events after all, all or nothing, while the feed runs.

        Raises `NotFound` when nothing of it is parked, or what the projector still cannot apply.
        """
        async with self._applying:
            conn = await self._connect()
            try:
                parked = await parked_of(conn, family)
                if not parked:
                    raise NotFound(f"nothing of {family} is parked", field="family", value=str(family))
                events = await self._load(parked)
                applied = await self._projector.replay(conn, family, events)
            finally:
                await conn.close()
            log.info("parked_replayed", family=str(family), events=len(events))
            await self._tell(applied)
            return applied

    async def list_parked(self) -> list[ParkedEvent]:
        """Every parked event, by position."""
        conn = await self._connect()
        try:
            return await list_parked(conn)
        finally:
            await conn.close()

    async def _follow(self) -> None:
        self._conn = conn = await self._connect()
        position = await self._projector.load(conn)
        await self._tell(Applied(position, reset=True))
        async with self._log.subscribe(position) as batches:
            async for batch in batches:
                async with self._applying:
                    conn = await self._apply(conn, batch)

    async def _apply(self, conn: Connection, batch: Sequence[Recorded]) -> Connection:
        """Apply the batch; where feeders of shards were there before us, what they left. Gives the connection to use.

        To subscribe anew would cost more than they may leave us time for: they would be there again.
        """
        while True:
            try:
                async for applied in apply_or_park(self._projector, conn, batch):
                    await self._tell(applied)
                return conn
            except PositionMoved:
                log.info("feed_position_moved", position=self._projector.position)
                # A new connection: the copy may be another, and its row types with it.
                await self._disconnect()
                self._conn = conn = await self._connect()
                await self._tell(Applied(await self._projector.load(conn), reset=True))

    async def _tell(self, applied: Applied) -> None:
        if applied.events or applied.parked:
            self.counts.batches += 1
            self.counts.events += applied.events
            self.counts.parked += applied.parked
        for tell in self._on_applied:
            await tell(applied)

    async def _load(self, parked: Sequence[ParkedEvent]) -> list[Recorded]:
        wanted = {event.position for event in parked}
        streams = await self._log.load_many({event.stream for event in parked})
        found = [event for events in streams.values() for event in events if event.position in wanted]
        return sorted(found, key=lambda event: event.position)

    async def _disconnect(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            with contextlib.suppress(*INTERRUPTED):
                await conn.close(timeout=1)
