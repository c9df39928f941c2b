"""Health, metrics, the clock and waiting for positions."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
import structlog

from horae.api.services import ApiSettings, Health
from tests.api.world import DAILY, LOG_NOW, NOW, World, make_world
from tests.fixtures.postgres import Database


@pytest.mark.covers("OBS-08", "OBS-10")
async def test_readiness_names_every_component(world: World) -> None:
    """Database with response time and pool, projection with its lag; time, uptime and version; no key is needed."""
    async with world.client_for(None) as nobody:
        answer = await nobody.get("/readyz")
        assert (await nobody.get("/healthz")).text == "ok"
    told = answer.json()
    assert answer.status_code == 200, told
    assert (told["status"], told["version"], told["reasons"]) == ("healthy", "0.1.0", [])
    assert told["uptime"] >= 0
    assert datetime.fromisoformat(told["timestamp"]).tzinfo is not None
    database = told["checks"]["database"]
    assert database["status"] == "healthy"
    assert database["responseTime"] > 0
    assert database["details"]["connectionPool"]["max"] == 8
    assert told["checks"]["projection"]["details"]["lag"] >= 0


async def test_not_ready_says_why(database: Database) -> None:
    """A component that is ill makes it 503 with the reason; one that is only slow is degraded, and 200."""

    async def ill() -> Health:
        return Health("unhealthy", error="no worker for 12 s")

    async def slow() -> Health:
        return Health("degraded", details={"queueSize": 10_001})

    async with make_world(database, checks={"executor": ill, "channel": slow}) as world:
        answer = await world.client.get("/readyz")
        assert answer.status_code == 503
        assert "executor: no worker for 12 s" in answer.json()["reasons"]
        assert answer.json()["checks"]["channel"]["details"] == {"queueSize": 10_001}
        await world.services.pool.close()
        gone = await world.client.get("/readyz")
        assert (gone.status_code, gone.json()["checks"]["database"]["status"]) == (503, "unhealthy")


async def test_readiness_of_what_a_request_needs(database: Database) -> None:
    """A load balancer leaves the API in although nobody fires; a component that there is not is told by name."""

    async def ill() -> Health:
        return Health("unhealthy", error="no worker for 12 s")

    async with make_world(database, checks={"executor": ill}) as world:
        answer = await world.client.get("/readyz?only=database&only=projection")
        assert (answer.status_code, sorted(answer.json()["checks"])) == (200, ["database", "projection"])
        assert (await world.client.get("/readyz?only=executor")).status_code == 503
        refused = await world.client.get("/readyz?only=databse")
        assert refused.status_code == 422
        assert "There are database, projection, executor" in refused.text


@pytest.mark.covers("OBS-18", "INT-23")
async def test_metrics_count_requests_and_schedules(world: World) -> None:
    """Requests by route template and status, schedules created and active, the read models' lag."""
    await world.create(DAILY, metadata={"type": "digest"}, priority=3)
    await world.client.get("/v1/schedules/01936f3e-5b70-7cc4-a8d1-5f1e3c9d2a10")
    await world.settled()
    text = (await world.client.get("/metrics")).text
    assert 'schedules_created_total{priority="3",timezone="Europe/Berlin",type="digest"} 1.0' in text
    assert 'route="/v1/schedules/{schedule_id}",status="404"' in text
    assert 'active_schedules_count{priority="3",status="pending"} 1.0' in text
    assert "projection_lag_events 0.0" in text


async def test_a_read_waits_for_its_position_within_bounds(database: Database) -> None:
    """min_position (or X-Min-Position) beyond what is applied is 503 with Retry-After after the bounded wait."""
    async with make_world(database, ApiSettings(settle_timeout_s=0.01)) as world:
        for given in ({"params": {"min_position": 10**6}}, {"headers": {"X-Min-Position": "1000000"}}):
            answer = await world.client.get("/v1/schedules", **given)
            assert (answer.status_code, answer.json()["code"]) == (503, "busy")
            assert answer.headers["retry-after"] == "1"
        assert (await world.client.get("/v1/schedules", params={"min_position": -1})).status_code == 422


@dataclass
class MovableTime:
    """A virtual clock that a worker moves when the test says so."""

    instant: datetime = NOW
    target: datetime = NOW
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    def now(self) -> datetime:
        return self.instant

    async def ask_for(self, target: datetime) -> None:
        self.target = target
        self.asked.set()

    async def reached(self, instant: datetime) -> None:
        while self.instant < instant:
            await self.moved.wait()


async def test_virtual_time_is_moved_and_waited_for(database: Database) -> None:
    """`by` follows the calendar; the answer comes when time is there; backwards, and both or neither, is 422."""
    virtual = MovableTime(datetime(2027, 1, 31, 12, tzinfo=UTC))
    async with make_world(database, virtual_time=virtual) as world:
        asking = asyncio.create_task(world.client.post("/v1/clock/advance", json={"by": "P1M"}))
        await virtual.asked.wait()
        assert virtual.target == datetime(2027, 2, 28, 12, tzinfo=UTC)
        assert not asking.done()
        virtual.instant = virtual.target
        virtual.moved.set()
        answer = await asking
        assert (answer.status_code, answer.json()["now"]) == (200, "2027-02-28T12:00:00Z")
        shown = (await world.client.get("/v1/clock")).json()
        assert shown == {"mode": "virtual", "now": "2027-02-28T12:00:00Z", "target": "2027-02-28T12:00:00Z"}
        wrong: tuple[dict[str, str], ...] = (
            {"to": "2027-01-01T00:00:00Z"},
            {},
            {"by": "P1D", "to": "2028-01-01T00:00:00Z"},
            {"by": "P9999Y"},
        )
        for body in wrong:
            assert (await world.client.post("/v1/clock/advance", json=body)).status_code == 422, body


