"""Whoever waits for a lock gets it when it is let go, and meanwhile keeps no dead row alive."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from horae.infra import locks
from horae.infra.incarnation import Incarnation
from tests.fixtures.postgres import Database
from tests.fixtures.silence import silence_before

PATIENCE_S = 30.0
LOCK = (7399, 1)

_WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = $1 AND NOT granted"


async def until_waiting(conn: asyncpg.Connection[asyncpg.Record], lock_class: int) -> None:
    """Somebody stands by: between two looks nobody does for an instant."""
    async with asyncio.timeout(PATIENCE_S):
        while not await conn.fetchval(_WAITING, lock_class):
            pass


async def dead_rows_left(conn: asyncpg.Connection[asyncpg.Record]) -> int:
    """Of a table that is emptied now, how many of its thousand rows a vacuum has to leave."""
    await conn.execute("CREATE TABLE IF NOT EXISTS sys.emptied AS SELECT n FROM generate_series(1, 1000) AS n")
    await conn.execute("DELETE FROM sys.emptied")
    await conn.execute("VACUUM sys.emptied")
    await conn.execute("CREATE EXTENSION IF NOT EXISTS pgstattuple")
    left: int = await conn.fetchval("SELECT dead_tuple_count FROM pgstattuple('sys.emptied')")
    return left


async def test_a_vacuum_removes_what_died_while_a_worker_stands_by(database: Database) -> None:
    """Else every table would grow for as long as a second worker waits for the first to die."""
    admin = await asyncpg.connect(database.admin_dsn)
    try:
        async with Incarnation(database.owner_dsn) as first, Incarnation(database.owner_dsn) as second:
            await first.lead()
            waiting = asyncio.create_task(second.lead())
            await until_waiting(admin, 7302)
            async with asyncio.timeout(PATIENCE_S):
                while await dead_rows_left(admin):
                    await until_waiting(admin, 7302)
            assert not waiting.done()
            waiting.cancel()
    finally:
        await admin.close()


@pytest.mark.parametrize("looks", [0, 2])
async def test_the_lock_is_granted_when_it_is_let_go(
    database: Database, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    """In the first look, and in a later one."""
    monkeypatch.setattr(locks, "LOOK_AGAIN_S", 1 if looks else int(PATIENCE_S))
    holder, second, admin = [await asyncpg.connect(database.admin_dsn) for _ in range(3)]
    try:
        await locks.wait_for(holder, *LOCK)
        waiting = asyncio.create_task(locks.wait_for(second, *LOCK))
        await until_waiting(admin, LOCK[0])
        for _ in range(looks):
            await next_look(admin)
        assert not waiting.done()
        await holder.close()
        async with asyncio.timeout(PATIENCE_S):
            await waiting
        assert not await admin.fetchval("SELECT pg_try_advisory_lock($1, $2)", *LOCK)
    finally:
        for session in (holder, second, admin):
            await session.close()


async def next_look(conn: asyncpg.Connection[asyncpg.Record]) -> None:
    """The statement that waits now has been followed by another one."""
    query = "SELECT max(query_start) FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE classid = $1 AND NOT granted"
    async with asyncio.timeout(PATIENCE_S):
        before = await conn.fetchval(query, LOCK[0])
        while (now := await conn.fetchval(query, LOCK[0])) is None or now == before:
            pass


@pytest.mark.covers("REL-16")
async def test_a_server_that_falls_silent_ends_the_waiting(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stood by connects anew, instead of standing by for ever at a server that is gone."""
    monkeypatch.setattr(locks, "_PATIENCE_S", 0.2)
    async with silence_before(database.owner_dsn) as silence:
        session = await asyncpg.connect(silence.dsn)
        silence.fall()
        with pytest.raises(TimeoutError):
            await locks.wait_for(session, *LOCK)
        assert session.is_closed()
