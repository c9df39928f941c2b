"""`horae run` in the stack profile: a relay that dies is replaced by one that stood by, and nothing waits for it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from horae.infra.stack import KafkaServer
from tests.e2e.harness import Service, descendants

pytestmark = [pytest.mark.stack, pytest.mark.e2e, pytest.mark.timeout(600), pytest.mark.xdist_group("e2e-relays")]

PATIENCE_S = 110.0
_ACTIVE = """
SELECT i.pid FROM sys.heartbeats h JOIN sys.incarnations i ON i.id = h.incarnation
WHERE h.kind = 'relay' AND i.pid <> $1 ORDER BY h.beat_at DESC LIMIT 1
"""


@pytest.fixture
async def service(data_folder: Path, kafka: KafkaServer, topic_prefix: str) -> AsyncIterator[Service]:
    """On a broker that runs already; nobody searches."""
    kafka.start()
    environment = {
        "HORAE_PROFILE": "stack",
        "KAFKA_BROKERS": kafka.bootstrap,
        "HORAE_KAFKA_TOPIC_PREFIX": topic_prefix,
        "KAFKA_CONSUMER_GROUP": f"{topic_prefix}workers",
        "HORAE_KAFKA_PARTITIONS": "4",
        "ELASTICSEARCH_URL": "http://127.0.0.1:9",
    }
    service = Service(data_folder, environment=environment)
    try:
        yield await service.start()
    finally:
        await service.stop()
        assert not descendants(service.pid), service.tail()


async def active(service: Service, *, other_than: int = 0) -> int:
    """Pid of the relay that publishes, once it is another."""
    connection = await service.connect()
    try:
        async with asyncio.timeout(PATIENCE_S):
            while (pid := await connection.fetchval(_ACTIVE, other_than)) is None:
                await connection.execute("SELECT pg_sleep(0.05)")
            assert isinstance(pid, int)
            return pid
    finally:
        await connection.close()


@pytest.mark.crash
@pytest.mark.covers("REL-03")
async def test_a_relay_that_stood_by_takes_over(service: Service) -> None:
    """It was there before the first one died: its process is older than that death, and no new one had to start."""
    first = await active(service)
    there = set(descendants(service.pid))
    os.kill(first, signal.SIGKILL)
    assert await active(service, other_than=first) in there
