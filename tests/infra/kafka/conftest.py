"""A broker, and what lies on its topics, for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from horae.infra.kafka.topics import topics_of
from horae.infra.settings import Settings
from horae.infra.stack import KafkaServer
from horae.streams.relay import Message
from horae.streams.topics import Topics
from tests.fixtures.postgres import Database
from tests.fixtures.topics import read_topic


@pytest.fixture
def broker(kafka: KafkaServer) -> KafkaServer:
    """The test process's broker, running whatever the test before did to it."""
    kafka.start()
    return kafka


@pytest.fixture
def settings(broker: KafkaServer, database: Database, topic_prefix: str, tmp_path: Path) -> Settings:
    """An installation with topics of its own, four partitions each; nothing is made yet."""
    return Settings(
        kafka_brokers=broker.bootstrap,
        kafka_topic_prefix=topic_prefix,
        kafka_partitions=4,
        dsn=SecretStr(database.owner_dsn),
        data=tmp_path,
    )


@pytest.fixture
def topics(settings: Settings) -> Topics:
    """Their names."""
    return topics_of(settings)


async def lying_on(bootstrap: str, topic: str, partitions: int = 4) -> list[list[Message]]:
    """Everything on a topic, by partition and in order."""
    found: list[list[Message]] = [[] for _ in range(partitions)]
    for record in await read_topic(bootstrap, topic):
        while len(found) <= record.partition:
            found.append([])
        found[record.partition].append(Message(topic, record.key, record.value, list(record.headers), record.partition))
    return found
