"""Calendar feeds over HTTP: opened, read by calendar programs, rotated, revoked; and what stands in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import httpx
import pytest
from icalendar import Calendar

from horae.api.services import ApiSettings
from horae.domain.feed import FeedOpened
from horae.domain.key import Scope
from tests.api.world import ACME, DAILY, LOG_NOW, World, make_world, new_key
from tests.fixtures.calendar_program import laid_out
from tests.fixtures.postgres import Database


async def opened(world: World, **body: Any) -> dict[str, Any]:
    """A new feed, as the API answers."""
    answer = await world.client.post("/v1/feeds", json={"label": "Team", **body})
    assert answer.status_code == 201, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def parsed(file: str) -> Any:
    """The file's components."""
    return Calendar.from_ical(file)


async def read(world: World, feed: dict[str, Any], **headers: str) -> httpx.Response:
    """What a calendar program gets, which has no key."""
    await world.settled()
    async with world.client_for(None, **headers) as program:
        return await program.get(feed["path"])


async def test_a_calendar_program_reads_a_feed_without_a_key(world: World) -> None:
    """A series is one event with its zone's rules; somebody else's code lays it out to the very instants of preview."""
    daily = await world.create(content={"subject": "Stand-up; bring, coffee", "body": "a\nb"}, tags=["x"])
    await world.create(LOG_NOW | {"timing": {"kind": "at", "local": "2026-12-05T10:00", "zone": "Asia/Tokyo"}})
    feed = await opened(world)
    answer = await read(world, feed)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/calendar; charset=utf-8")
    assert feed["url"] == f"http://horae{feed['path']}"
    file = parsed(answer.text)
    assert str(file["X-WR-CALNAME"]) == "Team"
    first, second = sorted(file.walk("VEVENT"), key=lambda event: "RRULE" not in event)
    assert (str(first["UID"]), first["SEQUENCE"]) == (f"{daily['id']}@horae", 0)
    assert (str(first["SUMMARY"]), str(first["DESCRIPTION"])) == ("Stand-up; bring, coffee", "a\nb")
    assert second["DTSTART"].params["TZID"] == "Asia/Tokyo"
    assert {str(zone["TZID"]) for zone in file.walk("VTIMEZONE")} == {"Europe/Berlin", "Asia/Tokyo"}
    preview = await world.get(f"/v1/schedules/{daily['id']}/preview", count=200)
    expected = [datetime.fromisoformat(slot["due_at"]) for slot in preview["slots"]]
    begun = laid_out(answer.text, datetime(2026, 12, 1, 8, 0, 1, tzinfo=UTC), expected[-1])
    assert [at for at in begun if at != datetime(2026, 12, 5, 1, tzinfo=UTC)] == expected


async def test_a_feed_of_one_recipient_shows_nobody_elses(world: World) -> None:
    """Nor another tenant's, nor what is paused, cancelled or over."""
    mine = await world.create(recipient="anna")
    await world.create(recipient="ben")
    paused = await world.create(recipient="anna")
    assert (await world.client.post(f"/v1/schedules/{paused['id']}/pause", json={})).status_code == 200
    assert (await world.other.post("/v1/schedules", json={**DAILY, "recipient": "anna"})).status_code == 201
    feed = await opened(world, recipient="anna")
    file = parsed((await read(world, feed)).text)
    assert [str(event["X-HORAE-SCHEDULE"]) for event in file.walk("VEVENT")] == [mine["id"]]
    everybody = parsed((await read(world, await opened(world))).text)
    assert len(everybody.walk("VEVENT")) == 2


