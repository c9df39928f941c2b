"""Calendar files over HTTP: events become schedules, each for itself, once; what a feed tells comes back in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from horae.api.routes import importing
from horae.api.turns import Turns
from horae.domain.key import Scope
from tests.api.world import ACME, World, new_key

SERIES = """UID:stand-up
DTSTART;TZID=Europe/Berlin:20261202T090000
RRULE:FREQ=DAILY;COUNT=4
EXDATE;TZID=Europe/Berlin:20261203T090000
SUMMARY:Stand-up
ATTENDEE:mailto:ann@example.com"""
MOVED = """UID:stand-up
RECURRENCE-ID;TZID=Europe/Berlin:20261204T090000
DTSTART;TZID=Europe/Berlin:20261204T150000
SUMMARY:Retro
ATTENDEE:mailto:ann@example.com"""
OWN_ZONE = """BEGIN:VTIMEZONE
TZID:Our office
BEGIN:DAYLIGHT
DTSTART:19700329T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU
END:DAYLIGHT
BEGIN:STANDARD
DTSTART:19701025T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU
END:STANDARD
END:VTIMEZONE
"""


def event(lines: str) -> str:
    """A VEVENT of these lines."""
    return f"BEGIN:VEVENT\nDTSTAMP:20261101T000000Z\n{lines}\nEND:VEVENT\n"


def file(*parts: str) -> str:
    """A calendar of these components."""
    text = f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//example//x//EN\n{''.join(parts)}END:VCALENDAR\n"
    return text.replace("\n", "\r\n")


async def posted(world: World, content: str | bytes, client: httpx.AsyncClient | None = None, **query: str) -> Any:
    """The answer to an import."""
    return await (client or world.client).post(
        "/v1/schedules/import",
        params={"channel": "log:", **query},
        content=content,
        headers={"Content-Type": "text/calendar; charset=utf-8"},
    )


async def imported(world: World, content: str | bytes, **query: str) -> dict[str, Any]:
    """The same where it goes well."""
    answer = await posted(world, content, None, **query)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def due(world: World) -> list[tuple[str, str]]:
    """When what goes out, of all schedules."""
    found = []
    for item in (await world.get("/v1/schedules"))["items"]:
        preview = await world.get(f"/v1/schedules/{item['id']}/preview", count=9)
        found += [(slot["due_at"], item["content"]["subject"]) for slot in preview["slots"]]
    return sorted(found)


@pytest.mark.covers("LIF-06", "INT-05")
async def test_events_of_a_file_become_schedules(world: World) -> None:
    """A series without what is left out, a changed date for itself, and a zone that only the file knows."""
    own = "UID:own\nDTSTART;TZID=Our office:20270701T120000\nSUMMARY:Lunch\nATTENDEE:mailto:bob@example.com"
    answer = await imported(world, file(OWN_ZONE, event(SERIES), event(MOVED), event(own)))
    assert (answer["created"], answer["replayed"], answer["rejected"]) == (3, 0, 0), answer
    assert [(item["index"], item["event"], item["uid"]) for item in answer["items"]] == [
        (0, 1, "stand-up"),
        (1, 2, "stand-up"),
        (2, 3, "own"),
    ]
    assert await due(world) == [
        ("2026-12-02T08:00:00Z", "Stand-up"),
        ("2026-12-04T14:00:00Z", "Retro"),
        ("2026-12-05T08:00:00Z", "Stand-up"),
        ("2027-07-01T10:00:00Z", "Lunch"),
    ]
    shown = await world.get(f"/v1/schedules/{answer['items'][2]['id']}")
    assert (shown["recipient"], shown["channel"]) == ("bob@example.com", "log:")
    assert shown["metadata"]["tzid"] == "Our office"


async def test_the_same_file_again_adds_nothing(world: World) -> None:
    """By the UIDs of its events; an event that has another time by now is refused, not doubled."""
    content = file(event(SERIES), event(MOVED))
    first = await imported(world, content)
    again = await imported(world, content)
    assert (again["created"], again["replayed"], again["rejected"]) == (0, 2, 0), again
    assert [item["id"] for item in again["items"]] == [item["id"] for item in first["items"]]
    assert len(await due(world)) == 3
    changed = await imported(world, file(event(SERIES.replace("T090000\nRRULE", "T100000\nRRULE"))))
    (item,) = changed["items"]
    assert (changed["rejected"], item["status"], item["error"]["code"]) == (1, 422, "idempotency_mismatch"), item
    assert len(await due(world)) == 3


async def test_a_bad_event_is_refused_by_the_files_own_words(world: World) -> None:
    """And the others are stored."""
    bad = (
        "UID:nobody\nDTSTART:20270101T090000Z",
        "UID:gone\nDTSTART:20200101T090000Z\nATTENDEE:mailto:ann@example.com",
        "UID:where\nDTSTART;TZID=Nowhere/Land:20270101T090000\nATTENDEE:mailto:ann@example.com",
        "UID:rule\nDTSTART:20270101T090000Z\nRRULE:FREQ=DAILY;BYDAY=XX\nATTENDEE:mailto:ann@example.com",
    )
    odd = SERIES.replace("20261203T090000", "20261203T091500")
    answer = await imported(world, file(*(event(each) for each in bad), event(odd)))
    assert (answer["created"], answer["rejected"]) == (1, 4)
    *refused, kept = answer["items"]
    assert [item["error"]["field"] for item in refused] == ["ATTENDEE", "DTSTART", "DTSTART", "RRULE"]
    assert [item["status"] for item in refused] == [422] * 4
    assert refused[0]["error"]["instance"] == "/v1/schedules/import#0"
    assert kept["not_left_out"] == ["2026-12-03T09:15:00"]


async def test_a_broken_property_is_its_events_own(world: World) -> None:
    """Not the file's: the library tells of it only where it is used."""
    bad = (
        "DTSTART:tomorrow",
        "DTSTART:20270101T090000Z\nDTSTART:20270102T090000Z",
        "DTSTART;VALUE=TIME:090000",
        "DTSTART:20270101T090000Z\nRRULE:FREQ=DAILY\nEXDATE:20270230T090000Z",
        "DTSTART:20270101T090000Z\nRECURRENCE-ID:x",
        "DTSTART;TZID=Asia/Tokyo:00010101T000000\nRRULE:FREQ=DAILY\nEXDATE:00010101T000000Z",
        "DTSTART:20270101T090000Z\nSUMMARY:a\nSUMMARY:b",
    )
    events = [event(f"UID:{n}\nATTENDEE:mailto:ann@example.com\n{lines}") for n, lines in enumerate(bad)]
    answer = await imported(world, file(*events, event(SERIES)))
    assert (answer["created"], answer["rejected"]) == (1, 7), answer
    assert [item["error"]["field"] for item in answer["items"][:-1]] == [
        *["DTSTART"] * 3,
        *["EXDATE", "RECURRENCE-ID", "DTSTART", "SUMMARY"],
    ]
    assert answer["items"][0]["error"]["detail"].startswith("'tomorrow' cannot be read")


