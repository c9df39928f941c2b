"""An indexer that stands still ends, to be started anew; one that waits for what is away does not."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from horae.domain.errors import Unavailable
from horae.infra.eventstore import PostgresEventStore
from horae.infra.indexing import watch_indexing
from horae.infra.watchdog import Stuck
from horae.projections import schema
from horae.projections.search.documents import Document
from horae.streams.indexing import Indexer, IndexerConfig
from tests.fixtures.postgres import Database
from tests.projections.histories import world
from tests.projections.told import Told
from tests.streams.test_feed import Heard, append, feeding, store

__all__ = ["store"]
INTERVAL_S = 0.3


@dataclass
class ScriptedEngine:
    """Puts nothing anywhere: what becomes of documents is not the matter here."""

    on_put: Callable[[], None] = lambda: None
    filling: asyncio.Event | None = None
    tried: int = 0
    #: Given, a put goes on and on: one more of its requests is answered for each that is let through.
    slow: asyncio.Semaphore | None = None
    answered: int = 0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def prepare(self) -> bool:
        """See `Engine`."""
        await self._told()
        if self.filling is not None:
            await self.filling.wait()
        return False

    async def put(self, documents: Sequence[Document]) -> None:
        """See `Engine`."""
        assert documents
        await self._told()
        while self.slow is not None:
            await self.slow.acquire()
            self.answered += 1
            async with self._changed:
                self._changed.notify_all()
        self.on_put()
        self.answered += 1

    async def _told(self) -> None:
        async with self._changed:
            self.tried += 1
            self._changed.notify_all()

    async def until_answered(self, times: int) -> None:
        """Return when it has answered so often."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.answered >= times)

    async def until_tried(self, times: int) -> None:
        """Return when it was asked so often."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.tried >= times)


@dataclass
class Stage:
    """Read models that are fed, and what an indexer needs."""

    store: PostgresEventStore
    pool: Any
    told: Told

    @contextlib.asynccontextmanager
    async def indexing(self, engine: ScriptedEngine) -> AsyncIterator[tuple[Indexer, asyncio.Task[None]]]:
        """An indexer at work, and who watches it."""
        config = IndexerConfig(look_every_s=0.02, silence_s=0.02, first_wait_s=0.01, longest_wait_s=0.02)
        indexer = Indexer(config, self.store, self.pool, engine, time.monotonic)
        running = asyncio.create_task(indexer.run())
        watching = asyncio.create_task(watch_indexing(indexer, self.pool, INTERVAL_S))
        try:
            yield indexer, watching
        finally:
            for task in (running, watching):
                task.cancel()
            await asyncio.gather(running, watching, return_exceptions=True)


@pytest.fixture
async def stage(store: PostgresEventStore, database: Database) -> AsyncIterator[Stage]:
    """Fifty events, applied."""
    told, heard = Told(log=world(3, 50).log), Heard()
    async with feeding(store, database.owner_dsn, heard), await schema.create_pool(database.owner_dsn) as pool:
        await append(store, told)
        await heard.until(len(told.log))
        yield Stage(store, pool, told)


def fault() -> None:
    raise ValueError("a fault in the code")


def away() -> None:
    raise Unavailable("Elasticsearch does not answer")


async def test_an_indexer_that_fails_at_every_attempt_is_stuck(stage: Stage) -> None:
    """Its position stays where it is although the read models are further: a new start is tried."""
    async with stage.indexing(ScriptedEngine(fault)) as (_, watching):
        with pytest.raises(Stuck, match="from position 0"):
            await asyncio.wait_for(watching, 60)


@pytest.mark.covers("REL-13")
async def test_an_engine_that_is_away_is_waited_for(stage: Stage) -> None:
    """However long: a new start would not bring it back."""
    engine = ScriptedEngine(away)
    async with stage.indexing(engine) as (indexer, watching):
        began = time.monotonic()
        while time.monotonic() - began < 4 * INTERVAL_S:
            await engine.until_tried(engine.tried + 1)
        assert indexer.failing
        assert not watching.done()
        engine.on_put = lambda: None
        await indexer.reached(len(stage.told.log))
        assert not watching.done()


async def test_an_engine_that_is_slow_is_no_standstill(stage: Stage) -> None:
    """One put may be many requests, and take longer than anything may stand still: each that is answered counts."""
    requests = asyncio.Semaphore(0)
    engine = ScriptedEngine(slow=requests)
    async with stage.indexing(engine) as (indexer, watching):
        began = time.monotonic()
        while time.monotonic() - began < 4 * INTERVAL_S:
            requests.release()
            await engine.until_answered(engine.answered + 1)
            assert not watching.done(), watching
        assert indexer.counts.documents == 0
        engine.slow = None
        requests.release()
        await indexer.reached(len(stage.told.log))
        assert not watching.done()


async def test_filling_everything_anew_is_no_standstill(stage: Stage) -> None:
    """It may take long, and no position moves meanwhile."""
    engine = ScriptedEngine(filling=asyncio.Event())
    async with stage.indexing(engine) as (indexer, watching):
        await engine.until_tried(1)
        done, _ = await asyncio.wait({watching}, timeout=4 * INTERVAL_S)
        assert not done
        assert engine.filling is not None
        engine.filling.set()
        await indexer.reached(len(stage.told.log))
