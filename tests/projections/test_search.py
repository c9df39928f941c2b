"""Search in PostgreSQL keeps the contract of search engines, over read models that the projector filled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from horae.domain.envelope import NewEvent
from horae.infra.eventstore import PostgresEventStore
from horae.infra.postgres import Cluster
from horae.projections import schema
from horae.projections.projector import Projector
from horae.projections.search.ports import Query
from horae.projections.search.postgres import PostgresSearch
from horae.projections.search.scanning import SCANNED
from tests.contracts.search_index import ACME, OTHER, SearchIndexContract, tell
from tests.fixtures.postgres import Database, fresh_database


@pytest.fixture(scope="session")
def told_database(cluster: Cluster, migrated_template: str) -> Iterator[Database]:
    """What the contract tells, in log and read models."""

    async def fill(database: Database) -> None:
        conn = await schema.connect(database.owner_dsn)
        await schema.install(conn)
        events = tell()
        async with PostgresEventStore(database.owner_dsn) as store:
            for event in events:
                await store.append([NewEvent(event.stream, event.version, event.meta, event.body)])
        projector = Projector()
        await projector.load(conn)
        await projector.apply(conn, events)
        await conn.close()

    for database in fresh_database(cluster, migrated_template):
        asyncio.run(fill(database))
        yield database


@pytest.fixture
async def api_pool(told_database: Database) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    """A pool of the API's role."""
    async with await schema.create_pool(told_database.api_dsn) as pool:
        yield pool


@pytest.fixture
def index(api_pool: asyncpg.Pool[asyncpg.Record]) -> PostgresSearch:
    """The engine."""
    return PostgresSearch(api_pool)


class TestPostgresSearch(SearchIndexContract):
    """The contract, in PostgreSQL."""


async def test_the_functions_that_look_into_the_index_bind_the_tenant(
    api_pool: asyncpg.Pool[asyncpg.Record],
) -> None:
    """They run as the owner, who sees everything: without a tenant, or with another, they find nothing of acme's."""
    find = "SELECT count(*) FROM find_schedules('report'::tsquery)"
    complete = "SELECT count(*) FROM complete_word('secret'::tsquery, 'secret', 10)"
    async with api_pool.acquire() as conn:
        assert (await conn.fetchval(find), await conn.fetchval(complete)) == (0, 0)
        for tenant, found, completed in ((ACME, 2, 0), (OTHER, 1, 1), ("nobody", 0, 0)):
            async with conn.transaction():
                await conn.execute("SELECT set_config('horae.tenant', $1, true)", tenant)
                assert (await conn.fetchval(find), await conn.fetchval(complete)) == (found, completed)
        assert await conn.fetchval("SELECT count(*) FROM schedule_words") == 0


async def test_the_index_serves(api_pool: asyncpg.Pool[asyncpg.Record], told_database: Database) -> None:
    """Words are looked up, not read through."""
    conn = await schema.connect(told_database.owner_dsn)
    await conn.execute("SET enable_seqscan = off")
    plan = await conn.fetch("EXPLAIN SELECT schedule FROM schedule_words WHERE words @@ 'report'::tsquery")
    assert "schedule_words_idx" in "\n".join(row[0] for row in plan)
    await conn.close()


async def test_a_scan_says_where_it_ends(api_pool: asyncpg.Pool[asyncpg.Record]) -> None:
    """Only the newest are looked at: the answer is of those, and not called exact."""
    index = PostgresSearch(api_pool, scanned=3)
    found = await index.search(ACME, Query(kind="audit"))
    assert (found.total, found.exact) == (3, False)
    assert found.items[0].source["type"] == "schedule.changed"


async def test_beyond_the_newest_a_narrower_question_reaches_further_back(
    api_pool: asyncpg.Pool[asyncpg.Record], told_database: Database
) -> None:
    """One occurrence more than are looked at: asked for all, the oldest is left out and the answer says so."""
    tenant, schedule, begin = "many", UUID(int=1 << 100), datetime(2027, 1, 1, tzinfo=UTC)
    conn = await schema.connect(told_database.owner_dsn)
    await conn.execute(
        "INSERT INTO schedules SELECT (jsonb_populate_record(NULL::schedules, to_jsonb(s) || jsonb_build_object("
        "'id', $1::uuid, 'tenant', $2::text))).* FROM (SELECT * FROM schedules WHERE tenant = $3 LIMIT 1) AS s",
        schedule,
        tenant,
        ACME,
    )
    await conn.execute(
        "INSERT INTO occurrences SELECT (jsonb_populate_record(NULL::occurrences, to_jsonb(o) || jsonb_build_object("
        "'id', ('cafe0000-0000-8000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'schedule', $1::uuid, "
        "'tenant', $2::text, 'due_at', $4::timestamptz + n * interval '1 minute'))).* "
        "FROM (SELECT * FROM occurrences WHERE tenant = $3 LIMIT 1) AS o, generate_series(1, $5::int) AS n",
        schedule,
        tenant,
        ACME,
        begin,
        SCANNED + 1,
    )
    await conn.close()
    index = PostgresSearch(api_pool)
    everything = await index.search(tenant, Query(kind="occurrence", limit=1))
    assert (everything.total, everything.exact) == (SCANNED, False)
    oldest = await index.search(tenant, Query(kind="occurrence", due_to=begin + timedelta(minutes=2)))
    assert ([hit.id for hit in oldest.items], oldest.exact) == (["cafe0000-0000-8000-8000-000000000001"], True)
    newer = await index.search(tenant, Query(kind="occurrence", due_from=begin + timedelta(minutes=2), limit=1))
    assert (newer.total, newer.exact) == (SCANNED, True)
