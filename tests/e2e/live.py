"""One running service for a whole module of tests: what its stream has told, and the few things that all tests ask.

Tests of a module share the service and keep apart by their own schedules and recipients. On virtual time they share the
clock, too: each goes on from where it stands.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.harness import Service
from tests.e2e.profiles import STACK, Profile
from tests.e2e.talking import PATIENCE_S

Event = dict[str, Any]

#: A timing of which nothing comes due while a test runs (but for one minute of the year).
YEARLY = {"kind": "every", "cron": "0 9 1 1 *", "zone": "UTC"}

#: Bounds waiting for the workers' instruments, which come with each second's heartbeat.
_HEARTBEATS = 15
#: Bounds moving virtual time over years on a busy machine, nothing else.
ADVANCE_S = 300.0


class Live:
    """A running service, a client of its tenant `default`, and every event that its stream has told so far."""

    def __init__(self, service: Service, client: httpx.AsyncClient) -> None:
        self.service = service
        self.client = client
        self.told: list[Event] = []
        self._changed = asyncio.Condition()

    async def follow(self) -> None:
        """Note every event as it comes, until cancelled."""
        async for event in self.service.events():
            async with self._changed:
                self.told.append(event)
                self._changed.notify_all()

    async def events(self, wanted: Callable[[Event], bool], count: int = 1) -> list[Event]:
        """At least `count` events that `wanted` accepts, as soon as they are told. Raises `AssertionError` at last."""

        def matching() -> list[Event]:
            return [event for event in self.told if wanted(event)]

        try:
            async with asyncio.timeout(PATIENCE_S), self._changed:
                await self._changed.wait_for(lambda: len(matching()) >= count)
        except TimeoutError:
            found = "\n".join(map(str, matching()))
            raise AssertionError(f"only these of {count} events came:\n{found}\n{self.service.tail()}") from None
        return matching()

    async def ended(self, schedule: str, count: int = 1) -> list[Event]:
        """The ends of at least `count` occurrences of the schedule."""
        return await self.events(of(schedule, "occurrence.ended.v1"), count)

    # --- asking ---

    async def create(self, **fields: Any) -> dict[str, Any]:
        """Create a schedule (default: now, to `log:`), and the answer."""
        return await self.service.create(self.client, **fields)

    async def get(self, path: str, **params: Any) -> dict[str, Any]:
        """The JSON of a GET that goes well."""
        return answered(await self.client.get(path, params=params), 200)

    async def post(
        self, path: str, body: Any = None, status: int = 200, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """The JSON of a POST that is answered with `status`."""
        return answered(await self.client.post(path, json={} if body is None else body, headers=headers), status)

    async def patch(self, path: str, body: Any, status: int = 200) -> dict[str, Any]:
        """The JSON of a PATCH that is answered with `status`."""
        return answered(await self.client.patch(path, json=body), status)

    async def occurrences(self, schedule: str) -> list[dict[str, Any]]:
        """What became of the schedule's slots, oldest first. What the stream has told is in it."""
        page = await self.get(f"/v1/schedules/{schedule}/occurrences", limit=500)
        items: list[dict[str, Any]] = page["items"]
        return items[::-1]

    async def explain(self, occurrence: str) -> dict[str, Any]:
        """Why the occurrence went out, or not."""
        return await self.get(f"/v1/occurrences/{occurrence}/explain")

    # --- virtual time ---

    async def now(self) -> datetime:
        """The service's clock."""
        return datetime.fromisoformat((await self.get("/v1/clock"))["now"])

    async def advance(self, to: datetime | timedelta) -> None:
        """Move virtual time, and return when everything due on the way is done."""
        target = to if isinstance(to, datetime) else await self.now() + to
        body = {"to": target.isoformat()}
        answered(await self.client.post("/v1/clock/advance", json=body, timeout=ADVANCE_S), 200)


def answered(response: httpx.Response, status: int) -> dict[str, Any]:
    """The JSON of an answer that has this status."""
    assert response.status_code == status, f"{response.request.method} {response.request.url}: {response.text}"
    shown: dict[str, Any] = response.json()
    return shown


def of(schedule: str, *names: str) -> Callable[[Event], bool]:
    """Is this an event of the schedule or of its occurrences, with one of these names (none: any)?"""
    return lambda event: (
        schedule in (event["stream"], event["data"].get("schedule")) and (not names or event["event"] in names)
    )


def fresh(name: str = "user") -> str:
    """A recipient of a test's own."""
    return f"{name}-{uuid4().hex[:12]}"


def decision(explained: dict[str, Any], code: str) -> dict[str, Any]:
    """The one decision of this code."""
    (found,) = [entry for entry in explained["decisions"] if entry["code"] == code]
    shown: dict[str, Any] = found
    return shown


async def command(service: Service, *arguments: str) -> dict[str, Any]:
    """What `horae ARGUMENTS --data FOLDER --json` prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "horae.infra.cli.main", *arguments, "--data", str(service.data), "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    assert process.returncode == 0, complained.decode()
    shown: dict[str, Any] = json.loads(said)
    return shown


def open_folder() -> Path:
    """A new folder that PostgreSQL's own user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="horae-e2e-"))
    folder.chmod(0o755)
    return folder


async def _fed_by_kafka(live: Live) -> None:
    """Read models were written from Kafka's records: workers fall back to the event store without a word.

    On virtual time one worker reads the log by itself: see `docs/proof.md`.
    """
    applied: dict[str, float] = {}
    never = asyncio.Event()
    for _ in range(_HEARTBEATS):
        text = (await live.client.get("/metrics")).text
        for family in text_string_to_metric_families(text):
            applied |= {each.name: each.value for each in family.samples if each.labels.get("road") == "kafka"}
        if applied.get("horae_feed_events_total", 0) > applied.get("horae_feed_healed_total", 0):
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await never.wait()
    raise AssertionError(f"no event came by Kafka: {applied}\n{live.service.tail()}")


@asynccontextmanager
async def running(
    profile: Profile, clock: str | None = None, *, kafka_stays: bool = True, **settings: str
) -> AsyncIterator[Live]:
    """A service on a folder of its own, followed from its first event; stopped cleanly at the end.

    `settings`: by their names in the environment. `kafka_stays` False: Kafka is away for so long that workers may have
    begun anew since they were fed by it.
    """
    parent = open_folder()
    environment = profile.environment() | settings
    service = Service(parent / "data", clock=clock, workers=profile.workers(clock), environment=environment)
    try:
        await service.start()
        async with service.client(limits=httpx.Limits(max_connections=100)) as client:
            live = Live(service, client)
            following = asyncio.create_task(live.follow())
            try:
                yield live
                if profile.name == STACK and clock is None and kafka_stays:
                    await _fed_by_kafka(live)
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
    finally:
        assert await service.stop() == 0, service.tail()
        await profile.forget(environment)
        shutil.rmtree(parent, ignore_errors=True)
