"""How far the read models are, for those who wait to read what they wrote.

Place in the flow: the projector notifies at each commit; the API waits here for the position that a write answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from itertools import count
from typing import TYPE_CHECKING, Any

import asyncpg

from horae.projections.queries import applied_position
from horae.projections.schema import connect

if TYPE_CHECKING:
    from horae.projections.schema import Connection

_CHANNEL = "horae_applied"
_RECONNECT_S = 0.2
#: A notification can be lost with its connection, so the position is also read anew at times.
_REFRESH_S = 1.0

#: What asyncpg raises when the server goes or is away (the internal error: when it goes at this very moment).
_INTERRUPTED = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class Progress:
    """Follows the whole-log position of the read models by LISTEN, over a connection of its own that it renews."""

    def __init__(self, dsn: str) -> None:
        """`dsn` names any role that may read; `start` before waiting."""
        self._dsn = dsn
        self._applied = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._ordinal = count()
        self._task: asyncio.Task[None] | None = None

    @property
    def applied(self) -> int:
        """The position up to which everything is applied, as far as has been heard."""
        return self._applied

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
        for _, _, future in self._waiting:
            if not future.done():
                future.cancel()
        self._waiting.clear()

    async def wait(self, position: int, timeout_s: float) -> bool:
        """True as soon as everything up to `position` is applied; False if that takes longer than `timeout_s`."""
        if self._applied >= position:
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (position, next(self._ordinal), future)
        heapq.heappush(self._waiting, entry)
        try:
            # wait, not wait_for: a stopped Progress cancels the future, not its caller.
            await asyncio.wait([future], timeout=timeout_s)
        finally:
            if not future.done():
                # Whoever asks for a position far ahead must not leave anything behind.
                future.cancel()
                self._waiting.remove(entry)
                heapq.heapify(self._waiting)
        return not future.cancelled()

    def _advance(self, position: int) -> None:
        self._applied = max(self._applied, position)
        while self._waiting and self._waiting[0][0] <= self._applied:
            _, _, future = heapq.heappop(self._waiting)
            if not future.done():
                future.set_result(None)

    async def _connect(self) -> Connection:
        conn = await connect(self._dsn)
        await conn.add_listener(_CHANNEL, self._heard)
        await self._read(conn)
        return conn

    def _heard(self, _conn: Any, _pid: int, _channel: str, payload: object) -> None:
        self._advance(int(str(payload)))

    async def _read(self, conn: Connection) -> None:
        self._advance(await applied_position(conn))

    async def _follow(self, conn: Connection) -> None:
        while True:
            try:
                while True:
                    await asyncio.sleep(_REFRESH_S)
                    await self._read(conn)
            except _INTERRUPTED:
                conn = await self._reconnect(conn)
            except asyncio.CancelledError:
                await conn.close(timeout=1)
                raise

    async def _reconnect(self, dead: Connection) -> Connection:
        if isinstance(dead, asyncpg.Connection):
            dead.terminate()
        while True:
            with contextlib.suppress(*_INTERRUPTED):
                return await self._connect()
            await asyncio.sleep(_RECONNECT_S)
