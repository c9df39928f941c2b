"""Calendars that subscribe to a file: got from a real HTTP server, looked at again, and kept when that fails."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from horae.commands.ports import Unfetched
from horae.infra.calendarsource import HttpCalendarSource
from horae.projections.schema import create_pool
from horae.streams.metrics import Metrics
from horae.streams.refreshing import Refresher, RefresherConfig
from tests.api.test_calendars import FILE, MONTHLY
from tests.api.world import World

MOVED = FILE.replace("20261224", "20261225").replace("20261225\r\nSUMMARY", "20261226\r\nSUMMARY")


@dataclass
class Server:
    """Serves one file as it is told to, and remembers what it was asked."""

    text: str = FILE
    status: int = 200
    etag: str | None = '"1"'
    location: str | None = None
    asked: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        """The file, 304 if it is the one that the other has, or what is wrong today."""
        self.asked.append(dict(request.headers))
        if self.location is not None and request.path == "/days.ics":
            return web.Response(status=302, headers={"Location": self.location})
        if self.etag is not None and request.headers.get("If-None-Match") == self.etag:
            return web.Response(status=304)
        headers = {"ETag": self.etag} if self.etag is not None else {}
        return web.Response(status=self.status, text=self.text, headers=headers, content_type="text/calendar")


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    """A server on a port of its own."""
    server, app = Server(), web.Application()
    app.router.add_get("/{path:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"{site.name}/days.ics"
    try:
        yield server
    finally:
        await runner.cleanup()


async def post(world: World, path: str, **body: Any) -> dict[str, Any]:
    """The JSON of a POST that goes well."""
    answer = await world.client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


@pytest.mark.covers("CMP-11", "TZ-28")
async def test_a_calendar_takes_its_days_from_a_file_and_follows_it(world: World) -> None:
    """Each change is a version that plans name; what is the same stores nothing, and moves nobody."""
    async with serving() as server:
        office = "/v1/calendars/munich"
        first = await post(world, f"{office}/subscribe", url=server.url, every="PT1H")
        assert (first["version"], first["result"], len(first["passed_over"])) == (1, "changed", 1)
        assert first["subscription"]["url"] == server.url
        kept = MONTHLY | {"rrule": "FREQ=MONTHLY;BYMONTHDAY=24;BYHOUR=9;BYMINUTE=0;BYSECOND=0"}
        schedule = await world.create(timing=kept)
        assert (schedule["next"]["due_at"], schedule["next"]["calendar"]) == ("2026-12-25T08:00:00Z", "munich@1")
        same = await post(world, f"{office}/refresh")
        assert (same["version"], same["result"]) == (1, "unchanged")
        assert server.asked[-1]["If-None-Match"] == '"1"'
        server.text, server.etag = MOVED, '"2"'
        changed = await post(world, f"{office}/refresh")
        assert (changed["version"], changed["replanned"]["moved"]) == (2, [schedule["id"]])
        moved = await world.get(f"/v1/schedules/{schedule['id']}")
        assert (moved["next"]["due_at"], moved["next"]["calendar"]) == ("2026-12-24T08:00:00Z", "munich@2")
        (listed,) = (await world.get("/v1/calendars"))["items"]
        assert listed["subscription"]["url"] == server.url


async def test_what_fails_keeps_the_last_good_days_and_says_so(world: World) -> None:
    """Once when it begins to fail, once when it goes well again; whatever is wrong: status, no calendar, too large."""
    async with serving() as server:
        await post(world, "/v1/calendars/munich/subscribe", url=server.url, every="PT1H")
        good = server.text
        server.etag = None
        for status, text in ((500, good), (200, "<html>"), (200, good + "X" * 2**20)):
            server.status, server.text = status, text
            failed = await post(world, "/v1/calendars/munich/refresh")
            assert (failed["result"], failed["version"]) == ("failed", 2)
        shown = await world.get("/v1/calendars/munich")
        assert shown["subscription"]["error"] == "the server answered 500"
        assert shown["subscription"]["failing_since"] is not None
        assert [day["name"] for day in shown["definition"]["days"]][:1] == ["Christmas Eve"]
        server.status, server.text = 200, good
        again = await post(world, "/v1/calendars/munich/refresh")
        assert (again["result"], again["version"], again["subscription"]["failing_since"]) == ("unchanged", 3, None)


async def test_a_repeat_gets_its_first_answer_though_the_file_is_away(world: World) -> None:
    """Under its Idempotency-Key; another body under the same key is refused."""
    path, key = "/v1/calendars/munich/subscribe", {"Idempotency-Key": "once"}
    async with serving() as server:
        first = await world.client.post(path, json={"url": server.url}, headers=key)
        server.status = 503
        again = await world.client.post(path, json={"url": server.url}, headers=key)
        other = await world.client.post(path, json={"url": f"{server.url}x"}, headers=key)
    assert (first.status_code, again.status_code, other.status_code) == (200, 200, 422)
    told = again.json()
    assert (told["version"], told["replayed"], told["subscription"]) == (1, True, first.json()["subscription"])


async def test_what_cannot_be_got_is_refused_before_anything_is_stored(world: World) -> None:
    """By field, with what is wrong; so are days of one's own beside those of a file."""
    async with serving() as server:
        for url, every in (
            (f"{server.url}?x y", "P1D"),
            ("ftp://example.com/x.ics", "P1D"),
            ("https://me:pw@example.com/x.ics", "P1D"),
            (server.url, "PT0.5S"),
            (server.url, "P31D"),
        ):
            answer = await world.client.post("/v1/calendars/munich/subscribe", json={"url": url, "every": every})
            assert answer.status_code == 422, url
            assert answer.json()["field"] in ("url", "every")
        server.status = 404
        answer = await world.client.post("/v1/calendars/munich/subscribe", json={"url": server.url})
        assert (answer.status_code, "answered 404" in answer.json()["detail"]) == (422, True)
        assert (await world.client.get("/v1/calendars/munich")).status_code == 404
        assert (await world.client.post("/v1/calendars/munich/refresh", json={})).status_code == 404
        server.status = 200
        await post(world, "/v1/calendars/munich/subscribe", url=server.url)
        own = await world.client.put("/v1/calendars/munich", json={"days": [{"date": "2027-01-02"}]})
        assert (own.status_code, own.json()["field"]) == (422, "days")
        kept = await world.client.put("/v1/calendars/munich", json={"title": "Munich"})
        assert len(kept.json()["definition"]["days"]) > 1
        ended = await post(world, "/v1/calendars/munich/unsubscribe")
        assert (ended["subscription"], len(ended["definition"]["days"]) > 1) == (None, True)
        assert (await world.client.put("/v1/calendars/munich", json={"days": []})).json()["definition"]["days"] == []


