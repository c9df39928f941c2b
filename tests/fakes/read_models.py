"""The read models' database in memory, for the simulation: the projections' statements by name, on dictionaries.

What it stands for are rows, transactions, the lock on positions, and connections that can break; the projector, the
fold and every query's Python run on it unchanged. `test_read_models.py` holds it to PostgreSQL's
answers. What the statements do is in `read_statements`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg

from horae.domain.ids import SHARDS
from horae.projections.projector import LOOK_CHANNEL
from tests.fakes.read_statements import NAME_OF, STATEMENTS, TABLES, WRITES, Key, Record

Listener = Callable[..., Any]
#: Called before each statement and around each commit; may raise what a broken connection raises, or never return.
Hook = Callable[[str], Awaitable[None]]


class ConnectionLost(asyncpg.ConnectionDoesNotExistError):
    """The session has ended."""


@dataclass
class InMemoryReadModels:
    """One copy of the read models. Rows by primary key; `undo` keeps what each commit replaced."""

    tables: dict[str, dict[Key, Record]] = field(default_factory=lambda: {table: {} for table in TABLES})
    positions: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(-1, SHARDS), 0))
    copy: UUID = field(default_factory=lambda: UUID(int=7))
    #: Of each commit, newest last: the rows and positions as they were before it.
    undo: list[tuple[list[tuple[str, Key, Record | None]], dict[int, int]]] = field(default_factory=list)
    _holder: InMemoryConnection | None = None
    _queue: list[tuple[InMemoryConnection, asyncio.Future[None]]] = field(default_factory=list)
    #: In the order in which they were opened.
    _connections: dict[InMemoryConnection, None] = field(default_factory=dict)

    def connect(self, hook: Hook | None = None) -> InMemoryConnection:
        """A session; `hook` disturbs it."""
        connection = InMemoryConnection(self, hook)
        self._connections[connection] = None
        return connection

    async def lock(self, connection: InMemoryConnection) -> None:
        """Writers come one after another: a coarse stand-in for the row locks on positions, which come first.

        The server's own queue: who is granted the lock has it, whether its client runs, stands still or is gone.
        """
        if self._holder is None:
            self._holder = connection
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((connection, waiter))
        await waiter

    def unlock(self, connection: InMemoryConnection) -> None:
        """Let go of the lock, or of the place in the queue."""
        for entry in [entry for entry in self._queue if entry[0] is connection]:
            self._queue.remove(entry)
            if not entry[1].done():
                entry[1].set_exception(ConnectionLost("the session has ended"))
                entry[1].exception()  # whoever waited may be gone, too
        if self._holder is connection:
            self._holder = None
            if self._queue:
                self._holder, waiter = self._queue.pop(0)
                if not waiter.done():
                    waiter.set_result(None)

    def crash(self, commits: int) -> None:
        """All sessions end, and of what was committed lazily the last `commits` commits are gone, positions too."""
        for connection in list(self._connections):
            connection.terminate()
        for rows, positions in reversed(self.undo[len(self.undo) - commits :] if commits else []):
            for table, key, before in reversed(rows):
                if before is None:
                    self.tables[table].pop(key, None)
                else:
                    self.tables[table][key] = before
            self.positions.update(positions)
        del self.undo[len(self.undo) - commits :]

    def rows(self) -> dict[str, Any]:
        """Everything that is stored, to be compared with another copy's."""
        return {"positions": max(self.positions.values()), **{t: dict(rows) for t, rows in self.tables.items()}}


