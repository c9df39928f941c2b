"""A rebuild gives what the log says, beside the live copy, and takes its place."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import pytest

from horae.domain.envelope import NewEvent
from horae.infra import rebuild as rb
from horae.infra.eventstore import PostgresEventStore
from horae.projections import schema
from horae.projections.queries import get_schedule
from horae.projections.tenancy import tenant_connection
from tests.fixtures.postgres import Database
from tests.projections.histories import world
from tests.projections.told import Told
from tests.streams.test_feed import Heard, append, feeding, store

if TYPE_CHECKING:
    from horae.projections.schema import Connection

__all__ = ["store"]


async def filled(store: PostgresEventStore, database: Database, seed: int = 3) -> Told:
    """A log with a history, and read models that have applied all of it."""
    told, heard = Told(log=world(seed, 120).log), Heard()
    await append(store, told)
    async with feeding(store, database.owner_dsn, heard):
        await heard.until(len(told.log))
    return told


async def connect(database: Database) -> Connection:
    return await schema.connect(database.owner_dsn)


@pytest.mark.covers("REL-07")
async def test_a_rebuild_equals_the_live_copy(store: PostgresEventStore, database: Database) -> None:
    """Every table, every column, at the same position; then nothing but the new copy is left."""
    told = await filled(store, database)
    conn = await connect(database)
    live = await rb.checksums(conn, "read")
    seen: list[tuple[int, int]] = []
    report = await rb.rebuild(database.owner_dsn, lambda position, head: seen.append((position, head)))
    assert report.position == len(told.log) == report.events
    assert (report.differing, report.parked) == ((), 0)
    assert {table.table: table.same for table in report.tables} == dict.fromkeys(live, True)
    assert {table.table: (table.rows, table.checksum) for table in report.tables} == live
    assert {table.table: (table.live_rows, table.live_checksum) for table in report.tables} == live
    assert seen[-1] == (len(told.log), len(told.log))
    assert await rb.checksums(conn, "read") == live
    names = await conn.fetch("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'read%'")
    assert [row[0] for row in names] == ["read"]
    await conn.close()


async def test_a_rebuild_mends_what_differs_and_names_the_table(store: PostgresEventStore, database: Database) -> None:
    """A row that somebody changed by hand, and one that somebody deleted."""
    await filled(store, database)
    conn = await connect(database)
    live = await rb.checksums(conn, "read")
    await conn.execute("UPDATE standings SET fired = fired + 1 WHERE id = (SELECT id FROM standings LIMIT 1)")
    await conn.execute("DELETE FROM schedules WHERE id = (SELECT id FROM schedules LIMIT 1)")
    heard = Heard()
    async with feeding(store, database.owner_dsn, heard):
        await heard.resets(1)
        report = await rb.rebuild(database.owner_dsn)
        await heard.resets(2)  # the dispatcher reads the mended due index at once, without any further event
    assert report.differing == ("schedules", "standings")
    found = {table.table: table for table in report.tables}
    assert found["schedules"].live_rows == found["schedules"].rows - 1
    assert found["standings"].live_rows == found["standings"].rows
    assert found["standings"].live_checksum != found["standings"].checksum
    assert {table: (found[table].rows, found[table].checksum) for table in report.differing} == {
        table: live[table] for table in report.differing
    }
    assert await rb.checksums(conn, "read") == live
    await conn.close()


@pytest.mark.covers("REL-07")
async def test_feeder_and_readers_go_on_through_a_rebuild(store: PostgresEventStore, database: Database) -> None:
    """Events keep coming while it runs: none is lost, none is applied twice; the API's role reads the new copy."""
    heard = Heard()
    told = Told(log=world(5, 60).log)
    async with (
        feeding(store, database.owner_dsn, heard) as feed,
        await schema.create_pool(database.api_dsn) as pool,
    ):
        await append(store, told)
        await heard.until(len(told.log))

        async def keep_writing() -> None:
            for number in range(1, 200):
                told.created(number)
                event = told.log[-1]
                await store.append([NewEvent(event.stream, event.version, event.meta, event.body)])

        writing = asyncio.create_task(keep_writing())
        reports = [await rb.rebuild(database.owner_dsn) for _ in range(3)]
        await writing
        await heard.until(len(told.log))
        assert feed.position == len(told.log)
        assert [report.differing for report in reports] == [(), (), ()]
        async with tenant_connection(pool, "acme") as conn:
            assert await get_schedule(conn, "acme", told.log[-1].stream) is not None
    assert (await rb.rebuild(database.owner_dsn)).differing == ()


async def test_it_fills_read_models_of_older_code(store: PostgresEventStore, database: Database) -> None:
    """Tables that this code does not fill are replaced, not compared."""
    told = await filled(store, database)
    conn = await connect(database)
    await conn.execute("UPDATE built_by SET fingerprint = 'of older code'; ALTER TABLE schedules DROP COLUMN kind")
    assert await schema.install(conn) is schema.Installed.OUTDATED
    report = await rb.rebuild(database.owner_dsn)
    assert {table.same for table in report.tables} == {None}
    assert report.position == len(told.log)
    assert await schema.install(conn) is schema.Installed.CURRENT
    await conn.close()


async def test_what_cannot_be_applied_is_parked_in_the_new_copy_too(
    store: PostgresEventStore, database: Database
) -> None:
    """The report counts it; the others are there."""
    told = Told()
    told.created(1)
    told.versions[UUID(int=9)] = 1
    told.claimed(UUID(int=9))
    await append(store, told)
    report = await rb.rebuild(database.owner_dsn)
    assert (report.events, report.parked, report.position) == (1, 1, 2)


async def test_one_rebuild_at_a_time(store: PostgresEventStore, database: Database) -> None:
    """The second says so and leaves everything alone."""
    conn = await asyncpg.connect(database.owner_dsn)
    await conn.execute("SELECT pg_advisory_lock($1)", rb._REBUILD_LOCK)
    with pytest.raises(rb.RebuildRunning):
        await rb.rebuild(database.owner_dsn)
    await conn.close()


async def test_the_feeder_takes_up_the_new_copy(store: PostgresEventStore, database: Database) -> None:
    """What was parked for a reason that is gone stands in the new copy; the feeder begins anew and parks it no more."""
    told, heard = Told(), Heard()
    conn = await connect(database)
    await conn.execute("ALTER TABLE schedules ADD CONSTRAINT bad CHECK (recipient <> 'user-17')")
    schedule = told.created(1)
    await append(store, told)
    async with feeding(store, database.owner_dsn, heard) as feed:
        await heard.until(1)
        assert feed.parked == {schedule}
        report = await rb.rebuild(database.owner_dsn)
        assert "parked" in report.differing
        told.claimed(schedule)
        await append(store, told, 1)
        await heard.until(2)
        await heard.resets(2)
        assert feed.parked == frozenset()
        assert await conn.fetchval("SELECT status FROM standings") == "executing"
    await conn.close()
