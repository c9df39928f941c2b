"""The feed keeps up with the log, whatever becomes of its connection, its position, or a single event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import pytest

from horae.domain import codec
from horae.domain import occurrence as o
from horae.domain import schedule as s
from horae.domain.envelope import NewEvent
from horae.domain.errors import Conflict, NotFound
from horae.infra.eventstore import PostgresEventStore
from horae.infra.rebuild import checksums
from horae.projections import schema
from horae.projections.fold import Unapplicable
from horae.projections.parked import list_parked
from horae.projections.progress import Progress
from horae.projections.projector import Applied, Projector
from horae.streams.feed import Feed
from horae.streams.replaying import replay_parked
from tests.fixtures.postgres import Database
from tests.projections.histories import world
from tests.projections.told import Told

if TYPE_CHECKING:
    from horae.projections.schema import Connection


class Heard:
    """What a feed told, and a way to wait for it."""

    def __init__(self) -> None:
        self.applied: list[Applied] = []
        self._seen = 0
        self._changed = asyncio.Condition()

    async def __call__(self, applied: Applied) -> None:
        async with self._changed:
            self.applied.append(applied)
            self._changed.notify_all()

    async def until(self, position: int) -> None:
        """Everything up to there was told."""
        async with self._changed:
            await self._changed.wait_for(lambda: any(a.position >= position for a in self.applied))

    async def again(self) -> None:
        """Something more is told; or was, since nobody looked."""
        async with self._changed:
            seen, self._seen = self._seen, len(self.applied)
            await self._changed.wait_for(lambda: len(self.applied) > seen)

    async def resets(self, count: int) -> None:
        """The feed began that many times."""
        async with self._changed:
            await self._changed.wait_for(lambda: sum(a.reset for a in self.applied) >= count)


@pytest.fixture
async def store(database: Database) -> AsyncIterator[PostgresEventStore]:
    """The log of an installation whose read models are empty."""
    conn = await schema.connect(database.owner_dsn)
    await schema.install(conn)
    await conn.close()
    async with PostgresEventStore(database.owner_dsn) as store:
        yield store


@asynccontextmanager
async def feeding(store: PostgresEventStore, dsn: str, heard: Heard) -> AsyncIterator[Feed]:
    """A feed at work."""
    feed = Feed(store, lambda: schema.connect(dsn), [heard])
    task = asyncio.create_task(feed.run())
    try:
        yield feed
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def append(store: PostgresEventStore, told: Told, after: int = 0) -> int:
    """Append what was told since `after`."""
    for event in told.log[after:]:
        await store.append([NewEvent(event.stream, event.version, event.meta, event.body)])
    return len(told.log)


async def test_everything_appended_is_applied_and_told_once(store: PostgresEventStore, database: Database) -> None:
    """Before and after it begins; each due change is told in order; the numbers add up."""
    told, heard = Told(), Heard()
    for number in range(1, 6):
        told.created(number)
    await append(store, told)
    async with feeding(store, database.owner_dsn, heard) as feed:
        await heard.until(5)
        told.claimed(UUID(int=1))
        await append(store, told, 5)
        await heard.until(6)
        assert (feed.position, feed.counts.events, feed.counts.restarts) == (6, 6, 0)
    changes = [change for applied in heard.applied for change in applied.due]
    assert [change.key.int for change in changes] == [1, 2, 3, 4, 5, 1]
    assert changes[-1].due is None
    assert [applied.reset for applied in heard.applied].count(True) == 1


async def test_it_goes_on_when_its_connections_are_cut(store: PostgresEventStore, database: Database) -> None:
    """Killed backends cost a pause; whoever keeps a copy of the due index is told to load it again."""
    told, heard = Told(), Heard()
    told.created(1)
    async with feeding(store, database.owner_dsn, heard) as feed:
        await append(store, told)
        await heard.until(1)
        admin = await asyncpg.connect(database.admin_dsn)
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()",
            database.name,
        )
        await admin.close()
        told.created(2)
        await append(store, told, 1)
        await heard.until(2)
        await heard.resets(2)
        assert feed.counts.restarts >= 1


@pytest.mark.covers("REL-07")
async def test_what_a_crash_of_the_server_took_back_is_applied_again_though_nothing_new_comes(
    store: PostgresEventStore, database: Database
) -> None:
    """Read models commit lazily: the end of the feed's session is reason enough to look where they stand."""
    told, heard = Told(), Heard()
    told.created(1)
    told.created(2)
    async with feeding(store, database.owner_dsn, heard):
        await append(store, told)
        await heard.until(2)
        conn = await schema.connect(database.owner_dsn)
        # As a crash leaves them: all sessions ended, and the last commit gone, its positions with it.
        async with conn.transaction():
            for table in ("schedules", "schedule_words", "schedule_tags", "standings", "due"):
                await conn.execute(f"DELETE FROM {table}")
            await conn.execute("UPDATE positions SET position = 0")
        await conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()",
            database.name,
        )
        await heard.resets(2)
        while await conn.fetchval("SELECT count(*) FROM due") < 2:
            await heard.again()
        await conn.close()


@pytest.mark.covers("REL-07")
async def test_it_goes_on_where_another_feeder_has_come_to(store: PostgresEventStore, database: Database) -> None:
    """A position that somebody else moved is looked up again; no event is applied twice, none is left out."""
    told, heard = Told(), Heard()
    for number in range(1, 4):
        told.created(number)
    async with feeding(store, database.owner_dsn, heard):
        await heard.resets(1)
        conn = await schema.connect(database.owner_dsn)
        other = Projector()
        async with conn.transaction():
            # The feed reads the same events, and waits for this transaction before it may write.
            await other.load(conn)
            await other.apply(conn, told.log)
            await append(store, told)
        await heard.until(3)
        assert await conn.fetchval("SELECT count(*) FROM schedules") == 3
        told.created(4)
        await append(store, told, 3)
        await heard.until(4)
        await conn.close()


