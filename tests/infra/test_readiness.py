"""What the API tells of the processes that beat."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import asyncpg
import pytest

from horae.infra.readiness import CROWDED, RELAY_LAG_S, executor_check, relay_check, worker_metrics
from tests.fixtures.postgres import Database

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]

EXECUTED = 'schedule_execution_duration_seconds_count{status="completed",type="now"} '


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[Pool]:
    """The installation's database, without a sign of life."""
    async with asyncpg.create_pool(database.owner_dsn, min_size=1) as pool:
        yield pool


async def beat(
    pool: Pool, kind: str, incarnation: int, *, age: str = "0 s", queued: int = 0, page: str = "", applied: int = 1
) -> None:
    """A sign of life as the process writes it, `age` ago."""
    await pool.execute("DELETE FROM sys.heartbeats WHERE kind = $1 AND incarnation = $2", kind, incarnation)
    await pool.execute(
        "INSERT INTO sys.heartbeats (kind, incarnation, beat_at, applied, in_flight, queued, metrics) "
        "VALUES ($1, $2, clock_timestamp() - $3::text::interval, $4, 2, $5, $6)",
        kind,
        incarnation,
        age,
        applied,
        queued,
        page,
    )


@pytest.mark.covers("REL-05")
async def test_the_age_of_the_last_word_is_told_with_it(pool: Pool) -> None:
    """Figures carry whose they are; of a process long silent only its kind's age is told, or the dead would be added
    to the living."""
    assert "horae_heartbeat_age_seconds{" not in await worker_metrics(pool)
    head = "# HELP {0} .\n# TYPE {0} gauge\n"
    await beat(pool, "worker", 1, age="1 hour", page=head.format("horae_in_flight") + "horae_in_flight 3\n")
    await beat(pool, "relay", 2, page=head.format("horae_relay_position") + "horae_relay_position 7\n")
    lines = (await worker_metrics(pool)).splitlines()
    assert 'horae_relay_position{relay="2"} 7' in lines
    assert not [line for line in lines if line.startswith("horae_in_flight")]
    ages = {line.split('"')[1]: float(line.split()[-1]) for line in lines if line.startswith("horae_heartbeat_age")}
    assert ages["worker"] >= 3600 > ages["relay"]


@pytest.mark.covers("OBS-09", "OBS-06", "OBS-19")
async def test_the_executor_tells_what_waits_how_fast_it_works_and_who(pool: Pool) -> None:
    """Healthy below 10000 that wait, degraded from there on; the rate is of attempts since the last look."""
    check = executor_check(pool)
    assert (await check()).status == "unhealthy"
    await beat(pool, "worker", 1, queued=CROWDED - 1, page=f"{EXECUTED}10.0\n", applied=5)
    first = await check()
    assert first.status == "healthy"
    assert first.details is not None
    assert (first.details["queueSize"], first.details["activeWorkers"]) == (CROWDED - 1, 1)
    assert first.details["processingRate"] is None
    await beat(pool, "worker", 1, queued=CROWDED)
    crowded = await check()
    assert (crowded.status, crowded.error) == ("degraded", "10000 due occurrences wait to be claimed")


@pytest.mark.covers("REL-05")
async def test_silent_workers_are_no_workers(pool: Pool) -> None:
    """All silent: nothing is executed, and the service is not ready."""
    await beat(pool, "worker", 1, age="8 s")
    health = await executor_check(pool)()
    assert (health.status, health.error) == ("unhealthy", "no worker has said anything for 8 s")


async def test_a_relay_is_missed_and_nothing_stands_still(pool: Pool) -> None:
    """Without a relay, or with a silent one, the service is degraded and says who reads the log; with one its lag is
    told."""

    async def head() -> int:
        return 30

    check = relay_check(pool, head)
    absent = await check()
    assert absent.status == "degraded"
    assert "read the log from PostgreSQL" in (absent.error or "")
    await beat(pool, "relay", 2, age="9 s")
    assert (await check()).status == "degraded"
    await beat(pool, "relay", 2)
    alive = await check()
    assert (alive.status, alive.details) == ("healthy", {"position": 0, "lag": 30, "lagSeconds": 0.0})


@pytest.mark.covers("OBS-25", "REL-24")
async def test_a_relay_that_lives_and_does_not_publish_is_no_healthy_one(pool: Pool) -> None:
    """Degraded from when an event has waited longer than the bound; what is published in time is not counted."""
    now, length = 100.0, 30

    async def head() -> int:
        return length

    check = relay_check(pool, head, monotonic=lambda: now)
    await beat(pool, "relay", 2)
    assert (await check()).status == "healthy"
    now += RELAY_LAG_S
    assert (await check()).status == "healthy"
    now += 1
    late = await check()
    assert (late.status, late.details) == ("degraded", {"position": 0, "lag": 30, "lagSeconds": 11.0})
    assert late.error == "30 events are not in Kafka, one of them for 11 s; workers read the log from PostgreSQL"
    await pool.execute("UPDATE sys.relay SET position = 29")
    length = 40
    assert (await check()).status == "degraded"
    await pool.execute("UPDATE sys.relay SET position = 30")
    assert (await check()).status == "healthy"
