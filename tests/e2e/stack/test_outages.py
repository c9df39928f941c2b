"""Elasticsearch, Kafka, then both are gone for a while, under use: what goes on, what is said of it, what comes after.

One service for all, so each test leaves it whole. What is killed is killed at once, as by a power cut of that machine.
Lateness and the time to catch up are printed at the end of the run.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio

from horae.infra.stack import ElasticsearchServer, KafkaServer
from tests.e2e.conftest import MakeService
from tests.e2e.harness import Service, ended
from tests.e2e.live import running
from tests.e2e.profiles import STACK, Profile
from tests.e2e.receiver import Receiver
from tests.e2e.stack.errands import Errands
from tests.e2e.stack.truth import claimed_once, figures, replayed, searched, seen

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.stack,
    pytest.mark.crash,
    pytest.mark.timeout(900),
    pytest.mark.asyncio(loop_scope="module"),
]

#: Created one after the other at each step.
MANY = 20

Report = Callable[[str, object], None]


@pytest.fixture(scope="module")
def profile(kafka: KafkaServer, elasticsearch: ElasticsearchServer) -> Profile:
    """The stack alone: the other profile has nothing that could be away."""
    return Profile(STACK, kafka, elasticsearch)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(profile: Profile) -> AsyncIterator[Service]:
    """`horae run` with two workers."""
    async with running(profile, kafka_stays=False) as live:
        yield live.service


@pytest.fixture(autouse=True)
def servers_again(kafka: KafkaServer, elasticsearch: ElasticsearchServer) -> Iterator[None]:
    """Whatever became of the test, the next one and the end find both running."""
    yield
    kafka.start()
    elasticsearch.start()


async def in_thread(*works: Callable[[], Any]) -> float:
    """Run what blocks, side by side; how long it took, in seconds."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.gather(*(asyncio.to_thread(work) for work in works))
    return loop.time() - began


async def same(service: Service) -> str:
    """Every slot has one claim, and read models and search index say what the log says."""
    await claimed_once(service)
    return f"{await searched(service)}; {await replayed(service)}"


@pytest.mark.covers("REL-06", "REL-13", "EXT-19")
async def test_without_elasticsearch(
    service: Service, elasticsearch: ElasticsearchServer, hooks: Receiver, record_property: Report
) -> None:
    """PostgreSQL answers searches and says so; nothing else notices, and Elasticsearch has everything afterwards."""
    loop = asyncio.get_running_loop()
    async with service.client() as client:
        errands = Errands(service, client, hooks, "quince")
        await errands.degraded()
        await in_thread(elasticsearch.kill)
        away = await errands.hook(MANY)
        await errands.degraded("search")
        await errands.finds("postgresql", MANY)
        assert (await figures(client))["horae_search_failing"] == 1
        started_s = await in_thread(elasticsearch.start)
        began = loop.time()
        await errands.finds("elasticsearch", MANY)
        found_s = loop.time() - began
        await errands.degraded()
        await errands.once()
    record_property(
        "report",
        f"Elasticsearch away: {errands.lateness(away)}; it started in {started_s:.0f} s and had caught up "
        f"{found_s:.1f} s later; {await same(service)}",
    )


@pytest.mark.covers("REL-03", "REL-06", "REL-13")
async def test_without_kafka(service: Service, kafka: KafkaServer, hooks: Receiver, record_property: Report) -> None:
    """Schedules fire from the event store, at first as late as silence is waited for; later Kafka has everything.

    What is to go out by Kafka waits for it.
    """
    loop = asyncio.get_running_loop()
    async with service.client() as client:
        errands = Errands(service, client, hooks, "medlar")
        await errands.degraded()
        before = await errands.hook(MANY)
        await in_thread(kafka.kill)
        at_first = await errands.hook(MANY)
        await errands.degraded("kafka", "relay")

        async def from_the_store() -> bool:
            told = await figures(client)
            return told.get("horae_shards_fed_directly") == 64 and told.get("horae_relay_lag_positions", 0) > 0

        await seen(from_the_store, "every shard is fed from the event store, and Kafka lacks events", service)
        await errands.topic(5)
        later = await errands.hook(MANY)
        await errands.finds("elasticsearch", 3 * MANY + 5)
        started_s = await in_thread(kafka.start)
        began = loop.time()
        await errands.degraded()
        road_s = loop.time() - began
        after = await errands.hook(MANY)
        await errands.once()
    record_property(
        "report",
        f"with Kafka: {errands.lateness(before)}; Kafka just gone: {errands.lateness(at_first)}; from the event store: "
        f"{errands.lateness(later)}; it started in {started_s:.0f} s, relay and workers were back on it {road_s:.1f} s "
        f"later: {errands.lateness(after)}; {await same(service)}",
    )


@pytest.mark.covers("REL-06", "REL-13", "REL-18")
async def test_without_both(
    service: Service,
    kafka: KafkaServer,
    elasticsearch: ElasticsearchServer,
    hooks: Receiver,
    record_property: Report,
) -> None:
    """With PostgreSQL alone all that it promises holds, also when a worker is killed and starts again meanwhile."""
    loop = asyncio.get_running_loop()
    async with service.client() as client:
        errands = Errands(service, client, hooks, "sorrel")
        await errands.degraded()
        await in_thread(kafka.kill, elasticsearch.kill)
        at_first = await errands.hook(MANY)
        await errands.degraded("kafka", "relay", "search")
        await errands.topic(5)
        worker = service.family()["worker"]
        os.kill(worker, signal.SIGKILL)
        await ended(worker)
        killed = await errands.hook(MANY)
        await errands.finds("postgresql", 2 * MANY + 5)
        started_s = await in_thread(kafka.start, elasticsearch.start)
        began = loop.time()
        await errands.degraded()
        healthy_s = loop.time() - began
        after = await errands.hook(MANY)
        await errands.finds("elasticsearch", 3 * MANY + 5)
        await errands.once()
    record_property(
        "report",
        f"both gone: {errands.lateness(at_first)}; a worker killed, too: {errands.lateness(killed)}; they started in "
        f"{started_s:.0f} s, all was healthy {healthy_s:.1f} s later: {errands.lateness(after)}; {await same(service)}",
    )


@pytest.mark.covers("REL-03", "REL-06")
@pytest.mark.asyncio(loop_scope="function")
async def test_a_start_while_both_are_away(
    make_service: MakeService,
    kafka: KafkaServer,
    elasticsearch: ElasticsearchServer,
    receiver: Receiver,
    record_property: Report,
) -> None:
    """It is ready without them, and fires; topics and indices are made when there is somebody to make them."""
    loop = asyncio.get_running_loop()
    service = make_service()
    await in_thread(kafka.kill, elasticsearch.kill)
    began = loop.time()
    await service.start()
    started_s = loop.time() - began
    async with service.client() as client:
        errands = Errands(service, client, receiver, "damson")
        away = await errands.hook(MANY)
        await errands.topic(5)
        await errands.degraded("kafka", "relay", "search")
        await errands.finds("postgresql", MANY + 5)
        await in_thread(kafka.start, elasticsearch.start)
        began = loop.time()
        await errands.degraded()
        healthy_s = loop.time() - began
        after = await errands.hook(MANY)
        await errands.finds("elasticsearch", 2 * MANY + 5)
        await errands.once()
    record_property(
        "report",
        f"ready without both in {started_s:.0f} s: {errands.lateness(away)}; healthy {healthy_s:.1f} s after they "
        f"were: {errands.lateness(after)}; {await same(service)}",
    )
