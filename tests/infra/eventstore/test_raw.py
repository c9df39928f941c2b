"""The raw subscription gives every row once and in order, undecoded, and does not die with its connection."""

import asyncio
from collections.abc import AsyncIterator
from typing import Literal
from uuid import uuid4

import psycopg
import pytest

from horae.domain import codec
from horae.infra.eventstore import PostgresEventStore
from horae.infra.eventstore.batch import Append, Row
from horae.infra.eventstore.raw import RawSubscription
from horae.infra.eventstore.recorder import append
from tests.contracts.event_store import as_recorded, events_of
from tests.fixtures.postgres import Database


@pytest.fixture
async def store(database: Database) -> AsyncIterator[PostgresEventStore]:
    """The worker's store."""
    async with PostgresEventStore(database.owner_dsn) as store:
        yield store


async def positions(subscription: RawSubscription, upto: int) -> list[int]:
    """The positions that come until `upto` has come."""
    seen: list[int] = []
    async for batch in subscription:
        seen += [event.position for event in batch]
        if seen[-1] >= upto:
            break
    return seen


async def test_it_gives_what_was_there_and_what_comes(store: PostgresEventStore) -> None:
    """From the position that was asked for, with what the codec needs to make the event of it."""
    await store.append(events_of(uuid4(), [1, 2]))
    async with store.subscribe_raw(after=1) as subscription:
        assert await positions(subscription, 2) == [2]
        waiting = asyncio.create_task(anext(subscription))
        events = events_of(uuid4(), [1])
        await store.append(events)
        [row] = await waiting
        assert row.shard == 7
        assert [codec.load(row.name, row.state, row.stream, row.version, row.position)] == as_recorded(events, 3)


async def test_a_long_log_comes_in_batches(store: PostgresEventStore) -> None:
    """Of at most the size that was asked for, without a gap."""
    await store.append(events_of(uuid4(), range(1, 1201)), lane="bulk")
    async with store.subscribe_raw(batch=500) as subscription:
        assert [len(await anext(subscription)) for _ in range(3)] == [500, 500, 200]


async def test_it_passes_on_what_nobody_can_decode(store: PostgresEventStore, database: Database) -> None:
    """What it is for."""
    with psycopg.connect(database.owner_dsn, autocommit=True) as connection:
        append(connection, [Append((Row(uuid4(), 1, uuid4(), "acme", 3, "odd.v9", b"\xff"),), {}, frozenset())])
    async with store.subscribe_raw() as subscription:
        [row] = await anext(subscription)
    assert (row.name, row.state, row.shard) == ("odd.v9", b"\xff", 3)


async def test_it_goes_on_after_its_connection_died(store: PostgresEventStore, database: Database) -> None:
    """While it waits and while it does not: a pause, no row lost, and nothing twice."""
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'horae-subscription'"
    async with store.subscribe_raw() as subscription:
        await store.append(events_of(uuid4(), [1]))
        assert await positions(subscription, 1) == [1]
        with psycopg.connect(database.admin_dsn, autocommit=True) as admin:
            for position in (2, 3):
                waiting = asyncio.create_task(positions(subscription, position))
                admin.execute(f"{kill} AND datname = current_database()")
                await store.append(events_of(uuid4(), [1]))
                assert await waiting == [position]


async def test_a_step_that_is_cancelled_loses_nothing(store: PostgresEventStore) -> None:
    """The next step gives what the cancelled one would have given."""
    async with store.subscribe_raw() as subscription:
        for position in range(1, 20):
            step = asyncio.create_task(anext(subscription))
            await asyncio.sleep(0)
            await store.append(events_of(uuid4(), [1]))
            step.cancel()
            done = await asyncio.gather(step, return_exceptions=True)
            if isinstance(done[0], BaseException):
                assert await positions(subscription, position) == [position]


class Told(asyncio.Event):
    """Says when somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.awaited = asyncio.Event()

    async def wait(self) -> Literal[True]:
        self.awaited.set()
        return await super().wait()


async def test_a_step_that_is_cancelled_as_it_is_told_ends(
    store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The word that there is more must not swallow the cancellation: whoever cancelled would wait for ever."""
    told = Told()
    async with store.subscribe_raw() as subscription:
        monkeypatch.setattr(subscription, "_told", told)
        step = asyncio.create_task(anext(subscription))
        await told.awaited.wait()
        told.set()
        step.cancel()
        done, _ = await asyncio.wait({step}, timeout=10)
        assert done == {step}
        assert step.cancelled()
