"""A tenant sees its own rows and nobody else's, even where a query forgets to ask."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import pytest

from horae.domain import feed as f
from horae.domain import key as k
from horae.domain import recipient as r
from horae.projections import schema
from horae.projections.due import backlog
from horae.projections.projector import Projector
from horae.projections.queries import (
    applied_position,
    count_standings,
    find_feed,
    find_key,
    get_occurrence,
    get_recipient,
    get_schedule,
    list_keys,
)
from horae.projections.statements import statements
from horae.projections.tenancy import tenant_connection
from tests.fixtures.postgres import Database
from tests.projections.told import NOW, Told, at

if TYPE_CHECKING:
    from horae.projections.schema import Connection

    Pool = asyncpg.Pool[asyncpg.Record]

TABLES = ("schedules", "schedule_tags", "standings", "occurrences", "due", "recipients", "api_keys", "feeds", "parked")


@pytest.fixture
async def api(read_models: Database) -> AsyncIterator[Pool]:
    """A pool of the API's role."""
    async with await schema.create_pool(read_models.api_dsn) as pool:
        yield pool


@pytest.fixture
async def told(conn: Connection) -> Told:
    """One of everything, of the tenant acme."""
    told = Told()
    schedule = told.created(tags=("x",))
    told.claimed(schedule, next_=at(NOW + timedelta(days=1)))
    recipient = r.RecipientSet(recipient_ref="ref", personal=r.RecipientProfile(id="user-17", zone="Asia/Tokyo"))
    told.tell(UUID(int=50), recipient)
    told.tell(UUID(int=51), k.KeyIssued(sha256="ab" * 32, prefix="hk_ab", label="ci", scope=k.Scope.WRITE))
    told.tell(UUID(int=52), f.FeedOpened(sha256="cd" * 32, prefix="hf_cd", label="team"))
    projector = Projector()
    await projector.load(conn)
    await projector.apply(conn, told.log)
    told.created(60)
    await projector.park(conn, told.log[-1], "an error")
    return told


async def counts(conn: Connection) -> dict[str, int]:
    return {table: await conn.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES}


@pytest.mark.parametrize("tenant", [None, "", "another"])
async def test_without_its_tenant_a_connection_sees_nothing(api: Pool, told: Told, tenant: str | None) -> None:
    """No tenant, an empty one, another one: every table is empty, whatever the query asks for."""
    async with api.acquire() as conn, conn.transaction():
        if tenant is not None:
            await conn.execute("SELECT set_config('horae.tenant', $1, true)", tenant)
        assert await counts(conn) == dict.fromkeys(TABLES, 0)
        assert await get_schedule(conn, "acme", told.log[0].stream) is None
        assert await get_occurrence(conn, "acme", told.log[1].stream) is None


async def test_a_tenant_connection_sees_its_tenant_and_forgets_it_afterwards(api: Pool, told: Told) -> None:
    """Inside all rows of acme; the next user of the same connection sees none of them."""
    async with tenant_connection(api, "acme") as conn:
        assert await counts(conn) == dict.fromkeys(TABLES, 1)
        assert await get_recipient(conn, "acme", "user-17") is not None
        assert [key.label for key in (await list_keys(conn, "acme")).items] == ["ci"]
    async with tenant_connection(api, "another") as conn:
        assert await counts(conn) == dict.fromkeys(TABLES, 0)
    async with api.acquire() as conn:
        assert await counts(conn) == dict.fromkeys(TABLES, 0)


async def test_the_api_can_write_nothing(api: Pool, told: Told) -> None:
    """Not inside the read-only transaction, and not outside either."""
    async with tenant_connection(api, "acme") as conn:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await conn.execute("DELETE FROM due")
    for table in (*TABLES, "positions"):
        async with api.acquire() as conn:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await conn.execute(f"DELETE FROM {table}")


async def test_the_api_cannot_go_around_the_policies(api: Pool, told: Told) -> None:
    """A partition read directly, row security switched off, a policy dropped, another role: all refused."""
    for statement in (
        "SELECT * FROM occurrences_2026_12",
        "SET row_security = off; SELECT * FROM schedules",
        "DROP POLICY tenant ON schedules",
        "ALTER TABLE schedules DISABLE ROW LEVEL SECURITY",
        "SET ROLE horae",
    ):
        async with api.acquire() as conn, conn.transaction():
            await conn.execute("SELECT set_config('horae.tenant', 'acme', true)")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await conn.execute(statement)


