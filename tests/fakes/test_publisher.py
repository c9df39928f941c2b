"""Kafka in memory keeps the publisher's contract."""

from __future__ import annotations

import pytest

from horae.streams.relay import Message
from tests.contracts.publisher import Arrived, PublisherContract, Widen
from tests.fakes.publisher import InMemoryPublisher


@pytest.fixture
def publisher() -> InMemoryPublisher:
    """An empty one."""
    return InMemoryPublisher()


@pytest.fixture
def topic() -> str:
    """Any name."""
    return "some-topic"


@pytest.fixture
def arrived(publisher: InMemoryPublisher) -> Arrived:
    """What lies there."""

    async def read(topic: str) -> list[list[Message]]:
        return [list(partition) for partition in publisher.of(topic)]

    return read


@pytest.fixture
def widen(publisher: InMemoryPublisher) -> Widen:
    """More partitions."""

    async def add(topic: str, partitions: int) -> None:
        publisher.widen(topic, partitions)

    return add


class TestInMemoryPublisher(PublisherContract):
    """The suite."""
