"""`horae run --profile stack`: one command brings up everything, what dies comes back, and the next start resumes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Service, descendants, ended, kind_of
from tests.e2e.live import of
from tests.e2e.receiver import Receiver
from tests.e2e.talking import PATIENCE_S
from tests.fixtures.stack import require_tools
from tests.fixtures.topics import read_topic

pytestmark = [pytest.mark.e2e, pytest.mark.stack, pytest.mark.crash, pytest.mark.timeout(900)]

#: One every 50 ms, over the death of a worker.
MANY = 100


@pytest.fixture
async def service(data_folder: Path) -> AsyncIterator[Service]:
    """An installation that has servers of its own; stopped afterwards, and nothing of it is left."""
    require_tools()
    service = Service(data_folder, workers=2, arguments=("--profile", "stack"))
    await service.start()
    yield service
    await service.stop()
    assert not descendants(service.pid), service.tail()


def broker_of(service: Service) -> str:
    """Where its Kafka listens."""
    return f"127.0.0.1:{json.loads((service.data / 'kafka' / 'ports').read_text())['clients']}"


def children(service: Service, kind: str) -> list[int]:
    """Pids of its processes of this kind."""
    return [pid for pid in descendants(service.pid) if kind_of(pid) == kind]


def lateness(service: Service) -> list[float]:
    """Of each release of `log:`, seconds, ascending."""
    return sorted(
        (datetime.fromisoformat(line["released_at"]) - datetime.fromisoformat(line["due_at"])).total_seconds()
        for line in service.releases()
    )


async def ended_once(service: Service, schedules: set[str], after: int) -> None:
    """Return when each of these has ended; the log has one claim of each."""
    found = await service.until(
        lambda event: event["event"] == "occurrence.ended.v1" and event["data"]["schedule"] in schedules,
        len(schedules),
        after=after,
    )
    assert {event["data"]["schedule"] for event in found} == schedules
    conn = await service.connect()
    try:
        doubled = await conn.fetchval(
            "SELECT count(*) FROM (SELECT originator_id FROM log.events WHERE topic = 'occurrence.claimed.v1' "
            "GROUP BY originator_id HAVING count(*) > 1) AS doubled"
        )
    finally:
        await conn.close()
    assert doubled == 0


@pytest.mark.covers("INT-16", "REL-03", "PRF-12")
async def test_the_whole_path_and_its_recovery(
    service: Service, receiver: Receiver, record_property: Callable[[str, object], None]
) -> None:
    """Created over HTTP, published, applied, fired by webhook and `log:`, explained; and again when something dies."""
    async with service.client() as client:
        await _one_of_each(service, client, receiver)
        await _a_worker_is_killed(service, client, record_property)
        kept = await service.create(client, timing={"kind": "in", "delay": "PT1H"})
    assert await service.stop() == 0
    assert not descendants(service.pid), service.tail()
    await service.start()
    async with service.client() as client:
        assert (await client.get(f"/v1/schedules/{kept['id']}")).json()["status"] == "pending"
        again = await service.create(client)
        await service.until(of(again["id"], "occurrence.ended.v1"))
    family = descendants(service.pid)
    await service.kill()
    await asyncio.gather(*(ended(pid) for pid in family))


async def _one_of_each(service: Service, client: Any, receiver: Receiver) -> None:
    hooked = await service.create(client, channel=receiver.channel, content={"subject": "Quince jam"})
    (request,) = await receiver.received(1)
    assert request.json["schedule_id"] == hooked["id"]
    logged = await service.create(client)
    (event,) = await service.until(of(logged["id"], "occurrence.ended.v1"))
    assert event["data"]["outcome"] == "delivered"
    (release,) = [line for line in service.releases() if line["schedule_id"] == logged["id"]]
    explained = (await client.get(f"/v1/occurrences/{release['occurrence_id']}/explain")).json()
    assert explained["verdict"] == "delivered"
    # A worker that hears nothing by Kafka yet reads the log itself, so the relay may be behind what was fired.
    async with asyncio.timeout(PATIENCE_S):
        while not {hooked["id"], logged["id"]} <= {
            record.key.decode() for record in await read_topic(broker_of(service), "notification-schedules")
        }:
            pass


async def _a_worker_is_killed(service: Service, client: Any, record_property: Callable[[str, object], None]) -> None:
    before = len(service.releases())
    begin = datetime.now(UTC) + timedelta(seconds=5)
    items = [
        {
            "recipient": f"user-{number}",
            "channel": "log:",
            "content": {"n": number},
            "timing": {"kind": "at", "at": (begin + number * timedelta(milliseconds=50)).isoformat()},
        }
        for number in range(MANY)
    ]
    response = await client.post("/v1/schedules/bulk", json=items)
    assert response.status_code == 200, response.text
    schedules = {item["id"] for item in response.json()["items"]}
    # Killed while they fire: when the first of them has.
    (first, *_) = await service.until(
        lambda event: event["event"] == "occurrence.ended.v1" and event["data"]["schedule"] in schedules
    )
    killed, *_ = children(service, "worker")
    os.kill(killed, signal.SIGKILL)
    async with asyncio.timeout(PATIENCE_S):
        await ended_once(service, schedules, first["position"] - 1)
    assert len(service.releases()) - before >= MANY
    record_property("lateness_after_the_death_of_a_worker_s", f"{lateness(service)[-1]:.2f} at most")