async def test_a_key_is_found_by_its_hash_and_by_nothing_else(api: Pool, told: Told) -> None:
    """Who presents a key's hash learns its tenant; another hash shows nothing; nothing stays on the connection."""
    async with api.acquire() as conn:
        found = await find_key(conn, "ab" * 32)
        assert found is not None
        assert (found.tenant, found.scope, found.revoked) == ("acme", "write", False)
        assert await find_key(conn, "cd" * 32) is None
        assert await conn.fetchval("SELECT count(*) FROM api_keys") == 0


async def test_numbers_over_all_tenants_are_allowed_and_name_none(api: Pool, told: Told) -> None:
    """Metrics and health need no tenant."""
    async with api.acquire() as conn:
        assert await count_standings(conn) == [("pending", 3, 1)]
        assert await backlog(conn, NOW) == (1, 0, NOW + timedelta(days=1))
        assert await applied_position(conn) == len(told.log)


async def test_the_tenant_s_index_serves_under_row_level_security(api: Pool, told: Told, conn: Connection) -> None:
    """The policy's condition is one that indexes can use: lists do not read other tenants' rows."""
    # Of a handful of rows any index is as good.
    await conn.execute(
        "INSERT INTO schedule_tags SELECT 'tenant-' || n % 50, 'x', now(), gen_random_uuid() "
        "FROM generate_series(1, 2000) AS n"
    )
    await conn.execute("ANALYZE schedule_tags")
    async with tenant_connection(api, "acme") as reader:
        await reader.execute("SET LOCAL enable_seqscan = off")
        for query in (
            "SELECT * FROM schedules ORDER BY created_at DESC, id DESC LIMIT 10",
            "SELECT * FROM schedule_tags WHERE tag = 'x' ORDER BY created_at DESC LIMIT 10",
            "SELECT * FROM standings WHERE due_at IS NOT NULL ORDER BY due_at, id LIMIT 10",
        ):
            plan = "\n".join(row[0] for row in await reader.fetch(f"EXPLAIN {query}"))
            assert "Index Cond: ((tenant = current_setting" in plan or "Index Cond: (tenant = current_setting" in plan


async def test_neighbours_are_found_by_indexes(api: Pool, told: Told, conn: Connection) -> None:
    """By when a schedule goes on, and by where its slots were moved to; no list of schedules is read through."""
    await conn.execute(
        "INSERT INTO standings (id, tenant, shard, recipient_ref, recurring, priority, status, phase, version, due_at, "
        "skipped, varied, open, fired, missed, created_at, updated_at, position, conflict_key, moved_to) "
        "SELECT gen_random_uuid(), 'acme', 1, 'r' || n % 100, true, 3, 'pending', 'active', 1, "
        "$1::timestamptz + n * interval '1 minute', '[]', '[]', 0, 0, 0, now(), now(), 1, 'k' || n % 100, "
        "CASE WHEN n % 2 = 0 THEN $1::timestamptz + n * interval '1 minute' END FROM generate_series(1, 5000) AS n",
        NOW,
    )
    await conn.execute(
        "INSERT INTO due SELECT gen_random_uuid(), 'occurrence', shard, tenant, moved_to, 3, id, 1, gen_random_uuid(), "
        "0, now()::timestamp, 0, 1, NULL, 'slot', false FROM standings WHERE moved_to IS NOT NULL"
    )
    await conn.execute("ANALYZE standings")
    await conn.execute("ANALYZE due")
    async with tenant_connection(api, "acme") as reader:
        await reader.execute("SET LOCAL enable_seqscan = off")
        for name, whose, indexes in (
            ("neighbours_of_recipient", "r2", ("standings_upcoming_idx", "standings_moved_idx")),
            ("neighbours_under_key", "k2", ("standings_key_idx", "standings_moved_key_idx")),
        ):
            rows = await reader.fetch(
                f"EXPLAIN {statements('queries')[name]}", "acme", whose, NOW, NOW + timedelta(days=9), 202
            )
            plan = "\n".join(row[0] for row in rows)
            assert all(index in plan for index in (*indexes, "due_waiting_idx")), plan


async def test_a_calendar_program_sees_the_one_feed_whose_token_it_has(api: Pool, told: Told) -> None:
    """By the hash that it presents, and by the one before for as long as that is known; nothing else of any tenant."""
    async with api.acquire() as conn:
        found = await find_feed(conn, "cd" * 32)
        assert (found and found.tenant, found and found.label) == ("acme", "team")
        assert await find_feed(conn, "") is None
        assert await find_feed(conn, "ab" * 32) is None
        assert await counts(conn) == dict.fromkeys(TABLES, 0)
