"""A Kafka of our own: made once, answers when it says so, found again after any crash."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from horae.infra.stack import KafkaServer, StackError
from horae.infra.stack.identity import ProcessIdentity

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]


async def _send(bootstrap: str, topic: str, *values: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        for value in values:
            await producer.send_and_wait(topic, value)


async def _create(bootstrap: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()


async def _read(bootstrap: str, topic: str, number: int) -> list[bytes | None]:
    async with AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        return [(await consumer.getone()).value for _ in range(number)]


async def _partitions(bootstrap: str, topic: str) -> int:
    """Asked by the topic's name, which makes it where topics are made by asking."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        return len((await admin.describe_topics([topic]))[0]["partitions"])
    finally:
        await admin.close()


async def test_what_is_sent_can_be_read(kafka: KafkaServer, topic_prefix: str) -> None:
    """A started broker serves at once: no client has to wait or try again."""
    await _create(kafka.bootstrap, f"{topic_prefix}log")
    await _send(kafka.bootstrap, f"{topic_prefix}log", b"one", b"two")
    assert await _read(kafka.bootstrap, f"{topic_prefix}log", 2) == [b"one", b"two"]


async def test_a_kill_loses_nothing_and_moves_nothing(kafka: KafkaServer, topic_prefix: str) -> None:
    """After SIGKILL the next start has the same port and every acknowledged record."""
    await _create(kafka.bootstrap, f"{topic_prefix}log")
    await _send(kafka.bootstrap, f"{topic_prefix}log", b"kept")
    before, pid = kafka.bootstrap, kafka.pid
    kafka.kill()
    assert not kafka.running
    kafka.start()
    assert (kafka.bootstrap, kafka.pid != pid) == (before, True)
    assert await _read(kafka.bootstrap, f"{topic_prefix}log", 1) == [b"kept"]


async def test_a_misspelt_topic_is_not_made(kafka: KafkaServer, topic_prefix: str) -> None:
    """Asking for a topic does not create it."""
    await _create(kafka.bootstrap, f"{topic_prefix}log")
    # Made is not yet known to everybody who asks: the broker learns of it from its controller.
    await _send(kafka.bootstrap, f"{topic_prefix}log", b"known")
    assert await _partitions(kafka.bootstrap, f"{topic_prefix}lgo") == 0
    assert await _partitions(kafka.bootstrap, f"{topic_prefix}log") == 1
    assert await _partitions(kafka.bootstrap, f"{topic_prefix}lgo") == 0


def test_a_folder_has_one_owner(kafka: KafkaServer, stack_folder: Callable[[str], Path]) -> None:
    """A second server on the same folder is refused, naming who has it; a running one takes no second start."""
    pid = kafka.pid
    kafka.start()
    assert kafka.pid == pid
    with pytest.raises(StackError, match=rf"is in use by process {os.getpid()}"):
        KafkaServer(kafka.log.parent).start()


def test_it_does_not_run_as_root(kafka: KafkaServer) -> None:
    """Whoever starts it, the server has no more rights than it needs, and a session that Ctrl-C does not reach."""
    assert ProcessIdentity.of(kafka.pid) is not None
    assert Path(f"/proc/{kafka.pid}").stat().st_uid != 0
    assert os.getsid(kafka.pid) == kafka.pid
