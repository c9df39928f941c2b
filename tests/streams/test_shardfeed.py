"""Records may come twice, out of order, or never, to any number of feeds: the rows end as the log says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from horae.domain import schedule as s
from horae.domain.undecodable import load_or_stand_in
from horae.infra.eventstore import PostgresEventStore
from horae.infra.rebuild import checksums, rebuild
from horae.projections import schema
from horae.projections.parked import list_parked
from horae.projections.progress import Progress
from horae.projections.projector import Applied, PositionMoved, Projector, moves_of, payload_of
from horae.streams.messages import EventRecord, Unreadable
from horae.streams.shardfeed import ShardFeed, ShardLog
from tests.fakes.event_store import InMemoryEventStore
from tests.fixtures.postgres import Database
from tests.projections.conftest import conn, empty, read_models
from tests.projections.histories import World, world, worlds
from tests.projections.told import Told
from tests.streams.records import mark_at, records_of
from tests.streams.test_feed import Heard, append, feeding, store

if TYPE_CHECKING:
    from horae.projections.schema import Connection

__all__ = ["conn", "read_models", "store"]

REAL_DATABASE = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def no_time() -> float:
    """A clock that stands."""
    return 0.0


@asynccontextmanager
async def shard_feed(log: ShardLog, database: Database, heard: Heard | None = None) -> AsyncIterator[ShardFeed]:
    feed = ShardFeed(log, lambda: schema.connect(database.owner_dsn), [heard] if heard else [], no_time)
    try:
        yield feed
    finally:
        await feed.close()


async def rows_by_hand(conn: Connection, told: Told | World) -> dict[str, tuple[int, int]]:
    """What one whole-log replay, event by event, gives."""
    await empty(conn)
    projector = Projector()
    await projector.load(conn)
    for event in told.log:
        await projector.apply(conn, [event])
    rows = await checksums(conn)
    await empty(conn)
    return rows


@pytest.mark.covers("REL-07")
@REAL_DATABASE
@given(world=worlds(30), data=st.data())
async def test_whatever_is_delivered_to_whom_the_rows_end_as_the_log_says(
    conn: Connection, read_models: Database, world: World, data: st.DataObject
) -> None:
    """Doubled, dropped, shuffled records and marks to two feeds at once, and a whole-log feeder in between."""
    expected = await rows_by_hand(conn, world)
    records, head = records_of(world.log), len(world.log)
    log = InMemoryEventStore(list(world.log))
    deliveries = st.lists(
        st.one_of(
            st.sampled_from(records),
            st.builds(
                lambda at, part: mark_at(world.log, at, range(part, 64, 4)), st.integers(0, head), st.integers(0, 3)
            ),
        ),
        max_size=12,
    )

    async def whole(upto: int) -> None:
        other = await schema.connect(read_models.owner_dsn)
        projector = Projector()
        try:
            for _ in range(3):
                position = await projector.load(other)
                try:
                    await projector.apply(other, world.log[position:upto])
                    return
                except PositionMoved:
                    continue
        finally:
            await other.close()

    async with shard_feed(log, read_models) as one, shard_feed(log, read_models) as two:
        for _ in range(data.draw(st.integers(1, 4), label="rounds")):
            to_one, to_two = data.draw(deliveries, label="to one"), data.draw(deliveries, label="to two")
            upto = data.draw(st.integers(0, head), label="whole log up to")
            await asyncio.gather(one.take(to_one), two.take(to_two), whole(upto))
        await data.draw(st.sampled_from([one, two])).take([mark_at(world.log, head)])
    assert await checksums(conn) == expected


def two_shards() -> tuple[Told, UUID, UUID]:
    """A log of two schedules in different shards, two events each, alternating."""
    told = Told()
    first = told.created(1)
    second = told.created(2)
    told.tell(first, s.SchedulePaused())
    told.tell(second, s.SchedulePaused())
    assert told.log[0].meta.shard != told.log[1].meta.shard
    return told, first, second


@pytest.mark.covers("REL-07")
async def test_what_was_not_delivered_is_read_from_the_store(conn: Connection, read_models: Database) -> None:
    """A record whose shard had an event that we have not is the sign; the others are not held up by it."""
    told, _, second = two_shards()
    records, heard = records_of(told.log), Heard()
    async with shard_feed(InMemoryEventStore(told.log), read_models, heard) as feed:
        await feed.take([records[3], records[3], records[1]])
        assert (feed.counts.events, feed.counts.gaps_healed, feed.counts.duplicates) == (2, 1, 2)
        assert (feed.at(records[3].shard), feed.at(records[0].shard), feed.position) == (4, 0, 0)
        rows = await conn.fetch("SELECT id, phase FROM standings")
        assert [(row["id"], row["phase"]) for row in rows] == [(second, "paused")]
    assert [applied.reset for applied in heard.applied].count(True) == 1
    assert [change.key for applied in heard.applied for change in applied.due] == [second, second]


async def test_a_mark_heals_a_lost_tail_and_moves_idle_shards(conn: Connection, read_models: Database) -> None:
    """After it everything up to its head is applied, and those who wait hear of it."""
    told, _, _ = two_shards()
    records = records_of(told.log)
    progress = Progress(read_models.api_dsn)
    await progress.start()
    shard, other = records[0].shard, records[1].shard
    async with shard_feed(InMemoryEventStore(told.log), read_models) as feed:
        waiting = asyncio.create_task(progress.wait(3, 30, shard))
        whole = asyncio.create_task(progress.wait(4, 30))
        await feed.take([records[0], records[2]])
        assert await waiting
        assert (progress.sharded, progress.applied, progress.at(shard), progress.at(other)) == (True, 0, 3, 0)
        assert not await progress.wait(1, 0, other)
        await feed.take([mark_at(told.log, 4)])
        assert await whole
        assert (progress.applied, progress.at(other), feed.position) == (4, 4, 4)
        assert (feed.counts.events, feed.counts.gaps_healed, feed.last_mark_age) == (4, 1, 0)
        await feed.take([mark_at(told.log, 3), *records])
        assert (feed.counts.events, feed.at(other)) == (4, 4)
    await progress.stop()


def test_what_is_told_names_the_shards_that_moved() -> None:
    """Compactly, and as a bare number when it is the whole log."""
    assert payload_of({3: 17, 60: 21}) == "3:17,60:21"
    assert payload_of({3: 17, -1: 21}) == "21"
    assert moves_of("3:17,60:21") == {3: 17, 60: 21}
    assert moves_of("21") == {-1: 21}


async def test_of_two_feeds_each_event_is_applied_by_one(conn: Connection, read_models: Database) -> None:
    """The later finds the shard moved, looks, and tells that changes may have been missed."""
    told, _, _ = two_shards()
    records, log, heard = records_of(told.log), InMemoryEventStore(told.log), Heard()
    async with shard_feed(log, read_models) as one, shard_feed(log, read_models, heard) as two:
        await two.reset()
        await one.take(records)
        await two.take(records)
        assert (one.counts.events, one.counts.moved) == (4, 0)
        assert (two.counts.events, two.counts.moved, two.at(records[0].shard)) == (0, 1, 3)
        assert [applied.reset for applied in heard.applied] == [True, True]
        await two.catch_up({record.shard for record in records}, 99)
        assert [two.at(record.shard) for record in records[:2]] == [4, 4]


async def test_a_damaged_record_is_read_from_the_store(conn: Connection, read_models: Database) -> None:
    """What cannot be decoded, or names another shard than its event does, is not believed."""
    told, _, _ = two_shards()
    records = records_of(told.log)
    damaged = [replace(records[0], state=b"{"), replace(records[2], shard=records[1].shard), records[1]]
    async with shard_feed(InMemoryEventStore(told.log), read_models) as feed:
        await feed.take([*damaged, Unreadable("?"), replace(records[0], shard=64)])
        assert (feed.counts.unreadable, feed.counts.parked) == (2, 0)
        await feed.take([mark_at(told.log, 4)])
        assert (feed.counts.events, feed.position) == (4, 4)


@pytest.mark.covers("REL-07")
async def test_what_this_version_cannot_read_is_set_aside(conn: Connection, read_models: Database) -> None:
    """Of an event of a newer version the family queues, in its shard; every other one goes on."""
    told, first, _ = two_shards()
    records, log = records_of(told.log), InMemoryEventStore(list(told.log))
    newer: EventRecord = replace(records[0], event="schedule.created.v9")
    log.log[0] = load_or_stand_in(
        newer.event, newer.state, newer.stream, newer.version, 1, tenant="acme", shard=newer.shard
    )
    async with shard_feed(log, read_models) as feed:
        await feed.take([newer, *records[1:]])
        assert (feed.counts.events, feed.counts.parked) == (2, 2)
        assert [feed.at(record.shard) for record in records[:2]] == [3, 4]
    parked = await list_parked(conn)
    assert [(event.family, event.event, event.error is not None) for event in parked] == [
        (first, "schedule.created.v9", True),
        (first, "schedule.paused.v1", False),
    ]
    assert "UnknownEvent" in str(parked[0].error)


async def test_a_family_replayed_elsewhere_queues_no_more(conn: Connection, read_models: Database) -> None:
    """Who still takes it for parked looks again before putting anything behind it; a whole-log feeder, too."""
    told, first, _ = two_shards()
    records, log = records_of(told.log), InMemoryEventStore(told.log)
    await conn.execute("ALTER TABLE schedules ADD CONSTRAINT bad CHECK (recipient <> 'user-17') NOT VALID")
    whole = Projector()
    try:
        async with shard_feed(log, read_models) as feed:
            await feed.take(records[:1])
            assert (await conn.fetchval("SELECT position FROM positions WHERE shard = -1"), feed.counts.parked) == (
                0,
                1,
            )
            await whole.load(conn)
            await conn.execute("ALTER TABLE schedules DROP CONSTRAINT bad")
            replayer = Projector()
            await replayer.load(conn)
            assert (await replayer.replay(conn, first, told.log[:1])).events == 1
            await feed.take(records[1:3])
            assert (feed.counts.events, feed.counts.parked) == (2, 1)
        position = await whole.load(conn)
        assert (position, (await whole.apply(conn, told.log)).events, whole.position) == (0, 1, 4)
    finally:
        await conn.execute("ALTER TABLE schedules DROP CONSTRAINT IF EXISTS bad")
    assert await list_parked(conn) == []


async def test_it_takes_on_when_its_connection_is_cut_and_when_a_listener_fails(
    conn: Connection, read_models: Database
) -> None:
    """Whoever took a record for handled would lose it: nothing escapes, everything is tried until it is done."""
    told, _, _ = two_shards()
    records, heard, failures = records_of(told.log), Heard(), [RuntimeError("no")]

    async def fail(applied: Applied) -> None:
        if applied.events and failures:
            raise failures.pop()

    feed = ShardFeed(
        InMemoryEventStore(told.log), lambda: schema.connect(read_models.owner_dsn), [heard, fail], no_time
    )
    await feed.take(records[:2])
    assert (failures, feed.counts.interruptions, [a.reset for a in heard.applied]) == ([], 1, [True, False, True])
    admin = await asyncpg.connect(read_models.admin_dsn)
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND usename <> 'postgres' "
        "AND pid NOT IN (pg_backend_pid(), $2)",
        read_models.name,
        conn.get_server_pid(),
    )
    await admin.close()
    await feed.take(records)
    assert await conn.fetchval("SELECT count(*) FROM standings WHERE phase = 'paused'") == 2
    await feed.close()


async def test_who_gives_up_waiting_for_his_turn_disturbs_nobody(conn: Connection, read_models: Database) -> None:
    """An assignment that waits no longer (see `Duty`) leaves the batch that is being applied its connection."""
    told, _, _ = two_shards()
    applying, go_on = asyncio.Event(), asyncio.Event()
    connections = 0

    async def connect() -> Connection:
        nonlocal connections
        connections += 1
        return await schema.connect(read_models.owner_dsn)

    async def heard(applied: Applied) -> None:
        if applied.events:
            applying.set()
            await go_on.wait()

    feed = ShardFeed(InMemoryEventStore(told.log), connect, [heard], no_time)
    taking = asyncio.create_task(feed.take(records_of(told.log)))
    await applying.wait()
    giving_up = asyncio.create_task(feed.reset())
    await asyncio.sleep(0)
    giving_up.cancel()
    await asyncio.wait({giving_up})
    go_on.set()
    await taking
    await feed.reset()
    await feed.close()
    assert (connections, feed.counts.events) == (1, len(told.log))


async def test_feeders_that_need_the_same_new_month_do_not_collide(database: Database) -> None:
    """The second waits until the first has made the partition, and neither parks anything."""
    conn, watcher = await schema.connect(database.owner_dsn), await schema.connect(database.owner_dsn)
    await schema.install(conn)
    told, first, second = Told(), UUID(int=1), UUID(int=2)
    told.created(1), told.created(2)
    told.claimed(first), told.claimed(second)
    records, one = records_of(told.log), Projector()
    await one.load(conn)
    async with shard_feed(InMemoryEventStore(told.log), database) as two:
        async with conn.transaction():
            await one.apply_shards(conn, [told.log[0], told.log[2]], {})
            taking = asyncio.create_task(two.take([records[1], records[3]]))
            waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"
            while not await watcher.fetchval(waits):
                assert not taking.done()
        await taking
        assert (two.counts.events, two.counts.parked, two.counts.interruptions) == (2, 0, 0)
    assert await conn.fetchval("SELECT count(*) FROM occurrences") == 2
    await conn.close()
    await watcher.close()


@pytest.mark.covers("REL-07")
async def test_a_rebuild_among_feeders_of_shards_compares_each_at_its_own_position(
    store: PostgresEventStore, database: Database
) -> None:
    """No difference though every shard is elsewhere; afterwards they take up the new copy."""
    told, heard = Told(log=world(11, 150).log), Heard()
    await append(store, told)
    records, head = records_of(told.log), len(told.log)
    async with shard_feed(store, database, heard) as one, shard_feed(store, database) as two:
        await one.take([record for record in records[: head // 2] if record.shard % 2])
        await two.take([mark_at(told.log, head, range(0, 64, 4)), mark_at(told.log, head // 3, range(2, 64, 4))])
        report = await rebuild(database.owner_dsn)
        assert (report.differing, report.position) == ((), head)
        later = Told(log=list(told.log), versions={})
        later.created(77)
        await append(store, later, head)
        await heard.resets(2)
        await one.take(records_of(later.log)[head:])
        assert (one.counts.moved, one.position, [a.reset for a in heard.applied].count(True)) == (0, head, 2)
        await two.take([mark_at(later.log, head + 1)])
        assert two.position == head + 1
    assert (await rebuild(database.owner_dsn)).differing == ()


async def test_a_whole_log_feed_among_feeders_of_shards(store: PostgresEventStore, database: Database) -> None:
    """Both tell all they applied; together it is everything, once; the whole log's needs no new subscription."""
    told, heard = Told(), Heard()
    for number in range(1, 200):
        told.created(number)
    records = records_of(told.log)
    async with feeding(store, database.owner_dsn, heard) as feed, shard_feed(store, database) as shards:
        writing = asyncio.create_task(append(store, told))
        for begin in range(0, len(records), 20):
            head = await store.head()
            await shards.take([record for record in records[begin : begin + 20] if record.position <= head])
        await writing
        await heard.until(len(told.log))
        assert (feed.counts.events + shards.counts.events, feed.counts.restarts) == (len(told.log), 0)
    assert (await rebuild(database.owner_dsn)).differing == ()
