"""What a worker of many looks after, and how its shards are fed when no word of them comes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from horae.projections import schema
from horae.projections.due import ALL_SHARDS
from horae.streams.arrivals import Arrival
from horae.streams.dispatcher import Among
from horae.streams.duty import Duty, DutyConfig, share
from horae.streams.messages import Mark, partition_of, shards_of
from horae.streams.shardfeed import ShardFeed
from tests.fixtures.postgres import Database
from tests.streams.records import mark_at, records_of
from tests.streams.worker import NOON, Worker, at, worker_on

SILENCE_S = 5.0
LATER = NOON + timedelta(hours=1)


class Time:
    """Monotonic time in the test's hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Known:
    """Peers whose standing the test says."""

    def __init__(self, among: Among) -> None:
        self.standing = among

    def among(self) -> Among:
        return self.standing


class Owner:
    """Remembers what it was told to own."""

    def __init__(self) -> None:
        self.shards: frozenset[int] = frozenset()

    def own(self, shards: Collection[int]) -> None:
        self.shards = frozenset(shards)


class Stage:
    """A duty on a real shard feed, with records as the test gives them. Nothing else feeds the read models."""

    def __init__(self, worker: Worker, dsn: str, partitions: int = 4) -> None:
        self.worker, self.partitions = worker, partitions
        self.time, self.peers, self.owner = Time(), Known(Among()), Owner()
        self.feed = ShardFeed(worker.store, lambda: schema.connect(dsn), [], self.time)
        config = DutyConfig(silence_s=SILENCE_S)
        self.told = 0
        self.duty = Duty(config, self.feed, self.owner, self.peers, self.time, self._changed)

    def _changed(self) -> None:
        self.told += 1

    async def mark(self, partition: int, *, partitions: int | None = None, head: int | None = None) -> None:
        """The relay's mark on this partition."""
        log = await self.worker.store.after(0, 500)
        mark = mark_at(log, len(log) if head is None else head, shards_of([partition], partitions or self.partitions))
        await self.duty.take([self._arrival(partition, mark)])

    async def deliver(self) -> None:
        """Every event of the log, by its partition."""
        records = records_of(await self.worker.store.after(0, 500))
        arrivals = [
            Arrival("t", partition_of(r.shard, self.partitions), n, b"", r.state, r.headers())
            for n, r in enumerate(records)
        ]
        await self.duty.take(arrivals)

    def _arrival(self, partition: int, mark: Mark) -> Arrival:
        return Arrival("t", partition, 0, b"mark", mark.value(), mark.headers())

    async def create(self, count: int = 1) -> int:
        """Schedules of as many recipients; the log's head."""
        for number in range(count):
            await self.worker.create(at(LATER), recipient=f"r{number}")
        return await self.worker.store.head()

    async def applied(self, shards: Sequence[int] = ALL_SHARDS) -> int:
        """Up to where all of these are applied, as the duty's feed knows."""
        await self.feed.reset()
        return min(self.feed.at(shard) for shard in shards)


@asynccontextmanager
async def stage_on(database: Database, **options: int) -> AsyncIterator[Stage]:
    async with worker_on(database, feeding=False) as worker:
        stage = Stage(worker, database.owner_dsn, **options)
        try:
            yield stage
        finally:
            await stage.feed.close()


@pytest.fixture
async def stage(database: Database) -> AsyncIterator[Stage]:
    async with stage_on(database) as made:
        yield made


def test_every_shard_has_one_of_those_who_know_the_same() -> None:
    """Assigned or not: what nobody has is shared out, and no two take the same."""
    theirs = {0: frozenset(range(20)), 1: frozenset(range(20, 30)), 2: frozenset[int]()}
    shares = []
    for rank, mine in theirs.items():
        others = frozenset().union(*(shards for peer, shards in theirs.items() if peer != rank))
        shares.append(share(mine, Among(rank, 3, others)))
    assert sorted(shard for each in shares for shard in each) == list(ALL_SHARDS)
    assert all(mine <= each for mine, each in zip(theirs.values(), shares, strict=True))


