"""People in many zones through the real processes: one local time for all, those who move, hours of business."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.live import Live, command, fresh, running
from tests.e2e.profiles import Profile
from tests.e2e.receiver import Receiver
from tests.e2e.talking import KEY
from tests.infra.cli.test_commands import Horae
from tests.infra.cli.test_commands import horae as in_here

__all__ = ["in_here"]

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(profile: Profile) -> AsyncIterator[Live]:
    """A service of its own on virtual time, with other hours of business than the usual ones."""
    async with running(
        profile,
        clock="virtual=2026-12-01T08:00:00Z",
        BUSINESS_HOURS_DEFAULT="10:00-12:00,13:00-18:00",
        HORAE_HOLIDAY_COUNTRY="DE-BY",
    ) as live:
        yield live


@pytest.mark.covers("TZ-06", "TZ-04")
async def test_nine_o_clock_reaches_everybody_where_they_are(live: Live) -> None:
    """Three zones, and one whose zone nobody knows; in Tokyo nine o'clock has passed, and is tomorrow's."""
    people = {fresh(): zone for zone in ("America/New_York", "Europe/Berlin", "Asia/Tokyo", None)}
    for person, zone in people.items():
        if zone is not None:
            assert (await live.client.put(f"/v1/recipients/{person}", json={"zone": zone})).status_code == 200
    async with Receiver() as receiver:
        timing = {"kind": "at", "local": "2026-12-01T09:30", "zone": "recipient"}
        body = {
            "recipients": list(people),
            "schedule": {"channel": receiver.channel, "timing": timing},
            "if_past": "next_day",
            "if_no_zone": "skip",
        }
        told = (await live.client.post("/v1/schedules/bulk", json=body)).json()
        assert (told["created"], told["skipped"], told["rejected"]) == (3, 1, 0)
        await live.advance(datetime(2026, 12, 2, 12, tzinfo=UTC))
        sent = {people[request.json["recipient"]]: request.json["due_at"] for request in receiver.requests}
    assert sent == {
        "America/New_York": "2026-12-01T14:30:00Z",
        "Europe/Berlin": "2026-12-01T08:30:00Z",
        "Asia/Tokyo": "2026-12-02T00:30:00Z",
    }


@pytest.mark.covers("TZ-04", "LIF-22")
async def test_what_a_move_puts_into_the_past_goes_out_late(live: Live) -> None:
    """From Honolulu to Auckland: today's are gone there; each is sent at once, tomorrow's in time."""
    person = fresh()
    await live.client.put(f"/v1/recipients/{person}", json={"zone": "Pacific/Honolulu"})
    async with Receiver() as receiver:
        timing = {"kind": "every", "cron": "0 9,12,15 * * *", "zone": "recipient", "count": 5}
        created = await live.create(channel=receiver.channel, timing=timing, recipient=person)
        assert created["next"]["due_at"] == "2026-12-02T19:00:00Z"
        moved = await live.client.put(f"/v1/recipients/{person}", json={"zone": "Pacific/Auckland"})
        assert moved.json()["replanned"]["moved"] == [created["id"]]
        await live.advance(datetime(2026, 12, 4, 12, tzinfo=UTC))
        sent = [(request.json["slot"], request.json["due_at"]) for request in receiver.requests]
    assert sent == [
        ("2026-12-02T09:00:00", "2026-12-01T20:00:00Z"),
        ("2026-12-02T12:00:00", "2026-12-01T23:00:00Z"),
        ("2026-12-02T15:00:00", "2026-12-02T02:00:00Z"),
        ("2026-12-03T09:00:00", "2026-12-02T20:00:00Z"),
        ("2026-12-03T12:00:00", "2026-12-02T23:00:00Z"),
    ]


@pytest.mark.covers("TZ-04", "TZ-22")
async def test_a_move_is_told_before_reported_and_undone(live: Live) -> None:
    """By the command line: a dry run, Berlin to Tokyo, the report, and back; then one that keeps what was planned."""
    person = fresh()
    await live.client.put(f"/v1/recipients/{person}", json={"zone": "Europe/Berlin", "locale": "de-DE"})
    async with Receiver() as receiver:
        timing = {"kind": "every", "cron": "0 18 * * *", "zone": "recipient", "starts_at": "2026-12-10", "count": 2}
        made = (await live.create(channel=receiver.channel, timing=timing, recipient=person))["id"]

        async def due() -> str:
            return str((await live.get(f"/v1/schedules/{made}"))["next_due_at"])

        would = await command(live.service, "recipient", "zone", person, "Asia/Tokyo", "--dry-run")
        assert [(move["before"], move["after"]) for move in would["moves"]] == [
            ("2026-12-10T17:00:00Z", "2026-12-10T09:00:00Z")
        ]
        assert (await due(), (await live.get(f"/v1/recipients/{person}"))["zone"]) == (
            "2026-12-10T17:00:00Z",
            "Europe/Berlin",
        )
        done = await command(live.service, "recipient", "zone", person, "Asia/Tokyo")
        assert (done["zone"], done["locale"], done["replanned"]["moved"]) == ("Asia/Tokyo", "de-DE", [made])
        assert await due() == "2026-12-10T09:00:00Z"
        change = done["replanned"]["change"]
        (listed,) = (await command(live.service, "recipient", "report", person))["items"]
        assert (listed["id"], listed["zone_before"], listed["zone_after"]) == (change, "Europe/Berlin", "Asia/Tokyo")
        (move,) = (await command(live.service, "recipient", "report", person, change))["items"]
        assert (move["schedule_id"], move["after"], move["undone"]) == (made, "2026-12-10T09:00:00Z", None)
        back = await command(live.service, "recipient", "undo", person, change)
        assert (back["zone"], back["restored"], back["left"]) == ("Europe/Berlin", 1, 0)
        assert await due() == "2026-12-10T17:00:00Z"
        kept = await command(live.service, "recipient", "zone", person, "Asia/Tokyo", "--keep", "instant")
        assert (kept["replanned"]["moved"], await due()) == ([made], "2026-12-10T17:00:00Z")
        await live.advance(datetime(2026, 12, 12, tzinfo=UTC))
        first = receiver.requests[0].occurrence
        sent = [(request.json["slot"], request.json["due_at"]) for request in receiver.requests]
    assert sent == [("2026-12-10T18:00:00", "2026-12-10T17:00:00Z"), ("2026-12-11T18:00:00", "2026-12-11T09:00:00Z")]
    told = await live.explain(first)
    assert [
        decision["text"].partition(":")[0] for decision in told["decisions"] if decision["code"] == "replanned"
    ] == [
        "The recipient's zone changed (Asia/Tokyo)",
        "The recipient's zone changed (undone",
        "The recipient's zone changed (Asia/Tokyo)",
    ]


@pytest.mark.covers("TZ-04", "LIF-18")
async def test_a_slot_that_was_moved_by_itself_goes_along(live: Live) -> None:
    """From six in Berlin to six in Tokyo, there and back and there again; sent once, the other one at its instant."""
    person = fresh()
    await live.client.put(f"/v1/recipients/{person}", json={"zone": "Europe/Berlin"})
    async with Receiver() as receiver:
        timing = {"kind": "every", "cron": "0 9 * * *", "zone": "UTC", "starts_at": "2026-12-20", "count": 3}
        made = (await live.create(channel=receiver.channel, timing=timing, recipient=person))["id"]
        for slot, to in (
            ("2026-12-20T09:00", {"kind": "at", "local": "2026-12-24T18:00", "zone": "recipient"}),
            ("2026-12-21T09:00", {"kind": "at", "at": "2026-12-24T17:00:00Z"}),
        ):
            reach = {"scope": "this", "slot": slot}
            changed = await live.client.patch(f"/v1/schedules/{made}", params=reach, json={"timing": to})
            assert changed.status_code == 200, changed.text

        async def due() -> list[str]:
            return [own["due_at"] for own in (await live.get(f"/v1/schedules/{made}"))["changes"]]

        assert await due() == ["2026-12-24T17:00:00Z"] * 2
        would = await command(live.service, "recipient", "zone", person, "Asia/Tokyo", "--dry-run")
        assert [(move["before"], move["after"]) for move in would["moves"]] == [
            ("2026-12-24T17:00:00Z", "2026-12-24T09:00:00Z")
        ]
        done = await command(live.service, "recipient", "zone", person, "Asia/Tokyo")
        assert (done["replanned"]["moved"], await due()) == ([made], ["2026-12-24T09:00:00Z", "2026-12-24T17:00:00Z"])
        change = done["replanned"]["change"]
        back = await command(live.service, "recipient", "undo", person, change)
        assert (back["restored"], back["left"], await due()) == (1, 0, ["2026-12-24T17:00:00Z"] * 2)
        (move,) = (await command(live.service, "recipient", "report", person, change))["items"]
        assert (move["schedule_id"], move["undone"]) == (made, True)
        await command(live.service, "recipient", "zone", person, "Asia/Tokyo")
        await live.advance(datetime(2026, 12, 25, tzinfo=UTC))
        sent = [(request.json["slot"], request.json["due_at"]) for request in receiver.requests]
    assert sent == [
        ("2026-12-22T09:00:00", "2026-12-22T09:00:00Z"),
        ("2026-12-20T09:00:00", "2026-12-24T09:00:00Z"),
        ("2026-12-21T09:00:00", "2026-12-24T17:00:00Z"),
    ]
    told = await live.explain(move["occurrence"])
    assert len([decision for decision in told["decisions"] if decision["code"] == "replanned"]) == 3


@pytest.mark.covers("ENV-32", "CFG-14", "CFG-16")
async def test_the_installations_hours_are_those_of_calendars_that_name_none(live: Live) -> None:
    """Half past nine is too early, half past twelve is the break; the built-in calendar knows Bavaria's holidays."""
    await live.client.put("/v1/calendars/ours", json={"title": "without hours of its own"})
    for calendar in ("default", "ours"):
        for at, open_ in (("09:30", False), ("10:00", True), ("12:30", False), ("17:59", True)):
            shown = await live.get(f"/v1/calendars/{calendar}/open", at=f"2026-12-03T{at}", zone="Europe/Berlin")
            assert shown["open"] is open_, (calendar, at)
    epiphany = {"at": "2027-01-06T11:00", "zone": "Europe/Berlin"}
    assert (await live.get("/v1/calendars/default/open", **epiphany))["holiday"] is not None
    assert (await live.get("/v1/calendars/ours/open", **epiphany))["open"] is True