async def test_a_file_asks_about_conflicts_and_days(world: World) -> None:
    """For each of its events; all-day events have the time that is asked for."""
    day = "UID:{0}\nDTSTART;VALUE=DATE:20261224\nSUMMARY:{0}\nATTENDEE:mailto:ann@example.com"
    content = file(event(day.format("one")), event(day.format("two")))
    answer = await imported(world, content, all_day_at="07:30", conflicts="reject")
    assert [item["status"] for item in answer["items"]] == [201, 409]
    assert answer["items"][0]["next_due_at"] == "2026-12-24T07:30:00Z"
    assert answer["items"][1]["error"]["conflicts"][0]["schedule"] == answer["items"][0]["id"]
    bad = await posted(world, content, conflicts="{")
    assert (bad.status_code, bad.json()["field"]) == (422, "conflicts")


@pytest.mark.parametrize(
    ("content", "headers", "query", "status", "field"),
    [
        (b"hello", {}, {}, 422, "body"),
        (b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", {}, {}, 422, "body"),
        (b"\xff\xfe", {}, {}, 422, "body"),
        (b"{}", {"Content-Type": "application/json"}, {}, 415, "Content-Type"),
        (b"x", {}, {"channel": ""}, 422, "channel"),
        (b"x", {}, {"colour": "red"}, 422, "colour"),
        (b"x" * (importing.FILE_LIMIT + 1), {}, {}, 413, "body"),
        (b"x", {}, {"all_day_at": "09:00+02:00"}, 422, "all_day_at"),
        (b"x", {}, {"all_day_at": "09:00:00.5"}, 422, "all_day_at"),
    ],
)
async def test_a_file_that_cannot_be_taken_is_refused_as_a_whole(
    world: World, content: bytes, headers: dict[str, str], query: dict[str, str], status: int, field: str
) -> None:
    """With the field, before anything is stored."""
    answer = await world.client.post(
        "/v1/schedules/import",
        params={"channel": "log:", **query},
        content=content,
        headers={"Content-Type": "text/calendar", **headers},
    )
    assert (answer.status_code, answer.json()["field"]) == (status, field), answer.text
    assert (await world.get("/v1/schedules"))["items"] == []


async def test_a_file_of_too_much_is_refused_before_it_is_read(world: World) -> None:
    """Also where it is folded."""
    answer = await posted(world, file("BEGIN:VTIMEZ\n ONE\n" * 51, event(SERIES)))
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"] == "The file has 51 VTIMEZONEs, at most 50 are taken at once."
    answer = await posted(world, file(event(SERIES) * (importing.MAX_ITEMS + 1)))
    assert answer.json()["detail"] == "The file has 2001 VEVENTs, at most 2000 are taken at once."


async def test_who_comes_while_many_files_wait_is_told_to_come_back(world: World) -> None:
    """503 with Retry-After; as soon as there is room it is taken."""
    world.app.state.importing = Turns(1, waiting=0)
    async with world.app.state.importing.turn("calendar files"):
        answer = await posted(world, file(event(SERIES)))
        assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (503, "busy", "5")
    assert (await imported(world, file(event(SERIES))))["created"] == 1


async def test_more_dates_left_out_than_one_request_may_bring_are_refused(world: World) -> None:
    """Each costs a write: 422, and nothing is stored."""
    days = ",".join(
        f"2027{1 + n // 700:02}01T{n % 24:02}{n // 24 % 60:02}00" for n in range(importing.MAX_LEFT_OUT + 1)
    )
    lines = SERIES.replace("EXDATE;TZID=Europe/Berlin:20261203T090000", f"EXDATE;TZID=Europe/Berlin:{days}")
    copies = [lines.replace("UID:stand-up", f"UID:{n}") for n in range(4)]
    answer = await posted(world, file(*(event(each) for each in copies)))
    assert (answer.status_code, answer.json()["field"]) == (422, "body")
    assert (await world.get("/v1/schedules"))["items"] == []


@pytest.mark.covers("SEC-02")
async def test_a_file_is_its_tenants_own(world: World) -> None:
    """The same UIDs of another tenant are other schedules, and who may only read brings none."""
    content = file(event(SERIES))
    ours = await imported(world, content)
    theirs = (await posted(world, content, world.other)).json()
    assert (theirs["created"], theirs["items"][0]["id"] == ours["items"][0]["id"]) == (1, False)
    assert (await world.other.get(f"/v1/schedules/{ours['items'][0]['id']}")).status_code == 404
    async with world.client_for(await new_key(world.services, ACME, Scope.READ)) as reader:
        assert (await posted(world, content, reader)).status_code == 403
    async with world.client_for(None) as stranger:
        assert (await posted(world, content, stranger)).status_code == 401


@pytest.mark.covers("LIF-06", "LIF-18")
async def test_a_feed_of_one_installation_comes_into_another(world: World) -> None:
    """Slots taken out, moved, and with words of their own, at the same instants."""
    made = await world.create(content={"subject": "Stand-up"}, priority=4)
    path = f"/v1/schedules/{made['id']}"
    assert (await world.client.post(f"{path}/skip", json={"slot": "2026-12-03T09:00"})).status_code == 200
    for slot, change in (
        ("2026-12-04T09:00", {"timing": {"kind": "at", "local": "2026-12-04T15:00"}}),
        ("2026-12-05T09:00", {"content": {"subject": "Retro"}}),
    ):
        answer = await world.client.patch(f"{path}?scope=this&slot={slot}", json=change)
        assert answer.status_code == 200, answer.text
    opened = (await world.client.post("/v1/feeds", json={"label": "out"})).json()
    await world.settled()
    feed = (await world.client.get(opened["path"])).text
    assert (await world.client.delete(path)).status_code == 200
    back = await imported(world, feed)
    assert (back["created"], back["rejected"]) == (3, 0), back
    told = {at: what for at, what in await due(world) if at < "2026-12-07"}
    assert told == {
        "2026-12-02T08:00:00Z": "Stand-up",
        "2026-12-04T14:00:00Z": "Stand-up",
        "2026-12-05T08:00:00Z": "Retro",
        "2026-12-06T08:00:00Z": "Stand-up",
    }
    listed = (await world.get("/v1/schedules", status="pending"))["items"]
    assert {(item["recipient"], item["priority"]) for item in listed} == {("user-17", 4)}
    assert min(datetime.fromisoformat(item["next_due_at"]) for item in listed) == datetime(2026, 12, 2, 8, tzinfo=UTC)
