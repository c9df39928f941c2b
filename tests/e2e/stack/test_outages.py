"""Elasticsearch, Kafka, then both are gone for a while, under use: what goes on, what is said of it, what comes after.

One house for all, so each test leaves it whole. What is killed is killed at once, as by a power cut of that machine.
Lateness and the time to catch up are printed at the end of the run.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.receiver import Receiver
from tests.e2e.stack.errands import Errands, in_thread
from tests.e2e.stack.house import House
from tests.e2e.stack.truth import claimed_once, rebuilt, searched
from tests.fixtures.stack import require_tools

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.stack,
    pytest.mark.crash,
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="module"),
]

#: Created one after the other at each step.
MANY = 20
#: A broker that comes back gives the group its partitions anew, and a client that backed off asks again.
CAUGHT_UP_S = 120.0

Report = Callable[[str, object], None]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that the servers' own user can reach."""
    made = Path(tempfile.mkdtemp(prefix="horae-house-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(folder: Path) -> AsyncIterator[House]:
    """Two workers, a relay and an indexer on four partitions."""
    require_tools()
    async with House(folder, workers=2, relays=1, partitions=4) as house:
        yield house


async def healthy(house: House, errands: Errands) -> None:
    """Return when nothing is degraded, Kafka feeds every shard, and it has all of the log."""

    async def look() -> bool:
        health = await errands.health()
        return (health["http"], health["status"]) == ("200", "healthy") and await on_the_road(house)

    await house.until_seen(look, CAUGHT_UP_S, "everything is healthy, and on Kafka's road")


async def on_the_road(house: House) -> bool:
    """Is every shard fed by Kafka, and nothing of the log missing there?"""
    figures = await summed(house)
    return figures["horae_shards_fed_directly"] == 0 and figures["horae_relay_lag_positions"] == 0


async def summed(house: House) -> dict[str, float]:
    """The instruments of all who live, by name, as /metrics tells them."""
    found: dict[str, float] = {}
    for beat in (await house.figures()).values():
        for name, value in beat.items():
            found[name] = found.get(name, 0.0) + value
    return found


async def degraded(house: House, errands: Errands, *components: str) -> None:
    """Return when /readyz and /metrics say that these are degraded, no other is, and that we are ready all the same."""

    async def look() -> bool:
        health = await errands.health()
        page = (await errands.client.get("/metrics")).text
        told = {name for name in health if f'component_health{{component="{name}"}} 0.5' in page}
        named = {name for name, status in health.items() if status == "degraded"} - {"status"}
        return (health["http"], health["status"], named, told) == ("200", "degraded", {*components}, {*components})

    await house.until_seen(look, what=f"only {components} are degraded, and both say so")


@pytest.mark.covers("REL-06", "REL-13", "EXT-19")
async def test_without_elasticsearch(house: House, hooks: Receiver, record_property: Report) -> None:
    """PostgreSQL answers searches and says so; nothing else notices, and Elasticsearch has everything afterwards."""
    loop = asyncio.get_running_loop()
    async with house.client() as client:
        errands = Errands(house, client, hooks, "quince")
        await healthy(house, errands)
        await asyncio.to_thread(house.stack.elasticsearch.kill)
        away = await errands.hook(MANY)
        await degraded(house, errands, "search")
        assert await errands.found() == ("postgresql", MANY)
        assert (await summed(house))["horae_search_failing"] == 1
        started_s = await in_thread(house.stack.elasticsearch.start)
        began = loop.time()

        async def found_again() -> bool:
            return await errands.found() == ("elasticsearch", MANY)

        await house.until_seen(found_again, CAUGHT_UP_S, "Elasticsearch finds what was created without it")
        found_s = loop.time() - began
        await healthy(house, errands)
        await errands.ended()
    await errands.once()
    await claimed_once(house)
    index, replay = await searched(house), await rebuilt(house)
    record_property(
        "report",
        f"while Elasticsearch was away {errands.lateness(away)}; it started in {started_s:.0f} s and had caught up "
        f"{found_s:.1f} s later; {index}; {replay}",
    )


@pytest.mark.covers("REL-03", "REL-06", "REL-13")
async def test_without_kafka(house: House, hooks: Receiver, record_property: Report) -> None:
    """Schedules fire from the event store, at most the bound of silence late, and then as ever; Kafka has all later.

    What is to go out by Kafka waits for it.
    """
    loop = asyncio.get_running_loop()
    async with house.client() as client:
        errands = Errands(house, client, hooks, "medlar")
        await healthy(house, errands)
        before = await errands.hook(MANY)
        await asyncio.to_thread(house.stack.kafka.kill)
        at_first = await errands.hook(MANY)
        await degraded(house, errands, "kafka")

        async def from_the_store() -> bool:
            return (await summed(house))["horae_shards_fed_directly"] == 64

        await house.until_seen(from_the_store, what="every shard is fed from the event store")
        await errands.topic(5)
        later = await errands.hook(MANY)

        async def published_less() -> bool:
            return (await summed(house))["horae_relay_lag_positions"] > 0

        await house.until_seen(published_less, what="the relay says that it is behind")

        async def searchable() -> bool:
            return await errands.found() == ("elasticsearch", 3 * MANY + 5)

        await house.until_seen(searchable, what="search has heard of it without Kafka")
        started_s = await in_thread(house.stack.kafka.start)
        began = loop.time()
        await house.until_seen(lambda: on_the_road(house), CAUGHT_UP_S, "Kafka has the log, and feeds every shard")
        road_s = loop.time() - began
        await healthy(house, errands)
        after = await errands.hook(MANY)
        await errands.ended()
    await errands.once()
    await claimed_once(house)
    index, replay = await searched(house), await rebuilt(house)
    record_property(
        "report",
        f"before: {errands.lateness(before)}; Kafka just gone: {errands.lateness(at_first)}; from the event store: "
        f"{errands.lateness(later)}; it started in {started_s:.0f} s, relay and workers were back {road_s:.1f} s "
        f"later: {errands.lateness(after)}; {index}; {replay}",
    )


@pytest.mark.covers("REL-06", "REL-13", "REL-18")
async def test_without_both(house: House, hooks: Receiver, record_property: Report) -> None:
    """With PostgreSQL alone all that it promises holds, also when a worker is killed and starts again meanwhile."""
    loop = asyncio.get_running_loop()
    async with house.client() as client:
        errands = Errands(house, client, hooks, "sorrel")
        await healthy(house, errands)
        servers = (house.stack.kafka, house.stack.elasticsearch)
        await asyncio.gather(*(asyncio.to_thread(server.kill) for server in servers))
        at_first = await errands.hook(MANY)
        await degraded(house, errands, "kafka", "search")
        await errands.topic(5)
        await house.parts["worker-1"].kill()
        killed = await errands.hook(MANY)
        assert await errands.found() == ("postgresql", 2 * MANY + 5)
        started_s = max(await asyncio.gather(*(in_thread(server.start) for server in servers)))
        began = loop.time()
        await healthy(house, errands)
        await house.shared()
        healthy_s = loop.time() - began
        after = await errands.hook(MANY)
        await errands.ended()
    await errands.once()
    await claimed_once(house)
    index, replay = await searched(house), await rebuilt(house)
    record_property(
        "report",
        f"both gone: {errands.lateness(at_first)}; a worker killed: {errands.lateness(killed)}; both started in "
        f"{started_s:.0f} s, all was healthy {healthy_s:.1f} s later: {errands.lateness(after)}; {index}; {replay}",
    )
