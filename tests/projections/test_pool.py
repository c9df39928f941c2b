"""The pools that read models are read through: bounded, and their connections as good after use as before."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from horae.domain.errors import Unavailable
from horae.projections import schema
from horae.projections.tenancy import tenant_connection
from tests.fixtures.postgres import Database


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    """One connection of the API's role, and little patience."""
    async with await schema.create_pool(database.api_dsn, max_size=1, patience_s=2.0) as pool:
        yield pool


@pytest.mark.covers("REL-16")
async def test_nobody_waits_for_ever_for_a_connection(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    """The only one is taken; given back, it is the next one's."""
    async with pool.acquire():
        with pytest.raises(TimeoutError):
            await pool.fetchval("SELECT 1")
    assert await pool.fetchval("SELECT 1") == 1


async def test_a_statement_that_takes_too_long_ends_on_the_server_too(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    """Whoever gave up leaves nothing running, and the connection is of use."""
    with pytest.raises((TimeoutError, asyncpg.QueryCanceledError)):
        await pool.execute("SELECT pg_sleep(3600)")
    # The same where a tenant's rows are read, in the words of those who have stored something.
    with pytest.raises(Unavailable, match="does not answer"):
        async with tenant_connection(pool, "acme") as conn:
            await conn.execute("SELECT pg_sleep(3600)")
    running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()"
    assert await pool.fetchval(running) == 0


async def test_a_connection_forgets_whose_rows_it_showed(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    """Nothing is reset when it is given back: the tenant is set for one transaction, and goes with it."""
    shown = "SELECT current_setting('horae.tenant', true)"
    async with tenant_connection(pool, "acme") as conn:
        assert await conn.fetchval(shown) == "acme"
    assert not await pool.fetchval(shown)
    with pytest.raises(ZeroDivisionError):
        async with tenant_connection(pool, "acme") as conn:
            raise ZeroDivisionError
    assert not await pool.fetchval(shown)
    with pytest.raises(asyncpg.DivisionByZeroError):
        async with tenant_connection(pool, "acme") as conn:
            await conn.fetchval("SELECT 1 / 0")
    assert not await pool.fetchval(shown)


@pytest.mark.parametrize("error", [asyncpg.QueryCanceledError, TimeoutError, OSError, asyncpg.DiskFullError])
async def test_who_reads_is_told_that_there_is_no_answer(
    pool: asyncpg.Pool[asyncpg.Record], error: type[Exception]
) -> None:
    """Whichever of the two gave up, and whatever the server lacked."""
    with pytest.raises(Unavailable, match="does not answer"):
        async with tenant_connection(pool, "acme"):
            raise error("no answer")


@pytest.mark.parametrize("question", ["SELECT $1::int", "SELECT $1::int FROM nowhere"])
async def test_a_fault_in_a_question_is_no_absence_of_the_server(
    pool: asyncpg.Pool[asyncpg.Record], question: str
) -> None:
    """It would hit every repeat alike."""
    with pytest.raises((asyncpg.DataError, asyncpg.UndefinedTableError)):
        async with tenant_connection(pool, "acme") as conn:
            await conn.fetchval(question, "x")


async def test_giving_a_connection_back_asks_the_server_nothing(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    """Each question would cost a round trip for every read."""
    asked: list[str] = []
    async with pool.acquire() as conn:
        conn.add_query_logger(lambda record: asked.append(record.query))
        await conn.fetchval("SELECT 1")
    async with pool.acquire() as conn:
        await conn.fetchval("SELECT 2")
    assert asked == ["SELECT 1", "SELECT 2"]
