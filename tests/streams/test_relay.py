"""The relay between the real log and Kafka in memory: what it sends, what it keeps, and whom it gives way to."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import psycopg
import pytest

from horae.infra.eventstore import PostgresEventStore
from horae.infra.eventstore.batch import Append, Row
from horae.infra.eventstore.raw import RawSubscription
from horae.infra.eventstore.recorder import append
from horae.streams.messages import EventRecord
from horae.streams.relay import Deposed
from horae.streams.relayfaults import RelayFaults
from tests.fakes.publisher import InMemoryPublisher
from tests.fixtures.postgres import Database
from tests.streams.relaying import TOPICS, Stage, WatchedSeat, events, marks, stage_on


@pytest.fixture
def publisher() -> InMemoryPublisher:
    """Kafka in memory, four partitions."""
    return InMemoryPublisher(4)


@pytest.fixture
async def stage(database: Database, publisher: InMemoryPublisher) -> AsyncIterator[Stage]:
    """A relay's place that is taken."""
    async with stage_on(database.owner_dsn, publisher) as stage:
        yield stage


def chain(found: list[EventRecord]) -> list[tuple[int, int, int]]:
    """(position, previous, shard) of each."""
    return [(record.position, record.previous, record.shard) for record in found]


async def test_every_event_goes_to_its_shards_partition_and_names_the_one_before(
    stage: Stage, publisher: InMemoryPublisher
) -> None:
    """`previous` is the position of the shard's event before, 0 for the first."""
    await stage.relayed(await stage.append(1, 5, 2, 1, 5, 1))
    log = publisher.of(TOPICS.log)
    assert chain(events([log[1]])) == [(1, 0, 1), (2, 0, 5), (4, 1, 1), (5, 2, 5), (6, 4, 1)]
    assert chain(events([log[2]])) == [(3, 0, 2)]
    assert events([log[0], log[3]]) == []


async def test_a_record_is_the_event_as_it_is_stored(stage: Stage, publisher: InMemoryPublisher) -> None:
    """Its bytes come from the log untouched and decode to the event; the key is the shard."""
    await stage.relayed(await stage.append(9, name="schedule.created.v1"))
    [record] = events(publisher.of(TOPICS.log))
    assert [record.recorded()] == await stage.store.after(0)
    assert {message.key for message in publisher.of(TOPICS.log)[1] if message.key != b"mark"} == {b"9"}


async def test_a_new_relay_goes_on_where_the_last_one_stopped(stage: Stage, publisher: InMemoryPublisher) -> None:
    """Position and the shards' last positions outlive it: nothing is sent again, and the chain has no break."""
    await stage.relayed(await stage.append(1, 2))
    await stage.relayed(await stage.append(1, 2))
    assert chain(events(publisher.of(TOPICS.log))) == [(1, 0, 1), (2, 0, 2), (3, 1, 1), (4, 2, 2)]


async def test_a_mark_tells_each_partition_at_once_how_far_its_shards_go(
    stage: Stage, publisher: InMemoryPublisher
) -> None:
    """At the start, before anything else; with every shard of the partition, and only these."""
    await stage.relayed(await stage.append(1, 2, 5))
    await stage.relayed(await stage.append(0))
    for number, partition in enumerate(publisher.of(TOPICS.log)):
        first, second = marks(partition)
        assert first.head == 0
        assert second.head == 3
        assert sorted(second.last) == list(range(number, 64, 4))
        assert {shard: last for shard, last in second.last.items() if last} == {1: {1: 1, 5: 3}, 2: {2: 2}}.get(
            number, {}
        )


async def test_marks_are_repeated_while_nothing_happens(stage: Stage, publisher: InMemoryPublisher) -> None:
    """Whoever waits for events learns that there are none."""
    relay = stage.relay(mark_every_s=0.001)
    async with stage.running(relay):
        await publisher.until(lambda: len(marks(publisher.of(TOPICS.log)[3])) >= 5)


