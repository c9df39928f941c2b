"""From a schedule that names a topic to a message on it, through the real processes and a real broker."""

import asyncio
import json

import pytest

from horae.infra.stack import KafkaServer
from tests.e2e.conftest import MakeService
from tests.fixtures.topics import make_topics, read_topic


@pytest.mark.covers("EXT-24", "DSP-20", "INT-17")
async def test_a_schedule_is_released_to_kafka(
    kafka: KafkaServer, topic_prefix: str, make_service: MakeService
) -> None:
    """Once, also when the broker is away at the moment: then by a retry when it is back."""
    kafka.start()
    topic = f"{topic_prefix}notifications-due"
    await make_topics(kafka.bootstrap, topic, partitions=4)
    service = make_service()
    service.environment |= {
        "KAFKA_BROKERS": kafka.bootstrap,
        "HORAE_KAFKA_TOPIC_PREFIX": topic_prefix,
        "HORAE_KAFKA_RELEASE_TOPICS": "notifications-due",
    }
    await service.start()
    retry = {"strategy": "fixed", "retries": 20, "delay": "PT1S"}
    wanted = {"channel": "kafka:notifications-due", "delivery": {"mode": "at_most_once", "retry": retry}}
    async with service.client() as client:
        first = await service.create(client, recipient="ann", **wanted)
        await service.until(lambda event: event["event"] == "occurrence.ended.v1")
        await asyncio.to_thread(kafka.kill)
        second = await service.create(client, recipient="bob", **wanted)
        await service.until(lambda event: event["event"] == "occurrence.attempt_failed.v1")
        await asyncio.to_thread(kafka.start)
        ends = await service.until(lambda event: event["event"] == "occurrence.ended.v1", 2)
        refused = await client.post(
            "/v1/schedules", json={"recipient": "eve", "channel": "kafka:horae-log", "timing": {"kind": "now"}}
        )
    assert [end["data"]["outcome"] for end in ends] == ["delivered", "delivered"]
    assert (refused.status_code, refused.json()["field"]) == (422, "channel")
    records = await read_topic(kafka.bootstrap, topic)
    assert {(record.key, json.loads(record.value)["schedule_id"]) for record in records} == {
        (b"ann", first["id"]),
        (b"bob", second["id"]),
    }
    assert len(records) == 2
