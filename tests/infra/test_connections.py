"""No process holds more connections to PostgreSQL than is reckoned with, and all of them fit into our own server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from horae.infra import connections, wiring
from horae.infra.incarnation import Incarnation
from horae.infra.processes.preparation import prepare
from horae.infra.settings import Settings
from horae.infra.wiring import open_services
from horae.infra.working import open_work
from horae.infra.working_stack import open_shared_work
from horae.projections import schema
from tests.fixtures.postgres import Database

PATIENCE_S = 60.0
WORKERS = 12


@pytest.fixture
async def settings(database: Database, tmp_path: Path) -> Settings:
    """An installation of many workers, without a Kafka that answers: nobody needs one to open connections."""
    made = Settings(
        data=tmp_path,
        profile="stack",
        workers=WORKERS,
        dsn=SecretStr(database.owner_dsn),
        api_dsn=SecretStr(database.api_dsn),
        encryption_key=SecretStr("ab" * 32),
        kafka_brokers="127.0.0.1:9",
    )
    await prepare(made, None)
    return made


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[asyncpg.Pool[asyncpg.Record]]:
    """Every pool of the read models that is opened."""
    opened: list[asyncpg.Pool[asyncpg.Record]] = []
    create = schema.create_pool

    async def remember(*arguments: Any, **options: Any) -> asyncpg.Pool[asyncpg.Record]:
        opened.append(await create(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr(schema, "create_pool", remember)
    monkeypatch.setattr(wiring, "create_pool", remember)
    return opened


async def at_most(database: Database, pools: list[asyncpg.Pool[asyncpg.Record]]) -> int:
    """How many there are when the pools hold all they may."""
    async with asyncio.timeout(PATIENCE_S):
        taken = [(pool, await pool.acquire()) for pool in pools for _ in range(pool.get_max_size())]
    watcher = await asyncpg.connect(database.admin_dsn)
    try:
        count = await watcher.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()", database.name
        )
        assert isinstance(count, int)
        return count
    finally:
        await watcher.close()
        for pool, connection in taken:
            await pool.release(connection)


@asynccontextmanager
async def running(services: list[tuple[str, Coroutine[Any, Any, None]]]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(service, name=name) for name, service in services]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.covers("ENV-11")
@pytest.mark.parametrize("opened", [open_shared_work, open_work], ids=["stack", "embedded"])
async def test_a_worker_holds_no_more_than_is_reckoned_with(
    settings: Settings, database: Database, pools: list[asyncpg.Pool[asyncpg.Record]], opened: Callable[..., Any]
) -> None:
    """With everything that it runs under way: feed, dispatcher, recovery, auditor, heartbeat."""
    async with (
        Incarnation(database.owner_dsn, alone=False) as incarnation,
        opened(settings, incarnation) as work,
        running(work.services),
    ):
        watcher = await asyncpg.connect(database.owner_dsn)
        async with asyncio.timeout(PATIENCE_S):
            while not await watcher.fetchval("SELECT count(*) FROM sys.heartbeats"):
                await watcher.execute("SELECT pg_sleep(0.05)")
        await watcher.close()
        held = await at_most(database, pools)
    assert connections.worker_pool(settings) < held <= connections.of_worker(settings)


async def test_the_api_holds_no_more_than_is_reckoned_with(
    settings: Settings, database: Database, pools: list[asyncpg.Pool[asyncpg.Record]]
) -> None:
    """With its readers of the log all at work."""
    async with open_services(settings) as services:
        await asyncio.gather(*(services.store.load(uuid4()) for _ in range(20)))
        held = await at_most(database, pools)
    assert connections.api_pool(settings) < held <= connections.of_api(settings)


@pytest.mark.parametrize("workers", [1, 2, 6, 7, 64])
def test_our_own_server_takes_them_all(workers: int) -> None:
    """However many workers there are; and never fewer than the setting grants."""
    settings = Settings(workers=workers)
    rest = connections.needed(settings) - connections.of_api(settings) - workers * connections.of_worker(settings)
    assert rest >= 3 * 12
    assert connections.needed(Settings(postgres_max_connections=5_000, workers=workers)) >= 5_000
