"""Workers know each other by heartbeats and locks: who lives, and who is not to be counted on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import pytest

from horae.infra.heartbeat import Beat, beat_on
from horae.infra.incarnation import Incarnation
from horae.infra.leadership import AUDITOR, by_one
from horae.infra.peers import Living
from tests.fixtures.postgres import Database

PATIENCE_S = 30.0

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[Pool]:
    async with asyncpg.create_pool(database.owner_dsn, min_size=1, max_size=4) as made:
        yield made


@asynccontextmanager
async def beating(database: Database, pool: Pool, shards: Collection[int] = ()) -> AsyncIterator[Incarnation]:
    """A worker that lives and has said so at least once."""
    async with Incarnation(database.owner_dsn, alone=False) as incarnation:
        measured = asyncio.Event()
        measures = 0

        def measure() -> Beat:
            nonlocal measures
            measures += 1
            if measures == 2:  # the first one is written
                measured.set()
            return Beat(0, 0, 0, "", shards)

        changed = asyncio.Event()
        task = asyncio.create_task(beat_on(pool, incarnation.id, measure, changed=changed))
        changed.set()
        async with asyncio.timeout(PATIENCE_S):
            await measured.wait()
        try:
            yield incarnation
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_the_living_know_what_the_others_have(database: Database, pool: Pool) -> None:
    """Ranked by incarnation, so that all come to the same."""
    async with beating(database, pool, [1, 2]) as first, beating(database, pool, [3]) as second:
        one, two = Living(pool, first.id), Living(pool, second.id)
        await one.look()
        await two.look()
        assert (one.among().rank, one.among().count, one.among().others) == (0, 2, frozenset({3}))
        assert (two.among().rank, two.among().count, two.among().others) == (1, 2, frozenset({1, 2}))


@pytest.mark.covers("REL-03")
async def test_who_has_lost_his_lock_has_nothing_any_more(database: Database, pool: Pool) -> None:
    """Whatever his last beat says, and however young it is."""
    async with beating(database, pool) as first:
        living = Living(pool, first.id)
        async with beating(database, pool, [3]) as second:
            await living.look()
            assert living.among().count == 2
            # What the death of its process does to its session, which has ended when this returns.
            await pool.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_locks WHERE locktype = 'advisory' AND classid = 7301 "
                "AND objid = $1",
                second.id,
            )
            await living.look()
            assert (living.among().count, living.among().others) == (1, frozenset())
            assert living.missed_lately


async def test_who_is_silent_is_not_counted_on(database: Database, pool: Pool) -> None:
    """A process that was stopped holds its lock, and does nothing."""
    async with beating(database, pool) as first, Incarnation(database.owner_dsn, alone=False) as stopped:
        await pool.execute(
            "INSERT INTO sys.heartbeats (incarnation, kind, beat_at, applied, in_flight, queued, shards, metrics) "
            "VALUES ($1, 'worker', clock_timestamp() - interval '4 seconds', 0, 0, 0, '{7}', '')",
            stopped.id,
        )
        living = Living(pool, first.id)
        await living.look()
        assert living.among().count == 1


async def test_a_worker_that_ends_well_leaves_no_beat_behind(database: Database, pool: Pool) -> None:
    """The others take its shards at once, instead of when it has been silent for a while."""
    async with beating(database, pool) as first:
        async with beating(database, pool, [3]) as second:
            pass
        assert [row["incarnation"] for row in await pool.fetch("SELECT * FROM sys.heartbeats")] == [first.id]
        assert second.id != first.id


async def test_the_last_word_of_a_kind_stays(database: Database, pool: Pool) -> None:
    """Who asks how long ago a worker was heard of gets an answer."""
    async with beating(database, pool) as only:
        pass
    assert [row["incarnation"] for row in await pool.fetch("SELECT * FROM sys.heartbeats")] == [only.id]


async def test_one_of_many_does_it_and_another_when_that_one_is_gone(database: Database, pool: Pool) -> None:
    """By a lock that ends with its session."""
    doing: asyncio.Queue[str] = asyncio.Queue()

    async def work(name: str) -> None:
        doing.put_nowait(name)
        await asyncio.Event().wait()

    first = asyncio.create_task(by_one(database.owner_dsn, AUDITOR, lambda: work("first")))
    async with asyncio.timeout(PATIENCE_S):
        assert await doing.get() == "first"
        second = asyncio.create_task(by_one(database.owner_dsn, AUDITOR, lambda: work("second")))
        first.cancel()
        assert await doing.get() == "second"
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert doing.empty()
