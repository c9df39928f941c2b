"""The relay on a real broker and as the real process: killed, doubled, widened, and without its broker for a while."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from horae.infra.kafka.publisher import KafkaPublisher
from horae.infra.kafka.topics import ensure
from horae.infra.settings import Settings
from horae.infra.stack import KafkaServer
from horae.streams.messages import EventRecord, partition_of
from horae.streams.topics import Topics
from tests.fixtures.postgres import Database
from tests.infra.kafka.conftest import lying_on
from tests.streams.relaying import Stage, events, marks, stage_on

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

SHARDS = [n * 7 % 64 for n in range(100)]


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    """A relay's place with the real publisher, and topics that are made."""
    await ensure(settings)
    publisher = KafkaPublisher(settings.kafka_brokers)
    async with publisher, stage_on(settings.owner_dsn(), publisher) as stage:
        yield stage


def chain_is_whole(found: list[EventRecord], head: int) -> None:
    """Every position is there, and each record names the one before it in its shard; repeats say the same."""
    by_position: dict[int, EventRecord] = {}
    for record in found:
        assert by_position.setdefault(record.position, record) == record
    assert sorted(by_position) == list(range(1, head + 1))
    last: dict[int, int] = {}
    for position in sorted(by_position):
        record = by_position[position]
        assert record.previous == last.get(record.shard, 0)
        last[record.shard] = position


@pytest.mark.covers("EXT-24")
async def test_every_event_arrives_where_it_belongs(stage: Stage, settings: Settings, topics: Topics) -> None:
    """In order on its shard's partition, and as a public copy on the topic for it, under the schedule's id."""
    head = await stage.append(*SHARDS, name="occurrence.claimed.v1")
    await stage.relayed(head, topics=topics)
    log = await lying_on(settings.kafka_brokers, topics.log)
    for number, partition in enumerate(log):
        found = events([partition])
        assert {partition_of(record.shard, 4) for record in found} == {number}
        assert found == [record for record in found if record.position]
        assert len(marks(partition)) == 1
    chain_is_whole(events(log), head)
    copies = [copy for partition in await lying_on(settings.kafka_brokers, topics.executions) for copy in partition]
    assert len(copies) == head
    assert {copy.key for copy in copies} == {dict(copies[0].headers)["ce_subject"]}


async def test_partitions_added_while_it_runs_lose_nothing(stage: Stage, settings: Settings, topics: Topics) -> None:
    """Events go on under either number of partitions, and the new ones get marks."""
    relay = stage.relay(topics=topics, mark_every_s=0.05)
    async with stage.running(relay):
        await stage.seat.reached(await stage.append(*SHARDS))
        await ensure(settings.model_copy(update={"kafka_partitions": 6}), only=[topics.log])
        used: set[int] = set()
        while used != set(range(6)):
            await stage.seat.reached(await stage.append(*SHARDS[:6]))
            log = await lying_on(settings.kafka_brokers, topics.log, 6)
            used = {number for number, partition in enumerate(log) if partition}
    head = await stage.store.head()
    chain_is_whole(events(await lying_on(settings.kafka_brokers, topics.log, 6)), head)


@pytest.mark.covers("REL-03", "REL-18")
async def test_a_broker_that_restarts_loses_nothing(
    stage: Stage, settings: Settings, broker: KafkaServer, topics: Topics
) -> None:
    """What was asked for meanwhile is published when it is back; the relay itself is not restarted."""
    relay = stage.relay(topics=topics)
    async with stage.running(relay):
        await stage.seat.reached(await stage.append(*SHARDS[:20]))
        await asyncio.to_thread(broker.stop)
        head = await stage.append(*SHARDS[:50])
        await asyncio.to_thread(broker.start)
        await stage.seat.reached(head)
    chain_is_whole(events(await lying_on(settings.kafka_brokers, topics.log)), head)


