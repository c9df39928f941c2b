"""The clocks: real time never goes back, virtual time moves only as far as it was asked."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from horae.infra.clock import SystemClock, VirtualClock
from tests.fixtures.postgres import Database

START = datetime(2027, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


async def begin(database: Database) -> None:
    connection = await asyncpg.connect(database.owner_dsn)
    await connection.execute("INSERT INTO sys.clock (now, target) VALUES ($1, $1)", START)
    await connection.close()


def test_the_system_clock_is_aware_utc_and_never_goes_back() -> None:
    """Each reading is at or after the one before."""
    clock = SystemClock()
    readings = [clock.now() for _ in range(100)]
    assert readings == sorted(readings)
    assert readings[0].tzinfo is UTC


async def test_virtual_time_stands_still_until_it_is_asked_to_move(database: Database) -> None:
    """The target moves at once, time itself only when the worker moves it."""
    await begin(database)
    async with VirtualClock(database.owner_dsn) as clock:
        await clock.ask_for(START + DAY)
        assert (clock.now(), clock.target) == (START, START + DAY)
        await clock.move_to(START + DAY / 2)
        assert clock.now() == START + DAY / 2


async def test_virtual_time_never_passes_its_target_nor_goes_back(database: Database) -> None:
    """Whatever is asked for in whatever order."""
    await begin(database)
    async with VirtualClock(database.owner_dsn) as clock:
        await clock.ask_for(START + DAY)
        await clock.move_to(START + 5 * DAY)
        assert clock.now() == START + DAY
        await clock.move_to(START)
        await clock.ask_for(START)
        assert (clock.now(), clock.target) == (START + DAY, START + DAY)


async def test_one_process_sees_what_another_does(database: Database) -> None:
    """The API asks with its restricted role, the worker hears it and moves, the API hears that."""
    await begin(database)
    async with VirtualClock(database.owner_dsn) as worker, VirtualClock(database.api_dsn) as api:
        asked = asyncio.create_task(worker.asked())
        await api.ask_for(START + DAY)
        await asked
        reached = asyncio.create_task(api.reached(START + DAY))
        await worker.move_to(START + DAY)
        await reached
        assert api.now() == START + DAY


async def test_a_lost_connection_is_made_again(database: Database) -> None:
    """After the server ended its sessions, the clock hears of moves as before."""
    await begin(database)
    async with VirtualClock(database.owner_dsn) as api, VirtualClock(database.owner_dsn) as worker:
        await worker.ask_for(START + DAY)
        admin = await asyncpg.connect(database.admin_dsn)
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()",
            database.name,
        )
        await admin.close()
        await worker.move_to(START + DAY)
        await api.reached(START + DAY)


async def test_an_installation_on_real_time_has_no_virtual_clock(database: Database) -> None:
    """Moving a clock that is not there is an error, not a silent no."""
    with pytest.raises(RuntimeError, match="real time"):
        async with asyncio.timeout(30):
            await VirtualClock(database.owner_dsn).ask_for(START)
