"""A worker's terms: it works as long as it leads, and each time that it leads again it is another incarnation."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import asyncpg
import structlog
from pydantic import SecretStr

from horae.infra.incarnation import FEEDER, FEEDER_LOCKS, Lives
from horae.infra.processes.preparation import prepare
from horae.infra.processes.worker_process import _work
from horae.infra.settings import Settings
from tests.fixtures.postgres import Database

PATIENCE_S = 30.0


async def test_a_worker_that_lost_the_lead_comes_back_as_another(database: Database, tmp_path: Path) -> None:
    """What its first term left open belongs to nobody who lives, so that it is recovered."""
    settings = Settings(
        data=tmp_path,
        dsn=SecretStr(database.owner_dsn),
        encryption_key=SecretStr("ab" * 32),
    )
    await prepare(settings, None)
    terms: asyncio.Queue[int] = asyncio.Queue()

    def notice(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
        if event["event"] == "working":
            terms.put_nowait(event["incarnation"])
        raise structlog.DropEvent

    rival = await asyncpg.connect(database.owner_dsn)
    admin = await asyncpg.connect(database.admin_dsn)
    structlog.configure(processors=[notice], cache_logger_on_first_use=False)
    working = asyncio.create_task(_work(settings))
    try:
        async with asyncio.timeout(PATIENCE_S):
            first = await terms.get()
            # Queued behind the worker: when its session ends, the lock is the rival's before it can be asked for again.
            leading = asyncio.create_task(rival.execute("SELECT pg_advisory_lock($1, $2)", FEEDER_LOCKS, FEEDER))
            while True:
                if await admin.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
                    break
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = $1 AND application_name = 'horae-incarnation'",
                database.name,
            )
            await leading
            while True:
                standing_by = await admin.fetchval("SELECT max(id) FROM sys.incarnations")
                if standing_by > first:
                    break
            async with asyncpg.create_pool(database.owner_dsn, min_size=1, max_size=1) as pool:
                assert await Lives(pool).gone([first]) == {first}
            await rival.execute("SELECT pg_advisory_unlock($1, $2)", FEEDER_LOCKS, FEEDER)
            assert await terms.get() == standing_by
    finally:
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
        structlog.reset_defaults()
        await rival.close()
        await admin.close()