class InMemoryConnection:
    """What the projections use of asyncpg's connection."""

    def __init__(self, database: InMemoryReadModels, hook: Hook | None) -> None:
        self._db, self._hook = database, hook
        self._closed = False
        self._locked = False
        self._in_transaction = False
        self._writes: list[tuple[str, Key, Record | None]] = []
        self._moved: dict[int, int] = {}
        self._told: list[str] = []
        self._listeners: list[tuple[Listener, Context]] = []
        self._ending: list[tuple[Listener, Context]] = []

    # --- what asyncpg offers --------------------------------------------------------------------------------------

    def is_closed(self) -> bool:
        return self._closed

    @property
    def in_transaction(self) -> bool:
        """Between its beginning and its end."""
        return self._in_transaction

    async def close(self, *, timeout: float | None = None) -> None:
        self.terminate()

    def terminate(self) -> None:
        """End the session; what was not committed never was."""
        self._closed = True
        self._roll_back()
        self._db._connections.pop(self, None)
        for listener, context in self._ending:
            asyncio.get_running_loop().call_soon(listener, self, context=context)
        self._ending.clear()

    def add_termination_listener(self, listener: Listener) -> None:
        self._ending.append((listener, copy_context()))

    async def add_listener(self, channel: str, listener: Listener) -> None:
        assert channel == LOOK_CHANNEL
        self._listeners.append((listener, copy_context()))

    @asynccontextmanager
    async def transaction(self) -> Any:
        await self._pass("begin")
        assert not self._in_transaction, "no nesting"
        self._in_transaction = True
        try:
            yield
        except BaseException:
            self._roll_back()
            raise
        try:
            await self._pass("commit")
        except BaseException:
            self._roll_back()
            raise
        self._commit()
        # Committed: whoever does not hear of it does not know.
        await self._pass("committed")

    async def fetch(self, query: str, *args: Any) -> list[Record]:
        name = NAME_OF.get(query, query)
        await self._pass(name)
        if name in WRITES and not self._locked:
            self._locked = True
            await self._db.lock(self)
            self._check()
        return STATEMENTS[name](self, *args)

    async def fetchrow(self, query: str, *args: Any) -> Record | None:
        return next(iter(await self.fetch(query, *args)), None)

    async def fetchval(self, query: str, *args: Any) -> Any:
        row = await self.fetchrow(query, *args)
        return None if row is None else next(iter(row))

    async def execute(self, query: str, *args: Any) -> None:
        if query.startswith("SET "):
            return
        autocommit = not self._in_transaction
        await self.fetch(query, *args)
        if autocommit:
            self._commit()

    # --- transactions ---------------------------------------------------------------------------------------------

    async def _pass(self, what: str) -> None:
        self._check()
        if self._hook is not None:
            try:
                await self._hook(what)
            except ConnectionLost:
                self.terminate()
                raise
            self._check()

    def _check(self) -> None:
        if self._closed:
            raise ConnectionLost("the session has ended")

    def put(self, table: str, key: Key, row: Record | None) -> None:
        """Write (or, None, delete) at commit."""
        self._writes.append((table, key, row))

    def move(self, shard: int, position: int) -> None:
        """Move a position at commit."""
        self._moved[shard] = position

    def tell(self, payload: str) -> None:
        """NOTIFY at commit."""
        self._told.append(payload)

    def table(self, name: str) -> dict[Key, Record]:
        """The committed rows: nothing here reads its own transaction's writes."""
        return self._db.tables[name]

    @property
    def database(self) -> InMemoryReadModels:
        return self._db

    def _commit(self) -> None:
        before: list[tuple[str, Key, Record | None]] = []
        for table, key, row in self._writes:
            rows = self._db.tables[table]
            before.append((table, key, rows.get(key)))
            if row is None:
                rows.pop(key, None)
            else:
                rows[key] = row
        positions = {shard: self._db.positions[shard] for shard in self._moved}
        self._db.positions.update(self._moved)
        if self._writes or self._moved:
            self._db.undo.append((before, positions))
        told = list(self._told)
        self._release()
        for _ in told:
            for connection in list(self._db._connections):
                for listener, context in connection._listeners:
                    asyncio.get_running_loop().call_soon(listener, context=context)

    def _roll_back(self) -> None:
        self._release()

    def _release(self) -> None:
        self._writes, self._moved, self._told = [], {}, []
        self._in_transaction = False
        if self._locked:
            self._locked = False
            self._db.unlock(self)


class InMemoryPool:
    """What the auditor, recovery and the dispatcher use of asyncpg's pool."""

    def __init__(self, connect: Callable[[], InMemoryConnection]) -> None:
        self._connect = connect

    @asynccontextmanager
    async def acquire(self) -> Any:
        connection = self._connect()
        try:
            yield connection
        finally:
            connection.terminate()
