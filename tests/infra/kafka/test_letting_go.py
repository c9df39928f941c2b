"""A producer is let go of in whatever state it is."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.structs import TopicPartition

from horae.infra.kafka.letting_go import let_go


async def test_a_batch_that_waits_to_be_sent_again_is_let_go_without_complaint() -> None:
    """It was sent once, the broker did not answer, and it lies in the queue again: the library forgets it there."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1")
    accumulator, place = producer._message_accumulator, TopicPartition("topic", 0)
    builder = accumulator.create_builder()
    builder.append(timestamp=None, key=b"k", value=b"v")
    future = await accumulator.add_batch(builder, place, 1)
    accumulator.reenqueue(accumulator._pop_batch(place))
    await let_go(producer, 1.0)
    await asyncio.gather(future, return_exceptions=True)
    await asyncio.sleep(0)
    assert complaints == []
