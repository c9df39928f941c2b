"""Whether a newer release of the zone data is out: asked of a real HTTP server, and never a reason to fail."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from horae.domain.timing.zones import tzdata_version
from horae.infra.watches import CannotTell, Looked, ZoneDataWatch, is_newer, newest_release, watch


@asynccontextmanager
async def saying(*answers: tuple[int, str]) -> AsyncIterator[tuple[str, asyncio.Semaphore]]:
    """A server that answers so, one after the other, the last for ever; released once for each time it is asked."""
    left, asked = list(answers), asyncio.Semaphore(0)

    async def answer(_: web.Request) -> web.Response:
        status, text = left.pop(0) if len(left) > 1 else left[0]
        asked.release()
        return web.Response(status=status, text=text)

    app = web.Application()
    app.router.add_get("/version", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/version", asked
    finally:
        await runner.cleanup()


def outdated(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("horae_zone_data_outdated")


@pytest.mark.covers("TZ-19", "TZ-21")
async def test_a_newer_release_is_told_and_an_absent_network_is_nothing() -> None:
    """Newer, away, the one in use: the figure follows the answers, and nothing is raised."""
    registry = CollectorRegistry()
    async with saying((200, "2099za\n"), (503, "later"), (200, f"{tzdata_version()}\n")) as (url, _):
        look = ZoneDataWatch(url, 1, registry)
        assert (await look.run_once(), outdated(registry)) == (Looked(1, 1), 1)
        assert (await look.run_once(), outdated(registry)) == (Looked(0, 0), 1)
        assert (await look.run_once(), outdated(registry)) == (Looked(1, 0), 0)
    assert (await look.run_once(), outdated(registry)) == (Looked(0, 0), 0)


@pytest.mark.covers("TZ-19")
async def test_it_is_asked_again_after_each_interval() -> None:
    """Also when an answer was of no use."""
    async with saying((200, "<html>"), (200, "2099a")) as (url, asked):
        look = ZoneDataWatch(url, 0.01, CollectorRegistry())
        running = asyncio.create_task(watch(look, 0))
        try:
            async with asyncio.timeout(60):
                for _ in range(3):
                    await asked.acquire()
        finally:
            running.cancel()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((404, "2099a"), "answers 404"),
        ((200, ""), "does not answer with"),
        ((200, "no release"), "does not answer with"),
    ],
)
async def test_who_says_something_else_is_named(answer: tuple[int, str], why: str) -> None:
    """With what was said."""
    async with saying(answer) as (url, _):
        with pytest.raises(CannotTell, match=why):
            await newest_release(url)


def test_releases_are_in_order() -> None:
    """By year, then by letter; after `z` comes `za`."""
    releases = ["2025b", "2025c", "2026a", "2026z", "2026za", "2026zb", "2027a"]
    assert [is_newer(b, a) for a, b in pairwise(releases)] == [True] * 6
    assert not is_newer("2026a", "2026a")
    assert not is_newer("2025c", "2026a")


@pytest.mark.covers("TZ-19")
async def test_the_command_never_fails_for_the_network() -> None:
    """`horae tz check` says what it could not ask, and leaves with 0."""
    async with saying((200, "2099a")) as (url, _):
        assert await check("--url", url) == {
            "tzdata": tzdata_version(), "newest": "2099a", "outdated": True, "not_asked": []
        }  # fmt: skip
    gone = await check("--url", url)
    assert (gone["newest"], gone["outdated"], len(gone["not_asked"])) == (None, None, 1)


async def check(*arguments: str) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "horae.infra.cli.main", "tz", "check", "--json", *arguments),
        env={name: value for name, value in os.environ.items() if name != "NTP_SERVER"},
        stdout=subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    found: dict[str, Any] = json.loads(said)
    return found