async def test_real_time_cannot_be_moved(world: World) -> None:
    """On a real clock advance is 409 with what to do, and GET tells the time."""
    answer = await world.client.post("/v1/clock/advance", json={"by": "P1D"})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "--clock virtual=" in answer.json()["hint"]
    assert (await world.client.get("/v1/clock")).json()["mode"] == "real"


async def test_what_nobody_foresaw_is_told_without_detail(world: World) -> None:
    """An unexpected error is a 500 problem with the request id and nothing of the inside."""
    await world.services.pool.close()
    answer = await world.client.post("/v1/schedules", json=LOG_NOW, headers={"X-Request-Id": "r-1"})
    assert answer.status_code in (500, 503)
    assert answer.json()["request_id"] == "r-1"
    assert "pool" not in answer.text


async def test_a_database_that_is_away_is_503_and_no_error_of_ours(world: World) -> None:
    """Whether the key or the answer could not be read: try again in a moment; nothing was half-done."""

    created = await world.create(LOG_NOW)
    assert (await world.client.get("/v1/me")).status_code == 200
    await world.services.pool.close()
    for key in (world.key, world.other_key):
        async with world.client_for(key) as client:
            answer = await client.get(f"/v1/schedules/{created['id']}")
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), answer.text
            assert answer.headers["retry-after"] == "1"


@pytest.mark.covers("OBS-07", "OBS-11", "DAT-08.01")
async def test_the_whole_is_as_healthy_as_its_worst_part(database: Database) -> None:
    """A check that returns `unhealthy`, or raises, counts like any other; what is absent counts for nothing. How each
    part was at the last look is a figure, and what changes is logged once."""
    states = {"channel": Health("degraded", error="slow"), "redis": Health("absent", error="not used")}

    async def channel() -> Health:
        if states["channel"].status == "unhealthy":
            raise OSError("gone")
        return states["channel"]

    async def redis() -> Health:
        return states["redis"]

    async with make_world(database, checks={"channel": channel, "redis": redis}) as world:
        with structlog.testing.capture_logs() as lines:
            for _ in range(2):
                answer = await world.client.get("/readyz")
                assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
                assert answer.json()["reasons"] == ["channel: slow"]
            text = (await world.client.get("/metrics")).text
            states["channel"] = Health("unhealthy")
            answer = await world.client.get("/readyz")
            assert (answer.status_code, answer.json()["status"]) == (503, "unhealthy")
        assert answer.json()["checks"]["redis"] == {
            "status": "absent",
            "responseTime": None,
            "details": None,
            "error": "not used",
        }
        assert 'component_health{component="channel"} 0.5' in text
        assert 'component_health{component="redis"}' not in text
        changes = [(line["component"], line["now"]) for line in lines if line["event"] == "health_changed"]
        assert changes == [("channel", "degraded"), ("channel", "unhealthy")]


@pytest.mark.parametrize(
    ("starting_s", "expected"), [(30.0, ["unhealthy", "healthy"]), (0.0, ["unhealthy", "healthy"] * 2)]
)
async def test_what_is_not_ready_while_the_service_starts_is_no_news(
    database: Database, monkeypatch: pytest.MonkeyPatch, starting_s: float, expected: list[str]
) -> None:
    """It is told when it was well once and is not any more, or when the time for starting is over."""
    monkeypatch.setattr("horae.api.health._STARTING_S", starting_s)
    state = Health("unhealthy", error="starting")

    async def part() -> Health:
        return state

    async with make_world(database, checks={"part": part}) as world:
        with structlog.testing.capture_logs() as lines:
            for now in ("unhealthy", "healthy", "unhealthy", "healthy"):
                state = Health(now)
                await world.client.get("/readyz")
    told = [line["now"] for line in lines if line["event"] == "health_changed"]
    assert told == expected


@pytest.mark.covers("OBS-22", "SEC-05")
async def test_a_requests_line_says_whose_and_where_and_nothing_of_a_person(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Request id, tenant and position are on the line of a request; recipient, channel, content and path are not."""
    logging.getLogger("horae.api").setLevel(logging.DEBUG)
    monkeypatch.setattr("horae.api.door.log", structlog.get_logger("horae.api"))
    person, secret = "somebody@example.com", "a message for one person's eyes"
    try:
        async with make_world(database) as world:
            with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as lines:
                body = {**LOG_NOW, "recipient": person, "content": {"text": secret}}
                answer = await world.client.post("/v1/schedules", json=body, headers={"X-Request-Id": "r-7"})
                await world.client.get(f"/v1/recipients/{person}")
    finally:
        logging.getLogger("horae.api").setLevel(logging.NOTSET)
    created, asked = [line for line in lines if line["event"] == "request"]
    assert (created["request_id"], created["tenant"], created["position"]) == ("r-7", "acme", answer.json()["position"])
    assert (created["route"], created["status"]) == ("/v1/schedules", 201)
    assert asked["route"].startswith("/v1/recipients/{")
    assert "position" not in asked
    assert person not in str(lines)
    assert secret not in str(lines)
