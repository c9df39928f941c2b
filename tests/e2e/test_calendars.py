"""Calendars through the real processes: written, kept to, changed, and seen in what goes out and why."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.api.test_subscriptions import MOVED, serving
from tests.e2e.live import Live, fresh, running
from tests.e2e.profiles import Profile
from tests.e2e.receiver import Receiver

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

KEEPING = {"id": "office", "skip_weekends": True, "skip_holidays": True}
MONTHLY = {"kind": "every", "cron": "0 9 25 * *", "zone": "Europe/Berlin", "calendar": KEEPING}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(profile: Profile) -> AsyncIterator[Live]:
    """A service of its own, whose time is virtual."""
    async with running(profile, clock="virtual=2026-11-23T00:00:00Z") as live:
        yield live


async def put(live: Live, **definition: Any) -> dict[str, Any]:
    """Write the calendar `office`."""
    answer = await live.client.put("/v1/calendars/office", json={"country": "DE", "subdivision": "BY", **definition})
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


@pytest.mark.covers("REC-10", "REC-11", "TZ-28")
async def test_a_series_keeps_to_a_calendar_and_follows_its_changes(live: Live) -> None:
    """Christmas moves on to Monday; a day that is closed afterwards moves what was planned, and only that."""
    await put(live)
    async with Receiver() as receiver:
        created = await live.create(channel=receiver.channel, timing=MONTHLY, recipient=fresh())
        other = await live.create(channel=receiver.channel, timing=MONTHLY | {"cron": "0 9 26 * *"}, recipient=fresh())
        assert created["next"]["due_at"] == "2026-11-25T08:00:00Z"
        changed = await put(live, days=[{"date": "2026-11-25", "name": "the move"}])
        assert changed["replanned"] == {"checked": 2, "moved": [created["id"]], "failed": [], "change": None}
        await live.advance(datetime(2026, 12, 30, tzinfo=UTC))
        due = {
            schedule["id"]: [r.json["due_at"] for r in receiver.requests if r.json["schedule_id"] == schedule["id"]]
            for schedule in (created, other)
        }
        assert due == {
            created["id"]: ["2026-11-26T08:00:00Z", "2026-12-28T08:00:00Z"],
            other["id"]: ["2026-11-26T08:00:00Z", "2026-12-28T08:00:00Z"],
        }
        (first,) = [r for r in receiver.requests if r.json["schedule_id"] == created["id"]][:1]
        story = await live.get(f"/v1/occurrences/{first.occurrence}/explain")
        assert "the move" in str(story)


async def test_a_calendar_that_is_not_there_is_refused_by_name(live: Live) -> None:
    """Before anything is stored, with what to do."""
    body = {"recipient": fresh(), "channel": "log:", "timing": MONTHLY | {"calendar": KEEPING | {"id": "nobodys"}}}
    answer = await live.client.post("/v1/schedules", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, "timing.calendar.id")


async def test_a_calendar_follows_a_file_and_a_feed_tells_the_schedules(live: Live) -> None:
    """Served by somebody else; what changes there moves what is planned, and a calendar program sees it, keyless."""
    async with serving() as server:
        body = {"url": server.url, "every": "PT1H"}
        subscribed = await live.client.post("/v1/calendars/others/subscribe", json=body)
        assert subscribed.status_code == 200, subscribed.text
        keeping = {"id": "others", "skip_holidays": True}
        timing = {"kind": "every", "cron": "0 9 24 12 *", "zone": "Europe/Berlin", "calendar": keeping}
        recipient = fresh()
        created = await live.create(channel="log:", timing=timing, recipient=recipient)
        opened = await live.client.post("/v1/feeds", json={"label": "Mine", "recipient": recipient})
        assert opened.status_code == 201, opened.text
        async with httpx.AsyncClient() as program:
            before = await program.get(opened.json()["url"])
            server.text, server.etag = MOVED, '"2"'
            changed = await live.client.post("/v1/calendars/others/refresh", json={})
            assert changed.json()["replanned"]["moved"] == [created["id"]]
            await live.get(f"/v1/schedules/{created['id']}", min_position=changed.json()["position"])
            after = await program.get(opened.json()["url"], headers={"If-None-Match": before.headers["etag"]})
        assert (before.status_code, after.status_code) == (200, 200)
        assert "DTSTART:20271225T080000Z" in before.text
        assert "DTSTART:20271224T080000Z" in after.text
