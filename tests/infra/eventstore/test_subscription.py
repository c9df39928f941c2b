"""The subscription gives every event once and in order, and does not die with its connection."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import psycopg
import pytest
from eventsourcing.persistence import Notification

from horae.domain.envelope import Recorded
from horae.domain.ids import derived_id
from horae.infra.eventstore import PostgresEventStore, Subscription
from horae.infra.eventstore.own import OwnEvents
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


async def test_it_goes_on_after_its_connections_died(store: PostgresEventStore, database: Database) -> None:
    """Terminated backends cost a pause, no event, and nothing comes twice."""
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND usename = 'horae' AND application_name NOT LIKE 'horae-%'"
    )
    async with store.subscribe() as subscription:
        await store.append(events_of(uuid4(), [1]))
        assert await positions(subscription, 1) == [1]
        with psycopg.connect(database.admin_dsn, autocommit=True) as admin:
            for position in (2, 3):
                assert admin.execute(kill).fetchall()
                await store.append(events_of(uuid4(), [1]))
                assert await positions(subscription, position) == [position]


async def test_a_fault_that_no_restart_mends_ends_the_iteration_with_it(
    store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came before it is still given; then it is raised, each time, instead of silence for ever."""
    await store.append(events_of(uuid4(), [1, 2]))
    take_in = Subscription._take_in

    def faulty(self: Subscription, notification: Notification) -> None:
        if notification.id == 2:
            raise LookupError("a fault in the code")
        take_in(self, notification)

    monkeypatch.setattr(Subscription, "_take_in", faulty)
    async with store.subscribe() as subscription:
        assert [event.position for event in await asyncio.wait_for(anext(subscription), 20)] == [1]
        for _ in range(2):
            with pytest.raises(LookupError, match="a fault in the code"):
                await asyncio.wait_for(anext(subscription), 20)


async def test_closing_ends_the_iteration(store: PostgresEventStore) -> None:
    """A consumer that waits for the next batch gets the end, and no connection is left."""
    async with store.subscribe() as subscription:
        waiting = asyncio.create_task(positions(subscription, 1))
        await asyncio.sleep(0)
        await subscription.close()
        assert await waiting == []
    assert [batch async for batch in subscription] == []


async def test_a_slow_consumer_can_leave(store: PostgresEventStore) -> None:
    """Closing does not wait for a consumer that is thousands of events behind."""
    await store.append(events_of(uuid4(), range(1, 10_001)), lane="bulk")
    async with store.subscribe() as subscription:
        assert len(await anext(subscription)) > 0


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