def test_who_is_alone_has_everything() -> None:
    """Before Kafka has said anything, too."""
    assert share((), Among()) == frozenset(ALL_SHARDS)


@pytest.mark.covers("REL-06", "REL-13")
async def test_without_any_word_by_kafka_everything_is_fed_from_the_store(stage: Stage) -> None:
    """A worker that starts while Kafka is away applies what the log says."""
    head = await stage.create(5)
    stage.duty.review()
    await stage.duty.run_once()
    assert stage.duty.directly == frozenset(ALL_SHARDS)
    assert await stage.applied() == head


async def test_where_marks_come_the_store_is_left_alone(stage: Stage) -> None:
    """Events are applied as they come by Kafka, and nothing is read twice."""
    head = await stage.create(5)
    await stage.duty.assign(range(4), 4)
    await stage.deliver()
    for partition in range(4):
        await stage.mark(partition)
    await stage.duty.run_once()
    assert stage.duty.directly == frozenset()
    assert stage.duty.position == head
    assert stage.feed.counts.gaps_healed == 0


async def test_after_some_silence_a_shard_is_fed_from_the_store_until_a_mark_comes(stage: Stage) -> None:
    """Of one partition only, if only that one is silent."""
    await stage.duty.assign(range(4), 4)
    for partition in range(4):
        await stage.mark(partition)
    stage.time.now += SILENCE_S + 1
    for partition in (0, 1, 2):
        await stage.mark(partition)
    head = await stage.create(20)
    await stage.duty.run_once()
    silent = shards_of([3], 4)
    assert stage.duty.directly == silent
    assert await stage.applied(sorted(silent)) == head
    await stage.mark(3)
    await stage.duty.run_once()
    assert stage.duty.directly == frozenset()


@pytest.mark.covers("REL-03", "REL-18")
async def test_the_shards_of_the_dead_are_fed_by_the_living_at_once(stage: Stage) -> None:
    """Long before Kafka gives their partitions to anybody."""
    stage.peers.standing = Among(0, 2, others=shards_of([2, 3], 4))
    await stage.duty.assign([0, 1], 4)
    for partition in (0, 1):
        await stage.mark(partition)
    assert stage.owner.shards == shards_of([0, 1], 4)
    head = await stage.create(20)
    stage.peers.standing = Among()
    stage.duty.review()
    await stage.duty.run_once()
    assert stage.owner.shards == frozenset(ALL_SHARDS)
    assert await stage.applied(sorted(shards_of([2, 3], 4))) == head


async def test_a_mark_knows_better_which_shards_a_partition_has(stage: Stage) -> None:
    """Partitions were added: what is ours follows what the relay does, not what we reckoned."""
    await stage.duty.assign([1], 4)
    told = stage.told
    await stage.mark(1, partitions=8)
    assert stage.duty.assigned == shards_of([1], 8)
    assert stage.told == told + 1


async def test_an_assignment_that_is_out_of_date_yields_to_the_new_owner(stage: Stage) -> None:
    """We hear nothing of them any more, and a living worker says that they are his."""
    theirs = shards_of([0], 4)
    await stage.duty.assign([0, 1], 4)
    for partition in (0, 1):
        await stage.mark(partition)
    stage.peers.standing = Among(0, 2, others=theirs)
    stage.duty.review()
    assert stage.owner.shards >= theirs
    stage.time.now += 3 * SILENCE_S + 1
    await stage.mark(1)
    stage.duty.review()
    assert not stage.owner.shards & theirs


async def test_who_is_about_to_end_has_nothing_and_takes_nothing(stage: Stage) -> None:
    """Whatever is still told to him."""
    await stage.duty.assign(range(4), 4)
    stage.duty.leave()
    stage.duty.review()
    assert (stage.owner.shards, stage.duty.assigned) == (frozenset(), frozenset())