@pytest.mark.covers("DSP-24")
async def test_what_others_may_know_is_copied(stage: Stage, publisher: InMemoryPublisher) -> None:
    """Schedules to one topic, occurrences to the other, everything else to neither."""
    await stage.append(1, name="schedule.created.v1")
    await stage.append(1, name="recipient.set.v1")
    await stage.append(1, name="key.issued.v1")
    await stage.relayed(await stage.append(1, name="occurrence.claimed.v1"))

    def types(topic: str) -> list[str]:
        return [dict(m.headers)["ce_type"].decode() for partition in publisher.of(topic) for m in partition]

    assert types(TOPICS.schedules) == ["schedule.created.v1"]
    assert types(TOPICS.executions) == ["occurrence.claimed.v1"]


@pytest.mark.covers("REL-13")
async def test_what_kafka_does_not_take_is_offered_again(stage: Stage, publisher: InMemoryPublisher) -> None:
    """However often it fails: nothing is lost, what arrived without an acknowledgement is there twice."""
    publisher.failures = ["lost", "unacknowledged", "lost", "lost", "unacknowledged", "lost"]
    await stage.relayed(await stage.append(1, 2, 3))
    found = chain(events(publisher.of(TOPICS.log)))
    assert list(dict.fromkeys(found)) == [(1, 0, 1), (2, 0, 2), (3, 0, 3)]
    assert stage.metrics.errors._value.get() == 6


async def test_the_position_waits_for_the_acknowledgement(
    stage: Stage, publisher: InMemoryPublisher, tmp_path: Path
) -> None:
    """A relay that dies between the two has moved nothing: the next one sends the same again."""
    position = await stage.append(1, 2)
    marker = tmp_path / "hangs"
    relay = stage.relay(RelayFaults(hang_after_send=1, marker=marker))
    async with stage.running(relay):
        await publisher.until(lambda: len(events(publisher.of(TOPICS.log))) == 2)
        assert (await stage.seat.load()).position == 0
        assert marker.read_text() == f"batch_sent {os.getpid()}\n"
    await stage.relayed(position)
    assert chain(events(publisher.of(TOPICS.log))) == [(1, 0, 1)] * 2 + [(2, 0, 2)] * 2


async def test_an_event_that_nobody_can_read_passes(stage: Stage, publisher: InMemoryPublisher) -> None:
    """It reaches the workers, who park it; for others there is no copy of it, which is counted."""
    rows = [
        Row(uuid4(), 1, uuid4(), "acme", 3, "schedule.created.v1", b"\xff not JSON"),
        Row(uuid4(), 1, uuid4(), "acme", 3, "occurrence.claimed.v1", b'{"meta": {}, "body": {}}'),
        Row(uuid4(), 1, uuid4(), "acme", 3, "schedule.renamed.v9", b'{"meta": 1, "body": []}'),
    ]
    with psycopg.connect(stage.dsn, autocommit=True) as connection:
        append(connection, [Append((row,), {}, frozenset()) for row in rows])
    await stage.relayed(3)
    assert chain(events(publisher.of(TOPICS.log))) == [(1, 0, 3), (2, 1, 3), (3, 2, 3)]
    assert TOPICS.schedules not in publisher.topics
    assert stage.metrics.left_out.labels("public")._value.get() == 3


async def test_an_event_that_is_too_large_is_left_to_the_event_store(
    stage: Stage, publisher: InMemoryPublisher
) -> None:
    """Kafka would refuse it for ever. The next record of its shard names it, and marks do."""
    await stage.append(1, name="schedule.created.v1")
    await stage.relayed(await stage.append(1, 1), largest_value=600)
    assert chain(events(publisher.of(TOPICS.log))) == [(2, 1, 1), (3, 2, 1)]


async def test_partitions_that_are_added_are_used(stage: Stage, publisher: InMemoryPublisher) -> None:
    """From the next batch on, marks included: the chain of each shard goes on, on another partition."""
    relay = stage.relay(mark_every_s=0.001)
    async with stage.running(relay):
        await stage.seat.reached(await stage.append(5, 6))
        publisher.widen(TOPICS.log, 8)
        await stage.seat.reached(await stage.append(5, 6))
        await publisher.until(lambda: bool(marks(publisher.of(TOPICS.log)[7])))
    log = publisher.of(TOPICS.log)
    assert chain(events([log[1], log[2]])) == [(1, 0, 5), (2, 0, 6)]
    assert chain(events([log[5], log[6]])) == [(3, 1, 5), (4, 2, 6)]
    assert sorted(marks(log[7])[-1].last) == list(range(7, 64, 8))