async def test_a_bad_event_parks_what_shares_its_rows_and_nothing_else(
    store: PostgresEventStore, database: Database
) -> None:
    """The schedule and its occurrences queue in order; others go on; replayed, all is as if nothing had happened."""
    told, heard = Told(), Heard()
    conn = await schema.connect(database.owner_dsn)
    await conn.execute("ALTER TABLE schedules ADD CONSTRAINT bad CHECK (channel <> 'webhook:https://bad.example/')")
    told.created(1)
    bad = told.created(2, channel="webhook:https://bad.example/")
    told.created(3)
    told.claimed(bad)
    told.tell(bad, s.ScheduleCancelled())
    told.created(4)
    await append(store, told)
    async with feeding(store, database.owner_dsn, heard) as feed:
        await heard.until(6)
        assert feed.parked == {bad}
        assert [(e.position, e.error is not None) for e in await list_parked(conn)] == [
            (2, True),
            (4, False),
            (5, False),
        ]
        assert [row["id"].int for row in await conn.fetch("SELECT id FROM standings ORDER BY id")] == [1, 3, 4]

        with pytest.raises(Conflict, match="bad"):
            await replay_parked(store, conn, bad)
        assert len(await list_parked(conn)) == 3
        await conn.execute("ALTER TABLE schedules DROP CONSTRAINT bad")
        assert (await replay_parked(store, conn, bad), await list_parked(conn)) == (3, [])
        await heard.resets(2)
        assert feed.parked == frozenset(), "told by the replay, without any further event"
        with pytest.raises(NotFound):
            await replay_parked(store, conn, bad)
        told.created(5)
        await append(store, told, 6)
        await heard.until(7)
    await conn.close()
    conn = await schema.connect(database.owner_dsn)
    await assert_as_from_scratch(conn, told)
    await conn.close()


async def assert_as_from_scratch(conn: Connection, told: Told) -> None:
    live = await checksums(conn, "read")
    await conn.execute("CREATE SCHEMA fresh")
    async with conn.transaction():
        await schema.create(conn, "fresh")
    await conn.execute("SET search_path = fresh")
    projector = Projector(notify=False)
    await projector.load(conn)
    for event in told.log:
        await projector.apply(conn, [event])
    assert await checksums(conn, "fresh") == live


async def test_an_event_that_contradicts_the_log_stays_parked(store: PostgresEventStore, database: Database) -> None:
    """An occurrence of no schedule can never be applied; it says so, across restarts, and stops nobody."""
    told, heard = Told(), Heard()
    told.versions[UUID(int=9)] = 1
    told.claimed(UUID(int=9))
    told.created(1)
    await append(store, told)
    conn = await schema.connect(database.owner_dsn)
    async with feeding(store, database.owner_dsn, heard):
        await heard.until(2)
        with pytest.raises(Conflict, match="is unknown") as refused:
            await replay_parked(store, conn, UUID(int=9))
        assert isinstance(refused.value.__cause__, Unapplicable)
    again = Heard()
    async with feeding(store, database.owner_dsn, again) as feed:
        await again.resets(1)
        assert feed.parked == {UUID(int=9)}
        told.ended(UUID(int=9), told.log[0].stream, o.Outcome.DELIVERED)
        await append(store, told, 2)
        await again.until(3)
        assert [event.error is None for event in await list_parked(conn)] == [False, True]
    await conn.close()


@pytest.mark.covers("LIF-07")
async def test_a_writer_can_wait_until_its_write_can_be_read(store: PostgresEventStore, database: Database) -> None:
    """True as soon as the position is applied, False after the time given; over the API's role, and cut connections."""
    told, heard = Told(), Heard()
    progress = Progress(database.api_dsn)
    await progress.start()
    assert (progress.applied, await progress.wait(0, 0)) == (0, True)
    assert not await progress.wait(1, timeout_s=0.01)
    async with feeding(store, database.owner_dsn, heard):
        waiting = asyncio.create_task(progress.wait(2, timeout_s=30))
        told.created(1)
        told.created(2)
        await append(store, told)
        assert await waiting
        assert progress.applied == 2
        admin = await asyncpg.connect(database.admin_dsn)
        await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'horae_api'")
        await admin.close()
        told.created(3)
        await append(store, told, 2)
        assert await progress.wait(3, timeout_s=30)
    assert not await progress.wait(2**63 - 1, timeout_s=0)
    assert progress._waiting == {}, "who gave up leaves nothing behind"
    abandoned = asyncio.create_task(progress.wait(99, timeout_s=30))
    await asyncio.sleep(0)
    await progress.stop()
    assert not await abandoned


async def test_a_whole_history_through_the_real_log_ends_like_one_by_hand(
    store: PostgresEventStore, database: Database
) -> None:
    """Group commits, subscription batches and all: the rows are those of the events, one by one."""
    made, heard = world(7, 150), Heard()
    told = Told(log=made.log)
    async with feeding(store, database.owner_dsn, heard):
        await append(store, told)
        await heard.until(len(told.log))
    assert [codec.dump(NewEvent(e.stream, e.version, e.meta, e.body)) for e in await store.after(0, 10_000)] == [
        codec.dump(NewEvent(e.stream, e.version, e.meta, e.body)) for e in told.log
    ]
    conn = await schema.connect(database.owner_dsn)
    await assert_as_from_scratch(conn, told)
    await conn.close()
