"""Feeds the read models from the log: one subscription, one projector, and those who want to know what was applied.

Place in the flow: log -> *feed* -> projector -> `on_applied` (the dispatcher takes the changes of the due index).
Trouble with the machine is met with patience, a position that somebody else moved with another look, an event that
cannot be applied by parking what it shares rows with. Who changes rows aside from the log (a replay of parked events, a
rebuild) says so, and the feed looks again at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

import structlog

from horae.domain.envelope import Recorded
from horae.projections.away import DATABASE_AWAY
from horae.projections.projector import LOOK_CHANNEL, Applied, PositionGap, PositionMoved, Projector
from horae.streams.parking import apply_or_park

if TYPE_CHECKING:
    from horae.projections.schema import Connection

log = structlog.get_logger(__name__)

FIRST_WAIT_S = 0.05
LONGEST_WAIT_S = 2.0


class Log(Protocol):
    """What the feed needs of the event store."""

    def subscribe(self, after: int = 0) -> AbstractAsyncContextManager[AsyncIterator[list[Recorded]]]:
        """Batches of events later than the position, in order, each once; a step may be cancelled without loss."""
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
        #: Done when the session with the read models has ended by itself.
        self._ended: asyncio.Future[None] | None = None
        self._applying = asyncio.Lock()
        self._looks: set[asyncio.Task[None]] = set()
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
            except DATABASE_AWAY as error:
                wait_s = FIRST_WAIT_S if self._projector.position > before else min(2 * wait_s, LONGEST_WAIT_S)
                log.warning("feed_interrupted", position=self._projector.position, error=str(error), wait_s=wait_s)
                await asyncio.sleep(wait_s)
            finally:
                for look in self._looks:
                    look.cancel()
                await self._disconnect()
            self.counts.restarts += 1

    async def _follow(self) -> None:
        async with self._applying:
            await self._begin()
        async with self._log.subscribe(self._projector.position) as batches:
            while (batch := await self._next(batches)) is not None:
                async with self._applying:
                    await self._apply(batch)

    async def _next(self, batches: AsyncIterator[list[Recorded]]) -> list[Recorded] | None:
        """What comes next; None: nothing more. Raises `ConnectionResetError` when our session ends meanwhile.

        A server that crashes takes back what it had committed lazily, and nothing new may come for a long time: so the
        end of the session is itself a reason to look where everything stands.
        """

        async def coming() -> list[Recorded] | None:
            return await anext(batches, None)

        assert self._ended is not None
        batch = asyncio.create_task(coming(), name="feed-next")
        try:
            await asyncio.wait((batch, self._ended), return_when=asyncio.FIRST_COMPLETED)
            if not batch.done():
                raise ConnectionResetError("the session with the read models has ended")
            return batch.result()
        finally:
            if not batch.done():
                batch.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await batch

    async def _begin(self) -> Connection:
        """A connection, with positions as they stand; always a new one: the copy may be another, and its row types."""
        await self._disconnect()
        if self._ended is None or self._ended.done():
            self._ended = asyncio.get_running_loop().create_future()
        self._conn = conn = await self._connect()
        conn.add_termination_listener(self._session_ended)
        await conn.add_listener(LOOK_CHANNEL, self._heard)
        await self._tell(Applied(await self._projector.load(conn), reset=True))
        return conn

    async def _apply(self, batch: Sequence[Recorded]) -> None:
        """Apply the batch; where feeders of shards were there before us, what they left.

        To subscribe anew would cost more than they may leave us time for: they would be there again.
        """
        conn = self._conn or await self._begin()
        while True:
            try:
                async for applied in apply_or_park(self._projector, conn, batch):
                    await self._tell(applied)
                return
            except PositionMoved:
                log.info("feed_position_moved", position=self._projector.position)
                conn = await self._begin()

    def _session_ended(self, conn: object) -> None:
        if conn is self._conn and self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    def _heard(self, *_: Any) -> None:
        look = asyncio.create_task(self._look_again(), name="feed-look")
        self._looks.add(look)
        look.add_done_callback(self._looks.discard)

    async def _look_again(self) -> None:
        async with self._applying:
            try:
                await self._begin()
            except DATABASE_AWAY:
                # Nobody may hear of a session's end who has none: begin anew without waiting for something new.
                if self._ended is not None and not self._ended.done():
                    self._ended.set_result(None)

    async def _tell(self, applied: Applied) -> None:
        if applied.events or applied.parked:
            self.counts.batches += 1
            self.counts.events += applied.events
            self.counts.parked += applied.parked
        for tell in self._on_applied:
            await tell(applied)

    async def _disconnect(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            with contextlib.suppress(*DATABASE_AWAY):
                await conn.close(timeout=1)
