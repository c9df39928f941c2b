"""A road for tests: a real group on a real broker, whose arrivals the test takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import faust
from aiokafka import AIOKafkaProducer

from horae.infra.faust.app import add_log_agent, make_app
from horae.infra.faust.road import Partitions, Road
from horae.infra.kafka.security import security_of
from horae.infra.settings import Settings
from horae.streams.arrivals import Arrival, Take

PATIENCE_S = 110.0


class Taker:
    """Takes everything, and remembers it. `before` may refuse or hold up."""

    def __init__(self) -> None:
        self.taken: list[Arrival] = []
        self.batches = 0
        self._came = asyncio.Condition()

    async def __call__(self, batch: Sequence[Arrival]) -> None:
        self.batches += 1
        await self.before(batch)
        self.taken += batch
        async with self._came:
            self._came.notify_all()

    async def before(self, batch: Sequence[Arrival]) -> None:
        """Nothing."""

    @property
    def values(self) -> list[bytes]:
        return [arrival.value or b"" for arrival in self.taken]

    async def until(self, count: int) -> None:
        """Return when so many have been taken."""
        async with asyncio.timeout(PATIENCE_S), self._came:
            await self._came.wait_for(lambda: len(self.taken) >= count)


class Ride:
    """A running road."""

    def __init__(self, settings: Settings, topic: str, make: Callable[[], faust.App]) -> None:
        self.assignments: list[Partitions] = []
        self._changed = asyncio.Condition()
        self.road = Road(make, settings.kafka_brokers, topic, self._assigned, security_of(settings))
        self.task = asyncio.create_task(self.road.run())

    async def _assigned(self, partitions: Partitions) -> None:
        self.assignments.append(partitions)
        async with self._changed:
            self._changed.notify_all()

    async def until(self, owned: int) -> None:
        """Return when so many partitions are ours."""
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: bool(self.assignments) and len(self.assignments[-1].owned) == owned)

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def settings_for(bootstrap: str, prefix: str) -> Settings:
    return Settings(
        data=Path("unused"), profile="stack", kafka_brokers=bootstrap, kafka_consumer_group=f"{prefix}group"
    )


@asynccontextmanager
async def riding(
    bootstrap: str, prefix: str, topic: str, take: Take, make: Callable[[Settings], faust.App] | None = None
) -> AsyncIterator[Ride]:
    """A road on which `take` takes what comes; `make`: another app than the worker's."""
    settings = settings_for(bootstrap, prefix)

    def ours() -> faust.App:
        app = make_app(settings)
        add_log_agent(app, topic, take, 100)
        return app

    ride = Ride(settings, topic, ours if make is None else lambda: make(settings))
    try:
        yield ride
    finally:
        await ride.end()


@asynccontextmanager
async def producing(bootstrap: str) -> AsyncIterator[Any]:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()
