"""A worker: the real feed, dispatcher, recovery and auditor, put together as `infra/working.py` does.

Place in the simulation: every life of a worker process runs `work`. Of several all read the whole log and claim in
every shard at once, which is harder than any installation: there one works, or each has its part.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import Context
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock
from uuid import UUID

from prometheus_client import CollectorRegistry

from horae.commands.occurrences import Occurrences
from horae.domain.ids import uuid7
from horae.streams.auditor import Auditor, AuditorConfig
from horae.streams.channels import Channels
from horae.streams.dispatcher import Dispatcher, DispatcherConfig, PostgresDueSource, endpoints, reading, releasing
from horae.streams.dispatcher import dispatcher as dispatcher_module
from horae.streams.feed import Feed
from horae.streams.metrics import Metrics
from horae.streams.recovery import Recovery, RecoveryConfig
from tests.fakes.event_store import InMemoryEventStore
from tests.fakes.read_models import InMemoryReadModels
from tests.simulation.house import House, Process
from tests.simulation.lines import LineToReadModels, LineToStore
from tests.simulation.loop import SimulatedLoop
from tests.simulation.outside import Outside


class SeededIds:
    """Identifiers from the seed."""

    def __init__(self, house: House, name: str) -> None:
        self._house, self._random = house, random.Random(f"{house.dice.seed} ids {name}")

    def new(self) -> UUID:
        """See `horae.commands.ports.Ids`."""
        return uuid7(int(self._house.now().timestamp() * 1000), self._random.randbytes(10))


@dataclass
class Locks:
    """Who lives, as the database sees it: incarnations whose session holds their lock."""

    house: House
    held: set[int] = field(default_factory=set)
    _last: int = 0

    def open(self, process: Process) -> Incarnation:
        """A new incarnation; its lock is free soon after its death."""
        self._last += 1
        incarnation = Incarnation(self, self._last)
        self.held.add(self._last)
        delay_s = self.house.dice.between("lock freed", 0.0, 2.0)
        process.last_rites.append(lambda: self._free(delay_s, incarnation.id))
        return incarnation

    def _free(self, delay_s: float, owner: int) -> None:
        self.house.loop.call_later(delay_s, self.held.discard, owner, context=Context())

    async def gone(self, owners: Collection[int]) -> set[int]:
        """See `horae.streams.recovery.Lives`."""
        await self.house.gate("locks", {})
        return {owner for owner in owners if owner not in self.held}


@dataclass
class Incarnation:
    """One worker's lock. It may lose it without knowing at once, and takes it again."""

    locks: Locks
    id: int
    holds: bool = True

    async def keep(self) -> None:
        """Lose the lock now and then; notice it after a while; take it again."""
        house = self.locks.house
        while True:
            await asyncio.sleep(house.dice.between("keep", 5.0, 30.0) * house.pace)
            if await house.gate("keep", {"lock lost": 0.06}) is None:
                continue
            self.locks.held.discard(self.id)
            await asyncio.sleep(house.dice.between("noticed", 0.0, 5.0))
            self.holds = False
            await asyncio.sleep(house.dice.between("regained", 0.1, 10.0))
            self.locks.held.add(self.id)
            self.holds = True


@dataclass
class Plant:
    """What all processes share: the stores, who lives, and the receivers."""

    house: House
    store: InMemoryEventStore
    database: InMemoryReadModels
    outside: Outside
    locks: Locks
    #: The newest auditor of each worker, and every silence that one found.
    auditors: dict[str, Auditor] = field(default_factory=dict)
    feeds: dict[str, Feed] = field(default_factory=dict)


async def work(plant: Plant) -> None:
    """One life of a worker."""
    house = plant.house
    process = cast("Process", house.here())
    pace = house.pace
    incarnation = plant.locks.open(process)
    house.note(f"worker begins as {incarnation.id}")
    store, rows = LineToStore(house, plant.store), LineToReadModels(house, plant.database)
    pool = cast(Any, rows)
    metrics = cast("Metrics", _NoMetrics())
    occurrences = Occurrences(store, process.clock, SeededIds(house, f"worker {incarnation.id}"), "UTC")
    channel = plant.outside.channel(process, incarnation.id, lambda: len(plant.store.log))
    dispatcher = Dispatcher(
        DispatcherConfig(max_sleep_s=6.0 * pace, sweep_s=60.0 * pace, horizon_s=120.0 * pace, in_flight=20),
        occurrences,
        process.clock,
        PostgresDueSource(pool),
        Channels(log=channel, webhook=channel),
        incarnation.id,
        metrics=metrics,
        may_claim=lambda: incarnation.holds,
    )
    feed = Feed(store, rows.connect, [dispatcher.on_applied])
    recovery = Recovery(
        RecoveryConfig(every_s=8.0 * pace),
        pool,
        plant.locks,
        occurrences,
        incarnation.id,
        metrics,
        dispatcher.under_way,
    )
    auditor = Auditor(
        AuditorConfig(every_s=60.0 * pace, silent_after_s=120.0 * pace), pool, store, process.clock, metrics, "UTC"
    )
    plant.auditors[process.role], plant.feeds[process.role] = auditor, feed
    await asyncio.gather(dispatcher.run(), feed.run(), recovery.run(), auditor.run(), incarnation.keep())


class _NoMetrics:
    """Takes every count and keeps none."""

    def __getattr__(self, _name: str) -> _NoMetrics:
        return self

    def __call__(self, *_: object) -> _NoMetrics:
        return self


def real_metrics() -> Metrics:
    """Those of the product."""
    return Metrics(CollectorRegistry())


@contextmanager
def virtual_seconds(loop: SimulatedLoop) -> Iterator[None]:
    """The dispatcher's own look at the monotonic clock shows the loop's time."""
    seconds = SimpleNamespace(monotonic=loop.time, perf_counter=loop.time)
    with ExitStack() as stack:
        for module in (dispatcher_module, reading, endpoints, releasing):
            stack.enter_context(mock.patch.object(module, "time", seconds))
        yield