async def test_a_deposed_relay_moves_nothing(stage: Stage, database: Database) -> None:
    """The position is moved only from where the relay left it; it does not go back."""
    position = await stage.append(1)
    relay = stage.relay()
    relay.standing = await stage.seat.load()
    other = await asyncpg.connect(database.owner_dsn)
    await other.execute("UPDATE sys.relay SET position = 7")
    await other.close()
    async with stage.store.subscribe_raw() as batches:
        batch = await anext(batches)
    with pytest.raises(Deposed, match="another relay"):
        await relay.relay(batch)
    assert (position, (await stage.seat.load()).position) == (1, 7)


@pytest.mark.covers("REL-03")
async def test_of_two_relays_one_works_and_the_other_takes_over(stage: Stage, database: Database) -> None:
    """The place is free the moment the session ends; who lost it is told, and can move nothing any more."""
    async with WatchedSeat(database.owner_dsn) as second:
        waiting = asyncio.create_task(second.take())
        position = await stage.append(1)
        await stage.relayed(position)
        assert not waiting.done()
        admin = await asyncpg.connect(database.admin_dsn)
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE classid = 7303 AND granted AND database = "
            "(SELECT oid FROM pg_database WHERE datname = $1)",
            database.name,
        )
        await admin.close()
        await waiting
        await stage.seat.until_lost()
        with pytest.raises(Deposed):
            await stage.seat.load()
        assert (await second.load()).position == position
        assert second.incarnation > stage.seat.incarnation


class LookedAt:
    """The real log, which tells when somebody looked at its head."""

    def __init__(self, store: PostgresEventStore) -> None:
        self._store = store
        self.looks: asyncio.Queue[int] = asyncio.Queue()

    def subscribe_raw(self, after: int = 0, batch: int = 500) -> RawSubscription:
        return self._store.subscribe_raw(after, batch)

    async def head(self) -> int:
        head = await self._store.head()
        self.looks.put_nowait(head)
        return head


async def test_how_far_behind_it_is_is_known_while_kafka_is_away(stage: Stage, publisher: InMemoryPublisher) -> None:
    """In positions and in seconds, looked at beside the publishing that waits; nothing when it has caught up."""
    relay = stage.relay(mark_every_s=0.001)
    relay.log = log = LookedAt(stage.store)
    publisher.failures = ["lost"] * 100_000
    async with stage.running(relay):
        await stage.append(1, 2, 3)
        while await log.looks.get() != 3:
            pass
        await log.looks.get()  # the next look: what the one before saw is measured
        assert stage.metrics.lag._value.get() == 3
        publisher.failures.clear()
        await stage.seat.reached(3)
        await relay.look()
    assert (stage.metrics.lag._value.get(), stage.metrics.lag_s._value.get()) == (0, 0)
    assert stage.metrics.position._value.get() == 3


async def test_faults_drop_and_double_only_what_workers_can_heal(stage: Stage, publisher: InMemoryPublisher) -> None:
    """Records of the log by chance, the same for the same seed; never a mark, never a public copy."""
    shards = [n % 64 for n in range(200)]
    await stage.relayed(
        await stage.append(*shards, name="occurrence.claimed.v1"), RelayFaults(drop=0.2, duplicate=0.2, seed=7)
    )
    found = [record.position for record in events(publisher.of(TOPICS.log))]
    assert 20 < 200 - len(set(found)) < 60
    assert 20 < len(found) - len(set(found)) < 60
    assert sum(len(partition) for partition in publisher.of(TOPICS.executions)) == 200


def test_faults_are_off_unless_asked_for() -> None:
    """And a misspelt one is refused."""
    assert RelayFaults.from_environment({}).copies() == 1
    told = RelayFaults.from_environment({"HORAE_RELAY_FAULT": "drop=0.01,duplicate=0.02,seed=7,hang_after_send=3"})
    assert (told.drop, told.duplicate, told.seed, told.hang_after_send) == (0.01, 0.02, 7, 3)
    with pytest.raises(ValueError, match="hang_after_send"):
        RelayFaults.from_environment({"HORAE_RELAY_FAULT": "explode=1"})
