"""The clocks: real time never goes back, virtual time moves only as far as it was asked."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from horae.domain.errors import Unavailable
from horae.infra import clock as clocks
from horae.infra.clock import SystemClock, VirtualClock
from tests.fixtures.postgres import Database
from tests.fixtures.silence import silence_before

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


@pytest.mark.covers("REL-16")
async def test_a_server_that_says_nothing_is_given_up(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for time is told so, and has it again when the silence ends."""
    monkeypatch.setattr(clocks, "ANSWER_S", 3.0)
    monkeypatch.setattr(clocks, "PATIENCE_S", 60.0)
    await begin(database)
    async with silence_before(database.owner_dsn) as silence, VirtualClock(silence.dsn) as clock:
        await clock.ask_for(START)
        silence.fall()
        monkeypatch.setattr(clocks, "PATIENCE_S", 1.0)
        async with asyncio.timeout(60):
            with pytest.raises(Unavailable):
                await clock.ask_for(START + DAY)
        silence.end()
        monkeypatch.setattr(clocks, "PATIENCE_S", 60.0)
        await clock.ask_for(START + 2 * DAY)
        assert clock.target == START + 2 * DAY


async def test_a_move_that_nobody_heard_of_is_seen(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notification may be lost with its connection, without a word: the row is looked at again."""
    monkeypatch.setattr(clocks, "LOOK_AGAIN_S", 0.1)
    await begin(database)
    async with VirtualClock(database.owner_dsn) as clock:
        connection = await asyncpg.connect(database.owner_dsn)
        await connection.execute("UPDATE sys.clock SET target = $1", START + DAY)
        await connection.close()
        async with asyncio.timeout(60):
            await clock.asked()
        assert clock.target == START + DAY


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