async def test_the_example_for_other_services_works(
    stage: Stage, settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    """The consumer in docs/streams.md, as it stands there, counts what was delivered once, however often it is told."""
    text = (Path(__file__).parents[3] / "docs" / "streams.md").read_text(encoding="utf-8")
    code = text.partition("```python\n")[2].partition("```")[0]
    example = tmp_path / "example.py"
    example.write_text(
        code.replace('"schedule-executions"', repr(topics.executions)).replace("localhost:9092", settings.kafka_brokers)
    )
    await stage.relayed(await stage.append(1, name="occurrence.ended.v1"), topics=topics)
    connection = await asyncpg.connect(settings.owner_dsn())
    await connection.execute("UPDATE sys.relay SET position = 0")  # so that it is told again
    await connection.close()
    await stage.relayed(1, topics=topics)
    await stage.relayed(await stage.append(1, name="occurrence.ended.v1"), topics=topics)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-u", str(example), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        await says(process, "Counter({'acme': 2})")
    finally:
        process.kill()
        await process.communicate()


# --- the real process ---


@asynccontextmanager
async def relay_process(settings: Settings, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`horae relay`; killed at the end if it still runs."""
    assert settings.dsn is not None
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "horae.infra.cli.main",
        "relay",
        env={
            **os.environ,
            "HORAE_DATA": str(settings.data),
            "HORAE_DSN": settings.dsn.get_secret_value(),
            "ENCRYPTION_KEY": "ab" * 32,
            "KAFKA_BROKERS": settings.kafka_brokers,
            "HORAE_KAFKA_TOPIC_PREFIX": settings.kafka_topic_prefix,
            "HORAE_KAFKA_PARTITIONS": str(settings.kafka_partitions),
            "HORAE_LOG_FORMAT": "json",
            **environment,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=1 << 20,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def says(process: asyncio.subprocess.Process, word: str) -> None:
    """Return when a line of its log has the word."""
    assert process.stdout is not None
    seen = b""
    async for line in process.stdout:
        seen += line
        if word.encode() in line:
            return
    pytest.fail(f"it ended without {word!r}:\n{seen.decode()}")


async def moved(database: Database, position: int) -> None:
    """Return when the stored position is there."""
    connection = await asyncpg.connect(database.owner_dsn)
    while await connection.fetchval("SELECT position FROM sys.relay") < position:
        await connection.execute("SELECT pg_sleep(0.02)")
    await connection.close()


@pytest.mark.crash
@pytest.mark.covers("REL-03")
async def test_a_relay_killed_between_sending_and_moving_sends_twice_and_loses_nothing(
    settings: Settings, database: Database, topics: Topics, tmp_path: Path
) -> None:
    """The next one finds the old position and repeats the batch, word by word."""
    marker = tmp_path / "hangs"
    os.mkfifo(marker)
    async with stage_on(database.owner_dsn, KafkaPublisher("nowhere:1")) as stage:
        head = await stage.append(*SHARDS)
    fault = {"HORAE_RELAY_FAULT": "hang_after_send=1", "HORAE_FAULT_FILE": str(marker)}
    async with relay_process(settings, **fault) as first:
        told = await asyncio.to_thread(marker.read_text)  # a pipe: returns when the relay has written to it
        assert told == f"batch_sent {first.pid}\n"
        first.kill()
        await first.wait()
    async with relay_process(settings):
        await moved(database, head)
    found = events(await lying_on(settings.kafka_brokers, topics.log))
    chain_is_whole(found, head)
    assert len(found) == 2 * head


@pytest.mark.crash
@pytest.mark.covers("REL-03", "PRF-12")
async def test_a_second_relay_takes_over_when_the_first_is_killed(
    settings: Settings, database: Database, topics: Topics
) -> None:
    """It stood by without sending; then it goes on where the first one was."""
    async with stage_on(database.owner_dsn, KafkaPublisher("nowhere:1")) as stage:
        await stage.append(*SHARDS)
        await stage.seat.__aexit__()
        async with relay_process(settings) as first:
            await says(first, "relay_begins")
            await moved(database, len(SHARDS))
            async with relay_process(settings) as second:
                await says(second, "relay_stands_by")
                first.kill()
                await says(second, "relay_begins")
                head = await stage.append(*SHARDS)
                await moved(database, head)
                second.terminate()
                await second.communicate()
                assert second.returncode == 0
    found = events(await lying_on(settings.kafka_brokers, topics.log))
    chain_is_whole(found, head)
    assert len(found) == head
