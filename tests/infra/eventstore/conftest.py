"""What the event store's specifications disturb it with: a held commit, a proxy that drops answers."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import asyncpg
import pytest

from tests.fixtures.postgres import Database

APPEND_LOCK = 7235418830166529

#: In PostgreSQL's protocol: "command complete" of a SELECT, then "ready for query, idle".
_COMMITTED = re.compile(rb"C....SELECT .*Z\0\0\0\x05I", re.DOTALL)


class CommitHold:
    """While held, no append gets further than the lock: what is appended meanwhile queues up behind it."""

    def __init__(self, conn: asyncpg.Connection) -> None:
        self._conn = conn

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Self]:
        await self._conn.execute(f"SELECT pg_advisory_lock({APPEND_LOCK})")
        try:
            yield self
        finally:
            await self._conn.execute(f"SELECT pg_advisory_unlock({APPEND_LOCK})")

    async def until_one_waits(self) -> None:
        """Return when a commit has been sent and waits at the lock."""
        query = (
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        while not await self._conn.fetchval(query):
            pass


@pytest.fixture
async def commit_hold(database: Database) -> AsyncIterator[CommitHold]:
    """Use as `async with commit_hold():`."""
    conn = await asyncpg.connect(database.owner_dsn)
    yield CommitHold(conn)
    await conn.close()


class Proxy:
    """A TCP proxy before PostgreSQL that can lose the answer to a statement that was committed."""

    def __init__(self, database: Database) -> None:
        self._host, self._port = "127.0.0.1", int(database.owner_dsn.rsplit(":", 1)[1].split("/")[0])
        self._dsn = database.owner_dsn
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        #: How many more answers to completed SELECTs are lost, together with their connection.
        self.answers_to_lose = 0

    @property
    def dsn(self) -> str:
        """The database through this proxy."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return self._dsn.replace(f":{self._port}/", f":{port}/")

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._connect, self._host, 0)

    async def close(self) -> None:
        """Refuse and cut every connection."""
        assert self._server is not None
        self._server.close()
        for link in list(self._links):
            link.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(self._host, self._port)
        self._links |= {to_client, to_server}
        ways: tuple[tuple[asyncio.StreamReader, asyncio.StreamWriter, bool], ...] = (
            (from_client, to_server, False),
            (from_server, to_client, True),
        )
        for reader, writer, is_answer in ways:
            task = asyncio.create_task(self._pump(reader, writer, is_answer, (to_client, to_server)))
            self._tasks.add(task)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        is_answer: bool,
        link: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
    ) -> None:
        try:
            while data := await reader.read(65536):
                # "Ready" follows the commit, so what is lost here is stored.
                if is_answer and self.answers_to_lose and _COMMITTED.search(data):
                    self.answers_to_lose -= 1
                    break
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            for end in link:
                end.close()


@pytest.fixture
async def proxy(database: Database) -> AsyncIterator[Proxy]:
    """A proxy before this test's database."""
    proxy = Proxy(database)
    await proxy.open()
    yield proxy
    await proxy.close()
