"""What every publisher must do, whatever stands behind it.

Subclass `PublisherContract` and give it the fixtures `publisher`, `topic` (with four partitions, empty), `arrived` and
`widen`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from horae.streams.relay import Message, Publisher

PARTITIONS = 4

#: Everything on a topic, by partition and in order.
Arrived = Callable[[str], Awaitable[list[list[Message]]]]
#: Add partitions to a topic.
Widen = Callable[[str, int], Awaitable[None]]


def message(topic: str, key: str, value: str, partition: int | None = None, **headers: str) -> Message:
    """A message of texts."""
    return Message(topic, key.encode(), value.encode(), [(k, v.encode()) for k, v in headers.items()], partition)


async def _widths(publisher: Publisher, topic: str) -> AsyncIterator[int]:
    """What it says, asked again and again."""
    while True:
        yield await publisher.partitions(topic)
        await asyncio.sleep(0)


class PublisherContract:
    """The suite."""

    async def test_a_message_arrives_whole_where_it_was_sent(
        self, publisher: Publisher, topic: str, arrived: Arrived
    ) -> None:
        """Key, value and headers, on the partition that it names."""
        sent = message(topic, "k", "v", 2, position="7", shard="3")
        await publisher.publish([sent])
        assert await arrived(topic) == [[], [], [sent], []]

    async def test_a_partitions_messages_stay_in_order(
        self, publisher: Publisher, topic: str, arrived: Arrived
    ) -> None:
        """Within one call and over calls, also when they do not fit into one request."""
        large = "x" * 5_000
        sent = [message(topic, str(n), f"{n} {large}", n % 2) for n in range(600)]
        await publisher.publish(sent[:500])
        await publisher.publish(sent[500:])
        assert await arrived(topic) == [sent[0::2], sent[1::2], [], []]

    async def test_messages_of_one_key_go_where_every_client_puts_that_key(
        self, publisher: Publisher, topic: str, arrived: Arrived
    ) -> None:
        """A service that partitions its own topic by the same key finds both sides at the same number."""
        one, other = "01932c5b-0000-7000-8000-000000000001", "01932c5b-0000-8000-8000-000000000002"
        await publisher.publish([message(topic, key, key) for key in (one, other, "a", "d")])
        found = [[told.key.decode() for told in partition] for partition in await arrived(topic)]
        # As Kafka's own Java client places them: toPositive(murmur2(key)) % 4.
        assert found == [["a"], ["d"], [one], [other]]

    async def test_partitions_that_are_added_are_seen(self, publisher: Publisher, topic: str, widen: Widen) -> None:
        """Without a new start, soon enough to wait for."""
        assert await publisher.partitions(topic) == PARTITIONS
        await widen(topic, 6)
        async for width in _widths(publisher, topic):
            if width == 6:
                break

    async def test_nothing_to_publish_is_published(self, publisher: Publisher, topic: str, arrived: Arrived) -> None:
        """An empty call returns."""
        await publisher.publish([])
        assert await arrived(topic) == [[], [], [], []]