async def test_addresses_that_are_not_public_are_refused(world: World) -> None:
    """Named, written out, or led to; unless private targets are allowed. Nor does a file lead on for ever."""
    async with serving() as server:
        strict, lenient = HttpCalendarSource(), HttpCalendarSource(allow_private_targets=True)
        for url in (server.url, server.url.replace("127.0.0.1", "localhost"), "http://169.254.169.254/x.ics"):
            with pytest.raises(Unfetched, match="not allowed here"):
                await strict.fetch(url)
        assert server.asked == []
        server.location = "/there.ics"
        found = await lenient.fetch(server.url)
        assert (found and found.text, found and found.etag) == (FILE, '"1"')
        for location, wrong in (("/days.ics", "more than 3 times"), ("file:///etc/passwd", "cannot be used")):
            server.location = location
            with pytest.raises(Unfetched, match=wrong):
                await lenient.fetch(server.url)


async def test_the_worker_looks_in_each_calendars_interval(world: World) -> None:
    """Not before; after a failure sooner; what moves is planned anew; counted by result, failing ones shown."""
    registry, now = CollectorRegistry(), time.monotonic()
    clock = [now]
    pool = await create_pool(world.owner_dsn)
    services = world.services
    refresher = Refresher(
        RefresherConfig(retry_s=10),
        pool,
        services.subscriptions,
        services.schedules,
        services.real_clock,
        Metrics(registry),
        lambda: clock[0],
    )
    async with serving() as server:
        await post(world, "/v1/calendars/munich/subscribe", url=server.url, every="PT1H")
        schedule = await world.create(timing=MONTHLY)
        await world.settled()
        assert await refresher.run_once() == Counter()
        clock[0] += timedelta(hours=1).total_seconds()
        assert await refresher.run_once() == Counter(unchanged=1)
        assert await refresher.run_once() == Counter()
        server.text, server.etag = MOVED, '"2"'
        clock[0] += timedelta(hours=1).total_seconds()
        assert await refresher.run_once() == Counter(changed=1)
        moved = await world.get(f"/v1/schedules/{schedule['id']}")
        assert (moved["next"]["due_at"], moved["next"]["calendar"]) == ("2027-01-01T08:00:00Z", "munich@2")
        server.status, server.etag = 503, None
        clock[0] += timedelta(hours=1).total_seconds()
        assert await refresher.run_once() == Counter(failed=1)
        assert registry.get_sample_value("horae_failing_calendars") == 1
        clock[0] += 10
        server.status = 200
        assert await refresher.run_once() == Counter(unchanged=1)
        assert registry.get_sample_value("horae_failing_calendars") == 0
        assert registry.get_sample_value("horae_calendar_refreshes_total", {"result": "changed"}) == 1
    await pool.close()
