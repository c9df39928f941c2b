"""Every kind of timing, asked for over HTTP and received over HTTP: at the instants that were worked out by hand.

Virtual time begins on Monday, 1 March 2027, 06:30 UTC, and is moved on once, over the clock change of Europe (28 March,
01:00 UTC) and of Sydney (4 April, 02:00 standard time).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.live import Live, decision, fresh, running
from tests.e2e.profiles import Profile
from tests.e2e.receiver import Received, Receiver

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e-timings"), pytest.mark.asyncio(loop_scope="module")]

BEGIN = "2027-03-01T06:30:00Z"
END = datetime(2027, 4, 10, tzinfo=UTC)
BERLIN = "Europe/Berlin"


@dataclass(frozen=True)
class Case:
    """A timing and the instants (of 2027, UTC) at which it is to be released within the stretch."""

    timing: dict[str, Any]
    due: list[str]
    #: Code of a decision that explains the first release beside the usual ones, and the zone that it names.
    why: str = "branch"
    zone: str = "UTC"
    #: Who named that zone; None: it does not matter here.
    source: str | None = None
    #: The slots, where they are not the local times of `due`.
    slots: list[str] = field(default_factory=list)


CASES = {
    "now": Case({"kind": "now"}, ["03-01T06:30"], zone="Asia/Kolkata", slots=["03-01T12:00"]),
    "at-instant": Case({"kind": "at", "at": "2027-03-02T09:00:00Z"}, ["03-02T09:00"]),
    "at-offset": Case({"kind": "at", "at": "2027-03-02T09:00:00+09:00"}, ["03-02T00:00"]),
    "at-local": Case(
        {"kind": "at", "local": "2027-03-30T09:00", "zone": BERLIN}, ["03-30T07:00"], zone=BERLIN, slots=["03-30T09:00"]
    ),
    "at-local-in-a-gap": Case(
        {"kind": "at", "local": "2027-03-28T02:30", "zone": BERLIN},
        ["03-28T01:30"],
        why="gap_shifted",
        zone=BERLIN,
        slots=["03-28T02:30"],
    ),
    "at-local-in-an-overlap": Case(
        {"kind": "at", "local": "2027-04-04T02:30", "zone": "Australia/Sydney"},
        ["04-03T15:30"],
        why="overlap_first",
        zone="Australia/Sydney",
        slots=["04-04T02:30"],
    ),
    "at-local-of-the-recipient": Case(
        {"kind": "at", "local": "2027-03-05T09:00", "zone": "recipient"},
        ["03-05T03:30"],
        source="recipient",
        zone="Asia/Kolkata",
        slots=["03-05T09:00"],
    ),
    "in-hours": Case({"kind": "in", "delay": "PT90M", "zone": "UTC"}, ["03-01T08:00"]),
    "in-a-month": Case(
        {"kind": "in", "delay": "P1M", "zone": BERLIN}, ["04-01T05:30"], zone=BERLIN, slots=["04-01T07:30"]
    ),
    "phrase-tomorrow": Case(
        {"kind": "phrase", "text": "tomorrow at 9 AM", "zone": "Asia/Tokyo"},
        ["03-02T00:00"],
        why="understood_phrase",
        zone="Asia/Tokyo",
        slots=["03-02T09:00"],
    ),
    "phrase-minutes": Case(
        {"kind": "phrase", "text": "in 30 minutes", "zone": "UTC"}, ["03-01T07:00"], why="understood_phrase"
    ),
    "phrase-german": Case(
        {"kind": "phrase", "text": "morgen um 9 Uhr", "zone": BERLIN, "locale": "de"},
        ["03-02T08:00"],
        why="understood_phrase",
        zone=BERLIN,
        slots=["03-02T09:00"],
    ),
    "cron-weekdays": Case(
        {
            "kind": "every",
            "cron": "0 9 * * MON-FRI",
            "zone": BERLIN,
            "starts_at": "2027-03-25",
            "ends_at": "2027-03-31",
        },
        ["03-25T08:00", "03-26T08:00", "03-29T07:00", "03-30T07:00", "03-31T07:00"],
        zone=BERLIN,
        slots=["03-25T09:00", "03-26T09:00", "03-29T09:00", "03-30T09:00", "03-31T09:00"],
    ),
    "cron-quarters-counted": Case(
        {"kind": "every", "cron": "*/15 9 * * *", "zone": "UTC", "count": 5},
        ["03-01T09:00", "03-01T09:15", "03-01T09:30", "03-01T09:45", "03-02T09:00"],
    ),
    "rrule-last-friday": Case(
        {"kind": "every", "rrule": "FREQ=MONTHLY;BYDAY=-1FR", "starts_at": "2027-03-01T09:00", "zone": BERLIN},
        ["03-26T08:00"],
        zone=BERLIN,
        slots=["03-26T09:00"],
    ),
    "rrule-every-other-week": Case(
        {
            "kind": "every",
            "rrule": "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH;COUNT=4",
            "starts_at": "2027-03-01T12:00",
            "zone": "UTC",
        },
        ["03-01T12:00", "03-04T12:00", "03-15T12:00", "03-18T12:00"],
    ),
    "interval-minutes": Case(
        {"kind": "every", "interval": {"unit": "minutes", "count": 90}, "zone": "UTC", "count": 3},
        ["03-01T08:00", "03-01T09:30", "03-01T11:00"],
    ),
    "interval-hours-over-a-gap": Case(
        {
            "kind": "every",
            "interval": {"unit": "hours", "count": 6},
            "zone": BERLIN,
            "starts_at": "2027-03-27T22:00",
            "ends_at": "2027-03-28T23:59",
        },
        ["03-27T21:00", "03-28T03:00", "03-28T09:00", "03-28T15:00", "03-28T21:00"],
        zone=BERLIN,
        slots=["03-27T22:00", "03-28T05:00", "03-28T11:00", "03-28T17:00", "03-28T23:00"],
    ),
    "interval-days-over-a-gap": Case(
        {"kind": "every", "interval": {"unit": "days"}, "zone": BERLIN, "starts_at": "2027-03-27T02:30", "count": 3},
        ["03-27T01:30", "03-28T01:30", "03-29T00:30"],
        zone=BERLIN,
        slots=["03-27T02:30", "03-28T02:30", "03-29T02:30"],
    ),
    "interval-weeks": Case(
        {"kind": "every", "interval": {"unit": "weeks", "count": 2}, "zone": "UTC", "starts_at": "2027-02-24T18:00"},
        ["03-10T18:00", "03-24T18:00", "04-07T18:00"],
    ),
    "interval-months-clamped": Case(
        {"kind": "every", "interval": {"unit": "months"}, "zone": "UTC", "starts_at": "2027-01-31T10:00"},
        ["03-31T10:00"],
    ),
    "interval-years": Case(
        {"kind": "every", "interval": {"unit": "years"}, "zone": "UTC", "starts_at": "2020-04-01T00:00"},
        ["04-01T00:00"],
    ),
}


@dataclass(frozen=True)
class Told:
    """What became of a case: the answer to its creation, what its preview promised, and what arrived."""

    created: dict[str, Any]
    preview: list[dict[str, Any]]
    received: list[Received]


@dataclass(frozen=True)
class Fired:
    """Everything after time has moved on."""

    live: Live
    told: dict[str, Told]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fired(profile: Profile) -> AsyncIterator[Fired]:
    """All cases at once, each to a path of its own of one receiver."""
    async with running(profile, clock=f"virtual={BEGIN}") as live, Receiver() as receiver:
        person = fresh()
        (await live.client.put(f"/v1/recipients/{person}", json={"zone": "Asia/Kolkata"})).raise_for_status()
        created, preview = {}, {}
        for name, case in CASES.items():
            created[name] = await live.create(channel=receiver.at(name), timing=case.timing, recipient=person)
            preview[name] = (await live.get(f"/v1/schedules/{created[name]['id']}/preview", count=20))["slots"]
        await live.advance(END)
        told = {
            name: Told(
                created[name], preview[name], [request for request in receiver.requests if request.path == f"/{name}"]
            )
            for name in CASES
        }
        yield Fired(live, told)


@pytest.mark.covers("SCH-03", "SCH-04", "REC-01")
@pytest.mark.parametrize("name", CASES)
async def test_each_timing_is_released_at_its_instants(fired: Fired, name: str) -> None:
    """What arrives is due when it should be, named by its slot, once each, and as the preview promised."""
    case, told = CASES[name], fired.told[name]
    releases = [request.json for request in told.received]
    assert [release["due_at"] for release in releases] == [f"2027-{due}:00Z" for due in case.due]
    assert [release["slot"] for release in releases] == [f"2027-{slot}:00" for slot in case.slots or case.due]
    assert told.created["next_due_at"] == releases[0]["due_at"]
    assert {release["schedule_id"] for release in releases} == {told.created["id"]}
    assert len({request.occurrence for request in told.received}) == len(releases)
    promised = [slot["due_at"] for slot in told.preview if datetime.fromisoformat(slot["due_at"]) <= END]
    assert promised == [release["due_at"] for release in releases]


@pytest.mark.covers("TZ-01", "TZ-02", "TZ-04")
@pytest.mark.parametrize("name", CASES)
async def test_each_timing_can_say_why(fired: Fired, name: str) -> None:
    """Each release is explained down to zone, zone data, the branch taken, claim, attempt and outcome."""
    case, told = CASES[name], fired.told[name]
    for request in told.received:
        explained = await fired.live.explain(request.occurrence)
        assert (explained["verdict"], explained["released"]) == ("delivered", True)
        assert explained["due_at"] == request.json["due_at"]
        assert decision(explained, "tzdata")["facts"]["version"] == told.created["next"]["tzdata"]
        assert decision(explained, "claimed")["event"] == "occurrence.claimed.v1"
        assert decision(explained, "delivered")["facts"]["response"] == {"status_code": 204}
    first = await fired.live.explain(told.received[0].occurrence)
    assert decision(first, case.why)
    zone = decision(first, "zone")["facts"]
    assert zone["zone"] == case.zone
    assert case.source in (None, zone["source"])
    assert first["story"][0].startswith("Asked for by API key")


async def test_a_series_is_over_when_it_is_over(fired: Fired) -> None:
    """One-offs and counted series are completed; what goes on is pending and says when."""
    for name, told in fired.told.items():
        shown = await fired.live.get(f"/v1/schedules/{told.created['id']}")
        goes_on = name in ("rrule-last-friday", "interval-weeks", "interval-months-clamped", "interval-years")
        assert (shown["status"], shown["next_due_at"] is not None) == (
            "pending" if goes_on else "completed",
            goes_on,
        ), name
        assert shown["fired"] == len(told.received)
        assert shown["version"] == 1


@pytest.mark.covers("REC-21")
async def test_what_makes_no_sense_is_refused_by_name(fired: Fired) -> None:
    """Past instants, unknown zones, rules that never match: 422 with field, value and a right example."""
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"kind": "at", "at": "2027-02-01T00:00:00Z"}, "timing.at"),
        ({"kind": "at", "local": "2027-05-01T09:00", "zone": "Europe/Atlantis"}, "timing.zone"),
        ({"kind": "every", "cron": "0 9 31 2 *", "zone": "UTC"}, "timing.cron"),
        ({"kind": "every", "rrule": "FREQ=SOMETIMES", "zone": "UTC"}, "timing.rrule"),
        ({"kind": "every", "cron": "0 9 * * *", "rrule": "FREQ=DAILY"}, "timing"),
        ({"kind": "phrase", "text": "when the cows come home", "zone": "UTC"}, "timing.text"),
        ({"kind": "in", "delay": "P6Y"}, "timing.delay"),
    ]
    for timing, where in wrong:
        body = {"recipient": "user-1", "channel": "log:", "timing": timing}
        problem = await fired.live.post("/v1/schedules", body, 422)
        assert problem["field"].startswith(where), problem
        assert problem["hint"], problem
