"""The subscription gives every event once and in order, and does not die with its connection."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import psycopg
import pytest

from horae.domain.codec import UnknownEvent
from horae.domain.envelope import Recorded
from horae.domain.ids import derived_id
from horae.infra.eventstore import PostgresEventStore, Subscription
from horae.infra.eventstore.batch import Append, Row
from horae.infra.eventstore.own import OwnEvents
from horae.infra.eventstore.recorder import append
from horae.infra.ids import NewIds
from tests.contracts.event_store import as_recorded, events_of
from tests.fixtures.postgres import Database


@pytest.fixture
async def store(database: Database) -> AsyncIterator[PostgresEventStore]:
    """The worker's store."""
    async with PostgresEventStore(database.owner_dsn) as store:
        yield store


async def positions(subscription: Subscription, upto: int) -> list[int]:
    """The positions that come until `upto` has come."""
    seen: list[int] = []
    async for batch in subscription:
        assert 0 < len(batch) <= 500
        seen += [event.position for event in batch]
        if seen[-1] >= upto:
            break
    return seen


async def test_it_gives_what_was_there_and_what_comes(store: PostgresEventStore) -> None:
    """From the position that was asked for, whole events."""
    await store.append(events_of(uuid4(), [1, 2]))
    async with store.subscribe(after=1) as subscription:
        assert await positions(subscription, 2) == [2]
        events = events_of(uuid4(), [1])
        await store.append(events)
        assert await anext(subscription) == as_recorded(events, 3)


async def test_a_long_log_comes_in_batches(store: PostgresEventStore) -> None:
    """Behind by thousands of events, it catches up without a gap."""
    await store.append(events_of(uuid4(), range(1, 5001)), lane="bulk")
    async with store.subscribe() as subscription:
        assert await positions(subscription, 5000) == list(range(1, 5001))


async def test_it_goes_on_after_its_connection_died(store: PostgresEventStore, database: Database) -> None:
    """A terminated backend costs a pause, no event, and nothing comes twice."""
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = 'horae-subscription'"
    )
    async with store.subscribe() as subscription:
        await store.append(events_of(uuid4(), [1]))
        assert await positions(subscription, 1) == [1]
        with psycopg.connect(database.admin_dsn, autocommit=True) as admin:
            for position in (2, 3):
                assert admin.execute(kill).fetchall()
                await store.append(events_of(uuid4(), [1]))
                assert await positions(subscription, position) == [position]


async def test_an_event_that_nobody_can_decode_ends_the_iteration_with_it(
    store: PostgresEventStore, database: Database
) -> None:
    """What came before it is still given; then it is raised, each time, instead of silence for ever."""
    await store.append(events_of(uuid4(), [1]))
    with psycopg.connect(database.owner_dsn, autocommit=True) as connection:
        append(connection, [Append((Row(uuid4(), 1, uuid4(), "acme", 3, "odd.v9", b"{}"),), {}, frozenset())])
    await store.append(events_of(uuid4(), [1]))
    async with store.subscribe() as subscription:
        assert [event.position for event in await anext(subscription)] == [1]
        for _ in range(2):
            with pytest.raises(UnknownEvent, match="odd"):
                await anext(subscription)


async def test_a_step_that_is_cancelled_loses_nothing(store: PostgresEventStore) -> None:
    """The next step gives what the cancelled one would have given."""
    async with store.subscribe() as subscription:
        for position in range(1, 20):
            step = asyncio.create_task(anext(subscription))
            await asyncio.sleep(0)
            await store.append(events_of(uuid4(), [1]))
            step.cancel()
            done = await asyncio.gather(step, return_exceptions=True)
            if isinstance(done[0], BaseException):
                assert await positions(subscription, position) == [position]


async def test_what_its_own_process_stored_is_not_decoded_again(store: PostgresEventStore) -> None:
    """It comes in its place among what was there, the very objects that were appended."""
    await store.append(events_of(uuid4(), [1]))
    ids = NewIds()
    async with store.subscribe() as subscription:
        events = [
            replace(event, meta=event.meta.model_copy(update={"event_id": ids.new()}))
            for event in events_of(uuid4(), [1, 2])
        ]
        await store.append(events)
        seen: list[Recorded] = []
        while len(seen) < 3:
            seen += await anext(subscription)
    assert seen[1:] == as_recorded(events, 2)
    assert [event.body is given.body for event, given in zip(seen[1:], events, strict=True)] == [True, True]


def test_own_events_are_given_once_and_the_latest_are_kept() -> None:
    """Nothing grows where nobody reads, and what nobody has is decoded."""
    own, ids = OwnEvents(capacity=3), NewIds()
    events = [replace(e, meta=e.meta.model_copy(update={"event_id": ids.new()})) for e in events_of(uuid4(), [1, 2])]
    own.stored(events, 2)
    own.stored(events, 7)
    assert len(own) == 3
    assert own.take(1) is None
    assert own.take(7) == as_recorded(events, 6)[1]
    assert own.take(7) is None


def test_an_event_under_a_derived_id_is_decoded() -> None:
    """The same request may have been stored by another before, at another instant: the log alone knows its words."""
    own = OwnEvents()
    (event,) = events_of(uuid4(), [1])
    derived = event.meta.model_copy(update={"event_id": derived_id("acme", "create", "k")})
    own.stored([replace(event, meta=derived)], 1)
    assert own.take(1) is None