@pytest.mark.covers("SCH-05", "LIF-04")
async def test_a_file_is_imported_apart_from_what_is_there(live: Live, tmp_path: Path) -> None:
    """Rows by their own column or by the option; what is refused names the other; a repeat adds nothing."""
    ann, bob = fresh("ann"), fresh("bob")
    there = [
        await live.create(recipient=person, timing={"kind": "at", "at": "2027-02-01T09:00:00Z"})
        for person in (ann, bob)
    ]
    file = tmp_path / "rows.csv"
    with file.open("w", encoding="utf-8", newline="") as lines:
        csv.writer(lines).writerows(
            [
                ("key", "recipient", "at", "conflicts"),
                ("a", ann, "2027-02-01T09:30:00Z", ""),
                ("b", bob, "2027-02-01T09:30:00Z", '{"strategy": "shift", "window": "PT1H"}'),
                ("c", bob, "2027-02-01T10:30:00Z", "allow"),
                ("d", ann, "2027-02-01T11:00:00Z", ""),
            ]
        )
    looked = await command(live.service, "import", str(file), "--conflicts", "reject", "--dry-run")
    assert (looked["accepted"], looked["conflicts_not_looked_at"]) == (4, 4)
    told = await command(live.service, "import", str(file), "--conflicts", "reject")
    (refused,) = told["rejected"]
    assert (refused["row"], there[0]["id"] in refused["reason"]) == (1, True)
    settled = {item["row"]: item for item in told["settled"]}
    assert {row: item["action"] for row, item in settled.items()} == {2: "shifted", 3: "allowed", 4: "none"}
    assert settled[2]["shifted_by"] == "PT30M"
    moved = await live.get(f"/v1/schedules/{settled[2]['id']}")
    assert moved["next_due_at"] == "2027-02-01T10:00:00Z"
    assert [each["schedule"] for each in settled[3]["against"]] == [settled[2]["id"]]
    again = await command(live.service, "import", str(file), "--conflicts", "reject")
    assert (again["created"], again["replayed"], len(again["rejected"])) == (0, 3, 1)
    assert {item["row"]: item["action"] for item in again["settled"]} == {2: "shifted", 3: "allowed", 4: "none"}


