"""What can befall Kafka: it dies, forgets how far its readers were, loses the ends of partitions, gets more of them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Literal

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from horae.infra.kafka.topics import topics_of
from tests.e2e.stack.house import House


async def restart(house: House) -> None:
    """Kill the broker and start it again; returns when it answers."""
    await asyncio.to_thread(house.stack.kafka.kill)
    await asyncio.to_thread(house.stack.kafka.start)


async def widen(house: House, partitions: int) -> None:
    """Add partitions to every topic while all goes on, as an operator would."""
    house.partitions = partitions
    await house.run("migrate")


async def ends(house: House) -> dict[TopicPartition, int]:
    """Where each partition of the log's topic ends."""
    topic = topics_of(house.settings()).log
    consumer = AIOKafkaConsumer(bootstrap_servers=house.stack.kafka.bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        found = [TopicPartition(topic, number) for number in range(house.partitions)]
        ended: dict[TopicPartition, int] = await consumer.end_offsets(found)
        return ended
    finally:
        await consumer.stop()


async def forget(house: House, kind: Literal["worker", "indexer"], to: Literal["start", "end"]) -> None:
    """Kill all of these readers, let their group believe that it has read nothing, or everything, and start them again.

    Kafka takes offsets from outside only when it has missed the dead members, which is after their session's timeout.
    """
    settings = house.settings()
    group = settings.kafka_consumer_group + ("" if kind == "worker" else "-search")
    readers = house.of(kind)
    await asyncio.gather(*(part.kill_for_good() for part in readers))
    try:
        offsets = dict.fromkeys(await ends(house), 0) if to == "start" else await ends(house)

        async def committed() -> bool:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=house.stack.kafka.bootstrap, group_id=group, enable_auto_commit=False
            )
            await consumer.start()
            try:
                consumer.assign(list(offsets))
                await consumer.commit(offsets)
            except KafkaError:
                return False
            finally:
                await consumer.stop()
            return True

        await house.until_seen(committed, what=f"the group {group} is without members")
    finally:
        await asyncio.gather(*(part.start() for part in readers))


async def lose_tails(house: House, events: int, partitions: int = 4) -> int:
    """Let the ends of the busiest partitions vanish before anybody has read them; how many records at least.

    The readers stand still while the relay sends `events` events; then the relay stands still and the broker dies, and
    of what came last half is gone when it is back, as after a power cut.
    """
    readers, relays = [*house.of("worker"), *house.of("indexer")], house.of("relay")
    for part in readers:
        part.freeze()
    try:
        before = _sizes(house)
        (sent,) = await house.ask("SELECT position FROM sys.relay")

        async def further() -> bool:
            (row,) = await house.ask("SELECT position FROM sys.relay")
            return bool(row["position"] >= sent["position"] + events)

        await house.until_seen(further, what=f"the relay sends {events} events")
        for part in relays:
            part.freeze()
        known = await ends(house)
        await asyncio.to_thread(house.stack.kafka.kill)
        grown = {path: size - before.get(path, 0) for path, size in _sizes(house).items()}
        for path in sorted(grown, key=lambda path: grown[path])[-partitions:]:
            os.truncate(path, path.stat().st_size - grown[path] // 2)
    finally:
        for part in readers:
            part.thaw()
    try:
        await asyncio.to_thread(house.stack.kafka.start)
        now = await ends(house)
    finally:
        for part in relays:
            part.thaw()
    return sum(max(0, known[partition] - now[partition]) for partition in known)


def _sizes(house: House) -> dict[Path, int]:
    """Of each partition's newest segment."""
    topic = topics_of(house.settings()).log
    folders = (house.stack.folder / "kafka" / "data").glob(f"{topic}-*")
    newest = [max(folder.glob("*.log")) for folder in folders]
    return {path: path.stat().st_size for path in newest}
