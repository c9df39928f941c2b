"""The index ends as the read models are, whatever is delivered, whatever is away, and however long."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any
from uuid import UUID

import pytest

from horae.domain import schedule as s
from horae.domain.delivery import Delivery
from horae.domain.errors import HoraeError
from horae.domain.personal import Personal
from horae.infra.elasticsearch.reindex import Comparison, Reindex, ReindexRunning
from horae.infra.eventstore import PostgresEventStore
from horae.infra.stack import ElasticsearchServer
from horae.projections import schema
from horae.projections.search import positions
from horae.projections.search.ports import KINDS, Query
from horae.streams.indexing import Indexer, IndexerConfig
from tests.fixtures.postgres import Database
from tests.infra.elasticsearch.world import Held, Search, open_search
from tests.projections.histories import world
from tests.projections.told import DAILY, NOW, Told, at
from tests.streams.records import mark_at, records_of
from tests.streams.test_feed import Heard, append, feeding, store

__all__ = ["store"]
pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


@dataclass
class Stage:
    """An installation whose read models are fed, with an indexer that is driven by hand."""

    store: PostgresEventStore
    search: Search
    reindex: Reindex
    indexer: Indexer
    told: Told
    pool: Any
    now: list[float]

    async def compared(self) -> list[Comparison]:
        """Index and rows, kind by kind."""
        return [await self.reindex.compare(kind) for kind in KINDS]

    async def is_complete(self) -> None:
        """Both say the same, about everything that was told."""
        for comparison in await self.compared():
            assert comparison.same, comparison
            assert comparison.moving == 0
        audit = (await self.compared())[2]
        assert audit.rows.documents == len(self.told.log)

    async def until_caught_up(self) -> None:
        """The indexer's own loop runs until it has everything."""
        running = asyncio.create_task(self.indexer.run())
        try:
            await self.indexer.reached(len(self.told.log))
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def silence(self) -> None:
        """No mark has come for long."""
        self.now[0] += 10


StageMaker = Callable[..., contextlib.AbstractAsyncContextManager[Stage]]


@pytest.fixture
def open_stage(
    elasticsearch: ElasticsearchServer, store: PostgresEventStore, database: Database, index_prefix: str
) -> StageMaker:
    """Opens a stage."""
    elasticsearch.start()

    @asynccontextmanager
    async def opened(told: Told) -> AsyncIterator[Stage]:
        async with (
            feeding(store, database.owner_dsn, Heard()),
            open_search(elasticsearch.url, index_prefix, make=False) as search,
            await schema.create_pool(database.owner_dsn, max_size=4) as pool,
        ):
            now = [0.0]
            reindex = Reindex(database.owner_dsn, search.indices, search.documents)
            config = IndexerConfig(look_every_s=0.05, longest_wait_s=0.2)
            indexer = Indexer(config, store, pool, reindex, lambda: now[0])
            yield Stage(store, search, reindex, indexer, told, pool, now)

    return opened


def history(seed: int = 3, events: int = 150) -> Told:
    return Told(log=world(seed, events).log)


@pytest.mark.covers("EXT-19", "LIF-26")
async def test_records_become_documents(open_stage: StageMaker) -> None:
    """In order, in batches: every schedule, occurrence and event is found, and nothing is read from the store."""
    told = history()
    async with open_stage(told) as stage:
        assert await stage.indexer.run_once()
        await append(stage.store, told)
        records = records_of(told.log)
        for begin in range(0, len(records), 40):
            await stage.indexer.take_records(records[begin : begin + 40])
        await stage.indexer.take_records([mark_at(told.log, len(told.log))])
        assert stage.indexer.position == len(told.log)
        assert (stage.indexer.counts.events, stage.indexer.counts.let_go) == (len(told.log), 0)
        await stage.is_complete()


async def test_a_batch_waits_for_its_turn(open_stage: StageMaker) -> None:
    """It goes on with the records then, and nothing that has come by Kafka is read from the store as well.

    Let go, a batch would have to be read from the store, and those that come meanwhile, too, for as long as there is
    load.
    """
    told = history()
    async with open_stage(told) as stage:
        held = Held(stage.reindex)
        indexer = Indexer(IndexerConfig(), stage.store, stage.pool, held, lambda: 0.0)
        assert await indexer.run_once()
        await append(stage.store, told)
        records = records_of(told.log)
        half = len(records) // 2
        first = asyncio.create_task(indexer.take_records(records[:half]))
        await held.putting.wait()
        reading = asyncio.create_task(indexer.run_once())
        await asyncio.sleep(0)
        second = asyncio.create_task(indexer.take_records(records[half:]))
        await asyncio.sleep(0)
        held.let.set()
        await asyncio.gather(first, reading, second)
        await indexer.take_records([mark_at(told.log, len(told.log))])
        assert (indexer.position, indexer.counts.events) == (len(told.log), len(told.log))
        assert (indexer.counts.let_go, indexer.counts.duplicates) == (0, 0)


