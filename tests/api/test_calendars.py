"""Calendars over HTTP: written, asked, imported, kept to by timings, and changed under schedules."""

from __future__ import annotations

from typing import Any

import pytest

from horae.projections.due import load_horizon
from horae.projections.schema import connect
from tests.api.world import World

MUNICH = {"title": "Munich", "country": "DE", "subdivision": "BY"}
# 09:00 in Berlin on the 25th: a Friday and a holiday in December 2026.
MONTHLY = {
    "kind": "every",
    "rrule": "FREQ=MONTHLY;BYMONTHDAY=25;BYHOUR=9;BYMINUTE=0;BYSECOND=0",
    "zone": "Europe/Berlin",
    "calendar": {"id": "munich", "skip_weekends": True, "skip_holidays": True},
}
FILE = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//example//days//EN
BEGIN:VEVENT
UID:1
DTSTAMP:20260101T000000Z
DTSTART;VALUE=DATE:20261224
DTEND;VALUE=DATE:20261225
SUMMARY:Christmas Eve
RRULE:FREQ=YEARLY
END:VEVENT
BEGIN:VEVENT
UID:2
DTSTAMP:20260101T000000Z
DTSTART;VALUE=DATE:20261228
DTEND;VALUE=DATE:20270101
SUMMARY:Between the years
END:VEVENT
BEGIN:VEVENT
UID:3
DTSTAMP:20260101T000000Z
DTSTART:20261228T090000Z
SUMMARY:A meeting
END:VEVENT
END:VCALENDAR
""".replace("\n", "\r\n")


async def put(world: World, name: str, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = await world.client.put(f"/v1/calendars/{name}", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def ask(world: World, path: str, **params: Any) -> dict[str, Any]:
    answer = await world.client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


@pytest.mark.covers("TZ-13", "TZ-14", "TZ-20")
async def test_business_hours_are_told(world: World) -> None:
    """Nine to five, Monday to Friday, where nobody wrote otherwise; on the clock of the zone that is asked for."""
    noon = await ask(world, "/v1/calendars/default/open", at="2026-12-01T16:30:00Z", zone="Europe/Berlin")
    assert (noon["open"], noon["local"], noon["next_open"]) == (False, "2026-12-01T17:30:00", "2026-12-02T08:00:00Z")
    assert (await ask(world, "/v1/calendars/default/open", at="2026-12-01T16:30:00Z"))["open"] is True
    split = [{"start": "08:00", "end": "12:00"}, {"start": "13:00", "end": "15:00"}]
    await put(world, "default", {"hours": {"tue": split, "wed": split}})
    lunch = await ask(world, "/v1/calendars/default/open", at="2026-12-01T12:30", zone="Europe/Berlin")
    assert (lunch["open"], lunch["next_open_local"]) == (False, "2026-12-01T13:00:00")
    thursday = await ask(world, "/v1/calendars/default/open", at="2026-12-03T10:00", zone="Europe/Berlin")
    assert (thursday["business_day"], thursday["next_open_local"]) == (True, "2026-12-08T08:00:00")


@pytest.mark.covers("TZ-24", "TZ-25", "TZ-28")
async def test_holidays_are_listed_and_told(world: World) -> None:
    """By country and part; by a calendar with its own days, those of others added and taken away."""
    bavaria = await ask(world, "/v1/holidays", country="DE", subdivision="BY", year=2026)
    assert {"date": "2026-01-06", "name": "Epiphany"} in bavaria["items"]
    assert (await ask(world, "/v1/holidays", country="DE", on="2026-01-06"))["items"] == []
    assert (await ask(world, "/v1/holidays", country="SA", year=2026))["weekend"] == ["fri", "sat"]
    await put(world, "munich", MUNICH | {"days": [{"date": "2026-12-07", "name": "Works outing"}]})
    await put(world, "federal", {"country": "DE"})
    await put(world, "ours", {"plus": ["munich"], "minus": ["federal"]})
    names = [item["name"] for item in (await ask(world, "/v1/calendars/ours/holidays", year=2026))["items"]]
    assert names == ["Epiphany", "Corpus Christi", "All Saints' Day", "Works outing"]
    told = await ask(world, "/v1/calendars/ours/open", at="2026-12-07T10:00", zone="Europe/Berlin")
    assert (told["open"], told["holiday"]) == (False, "Works outing")
    listed = await world.get("/v1/calendars")
    assert [item["id"] for item in listed["items"]] == ["federal", "munich", "ours"]
    assert (await world.other.get("/v1/calendars/munich")).status_code == 404
    nowhere = await world.client.get("/v1/holidays", params={"country": "XX"})
    assert (nowhere.status_code, nowhere.json()["field"]) == (422, "country")


async def test_calendars_that_make_no_sense_are_refused(world: World) -> None:
    """Unknown parts, hours that overlap, and calendars that lead back to themselves, each by name."""
    await put(world, "munich", MUNICH)
    await put(world, "ours", {"plus": ["munich"]})
    hours = {"mon": [{"start": "09:00", "end": "12:00"}, {"start": "11:00", "end": "17:00"}]}
    for body, field in (
        ({"country": "DE", "subdivision": "XX"}, "subdivision"),
        ({"hours": hours}, "hours.mon"),
        ({"plus": ["nobody"]}, "plus"),
        ({"plus": ["ours"]}, "plus"),
        ({"days": [{"date": "2026-12-24", "until": "2026-12-23"}]}, "days[0].until"),
        ({"wekend": ["fri"]}, "wekend"),
    ):
        answer = await world.client.put("/v1/calendars/munich", json=body)
        assert (answer.status_code, answer.json()["field"]) == (422, field), body
    stale = await world.client.put("/v1/calendars/munich", json=MUNICH, headers={"If-Match": '"7"'})
    assert stale.status_code == 412
    assert (await put(world, "munich", MUNICH))["version"] == 1


@pytest.mark.covers("TZ-05", "TZ-13", "TZ-14")
async def test_hours_of_calendars_are_added_up_and_taken_off(world: World) -> None:
    """Told by `open`, kept to by a series, and a change of one that is named plans it anew; rings are refused."""
    await put(world, "counter", {"hours": {"wed": [{"start": "09:00", "end": "12:00"}]}})
    await put(world, "phone", {"weekend": ["sun"], "hours": {"sat": [{"start": "10:00", "end": "16:00"}]}})
    await put(world, "works", {"hours": {}})
    definition = {"hours": {}, "plus_hours": ["counter", "phone"], "minus_hours": ["works"]}
    shown = await put(world, "reached", definition)
    assert shown["label"] == "reached@1 +hours counter@1 +hours phone@1 -hours works@1"
    assert {name: shown["definition"][name] for name in definition} == definition
    saturday = await ask(world, "/v1/calendars/reached/open", at="2026-12-05T09:00", zone="UTC")
    assert (saturday["open"], saturday["weekend"], saturday["next_open_local"]) == (False, False, "2026-12-05T10:00:00")
    week = await ask(world, "/v1/calendars/reached/holidays", year=2026)
    assert week["weekend"] == ["sun"]
    keeping = {"id": "reached", "business_hours_only": True}
    timing = {"kind": "every", "cron": "0 10 * * SAT", "zone": "UTC", "calendar": keeping}
    created = await world.create(timing=timing)
    assert created["next"]["due_at"].endswith("T10:00:00Z")
    break_ = {"weekend": [], "hours": {"sat": [{"start": "00:00", "end": "10:30"}]}}
    changed = await put(world, "works", break_)
    assert changed["replanned"]["moved"] == [created["id"]]
    at = (await world.get(f"/v1/schedules/{created['id']}", min_position=changed["position"]))["next"]
    assert at["due_at"].endswith("T10:30:00Z")
    assert at["calendar"] == "reached@1 +hours counter@1 +hours phone@1 -hours works@2"
    for body, field in (
        ({"plus_hours": ["reached"]}, "plus_hours"),
        ({"minus_hours": ["nobody"]}, "minus_hours"),
        ({"plus_hours": ["phone"], "minus_hours": ["phone"]}, "minus_hours"),
    ):
        refused = await world.client.put("/v1/calendars/counter", json=body)
        assert (refused.status_code, refused.json()["field"]) == (422, field), body


@pytest.mark.covers("REC-11", "REC-10")
async def test_a_schedule_keeps_to_its_calendar(world: World) -> None:
    """Christmas goes out on Monday; the plan names the calendar's version and says why; an unknown one is refused."""
    unknown = await world.client.post("/v1/schedules", json={"recipient": "u", "channel": "log:", "timing": MONTHLY})
    assert (unknown.status_code, unknown.json()["field"]) == (422, "timing.calendar.id")
    await put(world, "munich", MUNICH)
    tried = await world.client.post("/v1/timings/preview", json={"timing": MONTHLY, "count": 2})
    assert [slot["due_at"] for slot in tried.json()["slots"]] == ["2026-12-28T08:00:00Z", "2027-01-25T08:00:00Z"]
    created = await world.create(timing=MONTHLY)
    at = created["next"]
    assert (at["slot"], at["due_at"]) == ("2026-12-25T09:00:00", "2026-12-28T08:00:00Z")
    assert at["calendar"].startswith("munich@1 holidays ")
    assert at["reasons"][0]["code"] == "calendar_forward"
    assert "Christmas Day" in at["reasons"][0]["text"]