async def test_what_has_not_changed_is_not_sent_again(world: World) -> None:
    """304 by ETag, until a schedule changes: then the same UID with a higher SEQUENCE; a skipped slot is an EXDATE."""
    daily = await world.create()
    feed = await opened(world)
    first = await read(world, feed)
    assert (await read(world, feed)).content == first.content
    unchanged = await read(world, feed, **{"If-None-Match": f'"other", W/{first.headers["etag"]}'})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["etag"] == first.headers["etag"]
    skipped = await world.client.post(f"/v1/schedules/{daily['id']}/skip", json={"slot": "2026-12-03T09:00"})
    assert skipped.status_code == 200
    changed = await read(world, feed, **{"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200
    (event,) = parsed(changed.text).walk("VEVENT")
    (before,) = parsed(first.text).walk("VEVENT")
    assert (event["UID"], event["SEQUENCE"]) == (before["UID"], before["SEQUENCE"] + 1)
    days = [
        at.day for at in laid_out(changed.text, datetime(2026, 12, 2, tzinfo=UTC), datetime(2026, 12, 5, tzinfo=UTC))
    ]
    assert days == [2, 4]


async def test_a_timing_that_icalendar_cannot_hold_is_told_slot_by_slot(world: World) -> None:
    """Kept to a calendar and jittered: at the instants of the preview, each under its occurrence's id."""
    definition = {"days": [{"date": "2026-12-04", "name": "the move"}]}
    assert (await world.client.put("/v1/calendars/office", json=definition)).status_code == 200
    timing = DAILY["timing"] | {  # type: ignore[operator]
        "calendar": {"id": "office", "skip_holidays": True, "move": "drop"},
        "jitter": "PT10M",
        "ends_at": "2026-12-10",
    }
    created = await world.create(timing=timing)
    feed = await opened(world)
    answer = await read(world, feed)
    events = parsed(answer.text).walk("VEVENT")
    preview = await world.get(f"/v1/schedules/{created['id']}/preview", count=50)
    expected = [datetime.fromisoformat(slot["due_at"]).replace(microsecond=0) for slot in preview["slots"]]
    assert sorted(event["DTSTART"].dt for event in events) == expected
    assert len(events) == 8
    assert len({str(event["UID"]) for event in events}) == 8
    definition["days"].append({"date": "2026-12-07", "name": "another"})
    assert (await world.client.put("/v1/calendars/office", json=definition)).status_code == 200
    changed = await read(world, feed, **{"If-None-Match": answer.headers["etag"]})
    assert changed.status_code == 200
    assert {str(e["UID"]) for e in parsed(changed.text).walk("VEVENT")} < {str(e["UID"]) for e in events}


@pytest.mark.covers("LIF-18")
async def test_slots_that_were_changed_by_themselves_stand_beside_their_series(world: World) -> None:
    """Moved, and with words of their own; laid out by others they are the instants of the timeline."""
    daily = await world.create(content={"subject": "Stand-up"})
    path = f"/v1/schedules/{daily['id']}?scope=this"
    feed = await opened(world)
    before = await read(world, feed)
    for slot, change in (
        ("2026-12-03T09:00", {"timing": {"kind": "at", "local": "2026-12-03T15:00"}}),
        ("2026-12-04T09:00", {"content": {"subject": "Retro"}, "priority": 5}),
        ("2026-12-05T09:00", {"channel": "webhook:https://example.com/x"}),
    ):
        assert (await world.client.patch(f"{path}&slot={slot}", json=change)).status_code == 200
    answer = await read(world, feed, **{"If-None-Match": before.headers["etag"]})
    series, *own = parsed(answer.text).walk("VEVENT")
    assert "RRULE" in series
    assert [(str(each["UID"]) == str(series["UID"]), str(each["SUMMARY"]), each["PRIORITY"]) for each in own] == [
        (True, "Stand-up", 7),
        (True, "Retro", 1),
    ]
    begun = laid_out(answer.text, datetime(2026, 12, 2, tzinfo=UTC), datetime(2026, 12, 6, tzinfo=UTC))
    assert [f"{at:%dT%H}" for at in begun] == ["02T08", "03T14", "04T08", "05T08"]


async def test_a_moved_slot_is_told_though_its_series_has_ended(world: World) -> None:
    """Until it has gone out, in its recipient's feed and in everybody's."""
    once = {**DAILY["timing"], "starts_at": "2026-12-02", "count": 1}  # type: ignore[dict-item]
    series = await world.create(timing=once)
    later = {"timing": {"kind": "at", "local": "2026-12-09T15:00"}}
    path = f"/v1/schedules/{series['id']}?scope=this&slot=2026-12-02T09:00"
    assert (await world.client.patch(path, json=later)).status_code == 200
    for body, told in (({}, 1), ({"recipient": "user-17"}, 1), ({"recipient": "anna"}, 0)):
        events = parsed((await read(world, await opened(world, **body))).text).walk("VEVENT")
        assert [event["DTSTART"].dt for event in events] == [datetime(2026, 12, 9, 14, tzinfo=UTC)] * told
    world.pass_time(days=9)
    assert "VEVENT" not in (await read(world, await opened(world))).text


@pytest.mark.covers("SEC-14")
async def test_an_address_is_rotated_and_revoked(world: World) -> None:
    """The old one works for the overlap; a revoked feed has no address; nothing but hashes is stored."""
    feed = await opened(world)
    rotated = (await world.client.post(f"/v1/feeds/{feed['id']}/rotate", json={"overlap": "PT1H"})).json()
    assert rotated["token"] != feed["token"]
    assert [(await read(world, each)).status_code for each in (feed, rotated)] == [200, 200]
    world.real_clock.instant += timedelta(hours=1)
    assert [(await read(world, each)).status_code for each in (feed, rotated)] == [404, 200]
    revoked = await world.client.post(f"/v1/feeds/{feed['id']}/revoke", json={"reason": "lost"})
    assert (revoked.status_code, revoked.json()["status"]) == (200, "revoked")
    gone = await read(world, rotated)
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")
    assert (await world.client.post(f"/v1/feeds/{feed['id']}/rotate", json={})).status_code == 409
    (listed,) = (await world.get("/v1/feeds"))["items"]
    assert (listed["id"], listed["status"], listed["prefix"]) == (feed["id"], "revoked", rotated["token"][:10])
    stored = [event.body for event in await world.every.after(0) if isinstance(event.body, FeedOpened)]
    assert [body.sha256 for body in stored] == [sha256(feed["token"].encode()).hexdigest()]
    told = " ".join(str(event) for event in await world.every.after(0))
    assert feed["token"] not in told
    assert rotated["token"] not in told


async def test_feeds_are_an_admins_and_a_tenants(world: World) -> None:
    """No other key opens or lists them; no other tenant sees them; a repeat opens none and tells no token."""
    feed = await opened(world)
    async with world.client_for(await new_key(world.services, ACME, Scope.WRITE)) as writer:
        assert (await writer.post("/v1/feeds", json={"label": "x"})).status_code == 403
        assert (await writer.get("/v1/feeds")).status_code == 403
    assert (await world.other.get("/v1/feeds")).json()["items"] == []
    assert (await world.other.post(f"/v1/feeds/{feed['id']}/revoke", json={})).status_code == 404
    headers = {"Idempotency-Key": "one"}
    first = (await world.client.post("/v1/feeds", json={"label": "One"}, headers=headers)).json()
    again = (await world.client.post("/v1/feeds", json={"label": "One"}, headers=headers)).json()
    assert (again["id"], again["token"], again["url"], again["replayed"]) == (first["id"], None, None, True)
    other = await world.client.post("/v1/feeds", json={"label": "Two"}, headers=headers)
    assert other.status_code == 422
    for path in ("/feeds/hf_guessed.ics", "/feeds/.ics", f"/feeds/{feed['prefix']}.ics"):
        async with world.client_for(None) as stranger:
            assert (await stranger.get(path)).status_code == 404


async def test_texts_cannot_break_out_of_their_lines(world: World) -> None:
    """Whatever a recipient, a tag, a label or content holds, it is one event with these values."""
    nasty = "a\r\nBEGIN:VALARM\n;,\\\u2028\x85\x1bé" + "漢" * 60
    await world.create(recipient=nasty, tags=[nasty[:60]], content={"body": nasty, "url": "http://x\nX-EVIL:1"})
    answer = await read(world, await opened(world, label=nasty[:90]))
    file = parsed(answer.text)
    (event,) = file.walk("VEVENT")
    assert {part.name for part in file.walk()} == {"VCALENDAR", "VTIMEZONE", "STANDARD", "DAYLIGHT", "VEVENT"}
    assert str(event["DESCRIPTION"]) == nasty.replace("\r\n", "\n").replace("\x1b", "")
    assert "URL" not in event
    assert all(len(line) <= 75 for line in answer.content.split(b"\r\n"))


async def test_a_feed_that_is_read_too_often_is_refused(database: Database) -> None:
    """By the same limit as a key."""
    async with make_world(database, ApiSettings(rate_limit_requests=3, rate_limit_window_s=60)) as world:
        feed = await opened(world)
        codes = [(await read(world, feed)).status_code for _ in range(4)]
        assert codes == [200, 200, 200, 429]
