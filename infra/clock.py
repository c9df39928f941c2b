"""What time it is: the machine's clock, or a virtual one that stands still until somebody advances it.

Place in the flow: commands decide at `now()`; the dispatcher sleeps until due instants of the same clock. Nothing else
in Horae reads a clock for business: timeouts, authentication and rate limits stay on the machine's.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime

import asyncpg
import structlog

from horae.domain.errors import Unavailable
from horae.projections.away import DATABASE_AWAY

CHANNEL = "horae_clock"
_RECONNECT_S = 0.2
PATIENCE_S = 20.0
#: A server that says nothing for so long is taken for gone.
ANSWER_S = 10.0
#: A notification may be lost with its connection, so the row is looked at anew at times.
LOOK_AGAIN_S = 5.0


_log = structlog.get_logger(__name__)


class SystemClock:
    """The machine's clock, which within one process never goes back (a step back of the machine's holds it still)."""

    def __init__(self) -> None:
        self._latest = datetime.min.replace(tzinfo=UTC)

    def now(self) -> datetime:
        """Aware UTC."""
        self._latest = max(self._latest, datetime.now(UTC))
        return self._latest


class VirtualClock:
    """The installation's virtual instant: the row of `sys.clock`, followed by LISTEN, seen here within milliseconds.

    The row's `now` only moves forward and never past its `target`. One worker moves it (`move_to`), anybody may set the
    target (`ask_for`), everybody reads. Use as an async context manager.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._now: datetime | None = None
        self._target: datetime | None = None
        self._follower: asyncio.Task[None] | None = None
        self._changed = asyncio.Condition()
        self._writer: asyncpg.Connection[asyncpg.Record] | None = None
        self._writing = asyncio.Lock()

    async def __aenter__(self) -> VirtualClock:
        ready = asyncio.Event()
        self._follower = asyncio.create_task(self._follow(ready), name="virtual-clock")
        await ready.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._follower is not None:
            self._follower.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._follower
        if self._writer is not None:
            self._writer.terminate()

    def now(self) -> datetime:
        """The virtual instant, aware UTC."""
        assert self._now is not None, "enter the clock first"
        return self._now

    @property
    def target(self) -> datetime:
        """How far somebody asked time to move; at least `now()`."""
        assert self._target is not None, "enter the clock first"
        return self._target

    async def ask_for(self, target: datetime) -> None:
        """Set the target, if it is later than the present one. Returns at once; `reached` waits."""
        await self._update("UPDATE sys.clock SET target = greatest(target, $1::timestamptz)", target)

    async def move_to(self, instant: datetime) -> None:
        """Move `now` forward (never back, never past the target) and let everybody know."""
        await self._update("UPDATE sys.clock SET now = least(target, greatest(now, $1::timestamptz))", instant)

    async def reached(self, instant: datetime) -> None:
        """Return when `now()` is at or after `instant`."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.now() >= instant)

    async def asked(self) -> None:
        """Return when the target lies ahead of `now()`."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.target > self.now())

    async def _update(self, statement: str, instant: datetime) -> None:
        """Done again until it is done, for `PATIENCE_S`: both updates give the same when they are repeated."""
        # A step on the way need not be on disk: the next event's commit takes it along, and a crash repeats it.
        query = (
            f"WITH moved AS ({statement} RETURNING now, target) SELECT now, target, pg_notify($2, ''), "
            "set_config('synchronous_commit', CASE WHEN now < target THEN 'off' ELSE 'on' END, true) FROM moved"
        )
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            try:
                # One connection is kept: time may move through thousands of due instants in a second.
                async with self._writing:
                    if self._writer is None or self._writer.is_closed():
                        self._writer = await self._connect()
                    row = await self._writer.fetchrow(query, instant, CHANNEL)
            except DATABASE_AWAY as error:
                if self._writer is not None:
                    self._writer.terminate()
                if asyncio.get_running_loop().time() > deadline:
                    raise Unavailable(f"The clock cannot be reached ({error}).", hint="Try again later.") from error
                await asyncio.sleep(_RECONNECT_S)
            else:
                break
        await self._saw(row)

    async def _connect(self) -> asyncpg.Connection[asyncpg.Record]:
        return await asyncpg.connect(self._dsn, timeout=ANSWER_S, command_timeout=ANSWER_S)

    async def _saw(self, row: asyncpg.Record | None) -> None:
        if row is None:
            raise RuntimeError("sys.clock is empty: this installation runs on real time")
        async with self._changed:
            self._now = max(row["now"], self._now or row["now"])
            self._target = max(row["target"], self._target or row["target"])
            self._changed.notify_all()

    async def _follow(self, ready: asyncio.Event) -> None:
        """Read the row at each notification; after a lost connection, connect again and read it anew."""
        woken = asyncio.Event()
        while True:
            try:
                connection = await self._connect()
                try:
                    connection.add_termination_listener(lambda *_: woken.set())
                    await connection.add_listener(CHANNEL, lambda *_: woken.set())
                    while not connection.is_closed():
                        woken.clear()
                        await self._saw(await connection.fetchrow("SELECT now, target FROM sys.clock"))
                        ready.set()
                        with contextlib.suppress(TimeoutError):
                            async with asyncio.timeout(LOOK_AGAIN_S):
                                await woken.wait()
                finally:
                    connection.terminate()
            except DATABASE_AWAY as error:
                _log.warning("clock_connection_lost", error=str(error))
                await asyncio.sleep(_RECONNECT_S)
