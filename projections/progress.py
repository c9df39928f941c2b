"""How far the read models are, for those who wait to read what they wrote.

Place in the flow: the projector notifies at each commit; the API waits here for the position that a write answered.
A shard that is fed on its own is often further than the log as a whole, so whoever knows the shard waits less.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING, Any

import asyncpg

from horae.domain.ids import SHARDS
from horae.projections.away import DATABASE_AWAY
from horae.projections.projector import PROJECTION, WHOLE_LOG, moves_of
from horae.projections.schema import connect
from horae.projections.statements import statements

if TYPE_CHECKING:
    from horae.projections.schema import Connection

_SQL = statements("projector")
_CHANNEL = "horae_applied"
_RECONNECT_S = 0.2
#: A server that says nothing for so long is taken for gone.
_PATIENCE_S = 10.0
#: A notification can be lost with its connection, so the position is also read anew at times.
_REFRESH_S = 1.0

_Waiting = list[tuple[int, int, asyncio.Future[None]]]


class Progress:
    """Follows the positions of the read models by LISTEN, over a connection of its own that it renews."""

    def __init__(self, dsn: str) -> None:
        """`dsn` names any role that may read; `start` before waiting."""
        self._dsn = dsn
        self._whole = self._applied = 0
        #: The shards' own rows.
        self._shards: dict[int, int] = {}
        #: For what is waited: by shard, or under `WHOLE_LOG` for all of them.
        self._waiting: dict[int, _Waiting] = {}
        self._ordinal = count()
        self._task: asyncio.Task[None] | None = None

    @property
    def applied(self) -> int:
        """The position up to which everything is applied, as far as has been heard."""
        return self._applied

    @property
    def sharded(self) -> bool:
        """Are the shards fed on their own, so that to know the shard is to wait less?"""
        return max(self._shards.values(), default=0) > self._whole

    def at(self, shard: int) -> int:
        """The position up to which a shard's events are applied, as far as has been heard."""
        return max(self._applied, self._shards.get(shard, 0))

    async def start(self) -> None:
        """Connect and read the present position. Raises asyncpg's errors if the first connection fails."""
        conn = await self._connect()
        self._task = asyncio.create_task(self._follow(conn), name="progress")

    async def stop(self) -> None:
        """Close the connection; those who still wait get False."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        for waiting in self._waiting.values():
            for _, _, future in waiting:
                if not future.done():
                    future.cancel()
        self._waiting.clear()

    async def wait(self, position: int, timeout_s: float, shard: int | None = None) -> bool:
        """True as soon as everything up to `position` is applied; False if that takes longer than `timeout_s`.

        With a `shard`: everything of that shard.
        """
        if (self._applied if shard is None else self.at(shard)) >= position:
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (position, next(self._ordinal), future)
        key = WHOLE_LOG if shard is None else shard
        waiting = self._waiting.setdefault(key, [])
        heapq.heappush(waiting, entry)
        try:
            # wait, not wait_for: a stopped Progress cancels the future, not its caller.
            await asyncio.wait([future], timeout=timeout_s)
        finally:
            if not future.done():
                # Whoever asks for a position far ahead must not leave anything behind.
                future.cancel()
                waiting.remove(entry)
                heapq.heapify(waiting)
                if not waiting:
                    del self._waiting[key]
        return not future.cancelled()

    def _advance(self, rows: Mapping[int, int]) -> None:
        self._whole = max(self._whole, rows.get(WHOLE_LOG, 0))
        for shard, position in rows.items():
            if shard != WHOLE_LOG and position > self._shards.get(shard, 0):
                self._shards[shard] = position
        self._applied = max(self._whole, min(self._shards.values()) if len(self._shards) == SHARDS else 0)
        for shard in [shard for shard, waiting in self._waiting.items() if not waiting]:
            del self._waiting[shard]
        for shard, waiting in self._waiting.items():
            position = self._applied if shard == WHOLE_LOG else self.at(shard)
            while waiting and waiting[0][0] <= position:
                _, _, future = heapq.heappop(waiting)
                if not future.done():
                    future.set_result(None)

    async def _connect(self) -> Connection:
        conn = await connect(self._dsn, patience_s=_PATIENCE_S)
        await conn.add_listener(_CHANNEL, self._heard)
        await self._read(conn)
        return conn

    def _heard(self, _conn: Any, _pid: int, _channel: str, payload: object) -> None:
        self._advance(moves_of(str(payload)))

    async def _read(self, conn: Connection) -> None:
        rows = await conn.fetch(_SQL["positions"], PROJECTION)
        self._advance({row["shard"]: row["position"] for row in rows})

    async def _follow(self, conn: Connection) -> None:
        while True:
            try:
                while True:
                    await asyncio.sleep(_REFRESH_S)
                    await self._read(conn)
            except DATABASE_AWAY:
                conn = await self._reconnect(conn)
            except asyncio.CancelledError:
                with contextlib.suppress(*DATABASE_AWAY):
                    await conn.close(timeout=1)
                raise

    async def _reconnect(self, dead: Connection) -> Connection:
        if isinstance(dead, asyncpg.Connection):
            dead.terminate()
        while True:
            with contextlib.suppress(*DATABASE_AWAY):
                return await self._connect()
            await asyncio.sleep(_RECONNECT_S)
