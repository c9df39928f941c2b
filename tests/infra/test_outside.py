"""What we can do without: asked with a bound, remembered for a while, and never the end of the service."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from horae.api.services import Health
from horae.domain.errors import Unavailable
from horae.infra.lag import LagWatch
from horae.infra.outside import SEARCH_LAG_S, ask_kafka, ask_search, degrading, outside_checks
from horae.infra.sendtimes import TROUBLE_S, PostgresSendTimes
from horae.infra.settings import Settings
from horae.projections import schema
from tests.e2e.harness import free_port
from tests.fixtures.postgres import Database
from tests.infra.test_readiness import beat


async def head() -> int:
    """The log's, as good as any."""
    return 10


@pytest.mark.covers("OBS-05", "REL-24", "DAT-08.03")
async def test_every_component_is_named_also_those_that_are_not_here(database: Database) -> None:
    """Embedded, the names that others know are there and say who does their work; none of them makes us ill."""
    async with asyncpg.create_pool(database.api_dsn, min_size=1) as pool:
        found = {name: await check() for name, check in outside_checks(Settings(), pool, head).items()}
        assert set(found) == {"redis", "kafka", "search"}
        assert {health.status for health in found.values()} == {"absent"}
        assert all(health.error for health in found.values())
        stack = Settings(profile="stack", elasticsearch_url="http://127.0.0.1:9", kafka_brokers="127.0.0.1:9")
        checks = outside_checks(stack, pool, head)
        assert set(checks) == {"redis", "kafka", "relay", "search"}
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
            await ask_search(f"http://127.0.0.1:{free_port()}", pool, LagWatch(head, time.monotonic))


# --- search: by what its indexers say ---


async def green(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers any request as a cluster in good health does."""
    body = b'{"status": "green"}'
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Elastic-Product: Elasticsearch\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
    await writer.drain()
    writer.close()


@pytest.mark.covers("OBS-25", "REL-24")
async def test_a_cluster_in_good_health_with_old_documents_is_no_healthy_search(database: Database) -> None:
    """Degraded while the indexer is silent, cannot write, or lacks an event for longer than the bound; and says so
    instead of claiming that something else searches."""
    server = await asyncio.start_server(green, "127.0.0.1")
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    now, asked_at = 100.0, [0.0]
    async with server, asyncpg.create_pool(database.owner_dsn, min_size=1) as pool:
        lag = LagWatch(head, lambda: now)

        async def look() -> Health:
            asked_at[0] += 10  # an answer is remembered for less
            return await degrading(lambda: ask_search(url, pool, lag), "X", monotonic=lambda: asked_at[0])()

        silent = await look()
        assert (silent.status, silent.error) == (
            "degraded",
            "the indexer gives no sign of life, so what is found gets old",
        )
        page = "# TYPE horae_search_failing gauge\nhorae_search_failing 0.0\n"
        await beat(pool, "indexer", 7, applied=4, page=page)
        assert (await look()).details == {"cluster": "green", "lag": 6, "lagSeconds": 0.0}
        now += SEARCH_LAG_S + 1
        late = await look()
        assert (late.status, late.error) == ("degraded", "6 events cannot be found yet, one of them for 31 s")
        await beat(pool, "indexer", 7, applied=10, page=page)
        assert (await look()).status == "healthy"
        await beat(pool, "indexer", 7, applied=10, page=page.replace("0.0", "1.0"))
        failing = await look()
        assert (failing.status, failing.error) == (
            "degraded",
            "1 of 1 indexers cannot write or read, so what is found gets old",
        )


# --- the learner ---


@pytest.mark.covers("OBS-05", "OPT-25")
async def test_the_learner_says_whether_it_can_be_asked(database: Database) -> None:
    """Under the name that others have for a service; degraded when its tables or its last answer failed."""
    conn = await schema.connect(database.owner_dsn)
    await schema.install(conn)
    async with await schema.create_pool(database.api_dsn, min_size=1) as pool:
        learner = PostgresSendTimes(pool)
        found = await learner.health()
        assert (found.status, found.details) == ("healthy", {"asked": 0, "failed": 0, "models": 0})
        await conn.execute("REVOKE SELECT ON read.models FROM horae_api")
        try:
            broken = await learner.health()
            assert broken.status == "degraded"
            assert "permission denied" in (broken.error or "")
            assert "default time" in (broken.error or "")
            with pytest.raises(Unavailable, match="permission denied"):
                await learner.choose("acme", [], datetime(2026, 12, 1, tzinfo=UTC))
        finally:
            await conn.execute("GRANT SELECT ON read.models TO horae_api")
        after = await learner.health()
        assert (after.status, after.details) == ("degraded", {"asked": 1, "failed": 1, "models": 0})
        assert await learner.choose("acme", [], datetime(2026, 12, 1, tzinfo=UTC)) == []
        assert (await learner.health()).status == "healthy"
    await conn.close()


@pytest.mark.covers("OBS-05", "REL-24")
async def test_a_learner_whose_trouble_is_over_is_well_again_though_nobody_asks(database: Database) -> None:
    """A question without an answer counts for a while; then what counts is whether its tables can be read."""
    now = 100.0
    conn = await schema.connect(database.owner_dsn)
    await schema.install(conn)
    async with await schema.create_pool(database.api_dsn, min_size=1) as pool:
        learner = PostgresSendTimes(pool, monotonic=lambda: now)
        await conn.execute("REVOKE SELECT ON read.habits FROM horae_api")
        assert (await learner.health()).status == "degraded"
        with pytest.raises(Unavailable, match="permission denied"):
            await learner.choose("acme", [], datetime(2026, 12, 1, tzinfo=UTC))
        now += TROUBLE_S + 1
        still = await learner.health()
        assert (still.status, "permission denied" in (still.error or "")) == ("degraded", True)
        await conn.execute("GRANT SELECT ON read.habits TO horae_api")
        assert (await learner.health()).status == "healthy"
        now -= 2
        lately = await learner.health()
        assert lately.status == "degraded"
        assert "a question 59 s ago had no answer" in (lately.error or "")
    await conn.close()
