"""Side work may ask the read models what takes long, whatever time others have for what is short."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from horae.infra.incarnation import Incarnation
from horae.infra.processes.preparation import prepare
from horae.infra.settings import Settings
from horae.infra.working import open_parts
from tests.fixtures.postgres import Database

#: What each of them asks first.
TABLES = "read.standings, read.awaited"
WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'horae' AND wait_event_type = 'Lock'
"""


@pytest.mark.covers("ENV-12", "REL-16")
async def test_an_audit_and_a_fit_outlast_the_time_that_short_statements_have(
    database: Database, tmp_path: Path
) -> None:
    """Their tables are held back for longer than `POSTGRES_CONNECTION_TIMEOUT`; both come to their end after that."""
    settings = Settings(
        data=tmp_path,
        dsn=SecretStr(database.owner_dsn),
        api_dsn=SecretStr(database.api_dsn),
        encryption_key=SecretStr("ab" * 32),
        postgres_connection_timeout_ms=5_000,
    )
    await prepare(settings, None)
    async with (
        Incarnation(database.owner_dsn, alone=True) as incarnation,
        open_parts(settings, incarnation) as parts,
    ):
        lock, watcher = await asyncpg.connect(database.owner_dsn), await asyncpg.connect(database.owner_dsn)
        try:
            async with lock.transaction():
                await lock.execute(f"LOCK TABLE {TABLES} IN ACCESS EXCLUSIVE MODE")
                audit = asyncio.create_task(parts.auditor().run_once())
                fit = asyncio.create_task(parts.learner().run_once())
                while await watcher.fetchval(WAITING) < 2:
                    assert not any(task.done() for task in (audit, fit))
                # Asked later, and given up: so the time of short statements is over for those two.
                with pytest.raises((TimeoutError, asyncpg.QueryCanceledError)):
                    await parts.pool.fetchval("SELECT count(*) FROM standings")
            assert (await audit).silent == ()
            assert await fit == 0
        finally:
            await lock.close()
            await watcher.close()