@pytest.mark.covers("SCH-05", "REC-20", "LIF-04")
async def test_the_command_line_asks_the_service_for_calendars_and_conflicts(live: Live, in_here: Horae) -> None:
    """A preview by a calendar of one's own, and whom it would meet; the same when it is asked for, and when refused."""
    tomorrow, person = (await live.now() + timedelta(days=1)).date(), fresh()
    closed = {"days": [{"date": str(tomorrow), "name": "the move"}]}
    (await live.client.put("/v1/calendars/ours", json=closed)).raise_for_status()
    at = f"{tomorrow}T09:00:00Z"
    other = await live.create(timing={"kind": "at", "at": at}, recipient=person)

    async def told(*arguments: str) -> tuple[int, str]:
        reach = ("--url", live.service.url, "--api-key", KEY)
        code, out, err = await asyncio.to_thread(in_here, *arguments, *reach)
        return code, out + err

    timing = {"kind": "every", "cron": "0 9 * * *", "zone": "UTC", "calendar": {"id": "ours", "skip_holidays": True}}
    code, said = await told("preview", json.dumps(timing), "-n", "3")
    assert (code, "is the move by the calendar ours" in said) == (0, True), said
    code, said = await told("preview", "--at", at, "--conflicts", "shift", "--recipient", person)
    assert (code, other["id"] in said, "It goes out later by PT1H" in said) == (0, True, True), said
    code, said = await told("schedule", person, "--at", at, "--conflicts", "shift")
    assert (code, other["id"] in said, "It goes out later by PT1H" in said) == (0, True, True), said
    code, said = await told("schedule", person, "--at", at, "--conflicts", "reject")
    assert (code, other["id"] in said, "meets schedule" in said) == (1, True, True), said
