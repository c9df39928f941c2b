"""What the API tells of the processes that beat."""

from __future__ import annotations

import asyncpg
import pytest

from horae.infra.readiness import worker_metrics
from tests.fixtures.postgres import Database


@pytest.mark.covers("REL-05")
async def test_the_age_of_the_last_word_is_told_with_it(database: Database) -> None:
    """A process that died keeps its last figures here: only their age tells that nobody renews them."""
    async with asyncpg.create_pool(database.owner_dsn, min_size=1) as pool:
        assert "horae_heartbeat_age_seconds{" not in await worker_metrics(pool)
        await pool.execute(
            "INSERT INTO sys.heartbeats (kind, incarnation, beat_at, applied, in_flight, queued, metrics) VALUES "
            "('worker', 1, clock_timestamp() - interval '1 hour', 1, 0, 0, E'horae_in_flight 3\\n'), "
            "('relay', 2, clock_timestamp(), 1, 0, 0, E'horae_relay_position 7\\n')"
        )
        lines = (await worker_metrics(pool)).splitlines()
    assert {"horae_in_flight 3", "horae_relay_position 7"} <= set(lines)
    ages = {line.split('"')[1]: float(line.split()[-1]) for line in lines if line.startswith("horae_heartbeat_age")}
    assert ages["worker"] >= 3600 > ages["relay"]
