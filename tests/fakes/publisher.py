"""Kafka in memory, as the relay sees it: partitions that grow, and calls that fail on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from horae.infra.kafka.publisher import partition_by_key
from horae.streams.relay import Message, Undelivered


@dataclass
class InMemoryPublisher:
    """Passes the contract of the real one. `failures`: what the next calls do instead of publishing."""

    width: int = 4
    topics: dict[str, list[list[Message]]] = field(default_factory=dict)
    #: `lost`: nothing arrived; `unacknowledged`: all of it arrived, and nobody was told.
    failures: list[Literal["lost", "unacknowledged"]] = field(default_factory=list)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def partitions(self, topic: str) -> int:
        return len(self.of(topic))

    async def publish(self, messages: Sequence[Message]) -> None:
        failure = self.failures.pop(0) if self.failures else None
        if failure != "lost":
            for message in messages:
                partitions = self.of(message.topic)
                place = message.partition
                if place is None:
                    place = partition_by_key(message.key, len(partitions))
                partitions[place].append(replace(message, partition=place))
        async with self._changed:
            self._changed.notify_all()
        if failure is not None:
            raise Undelivered(failure)

    async def until(self, so: Callable[[], bool]) -> None:
        """Return when what was published makes it so."""
        async with self._changed:
            await self._changed.wait_for(so)

    def of(self, topic: str) -> list[list[Message]]:
        """The topic's partitions."""
        return self.topics.setdefault(topic, [[] for _ in range(self.width)])

    def widen(self, topic: str, partitions: int) -> None:
        """Add empty partitions."""
        self.of(topic).extend([] for _ in range(partitions - len(self.of(topic))))