@pytest.mark.covers("REC-09", "TZ-05")
async def test_what_is_claimed_moves_on_by_the_calendar(world: World) -> None:
    """The slot after a claimed one is the calendar's next as well."""
    hourly = {"kind": "every", "cron": "0 * * * *", "zone": "UTC", "calendar": {"business_hours_only": True}}
    created = await world.create(timing=hourly)
    assert created["next_due_at"] == "2026-12-01T09:00:00Z"
    world.pass_time(hours=8)
    (attempt,) = await world.claim_due()
    assert attempt.occurrence.slot is not None
    await world.deliver(attempt)
    following = await world.get(f"/v1/schedules/{created['id']}")
    assert following["next_due_at"] == "2026-12-01T10:00:00Z"
    world.pass_time(hours=24 * 3)
    shown = await world.get(f"/v1/schedules/{created['id']}/preview", count=3)
    assert [slot["due_at"] for slot in shown["slots"]] == [
        "2026-12-07T09:00:00Z",
        "2026-12-07T10:00:00Z",
        "2026-12-07T11:00:00Z",
    ]


async def test_a_changed_calendar_moves_exactly_those_that_it_concerns(world: World) -> None:
    """One event for each schedule whose next slot moves, told in its history; none for the others."""
    await put(world, "munich", MUNICH)
    await put(world, "ours", {"plus": ["munich"]})
    christmas = await world.create(timing=MONTHLY)
    through = await world.create(timing=MONTHLY | {"calendar": {"id": "ours", "skip_holidays": True}})
    tenth = await world.create(timing=MONTHLY | {"rrule": "FREQ=MONTHLY;BYMONTHDAY=10;BYHOUR=9;BYMINUTE=0"})
    other = await world.create(timing=MONTHLY | {"calendar": {"skip_weekends": True}})
    changed = await put(world, "munich", MUNICH | {"days": [{"date": "2026-12-28", "name": "Bridge day"}]})
    assert changed["replanned"] == {"checked": 3, "moved": [christmas["id"]], "failed": [], "change": None}
    moved = await world.get(f"/v1/schedules/{christmas['id']}")
    assert (moved["next_due_at"], moved["version"]) == ("2026-12-29T08:00:00Z", 2)
    assert moved["next"]["calendar"].startswith("munich@2 ")
    for same in (through, tenth, other):
        shown = await world.get(f"/v1/schedules/{same['id']}")
        assert (shown["version"], shown["next_due_at"]) == (1, same["next_due_at"])
    history = await world.get(f"/v1/schedules/{christmas['id']}/history")
    assert history["items"][-1]["event"] == "schedule.replanned.v1"
    again = await put(world, "munich", MUNICH | {"days": [{"date": "2026-12-28", "name": "Bridge day"}]})
    assert (again["version"], again["replanned"]["moved"]) == (2, [])
    # The dispatcher claims it at the new instant, not at the old one.
    world.pass_time(days=27)
    assert await world.claim_due() != []
    explained = await ask(world, f"/v1/schedules/{christmas['id']}/explain", slot="2026-12-25T09:00:00")
    assert any("munich@2" in line for line in explained["story"])


