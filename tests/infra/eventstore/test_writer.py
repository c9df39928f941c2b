"""Group commit: two lanes, a bounded queue, and an answer that may get lost."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import asyncpg
import psycopg
import pytest

from horae.commands.ports import StreamConflict
from horae.domain.errors import Busy, Unavailable
from horae.infra.eventstore import PostgresEventStore
from horae.infra.eventstore.batch import make_append
from horae.infra.eventstore.lanes import PATIENCE_OF_BULK, Lanes, Pending
from tests.contracts.event_store import events_of
from tests.fixtures.postgres import Database
from tests.infra.eventstore.conftest import CommitHold, Proxy


async def test_a_lost_answer_is_our_own_success(database: Database, proxy: Proxy) -> None:
    """A commit whose answer never arrives is found again by its event ids, and stored once."""
    async with PostgresEventStore(database.owner_dsn) as direct, PostgresEventStore(proxy.dsn) as store:
        await store.append(events_of(uuid4(), [1]))
        proxy.answers_to_lose = 1
        events = events_of(uuid4(), [1, 2])
        assert await store.append(events, {uuid4(): 0}) == 3
        assert proxy.answers_to_lose == 0
        assert await direct.head() == 3


async def test_lost_answers_of_a_whole_batch_are_sorted_out(
    database: Database, proxy: Proxy, commit_hold: CommitHold
) -> None:
    """Winners stay winners and losers stay losers when the batch that held both is asked again."""
    async with PostgresEventStore(database.owner_dsn) as direct, PostgresEventStore(proxy.dsn) as store:
        taken = uuid4()
        await store.append(events_of(taken, [1]))
        proxy.answers_to_lose = 2
        async with commit_hold() as held:
            commands = [asyncio.create_task(store.append(events_of(uuid4(), [1]))) for _ in range(5)]
            commands.append(asyncio.create_task(store.append(events_of(taken, [1]))))
            await held.until_one_waits()
        results = await asyncio.gather(*commands, return_exceptions=True)
        assert proxy.answers_to_lose == 0
        assert isinstance(results.pop(), StreamConflict)
        assert sorted(result for result in results if isinstance(result, int)) == [2, 3, 4, 5, 6]
        assert await direct.head() == 6


async def test_a_killed_connection_is_replaced(database: Database) -> None:
    """The writer's and the readers' connections may die at any time between two commands."""
    async with PostgresEventStore(database.owner_dsn) as store:
        stream = uuid4()
        await store.append(events_of(stream, [1]))
        kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'horae-%'"
        with psycopg.connect(database.admin_dsn, autocommit=True) as admin:
            assert len(admin.execute(kill).fetchall()) >= 2
        assert await store.append(events_of(stream, [2])) == 2
        assert [event.version for event in await store.load(stream)] == [1, 2]


async def test_an_absent_server_ends_in_unavailable(proxy: Proxy) -> None:
    """Callers are told that nobody knows, within the time that they were promised."""
    async with PostgresEventStore(proxy.dsn, patience_s=0.1) as store:
        await store.append(events_of(uuid4(), [1]))
        await proxy.close()
        with pytest.raises(Unavailable, match="whether the events were stored is unknown"):
            await store.append(events_of(uuid4(), [1]))
        with pytest.raises(Unavailable):
            await store.load(uuid4())


async def test_a_read_that_the_server_ends_is_tried_again(database: Database) -> None:
    """An operator may end any statement; nobody's command fails by it."""
    end = (
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = 'horae-reader' AND wait_event_type = 'Lock'"
    )
    async with PostgresEventStore(database.owner_dsn) as store:
        stream = uuid4()
        await store.append(events_of(stream, [1]))
        lock, operator = await asyncpg.connect(database.owner_dsn), await asyncpg.connect(database.owner_dsn)
        try:
            async with lock.transaction():
                await lock.execute("LOCK TABLE log.events IN ACCESS EXCLUSIVE MODE")
                under_way = asyncio.create_task(store.load(stream))
                while not await operator.fetch(end):
                    pass
            assert [event.version for event in await under_way] == [1]
        finally:
            await lock.close()
            await operator.close()


async def test_reads_that_the_server_ends_each_time_end_in_unavailable(database: Database) -> None:
    """A role may have a limit of its own: who has stored something knows this from a fault."""
    limited = f"{database.owner_dsn}?options=-c%20statement_timeout%3D100"
    async with PostgresEventStore(limited, patience_s=0.5) as store:
        lock = await asyncpg.connect(database.owner_dsn)
        try:
            async with lock.transaction():
                await lock.execute("LOCK TABLE log.events IN ACCESS EXCLUSIVE MODE")
                with pytest.raises(Unavailable, match="statement timeout"):
                    await store.load(uuid4())
        finally:
            await lock.close()


async def test_a_closed_store_takes_nothing(database: Database, commit_hold: CommitHold) -> None:
    """What was queued before closing is stored; what comes after is refused."""
    store = PostgresEventStore(database.owner_dsn)
    await store.open()
    async with commit_hold() as held:
        commands = [asyncio.create_task(store.append(events_of(uuid4(), [1]))) for _ in range(3)]
        await held.until_one_waits()
        closing = asyncio.create_task(store.close())
    await closing
    assert sorted(await asyncio.gather(*commands)) == [1, 2, 3]
    with pytest.raises(Unavailable, match="the event store is closed"):
        await store.append(events_of(uuid4(), [1]))


