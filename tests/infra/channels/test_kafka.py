"""The Kafka channel against a real broker, which is there, away, silent, or back."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from horae.domain.channel import Kafka
from horae.domain.delivery import Mode
from horae.infra.channels.kafka import KafkaChannel
from horae.infra.stack import KafkaServer
from horae.streams.channels import Channel, ReleaseFailed
from tests.contracts.channel import Arrived, ChannelContract, release_to
from tests.fixtures.topics import make_topics, read_topic

TOPIC = "notifications-due"
ADDRESS = Kafka(TOPIC)
TOPICS = frozenset({TOPIC, "sms-due"})


@pytest.fixture
async def channel(kafka: KafkaServer, topic_prefix: str) -> AsyncIterator[KafkaChannel]:
    """A channel with a topic of its own that has one partition, so that there is an order of arrival."""
    kafka.start()
    await make_topics(kafka.bootstrap, topic_prefix + TOPIC)
    channel = KafkaChannel(kafka.bootstrap, TOPICS, prefix=topic_prefix)
    yield channel
    await channel.aclose()


@pytest.fixture
def arrived(kafka: KafkaServer, topic_prefix: str) -> Arrived:
    """The values on the topic."""

    def read() -> list[dict[str, Any]]:
        with ThreadPoolExecutor(1) as thread:
            records = thread.submit(lambda: asyncio.run(read_topic(kafka.bootstrap, topic_prefix + TOPIC))).result()
        return [json.loads(record.value) for record in records]

    return read


class TestKafkaChannel(ChannelContract):
    """The contract."""

    address = ADDRESS


@pytest.mark.covers("EXT-24", "DSP-20")
async def test_a_message_is_keyed_by_recipient_and_says_what_it_is(
    channel: Channel, kafka: KafkaServer, topic_prefix: str
) -> None:
    """Headers are enough to route it and to know a repeat; the receipt tells where it lies."""
    receipt = await channel.release(release_to(ADDRESS, attempt=2))
    [record] = await read_topic(kafka.bootstrap, topic_prefix + TOPIC)
    assert record.key == b"ann"
    assert receipt.response == {"partition": 0, "offset": record.offset}
    assert {name: value.decode() for name, value in record.headers} == {
        "occurrence-id": "00000000-0000-0000-0000-000000000001",
        "schedule-id": "00000000-0000-0000-0000-000000000007",
        "tenant": "acme",
        "attempt": "2",
        "due-at": "2030-01-01T08:00:00Z",
        "content-type": "application/json",
        "ce_specversion": "1.0",
        "ce_id": "00000000-0000-0000-0000-000000000001",
        "ce_source": "/horae/acme",
        "ce_subject": "00000000-0000-0000-0000-000000000007",
        "ce_type": "horae.notification.due.v1",
        "ce_time": "2030-01-01T08:00:00Z",
    }


async def test_every_attempt_of_an_occurrence_is_the_same_cloud_event(
    channel: Channel, kafka: KafkaServer, topic_prefix: str
) -> None:
    """A consumer that drops what it has seen by `ce_source` and `ce_id` sees at_least_once as once."""
    for attempt in (1, 2):
        await channel.release(release_to(ADDRESS, attempt=attempt))
    records = await read_topic(kafka.bootstrap, topic_prefix + TOPIC)
    assert len({(dict(r.headers)["ce_source"], dict(r.headers)["ce_id"]) for r in records}) == 1


async def test_a_recipients_messages_keep_their_order_over_many_partitions(
    channel: Channel, kafka: KafkaServer, topic_prefix: str
) -> None:
    """One key, one partition."""
    await make_topics(kafka.bootstrap, topic_prefix + "sms-due", partitions=8)
    for number in range(1, 41):
        await channel.release(release_to(Kafka("sms-due"), number, recipient=f"user-{number % 10}"))
    records = await read_topic(kafka.bootstrap, topic_prefix + "sms-due")
    places = {record.key: record.partition for record in records}
    assert all(places[record.key] == record.partition for record in records)
    assert len(set(places.values())) > 1
    for key in places:
        numbers = [UUID(json.loads(r.value)["occurrence_id"]).int for r in records if r.key == key]
        assert numbers == sorted(numbers)


@pytest.mark.parametrize("topic", ["horae-log", "schedule-commands"])
async def test_a_topic_that_is_not_for_releases_is_never_written(channel: Channel, topic: str) -> None:
    """Whatever a schedule from other times may name: this is looked at again on the way out."""
    with pytest.raises(ReleaseFailed) as failed:
        await channel.release(release_to(Kafka(topic)))
    failure = failed.value.failure
    assert (failure.kind, failure.nothing_arrived, failure.retryable) == ("channel", True, False)


async def test_a_topic_that_is_not_there_took_nothing(channel: Channel) -> None:
    """Topics are made at the start of a process; until then it is tried again."""
    with pytest.raises(ReleaseFailed) as failed:
        await channel.release(release_to(Kafka("sms-due"), timeout=timedelta(seconds=1)))
    assert failed.value.failure.nothing_arrived
    assert failed.value.failure.retryable


async def test_a_message_that_no_broker_takes_is_not_tried_again(channel: Channel) -> None:
    """It was refused before it was sent."""
    with pytest.raises(ReleaseFailed) as failed:
        await channel.release(release_to(ADDRESS, content={"text": "x" * 1_100_000}))
    failure = failed.value.failure
    assert (failure.kind, failure.nothing_arrived, failure.retryable) == ("channel", True, False)


@pytest.mark.parametrize("used_before", [False, True])
async def test_a_broker_that_is_away_took_nothing(
    channel: Channel, kafka: KafkaServer, arrived: Arrived, *, used_before: bool
) -> None:
    """So that at_most_once may try again; when it is back the same channel goes on, and nothing comes twice."""
    if used_before:
        await channel.release(release_to(ADDRESS, 1))
    await asyncio.to_thread(kafka.kill)
    for number in (2, 3):
        with pytest.raises(ReleaseFailed) as failed:
            await channel.release(release_to(ADDRESS, number, mode=Mode.AT_MOST_ONCE, timeout=timedelta(seconds=2)))
        assert failed.value.failure.nothing_arrived, failed.value.failure
        assert failed.value.failure.retryable
    await asyncio.to_thread(kafka.start)
    await _until_taken(channel, 4)
    numbers = [UUID(document["occurrence_id"]).int for document in arrived()]
    assert numbers == ([1, 4] if used_before else [4])


async def test_a_broker_that_is_silent_leaves_it_unknown_and_nothing_comes_out_late(
    kafka: KafkaServer, topic_prefix: str, arrived: Arrived
) -> None:
    """The attempt's time ends it. What the broker had not got by then is thrown away, not sent when it is back."""
    kafka.start()
    await make_topics(kafka.bootstrap, topic_prefix + TOPIC)
    channel = KafkaChannel(kafka.bootstrap, TOPICS, prefix=topic_prefix, stale_s=0.2)
    await channel.release(release_to(ADDRESS, 1))
    os.killpg(kafka.pid, signal.SIGSTOP)
    # Until then it may go on for a moment.
    await asyncio.to_thread(os.waitid, os.P_PID, kafka.pid, os.WSTOPPED | os.WNOWAIT)
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await channel.release(release_to(ADDRESS, 2))
        # The first is in the broker's hands already; this one waits behind it, here.
        with pytest.raises((TimeoutError, ReleaseFailed)) as failed:
            async with asyncio.timeout(2):
                await channel.release(release_to(ADDRESS, 3))
        if isinstance(failed.value, ReleaseFailed):
            assert not failed.value.failure.nothing_arrived
    finally:
        os.killpg(kafka.pid, signal.SIGCONT)
    await _until_taken(channel, 4)
    await channel.aclose()
    numbers = [UUID(document["occurrence_id"]).int for document in arrived()]
    assert numbers.count(1) == numbers.count(4) == 1
    assert numbers.count(3) == 0
    assert numbers.count(2) <= 1


async def test_a_closed_channel_takes_nothing(channel: Channel) -> None:
    """And says that nothing arrived."""
    await channel.aclose()
    with pytest.raises(ReleaseFailed) as failed:
        await channel.release(release_to(ADDRESS))
    assert failed.value.failure.nothing_arrived


async def _until_taken(channel: Channel, number: int) -> None:
    """Try like the dispatcher: again, for as long as nothing has arrived."""
    while True:
        try:
            await channel.release(release_to(ADDRESS, number))
        except ReleaseFailed as failed:
            if not failed.failure.nothing_arrived:
                raise
        else:
            return