@pytest.mark.parametrize("seed", range(3))
async def test_doubled_dropped_and_shuffled_records(open_stage: StageMaker, seed: int) -> None:
    """What is missing is read from the log; what comes twice is skipped; two indexers do not harm each other."""
    told, random = history(seed), Random(seed)
    async with open_stage(told) as stage:
        other = Indexer(IndexerConfig(look_every_s=0.05), stage.store, stage.pool, stage.reindex, lambda: 0.0)
        assert await stage.indexer.run_once()
        await append(stage.store, told)
        records = [record for record in records_of(told.log) if random.random() > 0.2]
        records += random.choices(records, k=len(records) // 3)
        for _ in range(len(records) // 4):
            one, two = random.randrange(len(records)), random.randrange(len(records))
            records[one], records[two] = records[two], records[one]
        for begin in range(0, len(records), 25):
            taker = random.choice((stage.indexer, other))
            await taker.take_records(records[begin : begin + 25])
            await random.choice((stage.indexer, other)).run_once()
        await stage.indexer.take_records([mark_at(told.log, len(told.log))])
        await stage.until_caught_up()
        await stage.is_complete()


@pytest.mark.covers("EXT-19")
async def test_elasticsearch_away_stalls_nothing_and_is_made_up_for(
    open_stage: StageMaker, elasticsearch: ElasticsearchServer
) -> None:
    """While it is down batches are let go at once and the read models go on; when it is back everything is found."""
    told = history(events=60)
    async with open_stage(told) as stage:
        assert await stage.indexer.run_once()
        elasticsearch.kill()
        await append(stage.store, told)
        records = records_of(told.log)
        for begin in range(0, len(records), 20):
            await stage.indexer.take_records(records[begin : begin + 20])
        assert stage.indexer.failing
        assert stage.indexer.counts.failures == 1
        with pytest.raises(HoraeError):
            await stage.search.engine.search("acme", Query())
        assert not await stage.indexer.run_once()
        await stage.indexer.take_records([mark_at(told.log, len(told.log))])
        await asyncio.to_thread(elasticsearch.start)
        await stage.until_caught_up()
        await stage.is_complete()


async def test_without_marks_the_store_is_read(open_stage: StageMaker) -> None:
    """Kafka is away, or there is none: nobody tells anything, and everything is indexed all the same."""
    told = history()
    async with open_stage(told) as stage:
        await append(stage.store, told)
        assert await stage.indexer.run_once()
        for number in range(900, 910):
            told.created(number)
        await append(stage.store, told, len(told.log) - 10)
        assert await stage.indexer.run_once()
        assert stage.indexer.position == len(told.log) - 10
        stage.silence()
        assert await stage.indexer.run_once()
        assert stage.indexer.position == len(told.log)
        await stage.is_complete()


async def test_positions_survive_the_process(open_stage: StageMaker) -> None:
    """Another life goes on where the one before ended; nothing is filled again."""
    told = history(events=40)
    async with open_stage(told) as stage:
        await append(stage.store, told)
        assert await stage.indexer.run_once()
        assert stage.indexer.counts.filled == 1
        for number in range(900, 905):
            told.created(number)
        await append(stage.store, told, len(told.log) - 5)
        stage.silence()
        assert await stage.indexer.run_once()
        next_life = Indexer(IndexerConfig(), stage.store, stage.pool, stage.reindex, lambda: 0.0)
        assert await next_life.run_once()
        assert (next_life.position, next_life.counts.events, next_life.counts.filled) == (len(told.log), 0, 0)


async def test_a_lost_index_is_filled_again(open_stage: StageMaker) -> None:
    """Somebody deleted it: the first batch that finds out is let go, then everything comes from the read models."""
    told = history()
    async with open_stage(told) as stage:
        await append(stage.store, told)
        assert await stage.indexer.run_once()
        await stage.search.indices.drop(*await stage.search.indices.names())
        told.created(900)
        await append(stage.store, told, len(told.log) - 1)
        await stage.indexer.take_records([*records_of(told.log)[-1:], mark_at(told.log, len(told.log))])
        await stage.until_caught_up()
        assert stage.indexer.counts.filled == 2
        await stage.is_complete()
        assert len(await stage.search.indices.names()) == 3


async def test_a_shard_that_was_set_back_is_indexed_again(open_stage: StageMaker) -> None:
    """Whoever changes rows after the fact (a replay of what was parked) says so, and search follows."""
    told = history(events=60)
    async with open_stage(told) as stage:
        await append(stage.store, told)
        assert await stage.indexer.run_once()
        async with stage.pool.acquire() as conn:
            await positions.rewind(conn, {told.log[-1].meta.shard: told.log[-1].position - 1})
        assert await stage.indexer.run_once()
        assert (stage.indexer.counts.events, stage.indexer.counts.documents >= 1) == (1, True)
        assert stage.indexer.position == len(told.log)
        await stage.is_complete()


async def test_a_change_reaches_the_occurrences_too(open_stage: StageMaker) -> None:
    """Their documents say what their schedule says now."""
    told = Told()
    schedule = told.created(1, content={"subject": "before"})
    occurrence = told.claimed(schedule, next_=at(NOW))
    told.ended(schedule, occurrence)
    async with open_stage(told) as stage:
        await append(stage.store, told)
        assert await stage.indexer.run_once()
        personal = Personal(recipient="user-17", channel="log:", content={"subject": "afterwards"})
        definition = s.Definition(timing=DAILY, priority=3, delivery=Delivery())
        changed = s.ScheduleChanged(changed=("content",), personal=personal, definition=definition, next_unchanged=True)
        told.tell(schedule, changed)
        await append(stage.store, told, 3)
        stage.silence()
        assert await stage.indexer.run_once()
        await stage.is_complete()
        found = await stage.search.engine.search("acme", Query(q="afterwards", kind="occurrence"))
        assert [UUID(hit.id) for hit in found.items] == [occurrence]


async def test_a_new_index_takes_the_place_of_the_old_under_traffic(open_stage: StageMaker) -> None:
    """Events come and questions are asked all the while: no answer lacks what an earlier one had; then both agree."""
    told = history(events=80)
    for number in range(1_000, 1_200):
        told.created(number, content={"subject": "steady"})
    async with open_stage(told) as stage:
        await append(stage.store, told)
        assert await stage.indexer.run_once()
        before = await stage.search.indices.names()
        done = asyncio.Event()

        async def traffic() -> int:
            least, number = 200, 2_000
            while not done.is_set():
                told.created(number, content={"subject": "new"})
                await append(stage.store, told, len(told.log) - 1)
                found = await stage.search.engine.search("acme", Query(q="steady", limit=1))
                least, number = min(least, found.total), number + 1
            return least

        stage.silence()
        running = asyncio.create_task(stage.indexer.run())
        flowing = asyncio.create_task(traffic())
        reports = await stage.reindex.run()
        reports += await stage.reindex.run()
        done.set()
        least = await flowing
        assert [report for report in reports if not report.same] == []
        assert len(reports) == 6
        assert reports[0].rows.documents >= 200
        assert least == 200
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert await stage.indexer.run_once()
        await stage.is_complete()
        assert stage.indexer.counts.failures == 0
        assert not set(before) & set(await stage.search.indices.names())


async def test_what_was_found_is_found_in_the_new_index_at_once(open_stage: StageMaker) -> None:
    """Also what came between the comparison and the swap: nobody sees it in the old index before it is in the new."""
    told = history(events=30)
    async with open_stage(told) as stage:
        await append(stage.store, told)
        assert await stage.indexer.run_once()

        async def found() -> int:
            return (await stage.search.engine.search("acme", Query(q="belated"))).total

        class Interrupted(Reindex):
            """Somebody creates a schedule when both have been compared, and finds it."""

            async def _compare(self, *arguments: Any, **options: Any) -> Comparison:
                compared = await super()._compare(*arguments, **options)
                # Nothing is seen by the passing of time.
                await stage.search.client.indices.put_settings(
                    index=f"{stage.search.indices.read_alias('schedule')}-*", settings={"refresh_interval": "-1"}
                )
                told.created(5_000, content={"subject": "belated"})
                await append(stage.store, told, len(told.log) - 1)
                stage.silence()
                assert await stage.indexer.run_once()
                for index in await stage.search.indices.read("schedule"):
                    await stage.search.documents.refresh_index(index)
                assert await found() == 1
                return compared

        reindex = Interrupted(stage.reindex._dsn, stage.search.indices, stage.search.documents)
        await reindex.run(["schedule"])
        assert await found() == 1
        await stage.is_complete()


async def test_one_at_a_time(open_stage: StageMaker) -> None:
    """The second says so; what an unfinished one left is swept away by the next."""
    told = history(events=30)
    async with open_stage(told) as stage:
        await append(stage.store, told)
        assert await stage.indexer.run_once()
        async with stage.reindex._alone():
            with pytest.raises(ReindexRunning):
                await stage.reindex.run()
        abandoned = await stage.search.indices.make("schedule")
        assert abandoned in await stage.search.indices.written("schedule")
        await stage.reindex.run()
        assert len(await stage.search.indices.names()) == 3
        await stage.is_complete()


async def test_the_comparison_sees_what_differs(open_stage: StageMaker) -> None:
    """A document that is missing, one that says something else, and one of no row."""
    told = history(events=60)
    async with open_stage(told) as stage:
        await append(stage.store, told)
        assert await stage.indexer.run_once()
        (index,) = await stage.search.indices.written("schedule")
        found = await stage.search.engine.search(told.log[0].meta.tenant, Query(limit=200))
        documents = [d async for d in stage.search.documents.between(index, "schedule", "")]
        assert found.total >= 2
        await stage.search.client.delete(index=index, id=documents[0].id)
        other = type(documents[1])("schedule", documents[1].id, "x", documents[1].version, documents[1].fields)
        stray = type(other)("schedule", str(UUID(int=2**127)), "x", 1, documents[1].fields)
        await stage.search.documents.put([other, stray])
        comparison = await stage.reindex.compare("schedule")
        assert (comparison.behind, comparison.differing, comparison.strays) == (1, 1, 1)
        assert not comparison.same
        assert (await stage.reindex.run(["schedule"]))[0].same
