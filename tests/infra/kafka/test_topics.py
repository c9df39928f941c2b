"""Topics of a real cluster: made as the settings say, widened, never narrowed, and differences told."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from horae.infra.kafka.topics import TopicsError, ensure
from horae.infra.settings import Settings
from horae.streams.topics import Topics

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


def changed(settings: Settings, **values: Any) -> Settings:
    return settings.model_copy(update=values)


async def partitions(settings: Settings, *topics: str) -> dict[str, int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_brokers)
    await admin.start()
    try:
        return {found["topic"]: len(found["partitions"]) for found in await admin.describe_topics(list(topics))}
    finally:
        await admin.close()


@pytest.mark.covers("EXT-24", "ENV-20", "ENV-21")
async def test_every_topic_is_made_once(settings: Settings, topics: Topics) -> None:
    """The second start finds everything in order."""
    assert sorted((await ensure(settings)).made) == sorted(topics.all())
    again = await ensure(settings)
    assert (again.made, again.widened, again.differences) == ([], {}, [])
    assert await partitions(settings, *topics.all()) == dict.fromkeys(topics.all(), 4)


async def test_partitions_are_added_and_never_taken(settings: Settings, topics: Topics) -> None:
    """More are made at the next start; fewer is told, because only the administrator can decide that."""
    await ensure(settings)
    assert (await ensure(changed(settings, kafka_partitions=6))).widened == dict.fromkeys(topics.all(), (4, 6))
    report = await ensure(changed(settings, kafka_partitions=5), only=[topics.log])
    assert [str(difference) for difference in report.differences] == [
        f"topic {topics.log}: the number of partitions is 6, the settings say 5"
    ]


async def test_another_retention_is_told_and_not_changed(settings: Settings, topics: Topics) -> None:
    """Shortening it would delete; so it is a warning that names both values."""
    await ensure(settings)
    report = await ensure(changed(settings, kafka_retention_h=2), only=[topics.log])
    assert [str(difference) for difference in report.differences] == [
        f"topic {topics.log}: retention.ms is 604800000, the settings say 7200000"
    ]


async def test_a_cluster_that_is_too_small_is_refused_with_what_to_do(settings: Settings) -> None:
    """The setting to look at is in the message."""
    with pytest.raises(TopicsError, match=r"HORAE_KAFKA_REPLICATION \(3\)"):
        await ensure(changed(settings, kafka_replication=3))
