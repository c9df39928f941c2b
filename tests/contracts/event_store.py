"""What every event store must do, whatever it is made of.

Subclass `EventStoreContract` and give it a fixture `store`. `events_of` makes a stream's events for any test.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID, uuid4

import pytest

from horae.commands.ports import EventStore, StreamConflict
from horae.domain.envelope import Meta, NewEvent, Recorded
from horae.domain.recipient import RecipientProfile, RecipientSet
from horae.streams.feed import Log
from horae.streams.shardfeed import ShardLog

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def events_of(
    stream: UUID, versions: Sequence[int], *, tenant: str = "acme", recorded_at: datetime = NOON, note: str = ""
) -> list[NewEvent]:
    """New events (ids of their own) of these versions; `note` is some free content."""
    return [
        NewEvent(
            stream,
            version,
            Meta(event_id=uuid4(), tenant=tenant, shard=7, actor="test", recorded_at=recorded_at),
            RecipientSet(recipient_ref=note or f"v{version}", personal=RecipientProfile(id="ann")),
        )
        for version in versions
    ]


def as_recorded(events: Sequence[NewEvent], first_position: int) -> list[Recorded]:
    """What these events look like once they are stored from `first_position` on."""
    return [
        Recorded(event.stream, event.version, event.meta, event.body, position)
        for position, event in enumerate(events, first_position)
    ]


class SharedStore(EventStore, ShardLog, Log, Protocol):
    """What every store offers to commands and to feeders."""


class EventStoreContract:
    """The suite; positions are counted from an empty store."""

    @pytest.mark.covers("EXT-28")
    async def test_appended_events_are_read_back_whole(self, store: EventStore) -> None:
        """Envelope, body and version come back as they went in, with their positions."""
        events = events_of(uuid4(), [1, 2, 3])
        assert await store.append(events) == 3
        assert await store.load(events[0].stream) == as_recorded(events, 1)

    async def test_an_unknown_stream_is_empty(self, store: EventStore) -> None:
        """There is no difference between a stream without events and no stream."""
        assert await store.load(uuid4()) == []
        assert await store.load_many([uuid4()]) == {}
        assert await store.head() == 0

    async def test_positions_are_in_the_order_of_appends_without_gaps(self, store: EventStore) -> None:
        """Every append's events lie together, behind all earlier ones; conflicts leave no hole."""
        stream = uuid4()
        assert await store.append(events_of(stream, [1, 2])) == 2
        with pytest.raises(StreamConflict):
            await store.append(events_of(stream, [1]))
        assert await store.append(events_of(uuid4(), [1])) == 3
        assert await store.append(events_of(stream, [3])) == 4
        assert await store.head() == 4
        assert [event.position for event in await store.after(0)] == [1, 2, 3, 4]

    async def test_a_stream_is_expected_at_the_version_before(self, store: EventStore) -> None:
        """The second of two decisions on the same state is told where the stream is."""
        stream = uuid4()
        await store.append(events_of(stream, [1]))
        with pytest.raises(StreamConflict) as conflict:
            await store.append(events_of(stream, [1]))
        assert (conflict.value.stream, conflict.value.expected, conflict.value.actual) == (stream, 0, 1)
        with pytest.raises(StreamConflict) as conflict:
            await store.append(events_of(stream, [4]))
        assert (conflict.value.stream, conflict.value.expected, conflict.value.actual) == (stream, 3, 1)

    async def test_a_fence_on_another_stream_holds(self, store: EventStore) -> None:
        """An expectation on a stream that is only named stops the command, and passes it when it holds."""
        fence, stream = uuid4(), uuid4()
        await store.append(events_of(fence, [1, 2]))
        with pytest.raises(StreamConflict) as conflict:
            await store.append(events_of(stream, [1]), {fence: 1})
        assert (conflict.value.stream, conflict.value.expected, conflict.value.actual) == (fence, 1, 2)
        assert await store.load(stream) == []
        assert await store.append(events_of(stream, [1]), {fence: 2, uuid4(): 0}) == 3

    async def test_a_command_over_several_streams_is_all_or_nothing(self, store: EventStore) -> None:
        """A conflict on one of its streams keeps all of its events out."""
        taken, free = uuid4(), uuid4()
        await store.append(events_of(taken, [1]))
        with pytest.raises(StreamConflict):
            await store.append([*events_of(free, [1, 2]), *events_of(taken, [1])])
        assert await store.load(free) == []
        assert await store.append([*events_of(free, [1, 2]), *events_of(taken, [2])]) == 4

    async def test_the_same_events_again_are_the_same_success(self, store: EventStore) -> None:
        """Appending is idempotent by event id, even after the stream went on and the fences moved."""
        stream, fence = uuid4(), uuid4()
        events = events_of(stream, [1, 2])
        assert await store.append(events, {fence: 0}) == 2
        await store.append([*events_of(stream, [3]), *events_of(fence, [1])])
        assert await store.append(events, {fence: 0}) == 2
        assert await store.head() == 4

    async def test_another_decision_of_the_same_content_is_a_conflict(self, store: EventStore) -> None:
        """Only the ids count: equal bodies are not the same event, and half a match is none."""
        stream = uuid4()
        events = events_of(stream, [1, 2])
        await store.append(events)
        with pytest.raises(StreamConflict):
            await store.append(events_of(stream, [1, 2]))
        with pytest.raises(StreamConflict):
            await store.append([events[0], *events_of(stream, [2])])

    async def test_concurrent_commands_on_one_stream_have_one_winner(self, store: EventStore) -> None:
        """However they are batched, exactly one of many equal decisions goes through and the others are told."""
        stream = uuid4()
        others = [store.append(events_of(uuid4(), [1])) for _ in range(20)]
        rivals = [store.append(events_of(stream, [1])) for _ in range(20)]
        results = await asyncio.gather(*others, *rivals, return_exceptions=True)
        assert all(isinstance(result, int) for result in results[:20])
        assert sum(isinstance(result, int) for result in results[20:]) == 1
        assert sum(isinstance(result, StreamConflict) for result in results[20:]) == 19
        assert len(await store.load(stream)) == 1

    async def test_commands_in_a_row_need_not_wait_for_each_other(self, store: EventStore) -> None:
        """Commands that build on one another may be appended without awaiting in between; order is kept."""
        stream, fence = uuid4(), uuid4()
        positions = await asyncio.gather(
            store.append(events_of(stream, [1])),
            store.append(events_of(stream, [2])),
            store.append(events_of(fence, [1]), {stream: 2}),
            store.append(events_of(stream, [3]), {fence: 1}),
        )
        assert list(positions) == sorted(positions)
        assert [event.version for event in await store.load(stream)] == [1, 2, 3]

    async def test_a_conflict_in_the_crowd_lets_the_others_through(self, store: EventStore) -> None:
        """Commands that are stored together do not share their fate."""
        stream = uuid4()
        await store.append(events_of(stream, [1]))
        commands = [store.append(events_of(uuid4(), [1, 2])) for _ in range(10)]
        commands.insert(5, store.append(events_of(stream, [1])))
        results = await asyncio.gather(*commands, return_exceptions=True)
        assert isinstance(results.pop(5), StreamConflict)
        assert all(isinstance(result, int) for result in results)
        assert await store.head() == 21

    @pytest.mark.covers("INT-25")
    async def test_as_of_an_instant(self, store: EventStore) -> None:
        """`until` gives the events before the first one that was recorded later, whatever clocks did after it."""
        stream = uuid4()
        minutes = [0, 1, 5, 2]  # a clock that was set back
        for version, minute in enumerate(minutes, 1):
            await store.append(events_of(stream, [version], recorded_at=NOON + timedelta(minutes=minute)))
        as_of = {
            minute: [event.version for event in await store.load(stream, until=NOON + timedelta(minutes=minute))]
            for minute in (-1, 0, 1, 3, 5)
        }
        assert as_of == {-1: [], 0: [1], 1: [1, 2], 3: [1, 2], 5: [1, 2, 3, 4]}

    async def test_up_to_a_version_or_position(self, store: EventStore) -> None:
        """Both limits are inclusive."""
        stream = uuid4()
        await store.append(events_of(uuid4(), [1, 2]))
        await store.append(events_of(stream, [1, 2, 3]))
        assert [event.version for event in await store.load(stream, upto_version=2)] == [1, 2]
        assert [event.version for event in await store.load(stream, upto_position=3)] == [1]

    async def test_behind_a_version(self, store: EventStore) -> None:
        """The version named is left out; beside the other limits, and for one tenant alone."""
        stream = uuid4()
        await store.append(events_of(uuid4(), [1, 2]))
        await store.append(events_of(stream, [1, 2, 3, 4]))
        reader = store.scoped("acme")

        async def versions(**limits: Any) -> list[int]:
            found = [event.version for event in await store.load(stream, after_version=1, **limits)]
            assert [event.version for event in await reader.load(stream, after_version=1, **limits)] == found
            return found

        assert await versions() == [2, 3, 4]
        assert await versions(upto_version=3) == [2, 3]
        assert await versions(upto_position=5) == [2, 3]
        assert await versions(upto_version=1) == []
        assert await store.load(stream, after_version=4) == []
        assert await store.scoped("another").load(stream, after_version=1) == []

    async def test_many_streams_at_once(self, store: EventStore) -> None:
        """Each by ascending version; what does not exist is absent."""
        first, second = uuid4(), uuid4()
        await store.append(events_of(first, [1]))
        await store.append(events_of(second, [1]))
        await store.append(events_of(first, [2]))
        found = await store.load_many([second, uuid4(), first])
        assert {stream: [event.version for event in events] for stream, events in found.items()} == {
            first: [1, 2],
            second: [1],
        }

    async def test_a_scoped_reader_sees_one_tenant(self, store: EventStore) -> None:
        """Another tenant's streams are as if they did not exist."""
        ours, theirs = uuid4(), uuid4()
        await store.append(events_of(theirs, [1], tenant="other"))
        await store.append(events_of(ours, [1]))
        reader = store.scoped("acme")
        assert await reader.load(theirs) == []
        assert set(await reader.load_many([ours, theirs])) == {ours}
        assert [event.position for event in await reader.after(0)] == [2]
        assert (await reader.version(ours), await reader.version(theirs)) == (1, 0)

    async def test_the_head_of_a_stream(self, store: EventStore) -> None:
        """As many events as were appended to it; 0 for a stream that nobody has begun."""
        stream = uuid4()
        assert await store.version(stream) == 0
        await store.append(events_of(stream, [1, 2]))
        await store.append(events_of(stream, [3]))
        assert await store.version(stream) == 3

    async def test_the_log_in_pages(self, store: EventStore) -> None:
        """Reading on from the last position seen gives every event once."""
        for _ in range(5):
            await store.append(events_of(uuid4(), [1]))
        assert [event.position for event in await store.after(0, 2)] == [1, 2]
        assert [event.position for event in await store.after(2, 2)] == [3, 4]
        assert [event.position for event in await store.after(4, 2)] == [5]
        assert await store.after(5, 2) == []

    async def test_the_log_of_some_shards(self, store: SharedStore) -> None:
        """By position, from behind one up to another inclusive, in pages; other shards are passed over."""
        for shard in (7, 3, 5, 7, 3):
            (event,) = events_of(uuid4(), [1])
            await store.append([replace(event, meta=event.meta.model_copy(update={"shard": shard}))])

        async def positions(*asked: Any) -> list[int]:
            return [event.position for event in await store.shard_events(*asked)]

        assert await positions({3, 7}, 0, 5) == [1, 2, 4, 5]
        assert await positions([3, 7], 1, 4) == [2, 4]
        assert await positions({3, 7}, 1, 5, 2) == [2, 4]
        assert await positions({5}, 3, 9) == []
        assert (await store.shard_events([5], 0, 9))[0].meta.shard == 5

    async def test_a_subscription_gives_what_is_there_and_what_comes(self, store: SharedStore) -> None:
        """Everything later than the position, in order, each once; a reader who waits is told of what comes."""
        stream = uuid4()
        await store.append(events_of(stream, [1, 2, 3]))
        seen: list[int] = []

        async def read() -> None:
            async with store.subscribe(1) as batches:
                async for batch in batches:
                    seen.extend(event.position for event in batch)
                    if len(seen) >= 5:
                        return

        reading = asyncio.create_task(read())
        await store.append(events_of(stream, [4]))
        await store.append(events_of(uuid4(), [1, 2]))
        await reading
        assert seen == [2, 3, 4, 5, 6]

    async def test_what_is_no_command_is_refused(self, store: EventStore) -> None:
        """No events, a hole in the versions, version 0, and a fence against oneself are mistakes of the caller."""
        stream = uuid4()
        for events, expects in (
            ([], {}),
            (events_of(stream, [1, 3]), {}),
            (events_of(stream, [0]), {}),
            (events_of(stream, [2]), {stream: 2}),
        ):
            with pytest.raises(ValueError):
                await store.append(events, expects)
        assert await store.head() == 0

    async def test_a_bulk_command_is_stored_like_any_other(self, store: EventStore) -> None:
        """A single command may be larger than a commit usually is."""
        events = events_of(uuid4(), range(1, 1301))
        assert await store.append(events, lane="bulk") == 1300
        assert len(await store.load(events[0].stream)) == 1300