async def test_what_postgresql_does_not_take_fails_alone(database: Database, commit_hold: CommitHold) -> None:
    """A command with content that the database refuses does not spoil the commit that it shares."""
    async with PostgresEventStore(database.owner_dsn) as store:
        (event,) = events_of(uuid4(), [1])
        poison = replace(event, meta=event.meta.model_copy(update={"tenant": "a\0b"}))
        async with commit_hold() as held:
            first = asyncio.create_task(store.append(events_of(uuid4(), [1])))
            await held.until_one_waits()
            commands = [
                store.append(events_of(uuid4(), [1])),
                store.append([poison]),
                store.append(events_of(uuid4(), [1])),
            ]
            together = asyncio.gather(*commands, return_exceptions=True)
            await asyncio.sleep(0)
        await first
        good, bad, also_good = await together
        assert isinstance(bad, psycopg.DataError)
        assert {good, also_good} == {2, 3}


@pytest.mark.covers("PRF-16")
async def test_bulk_delays_fast_by_one_commit_at_most(database: Database, commit_hold: CommitHold) -> None:
    """A fast command that comes after thousands of bulk events stands right behind the commit that was running."""
    async with PostgresEventStore(database.owner_dsn) as store:
        async with commit_hold() as held:
            bulk = [
                asyncio.create_task(store.append(events_of(uuid4(), range(1, 101)), lane="bulk")) for _ in range(40)
            ]
            await held.until_one_waits()
            fast = asyncio.create_task(store.append(events_of(uuid4(), [1])))
            await asyncio.sleep(0)
        await asyncio.gather(*bulk)
        assert await fast <= 501


async def test_a_full_queue_is_busy(database: Database, commit_hold: CommitHold) -> None:
    """Beyond the bound callers are asked to come back; a full bulk lane leaves the fast one open."""
    async with PostgresEventStore(database.owner_dsn, queue_events=10) as store:
        async with commit_hold() as held:
            running = asyncio.create_task(store.append(events_of(uuid4(), [1])))
            await held.until_one_waits()
            queued = [asyncio.create_task(store.append(events_of(uuid4(), [1]), lane="bulk")) for _ in range(10)]
            await asyncio.sleep(0)
            with pytest.raises(Busy) as busy:
                await store.append(events_of(uuid4(), [1]), lane="bulk")
            assert busy.value.retry_after_s > 0
            assert store.waiting_events == {"fast": 0, "bulk": 10}
            fast = asyncio.create_task(store.append(events_of(uuid4(), [1])))
            await asyncio.sleep(0)
        await asyncio.gather(running, fast, *queued)
        assert await store.head() == 12


async def test_what_nobody_waits_for_any_more_is_not_stored(database: Database, commit_hold: CommitHold) -> None:
    """A command that is cancelled while it queues leaves the queue."""
    async with PostgresEventStore(database.owner_dsn) as store:
        async with commit_hold() as held:
            running = asyncio.create_task(store.append(events_of(uuid4(), [1])))
            await held.until_one_waits()
            cancelled = asyncio.create_task(store.append(events_of(uuid4(), [1])))
            await asyncio.sleep(0)
            cancelled.cancel()
            await asyncio.wait([cancelled])
        await running
        assert await store.append(events_of(uuid4(), [1])) == 2


def _pending(events: int) -> Pending:
    loop = asyncio.get_running_loop()
    return Pending(make_append(events_of(uuid4(), range(1, events + 1)), {}), loop.create_future(), loop)


async def test_bulk_gets_through_whatever_fast_does() -> None:
    """Under a fast lane that fills every commit, bulk commands, even oversized ones, still have their turn."""
    lanes = Lanes(queue_events=100_000, max_events_per_commit=10)
    bulk = _pending(25)
    lanes.put(bulk, "bulk")
    taken: list[list[Pending]] = []
    for _ in range(PATIENCE_OF_BULK + 1):
        lanes.put(_pending(10), "fast")
        lanes.put(_pending(10), "fast")
        taken.append(lanes.take() or [])
    assert [bulk in batch for batch in taken] == [False] * PATIENCE_OF_BULK + [True]
    assert taken[-1] == [bulk]


async def test_commits_are_of_bounded_size() -> None:
    """As many commands as fit, in their order."""
    lanes = Lanes(queue_events=100_000, max_events_per_commit=10)
    commands = [_pending(4) for _ in range(3)]
    for command in commands:
        lanes.put(command, "fast")
    assert lanes.take() == commands[:2]
    assert lanes.take() == commands[2:]


async def test_the_api_role_reads_only_the_tenant_that_is_set(database: Database) -> None:
    """Without a tenant it sees nothing, with one that tenant's events, and it can write by appending only."""
    async with PostgresEventStore(database.api_dsn) as store:
        ours, theirs = uuid4(), uuid4()
        await store.append(events_of(ours, [1]))
        await store.append(events_of(theirs, [1], tenant="other"))
        assert await store.head() == 2
        assert await store.load(ours) == []
        assert await store.after(0) == []
        assert len(await store.scoped("acme").load(ours)) == 1
        assert await store.scoped("acme").load(theirs) == []
        assert [event.position for event in await store.scoped("other").after(0)] == [2]
    conn = await asyncpg.connect(database.api_dsn)
    try:
        assert await conn.fetchval("SELECT count(*) FROM log.events") == 0
        async with conn.transaction():
            await conn.execute("SELECT set_config('horae.tenant', 'acme', true)")
            assert await conn.fetchval("SELECT count(*) FROM log.events") == 1
        assert await conn.fetchval("SELECT count(*) FROM log.events") == 0
        for statement in ("DELETE FROM log.events", "UPDATE log.events SET tenant = 'acme'", "SET ROLE horae"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await conn.execute(statement)
    finally:
        await conn.close()
