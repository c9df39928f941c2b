"""Workers' lives as locks: one leads, the others take over at once, and the dead are known as dead."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from horae.infra.incarnation import Incarnation, Lives, lock_object
from tests.fixtures.postgres import Database

PATIENCE_S = 30.0


async def end_sessions(database: Database, only: str = "horae-incarnation") -> None:
    admin = await asyncpg.connect(database.admin_dsn)
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND application_name = $2",
        database.name,
        only,
    )
    await admin.close()


async def test_each_life_has_an_id_of_its_own(database: Database) -> None:
    """A worker that is started anew is another incarnation."""
    async with Incarnation(database.owner_dsn) as first, Incarnation(database.owner_dsn) as second:
        assert first.id != second.id


async def test_one_leads_and_the_next_takes_over_when_it_ends(database: Database) -> None:
    """The one that stands by is told by the lock itself, without asking again and again."""
    async with Incarnation(database.owner_dsn) as second:
        async with Incarnation(database.owner_dsn) as first:
            await first.lead()
            waiting = asyncio.create_task(second.lead())
            async with Lives_of(database) as lives:
                assert await lives.gone([first.id, second.id]) == set()
            assert not waiting.done()
        async with asyncio.timeout(PATIENCE_S):
            await waiting


async def test_the_dead_are_known_by_their_missing_locks(database: Database) -> None:
    """Whoever's session has ended is gone; whoever stands by is not."""
    async with Incarnation(database.owner_dsn) as living, Lives_of(database) as lives:
        async with Incarnation(database.owner_dsn) as dying:
            gone = dying.id
        assert await lives.gone([living.id, gone]) == {gone}


async def test_a_lost_session_is_made_again_under_the_same_id(database: Database) -> None:
    """A restart of PostgreSQL is not the worker's death: it goes on, and nobody recovers from it."""
    async with Incarnation(database.owner_dsn) as incarnation, Lives_of(database) as lives:
        await incarnation.lead()
        before = incarnation.id
        keeping = asyncio.create_task(incarnation.keep())
        await end_sessions(database)
        async with asyncio.timeout(PATIENCE_S):
            await until_leading(database, lives, before)
        assert not keeping.done()
        assert incarnation.id == before
        keeping.cancel()


async def test_keep_ends_when_another_leads(database: Database) -> None:
    """Cut off for so long that somebody else took over: then there is nothing to keep."""
    async with Incarnation(database.owner_dsn) as cut_off, Incarnation(database.owner_dsn) as other:
        await cut_off.lead()
        taking_over = asyncio.create_task(other.lead())
        keeping = asyncio.create_task(cut_off.keep())
        admin = await asyncpg.connect(database.admin_dsn)
        await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE classid = 7302 AND granted")
        await admin.close()
        async with asyncio.timeout(PATIENCE_S):
            await taking_over
            await keeping


@pytest.mark.parametrize(("incarnation", "expected"), [(1, 1), (2**31, -(2**31)), (2**32 + 7, 7)])
def test_the_locks_number_fits_into_32_bits(incarnation: int, expected: int) -> None:
    """PostgreSQL's two-part advisory locks take signed 32-bit numbers."""
    assert lock_object(incarnation) == expected


class Lives_of:  # noqa: N801 - reads as a phrase
    """`Lives` on a pool of the test's."""

    def __init__(self, database: Database) -> None:
        self._dsn = database.owner_dsn

    async def __aenter__(self) -> Lives:
        self._pool = await asyncpg.create_pool(self._dsn, min_size=1, max_size=1)
        return Lives(self._pool)

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()


async def until_leading(database: Database, lives: Lives, incarnation: int) -> None:
    """Wait for the leader's lock as another worker would, without taking it: in a transaction that is rolled back."""
    connection = await asyncpg.connect(database.owner_dsn)
    try:
        while True:
            held = await connection.fetchval(
                "SELECT count(*) FROM pg_locks WHERE classid = 7302 AND granted AND pid <> pg_backend_pid()"
            )
            if held and await lives.gone([incarnation]) == set():
                return
    finally:
        await connection.close()
