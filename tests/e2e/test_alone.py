"""`horae api` and `horae worker` without a supervisor, against a PostgreSQL that somebody else runs.

Embedded only is the standby: in the stack every worker works, and who takes over is shown in `tests/e2e/stack`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from tests.e2e.harness import START_S, Service
from tests.e2e.profiles import Profile
from tests.e2e.talking import KEY, PATIENCE_S
from tests.fixtures.postgres import Database

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]

MASTER_KEY = "5a" * 32


@asynccontextmanager
async def process(
    database: Database, folder: Path, profile: dict[str, str], *arguments: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """One `horae` process on the database; it is stopped by SIGTERM and has to end with 0, unless it was killed."""
    environment = {
        "HORAE_DSN": database.owner_dsn,
        "HORAE_API_DSN": database.api_dsn,
        "ENCRYPTION_KEY": MASTER_KEY,
        "HORAE_API_KEY": KEY,
        "HORAE_LOG_FORMAT": "json",
    } | profile
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "horae.infra.cli.main",
        *arguments,
        "--data",
        str(folder),
        env=os.environ | environment,
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            running.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            _, said = await running.communicate()
        assert running.returncode in (0, -signal.SIGKILL), said.decode()


async def says(running: asyncio.subprocess.Process, event: str) -> str:
    """Return the line of the log that names the event, as soon as it is there."""
    assert running.stderr is not None
    lines: list[str] = []
    async with asyncio.timeout(START_S):
        while line := (await running.stderr.readline()).decode():
            lines.append(line)
            if f'"event": "{event}"' in line:
                return line
    raise AssertionError(f"it ended without saying {event}:\n{''.join(lines)}")


async def test_a_worker_and_an_api_serve_together(profile: Profile, database: Database, tmp_path: Path) -> None:
    """The worker prepares the database and installs the key; the API serves it; a schedule fires, without any relay."""
    service = Service(tmp_path)
    told = profile.environment()
    async with process(database, tmp_path, told, "worker") as worker:
        await says(worker, "working")
        async with process(database, tmp_path, told, "api", "--port", str(service.port)) as api:
            await says(api, "api_started")
            async with service.client() as client:
                created = await service.create(client)
                await service.until(
                    lambda event: event["event"] == "occurrence.ended.v1" and event["data"]["schedule"] == created["id"]
                )
    assert [release["schedule_id"] for release in service.releases()] == [created["id"]]
    await profile.forget(told)


@pytest.mark.crash
@pytest.mark.covers("REL-18")
async def test_a_standby_takes_over_at_once_when_the_worker_is_killed(database: Database, tmp_path: Path) -> None:
    """The lock goes with the session of the dead; the one that waited works."""
    async with process(database, tmp_path, {}, "worker") as first:
        await says(first, "working")
        async with process(database, tmp_path, {}, "worker") as second:
            await until_waiting(database)
            first.kill()
            assert '"incarnation": 2' in await says(second, "working")


async def until_waiting(database: Database) -> None:
    """Return when a session waits for the feeder's lock; asked for, since PostgreSQL does not tell."""
    connection = await asyncpg.connect(database.admin_dsn)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not await connection.fetchval("SELECT count(*) FROM pg_locks WHERE classid = 7302 AND NOT granted"):
                continue
    finally:
        await connection.close()


async def test_an_api_without_its_role_is_refused_by_name(profile: Profile, tmp_path: Path) -> None:
    """It would otherwise read as the owner, past row-level security."""
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "horae.infra.cli.main",
        "api",
        cwd=tmp_path,
        env=os.environ | profile.environment(),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await running.communicate()
    assert running.returncode == 1
    assert "api_dsn" in said.decode()
