"""Backfill through the API: each slot of a window by the timing of then, once, and told why."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from horae.commands.occurrences import Occurrences
from horae.infra.companions import ReadModelCompanions
from horae.projections.schema import create_pool
from tests.api.world import NOW, World
from tests.fixtures.postgres import Database

#: Each day at nine in Berlin: eight o'clock UTC, the first one a day after `NOW`.
DAYS = {"kind": "every", "cron": "0 9 * * *", "zone": "Europe/Berlin", "missed": {"policy": "skip", "within": "PT1H"}}


async def series(world: World, timing: Mapping[str, Any] = DAYS, **more: Any) -> str:
    return str((await world.create({"recipient": "user-17", "channel": "log:", "timing": dict(timing)} | more))["id"])


async def ask(world: World, schedule: str, days: float = 30, status: int = 200, **more: Any) -> dict[str, Any]:
    """Backfill from `NOW` on, up to so many days later or the present; `headers`, `dry_run` aside all is body."""
    headers, params = more.pop("headers", None), {"dry_run": more.pop("dry_run", False)}
    end = min(NOW + timedelta(days=days), world.clock.now())
    body = {"from": NOW.isoformat(), "to": end.isoformat()} | more
    answer = await world.client.post(f"/v1/schedules/{schedule}/backfill", json=body, headers=headers, params=params)
    assert answer.status_code == status, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def days(slots: list[dict[str, Any]]) -> list[int]:
    return [datetime.fromisoformat(each["slot"]).day for each in slots]


def left(answer: dict[str, Any]) -> list[tuple[int, str]]:
    return [(datetime.fromisoformat(each["slot"]).day, each["why"]) for each in answer["left_out"]]


async def verb(world: World, schedule: str, name: str) -> None:
    answer = await world.client.post(f"/v1/schedules/{schedule}/{name}", json={})
    assert answer.status_code == 200, answer.text


async def deliver_due(world: World) -> list[int]:
    """Claim and deliver all that is due; the days of December whose slots went out."""
    attempts = await world.claim_due()
    for attempt in attempts:
        await world.deliver(attempt)
    return sorted(a.occurrence.slot.local.day for a in attempts if a.occurrence.slot is not None)


@pytest.mark.covers("REC-19")
async def test_a_missed_run_is_sent_once_and_told(world: World) -> None:
    """Five days nobody could send: one event covered them. Each is sent, by its own id; asked twice adds nothing."""
    schedule = await series(world)
    world.pass_time(days=5, hours=3)
    assert await deliver_due(world) == []
    tried = await ask(world, schedule, dry_run=True)
    assert (days(tried["slots"]), tried["backfill"], tried["dry_run"]) == ([2, 3, 4, 5, 6], None, True)
    done = await ask(world, schedule, reason="the service was down")
    assert (days(done["slots"]), done["left_out"]) == ([2, 3, 4, 5, 6], [])
    assert [each["was_due_at"] for each in done["slots"]] == [f"2026-12-0{day}T08:00:00Z" for day in range(2, 7)]
    again = await ask(world, schedule)
    assert (again["slots"], left(again)) == ([], [(day, "deferred") for day in range(2, 7)])
    assert await deliver_due(world) == [2, 3, 4, 5, 6]
    again = await ask(world, schedule)
    assert (again["slots"], left(again)) == ([], [(day, "delivered") for day in range(2, 7)])
    assert await deliver_due(world) == []

    listed = (await world.get(f"/v1/schedules/{schedule}/occurrences"))["items"]
    assert [(one["status"], one["origin"]) for one in listed] == [("delivered", "backfill")] * 5
    assert {one["id"] for one in listed} == {one["occurrence"] for one in done["slots"]}
    told = await world.get(f"/v1/occurrences/{done['slots'][0]['occurrence']}/explain")
    assert (told["verdict"], told["released"]) == ("delivered", True)
    (line,) = [line for line in told["story"] if "A backfill that API key" in line]
    assert "It had been due at 2026-12-02 09:00:00 (Europe/Berlin)" in line
    history = (await world.get(f"/v1/schedules/{schedule}/history"))["items"]
    assert [(one["event"], one["reason"]) for one in history[1:]] == [
        ("schedule.backfilled.v1", "the service was down")
    ]


async def test_the_rest_of_a_missed_run_stays_explained(world: World) -> None:
    """Its first slot, whose stream tells of the run, was sent after all; the others were missed as before."""
    schedule = await series(world)
    world.pass_time(days=5, hours=3)
    await deliver_due(world)
    done = await ask(world, schedule, days=2)
    assert days(done["slots"]) == [2]
    assert await deliver_due(world) == [2]
    for day in ("2026-12-03T09:00", "2026-12-06T09:00"):
        told = await world.get(f"/v1/schedules/{schedule}/explain", slot=day)
        assert (told["verdict"], told["released"]) == ("missed", False)


async def test_each_slot_is_of_the_timing_of_its_day(world: World) -> None:
    """Changed on the fourth day to the afternoon: until then mornings are sent, from then on afternoons."""
    schedule = await series(world)
    world.pass_time(days=3, hours=3)
    await deliver_due(world)
    timing = {**DAYS, "cron": "0 15 * * *"}
    answer = await world.client.patch(f"/v1/schedules/{schedule}", json={"timing": timing})
    assert answer.status_code == 200, answer.text
    world.pass_time(days=2, hours=6)
    await deliver_due(world)
    done = await ask(world, schedule)
    assert [each["slot"][8:13] for each in done["slots"]] == ["02T09", "03T09", "04T09", "04T15", "05T15", "06T15"]


async def test_zone_and_calendar_are_those_of_then(world: World) -> None:
    """A recipient who moved, and a day off that was written down later: neither changes what was due before."""
    await world.client.put("/v1/recipients/user-17", json={"zone": "Europe/Berlin"})
    await world.client.put("/v1/calendars/ours", json={"weekend": []})
    timing = {**DAYS, "zone": "recipient", "calendar": {"id": "ours", "skip_holidays": True, "move": "drop"}}
    schedule = await series(world, timing)
    world.pass_time(days=2, hours=3)
    await deliver_due(world)
    answer = await world.client.put("/v1/recipients/user-17", json={"zone": "America/New_York"})
    assert answer.status_code == 200, answer.text
    days_off = [{"date": "2026-12-02", "name": "too late"}, {"date": "2026-12-05", "name": "in time"}]
    answer = await world.client.put("/v1/calendars/ours", json={"weekend": [], "days": days_off})
    assert answer.status_code == 200, answer.text
    world.pass_time(days=4)
    await deliver_due(world)
    done = await ask(world, schedule)
    assert [(each["slot"][8:10], each["was_due_at"][8:13]) for each in done["slots"]] == [
        ("02", "02T08"),
        ("03", "03T08"),
        ("04", "04T14"),
        ("06", "06T14"),
    ]


async def test_pauses_and_skips_are_kept_unless_they_are_named(world: World) -> None:
    """Two days of pause, one slot taken out: left out by name, and sent when `include` says so."""
    schedule = await series(world)
    answer = await world.client.post(f"/v1/schedules/{schedule}/skip", json={"slot": "2026-12-02T09:00"})
    assert answer.status_code == 200, answer.text
    await verb(world, schedule, "pause")
    world.pass_time(days=3, hours=3)
    refused = await ask(world, schedule, status=409)
    assert (refused["field"], refused["value"]) == ("status", "paused")
    await verb(world, schedule, "resume")
    kept = await ask(world, schedule)
    assert (kept["slots"], left(kept)) == ([], [(2, "skipped"), (3, "paused"), (4, "paused")])
    done = await ask(world, schedule, include=["paused"])
    assert (days(done["slots"]), left(done)) == ([3, 4], [(2, "skipped")])
    assert days((await ask(world, schedule, include=["paused", "skipped"]))["slots"]) == [2]
    assert await deliver_due(world) == [2, 3, 4]


async def test_they_go_out_one_after_the_other_where_that_is_asked(world: World) -> None:
    """In the order of their slots, `every` so long; and the series' own slots go on meanwhile."""
    schedule = await series(world)
    world.pass_time(days=3, hours=3)
    await deliver_due(world)
    done = await ask(world, schedule, every="PT10M")
    begun = world.clock.now()
    due = [datetime.fromisoformat(each["due_at"]) - begun for each in done["slots"]]
    assert due == [timedelta(0), timedelta(minutes=10), timedelta(minutes=20)]
    assert await deliver_due(world) == [2]
    world.pass_time(minutes=10)
    assert await deliver_due(world) == [3]
    world.pass_time(days=1, hours=-3.1)
    assert await deliver_due(world) == [4, 5]


