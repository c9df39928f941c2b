"""Feeds the read models from a topic by the real Faust app, with whatever accident a test wants; also as a process.

`python -m tests.infra.faust.eater SETTINGS MARKER`: SETTINGS as JSON; applies the first events and then hangs before
any of them is acknowledged, having said so in MARKER.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import faust
from pydantic import SecretStr

from horae.infra.eventstore import PostgresEventStore
from horae.infra.faust.app import add_log_agent, make_app
from horae.infra.faust.road import Partitions, Road
from horae.infra.kafka.topics import topics_of
from horae.infra.settings import Settings
from horae.projections import schema
from horae.projections.projector import Applied
from horae.streams.arrivals import Arrival, Take
from horae.streams.messages import EventRecord
from horae.streams.shardfeed import ShardFeed

#: Small, so that an accident hits some of what lies on the topic.
BATCH = 10

AddAgent = Callable[[faust.App, str, Take, int], None]


@dataclass
class Eater:
    """A shard feed behind a road. `around` is given each batch and what takes it."""

    feed: ShardFeed
    road: Road
    #: First and last offset of each batch that was given, by partition.
    given: list[dict[int, tuple[int, int]]] = field(default_factory=list)


@asynccontextmanager
async def eating(
    settings: Settings,
    around: Callable[[Take, Sequence[Arrival]], object] | None = None,
    add_agent: AddAgent = add_log_agent,
) -> AsyncIterator[Eater]:
    """An eater at work. `around(take, batch)`, awaited, takes each batch, or does something else."""
    dsn, topic = settings.owner_dsn(), topics_of(settings).log
    given: list[dict[int, tuple[int, int]]] = []
    async with PostgresEventStore(dsn) as store:
        feed = ShardFeed(store, lambda: schema.connect(dsn), [_nobody], time.monotonic)

        async def plain(arrivals: Sequence[Arrival]) -> None:
            await feed.take([arrival.record() for arrival in arrivals])

        async def take(arrivals: Sequence[Arrival]) -> None:
            spans: dict[int, tuple[int, int]] = {}
            for arrival in arrivals:
                first, _ = spans.get(arrival.partition, (arrival.offset, 0))
                spans[arrival.partition] = (first, arrival.offset)
            given.append(spans)
            await (plain(arrivals) if around is None else around(plain, arrivals))  # type: ignore[misc]

        def make() -> faust.App:
            app = make_app(settings)
            add_agent(app, topic, take, BATCH)
            return app

        async def assigned(_: Partitions) -> None:
            await feed.reset()

        road = Road(make, settings.kafka_brokers, topic, assigned)
        running = asyncio.create_task(road.run(), name="road")
        try:
            yield Eater(feed, road, given)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await feed.close()


def has_events(arrivals: Sequence[Arrival]) -> bool:
    """Is there anything but marks among them?"""
    return any(isinstance(arrival.record(), EventRecord) for arrival in arrivals)


async def _nobody(_: Applied) -> None:
    """Nobody wants to know."""


async def _main(told: str, marker: str) -> None:
    values = json.loads(told)
    values["dsn"] = SecretStr(values["dsn"])

    async def hang(take: Take, arrivals: Sequence[Arrival]) -> None:
        await take(arrivals)
        if has_events(arrivals):
            await asyncio.to_thread(Path(marker).write_text, "applied\n")
            await asyncio.Event().wait()

    async with eating(Settings(**values), hang):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
