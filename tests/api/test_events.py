"""GET /v1/events: server-sent events by position."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from horae.api.services import ApiSettings
from horae.domain.key import Scope
from tests.api.world import ACME, LOG_NOW, World, make_world, new_key
from tests.fixtures.postgres import Database


class Stream:
    """An open event stream, read frame by frame; httpx's own transport would wait for its end."""

    def __init__(self) -> None:
        self.status: int | None = None
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue()
        self._left = asyncio.Event()
        self._asked = False

    async def receive(self) -> MutableMapping[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            await self._chunks.put(message.get("body", b""))

    async def frame(self) -> dict[str, str]:
        """The next frame with an event or a heartbeat."""
        while True:
            text = (await asyncio.wait_for(self._chunks.get(), 20)).decode()
            lines = dict(line.split(": ", 1) for line in text.splitlines() if not line.startswith(":") and line)
            if "id" in lines:
                return lines

    async def rest(self) -> bytes:
        """What still comes until the server ends the stream."""
        got = b""
        while chunk := await asyncio.wait_for(self._chunks.get(), 20):
            got += chunk
        return got


@asynccontextmanager
async def follow(world: World, key: str, query: str = "", last_event_id: str | None = None) -> AsyncIterator[Stream]:
    headers = [(b"authorization", f"Bearer {key}".encode())]
    if last_event_id is not None:
        headers.append((b"last-event-id", last_event_id.encode()))
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/events",
        "raw_path": b"/v1/events",
        "root_path": "",
        "scheme": "http",
        "query_string": query.encode(),
        "headers": headers,
        "server": ("horae", 80),
        "client": ("127.0.0.1", 1),
        "http_version": "1.1",
        "asgi": {"version": "3.0"},
    }
    stream = Stream()
    task = asyncio.create_task(world.app(scope, stream.receive, stream.send))
    try:
        yield stream
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_events_arrive_as_they_happen(world: World) -> None:
    """A stream that waits is woken by a new event and gets it with position, name and body; others' never."""
    head = await world.services.store.head()
    async with follow(world, world.key, f"from={head}&types=schedule") as stream:
        theirs = await world.other.post("/v1/schedules", json=LOG_NOW)
        created = await world.create(LOG_NOW)
        frame = await stream.frame()
        assert frame["event"] == "schedule.created.v1"
        assert frame["id"] == str(created["position"])
        data = json.loads(frame["data"])
        assert data["stream"] == created["id"] != theirs.json()["id"]
        assert data["data"]["personal"]["recipient"] == "user-17"


async def test_a_stream_resumes_behind_the_last_id(world: World) -> None:
    """Last-Event-ID wins over `from`; nothing is repeated and nothing skipped."""
    made = [await world.create(LOG_NOW) for _ in range(5)]
    answer = await world.client.get("/v1/events", params={"from": 0, "types": "schedule", "limit": 2})
    seen = [line.removeprefix("id: ") for line in answer.text.splitlines() if line.startswith("id: ")]
    assert seen == [str(schedule["position"]) for schedule in made[:2]]
    async with follow(world, world.key, "from=0&types=schedule.created", last_event_id=seen[-1]) as stream:
        assert [(await stream.frame())["id"] for _ in range(3)] == [str(s["position"]) for s in made[2:]]


async def test_keys_are_told_to_admins_only_and_never_their_hash(world: World) -> None:
    """A reader's stream has no events of keys; an admin's has them without the hash."""
    reader = await new_key(world.services, ACME, Scope.READ)
    created = await world.create(LOG_NOW)
    async with world.client_for(reader) as client:
        told = await client.get("/v1/events", params={"from": 0, "limit": 1})
    assert f"id: {created['position']}" in told.text
    admin = await world.client.get("/v1/events", params={"from": 0, "limit": 1, "types": "key"})
    assert "key.issued.v1" in admin.text
    assert "sha256" not in admin.text


async def test_a_stream_ends_with_its_key(world: World) -> None:
    """What happens after a revocation is not told to whoever has the key, however long their stream was open."""
    issued = (await world.client.post("/v1/keys", json={"label": "leaked", "scope": "read"})).json()
    await world.settled()
    head = await world.services.store.head()
    async with follow(world, issued["key"], f"from={head}&types=schedule") as stream:
        await world.create(LOG_NOW)
        await stream.frame()
        assert (await world.client.post(f"/v1/keys/{issued['id']}/revoke")).status_code == 200
        await world.create(LOG_NOW)
        assert await stream.rest() == b""


async def test_an_idle_stream_is_kept_open(database: Database) -> None:
    """Without events a comment with the present position comes now and then."""
    async with make_world(database, ApiSettings(heartbeat_s=0.01)) as world:
        head = await world.services.store.head()
        async with follow(world, world.key, f"from={head}&types=schedule") as stream:
            assert (await stream.frame())["id"] == str(head)


async def test_a_wrong_last_event_id_is_refused(world: World) -> None:
    """What is no position is 422, not a stream from somewhere."""
    answer = await world.client.get("/v1/events", headers={"Last-Event-ID": "abc"})
    assert (answer.status_code, answer.json()["field"]) == (422, "Last-Event-ID")


async def test_a_key_may_have_so_many_streams_open_and_no_more(database: Database) -> None:
    """One more is 429 and says how many; another key is not touched; one that ended makes room."""
    async with make_world(database, ApiSettings(event_streams_per_key=1)) as world:
        head = await world.services.store.head()
        query = f"from={head}&types=schedule"
        async with follow(world, world.key, query) as first, follow(world, world.other_key, query) as other:
            created = await world.create(LOG_NOW)
            assert (await first.frame())["id"] == str(created["position"])
            refused = await world.client.get("/v1/events")
            assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
            assert (refused.json()["value"], "Retry-After" in refused.headers) == (1, True)
            await world.other.post("/v1/schedules", json=LOG_NOW)
            await other.frame()
        for _ in range(2):
            again = await world.client.get("/v1/events", params={"from": head, "limit": 1})
            assert again.status_code == 200