async def test_what_the_series_will_deal_with_itself_is_left_to_it(world: World) -> None:
    """A slot that is due and not yet claimed: it goes out once, from where it waits."""
    schedule = await series(world)
    world.pass_time(days=1, minutes=30)
    done = await ask(world, schedule)
    assert (done["slots"], left(done)) == ([], [(2, "to_come")])
    assert await deliver_due(world) == [2]
    assert left(await ask(world, schedule)) == [(2, "delivered")]


async def test_who_asks_at_the_same_time_adds_nothing(world: World) -> None:
    """Three at once: every slot is one's alone, and goes out once."""
    schedule = await series(world)
    world.pass_time(days=4, hours=3)
    await deliver_due(world)
    answers = await asyncio.gather(*(ask(world, schedule) for _ in range(3)))
    asked = [day for answer in answers for day in days(answer["slots"])]
    assert sorted(asked) == [2, 3, 4, 5]
    assert await deliver_due(world) == [2, 3, 4, 5]


async def test_concurrency_concerns_neither_them_nor_what_they_are_beside(world: World, database: Database) -> None:
    """A series that skips what comes due beside another: what was asked for goes out together, and beside it."""
    pool = await create_pool(database.owner_dsn, max_size=2)
    was = world.services
    world.worker = Occurrences(world.every, was.clock, was.ids, companions=ReadModelCompanions(pool))
    schedule = await series(world, {**DAYS, "concurrency": "skip"})
    world.pass_time(days=2, hours=3)
    await deliver_due(world)
    await ask(world, schedule)
    assert len(await world.claim_due()) == 2
    world.pass_time(days=1, hours=-2.5)
    (attempt,) = await world.claim_due()
    assert attempt.occurrence.origin == "slot"
    await pool.close()