async def test_days_are_imported_from_a_file(world: World) -> None:
    """Whole days, recurring ones for the years asked for; what has a time of day is named and left out."""
    answer = await world.client.post(
        "/v1/calendars/munich/import",
        params={"from_year": 2026, "to_year": 2028},
        content=FILE,
        headers={"Content-Type": "text/calendar"},
    )
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert [(day["date"], day["until"]) for day in shown["definition"]["days"]] == [
        ("2026-12-24", None),
        ("2026-12-28", "2026-12-31"),
        ("2027-12-24", None),
        ("2028-12-24", None),
    ]
    assert shown["passed_over"] == ["A meeting: It has a time of day: only whole days are days off."]
    told = await ask(world, "/v1/calendars/munich/open", at="2026-12-30T10:00", zone="Europe/Berlin")
    assert (told["holiday"], told["next_open_local"]) == ("Between the years", "2027-01-01T09:00:00")
    wrong = await world.client.post(
        "/v1/calendars/munich/import", content="hello", headers={"Content-Type": "text/calendar"}
    )
    assert (wrong.status_code, wrong.json()["field"]) == (422, "body")


@pytest.mark.parametrize(
    ("method", "path", "field"),
    [
        ("GET", "/v1/calendars/default/open?at=9999-12-31T23:59:59Z&zone=Asia/Tokyo", "at"),
        ("GET", "/v1/holidays?country=DE&on=9999-12-31", "on"),
        ("POST", "/v1/calendars/munich/import?to_year=2025", "to_year"),
    ],
)
async def test_years_out_of_range_are_refused(world: World, method: str, path: str, field: str) -> None:
    """Beyond what calendars know, or the last before the first."""
    answer = await world.client.request(method, path, content=FILE, headers={"Content-Type": "text/calendar"})
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text


