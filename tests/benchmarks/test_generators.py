"""The processes that load and receive: what they count is what happened, and none is waited for for ever."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from benchmarks.children import Child

_BODY = b'{"id": "a", "position": %d}'


@asynccontextmanager
async def service(refuse_every: int = 0) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A port that answers creates with 201, and each so-manieth with 503; and the bodies that came."""
    bodies: list[bytes] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"Content-Length: (\d+)", head)
                assert length is not None
                bodies.append(await reader.readexactly(int(length[1])))
                bad = refuse_every and len(bodies) % refuse_every == 0
                body = _BODY % len(bodies)
                status = b"503 Service Unavailable" if bad else b"201 Created"
                writer.write(b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=256)
    async with server:
        yield server.sockets[0].getsockname()[1], bodies


async def load(port: int, *options: object) -> dict[str, object]:
    with Child("benchmarks.http_load", "--port", port, "--key", "k", "--seconds", 0.5, *options) as child:
        return await asyncio.to_thread(child.result, 60)


async def test_a_load_counts_each_answer_and_the_last_position() -> None:
    """Every request is another recipient's."""
    async with service() as (port, bodies):
        result = await load(port, "--concurrency", 8)
    assert result["created"] == result["requests"] == len(bodies) > 0
    assert (result["errors"], result["last_position"]) == (0, len(bodies))
    assert len({json.loads(body)["recipient"] for body in bodies}) == len(bodies)


async def test_a_refusal_is_an_error_and_no_create() -> None:
    """By its status."""
    async with service(refuse_every=2) as (port, bodies):
        result = await load(port, "--concurrency", 4)
    assert result["created"] == len(bodies) - len(bodies) // 2
    assert result["error_kinds"] == {"503": len(bodies) // 2}


async def test_a_load_at_a_rate_sends_as_many_as_it_should() -> None:
    """As many as fit into its time, however fast the answers are."""
    async with service() as (port, bodies):
        result = await load(port, "--concurrency", 4, "--rate", 100)
    assert result["created"] == len(bodies) == 50


async def test_a_receiver_tells_what_arrived_once() -> None:
    """And forgets it then."""
    with Child("benchmarks.hook") as child:
        port = (await asyncio.to_thread(child.ask))["port"]
        message = {"occurrence_id": "a", "due_at": "2026-11-23T09:00:00Z", "attempt": 1, "content": {}}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            for _ in range(2):
                assert (await client.post("/hook", json=message)).status_code == 204
        assert await asyncio.to_thread(child.ask, "count") == {"count": 2}
        releases = (await asyncio.to_thread(child.ask, "take"))["releases"]
        assert [release["occurrence_id"] for release in releases] == ["a", "a"]
        assert await asyncio.to_thread(child.ask, "take") == {"releases": []}


async def test_a_process_that_is_not_done_in_time_is_killed_and_said_so() -> None:
    """A receiver never ends by itself."""
    with Child("benchmarks.hook") as child, pytest.raises(SystemExit, match=r"benchmarks\.hook was not done within"):
        await asyncio.to_thread(child.result, 0.1)


async def test_a_process_that_ends_badly_is_said_so() -> None:
    """With its status; what it said stands on standard error."""
    with Child("benchmarks.http_load") as child, pytest.raises(SystemExit, match=r"benchmarks\.http_load ended with 2"):
        await asyncio.to_thread(child.result, 60)