async def test_a_cancel_reaches_what_waits(world: World) -> None:
    """After its answer nothing of a backfill goes out; a pause holds it."""
    schedule = await series(world)
    world.pass_time(days=2, hours=3)
    await deliver_due(world)
    done = await ask(world, schedule)
    await verb(world, schedule, "pause")
    assert await deliver_due(world) == []
    await verb(world, schedule, "cancel")
    assert await deliver_due(world) == []
    for each in done["slots"]:
        assert (await world.get(f"/v1/occurrences/{each['occurrence']}"))["status"] == "cancelled"


async def test_the_same_request_is_answered_the_same(world: World) -> None:
    """Under its key; another window under it is refused."""
    schedule = await series(world)
    world.pass_time(days=2, hours=3)
    await deliver_due(world)
    key = {"Idempotency-Key": "b-1"}
    done = await ask(world, schedule, headers=key)
    await deliver_due(world)
    world.pass_time(hours=1)
    again = await ask(world, schedule, days=2 + 3 / 24, headers=key)
    assert (again["replayed"], again["backfill"], again["slots"]) == (True, done["backfill"], done["slots"])
    await ask(world, schedule, days=1, headers=key, status=422)


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [
        ({"to": "2026-11-01T00:00:00Z"}, "to", "2026-11-01T00:00:00+00:00"),
        ({"to": "2027-12-01T00:00:00Z"}, "to", "2027-12-01T00:00:00+00:00"),
        ({"every": "P2D"}, "every", "P2D"),
        ({"include": ["holidays"]}, "include[0]", "holidays"),
        ({"from": "yesterday"}, "from", "yesterday"),
    ],
)
async def test_bad_windows_are_refused_by_name(world: World, given: dict[str, Any], field: str, value: str) -> None:
    """Field, value, and what to do."""
    schedule = await series(world)
    world.pass_time(hours=1)
    problem = await ask(world, schedule, status=422, **given)
    assert (problem["field"], problem["value"]) == (field, value)
    assert problem["hint"]


