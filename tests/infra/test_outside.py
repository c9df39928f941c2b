"""What we can do without: asked with a bound, remembered for a while, and never the end of the service."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from horae.domain.errors import Unavailable
from horae.infra.outside import ask_kafka, ask_search, degrading, outside_checks
from horae.infra.settings import Settings
from tests.e2e.harness import free_port
from tests.fixtures.postgres import Database


async def head() -> int:
    """The log's, as good as any."""
    return 10


@pytest.mark.covers("OBS-05", "REL-24", "DAT-08.03")
async def test_every_component_is_named_also_those_that_are_not_here(database: Database) -> None:
    """Embedded, the names that others know are there and say who does their work; none of them makes us ill."""
    async with asyncpg.create_pool(database.api_dsn, min_size=1) as pool:
        found = {name: await check() for name, check in outside_checks(Settings(), pool, head).items()}
        assert set(found) == {"redis", "ml-service", "kafka", "search"}
        assert {health.status for health in found.values()} == {"absent"}
        assert all(health.error for health in found.values())
        stack = Settings(profile="stack", elasticsearch_url="http://127.0.0.1:9", kafka_brokers="127.0.0.1:9")
        checks = outside_checks(stack, pool, head)
        assert set(checks) == {"redis", "ml-service", "kafka", "relay", "search"}
        for name in ("kafka", "relay", "search"):
            health = await checks[name]()
            assert health.status == "degraded", name
            assert "PostgreSQL" in (health.error or ""), name


@pytest.mark.parametrize("error", [Unavailable("Elasticsearch does not answer."), OSError("refused"), TimeoutError()])
async def test_whatever_is_wrong_outside_we_are_degraded(error: Exception) -> None:
    """By exception or by silence: degraded, with what happens meanwhile."""

    async def ask() -> dict[str, Any]:
        raise error

    health = await degrading(ask, "we do it ourselves")()
    assert health.status == "degraded"
    assert (health.error or "").endswith("; meanwhile we do it ourselves")


async def test_an_answer_holds_for_a_while() -> None:
    """Probes come from everywhere: nobody outside is asked more often than every few seconds."""
    asked: list[int] = []
    now = 100.0

    async def ask() -> dict[str, Any]:
        asked.append(1)
        return {"times": len(asked)}

    check = degrading(ask, "nothing", monotonic=lambda: now)
    assert [(await check()).details, (await check()).details] == [{"times": 1}, {"times": 1}]
    now += 6
    assert (await check()).details == {"times": 2}


async def test_nobody_there_is_told_by_the_clients_own_error(database: Database) -> None:
    """A port that nobody listens on: an error at once, and nothing of ours breaks."""
    nobody = Settings(kafka_brokers=f"127.0.0.1:{free_port()}")
    with pytest.raises(Unavailable, match=r"Kafka at 127\.0\.0\.1.*ConnectionRefusedError"):
        await ask_kafka(nobody)
    async with asyncpg.create_pool(database.api_dsn, min_size=1) as pool:
        with pytest.raises(Unavailable):
            await ask_search(f"http://127.0.0.1:{free_port()}", pool, head)