async def test_a_claim_that_meets_a_change_goes_on_by_the_new_calendar(world: World) -> None:
    """What was read before the change may not decide where the series goes: it expects the calendar."""
    daily = {"kind": "every", "cron": "0 9 * * *", "zone": "UTC", "calendar": {"skip_holidays": True}}
    created = await world.create(timing=daily)
    world.pass_time(hours=1)
    await world.settled()
    conn = await connect(world.owner_dsn)
    try:
        rows = await load_horizon(conn, until=world.clock.now())
    finally:
        await conn.close()
    (candidate,) = await world.worker.candidates(rows)
    assert candidate is not None
    changed = await put(world, "default", {"days": [{"date": "2026-12-02"}]})
    assert changed["replanned"]["moved"] == []  # it is due: whoever claims it moves it on
    assert await world.worker.claim(candidate, 7) is not None
    shown = await world.get(f"/v1/schedules/{created['id']}")
    # The 2nd's slot is moved to the 3rd, where it meets that day's own.
    assert (shown["next_due_at"], shown["next"]["calendar"]) == ("2026-12-03T09:00:00Z", "default@1")


async def test_what_a_calendar_takes_is_explained(world: World) -> None:
    """A Saturday that was dropped, and one that met Monday's own slot: the story names the calendar and the day."""
    dropped = await world.create(
        timing={
            "kind": "every",
            "cron": "0 9 * * *",
            "zone": "UTC",
            "calendar": {"skip_weekends": True, "move": "drop"},
        }
    )
    told = await ask(world, f"/v1/schedules/{dropped['id']}/explain", slot="2026-12-05T09:00:00")
    assert (told["verdict"], told["released"]) == ("calendar_dropped", False)
    assert any("2026-12-05 09:00 is a weekend by the calendar default: dropped." in line for line in told["story"])
    merged = await world.create(
        timing={"kind": "every", "cron": "0 9 * * *", "zone": "UTC", "calendar": {"skip_weekends": True}}
    )
    told = await ask(world, f"/v1/schedules/{merged['id']}/explain", slot="2026-12-05T09:00:00")
    assert told["verdict"] == "calendar_merged"