async def test_too_many_slots_are_refused_with_where_to_stop(world: World) -> None:
    """Nothing is stored; the hint's window goes through."""
    schedule = await series(world, {"kind": "every", "interval": {"unit": "minutes", "count": 1}})
    world.pass_time(days=1)
    problem = await ask(world, schedule, status=422)
    assert (problem["field"], "2026-12-01T14:07:00+00:00" in problem["hint"]) == ("to", True)
    await ask(world, schedule, to="2026-12-01T14:07:00Z", dry_run=True)


async def test_nobody_backfills_another_tenants_schedule(world: World) -> None:
    """It is not there."""
    schedule = await series(world)
    body = {"from": "2026-11-01T00:00:00Z", "to": "2026-11-02T00:00:00Z"}
    assert (await world.other.post(f"/v1/schedules/{schedule}/backfill", json=body)).status_code == 404


async def explained(world: World, occurrence: str) -> dict[str, Any]:
    told: dict[str, Any] = await world.get(f"/v1/occurrences/{occurrence}/explain")
    return told


def in_turn(told: dict[str, Any], *codes: str) -> list[dict[str, Any]]:
    """The decisions of these codes, in the order in which they are told."""
    return [each for each in told["decisions"] if each["code"] in codes]


@pytest.mark.covers("REC-19")
async def test_what_expired_and_was_sent_after_all_tells_both_ends(world: World) -> None:
    """When it was due and how that ended, when it was due again and how that ended: in words and as data."""
    schedule = await series(world, {**DAYS, "missed": {"policy": "once", "within": "P1D"}}, expires_after="PT1H")
    world.pass_time(days=1, hours=3)
    assert await deliver_due(world) == []
    (expired,) = (await world.get(f"/v1/schedules/{schedule}/occurrences"))["items"]
    before = await explained(world, expired["id"])
    assert (before["verdict"], before["due_at"], before["was_due_at"]) == ("expired", "2026-12-02T08:00:00Z", None)
    (asked,) = (await ask(world, schedule))["slots"]
    assert await deliver_due(world) == [2]

    told = await explained(world, expired["id"])
    assert (told["verdict"], told["released"]) == ("delivered", True)
    assert (told["was_due_at"], told["due_at"]) == ("2026-12-02T08:00:00Z", asked["due_at"])
    assert asked["due_at"] > told["was_due_at"]
    ends = in_turn(told, "due", "expired", "backfilled", "claimed", "delivered")
    assert [each["code"] for each in ends] == ["due", "expired", "backfilled", "claimed", "delivered"]
    assert ends[0]["facts"]["due_at"] == "2026-12-02T08:00:00Z"
    assert ends[2]["facts"]["was_due_at"] == "2026-12-02T08:00:00Z"
    assert ends[2]["facts"]["due_at"] == asked["due_at"]
    assert "is due at 2026-12-02 09:00:00 (Europe/Berlin)" in ends[0]["text"]


@pytest.mark.covers("REC-19")
async def test_what_was_missed_and_sent_after_all_tells_both_ends(world: World) -> None:
    """The first slot of a run, whose stream has the miss, and another of it, whose stream has not."""
    schedule = await series(world)
    world.pass_time(days=3, hours=3)
    assert await deliver_due(world) == []
    done = (await ask(world, schedule))["slots"]
    assert await deliver_due(world) == [2, 3, 4]
    for each in done:
        told = await explained(world, each["occurrence"])
        by_slot = await world.get(f"/v1/schedules/{schedule}/explain", slot=each["slot"])
        assert by_slot == told
        assert (told["verdict"], told["was_due_at"], told["due_at"]) == (
            "delivered",
            each["was_due_at"],
            each["due_at"],
        )
        ends = in_turn(told, "due", "missed", "backfilled", "claimed", "delivered")
        assert [one["code"] for one in ends] == ["due", "missed", "backfilled", "claimed", "delivered"]
        assert ends[0]["facts"]["due_at"] == each["was_due_at"]
