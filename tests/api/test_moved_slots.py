"""Slots that were moved by themselves, when their recipient moves or zone data change: over HTTP, from move to undo."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from horae.commands.context import Call
from horae.domain.timing import zonedata
from horae.infra.zonedata import open_release
from horae.projections.due import load_horizon
from horae.projections.schema import connect
from tests.api.world import ACME, World
from tests.fixtures.zone_releases import ZoneReleases

PERSON = "/v1/recipients/user-17"
BERLIN, TOKYO, VANCOUVER = "Europe/Berlin", "Asia/Tokyo", "America/Vancouver"
DAILY = {"kind": "every", "cron": "0 18 * * *", "zone": BERLIN}
SLOT, OTHER_SLOT = "2026-12-04T18:00:00", "2026-12-05T18:00:00"
#: 15:00 on 24 December in Berlin and in Tokyo.
LOCAL, IN_BERLIN, IN_TOKYO = "2026-12-24T15:00", "2026-12-24T14:00:00Z", "2026-12-24T06:00:00Z"
AT_THREE = {"kind": "at", "local": LOCAL, "zone": "recipient"}


async def lives_in(world: World, zone: str, **params: Any) -> dict[str, Any]:
    answer = await world.client.put(PERSON, json={"zone": zone}, params=params)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def with_moved(world: World, timing: dict[str, Any], slot: str = SLOT, series: str | None = None) -> str:
    """A daily series of which one slot was moved by itself."""
    schedule = series or str((await world.create(timing=DAILY))["id"])
    params = {"scope": "this", "slot": slot}
    answer = await world.client.patch(f"/v1/schedules/{schedule}", json={"timing": timing}, params=params)
    assert answer.status_code == 200, answer.text
    return schedule


async def waits(world: World, schedule: str) -> dict[str, str]:
    """Where its moved slots wait, as the schedule shows it; the occurrences' own word must be the same."""
    changes = (await world.get(f"/v1/schedules/{schedule}"))["changes"]
    told = {change["slot"]: change["due_at"] for change in changes}
    listed = (await world.get(f"/v1/schedules/{schedule}/occurrences"))["items"]
    assert {one["slot"]: one["due_at"] for one in listed if one["status"] == "waiting"} == told
    return told


@pytest.mark.covers("TZ-04", "TZ-22", "LIF-18")
async def test_a_moved_slot_goes_along_with_its_recipient(world: World) -> None:
    """Told before, moved by an event, reported, explained, and taken back; one that was moved to an instant stays."""
    await lives_in(world, BERLIN)
    schedule = await with_moved(world, AT_THREE)
    await with_moved(world, {"kind": "at", "at": IN_BERLIN}, OTHER_SLOT, schedule)
    assert await waits(world, schedule) == {SLOT: IN_BERLIN, OTHER_SLOT: IN_BERLIN}
    head = await world.services.store.head()
    would = await lives_in(world, TOKYO, dry_run=True)
    (move,) = would["moves"]
    assert (move["schedule_id"], move["slot"]["local"]) == (schedule, SLOT)
    assert (move["zone"], move["before"], move["after"]) == (BERLIN, IN_BERLIN, IN_TOKYO)
    assert (would["checked"], await world.services.store.head()) == (1, head)

    done = (await lives_in(world, TOKYO))["replanned"]
    assert (done["checked"], done["moved"]) == (1, [schedule])
    assert await waits(world, schedule) == {SLOT: IN_TOKYO, OTHER_SLOT: IN_BERLIN}
    history = (await world.get(f"/v1/schedules/{schedule}/history"))["items"]
    assert [entry["event"] for entry in history][-1] == "schedule.slot_replanned.v1"
    report = await world.get(f"{PERSON}/moves/{done['change']}")
    (told,) = report["items"]
    assert (told["occurrence"], told["undone"], report["zones"]) == (move["occurrence"], None, {BERLIN: 1})
    explained = await world.get(f"/v1/occurrences/{move['occurrence']}/explain")
    (said,) = [one for one in explained["decisions"] if one["code"] == "replanned"]
    assert said["text"].startswith(f"The recipient's zone changed ({TOKYO}): what was planned for 2026-12-24 ")
    assert (await lives_in(world, TOKYO))["replanned"]["moved"] == []

    undone = (await world.client.post(f"{PERSON}/moves/{done['change']}/undo")).json()
    assert (undone["restored"], undone["left"], undone["zone"]) == (1, 0, BERLIN)
    assert undone["replanned"]["moved"] == []
    assert await waits(world, schedule) == {SLOT: IN_BERLIN, OTHER_SLOT: IN_BERLIN}
    (told,) = (await world.get(f"{PERSON}/moves/{done['change']}"))["items"]
    assert (told["undone"], told["left"]) == (True, None)


@pytest.mark.covers("TZ-04")
async def test_it_goes_out_once_and_where_it_is_by_now(world: World) -> None:
    """Beside the series' own next slot, which follows them as well; a row of before is out of date."""
    await lives_in(world, TOKYO)
    series = str((await world.create(timing=DAILY | {"zone": "recipient"}))["id"])
    await with_moved(world, {"kind": "at", "local": "2026-12-01T19:00"}, "2026-12-04T18:00", series)
    await world.settled()
    world.pass_time(hours=3)
    conn = await connect(world.owner_dsn)
    try:
        stale = [row for row in await load_horizon(conn, until=world.clock.now()) if row.row == "occurrence"]
    finally:
        await conn.close()
    assert len(stale) == 1
    world.pass_time(hours=-3)
    done = (await lives_in(world, BERLIN))["replanned"]
    assert done["moved"] == [series]
    report = await world.get(f"{PERSON}/moves/{done['change']}")
    assert {item["slot"]["local"]: (item["after"], item["occurrence"] is None) for item in report["items"]} == {
        "2026-12-04T18:00:00": ("2026-12-01T18:00:00Z", False),
        "2026-12-01T18:00:00": ("2026-12-01T17:00:00Z", True),
    }
    world.pass_time(hours=3)
    assert await world.worker.candidates(stale) == [None]
    assert await world.claim_due() == []
    world.pass_time(hours=7, minutes=1)
    sent = await world.claim_due()
    assert {attempt.occurrence.due_at for attempt in sent} == {
        datetime(2026, 12, 1, hour, tzinfo=UTC) for hour in (17, 18)
    }
    undone = (await world.client.post(f"{PERSON}/moves/{done['change']}/undo")).json()
    assert (undone["restored"], undone["left"]) == (0, 2)
    report = await world.get(f"{PERSON}/moves/{done['change']}")
    assert {item["left"] for item in report["items"]} == {"it has gone out or was changed since"}


@pytest.mark.covers("TZ-04")
async def test_what_is_paused_moves_as_it_waits(world: World) -> None:
    """The series is planned when it is resumed, the moved slot has its time already; a cancelled one's stays."""
    await lives_in(world, BERLIN)
    paused, cancelled = await with_moved(world, AT_THREE), await with_moved(world, AT_THREE)
    await world.client.post(f"/v1/schedules/{paused}/pause", json={})
    await world.client.delete(f"/v1/schedules/{cancelled}")
    done = (await lives_in(world, TOKYO))["replanned"]
    assert (done["checked"], done["moved"]) == (1, [paused])
    assert await waits(world, paused) == {SLOT: IN_TOKYO}


@pytest.mark.covers("TZ-01", "TZ-29")
async def test_newer_zone_data_move_it_and_back(world: World, zone_releases: ZoneReleases) -> None:
    """In the status, in the report, and undone: beside other slots that wait by themselves, and stay."""
    old, new = "2027-01-20T17:00:00Z", "2027-01-20T16:00:00Z"
    with zonedata.using(open_release(zone_releases.folder("2025c"))):
        schedule = await with_moved(world, {"kind": "at", "local": "2027-01-20T09:00", "zone": VANCOUVER})
        await with_moved(world, {"kind": "at", "local": "2027-01-20T09:00", "zone": BERLIN}, OTHER_SLOT, schedule)
        await with_moved(world, {"kind": "at", "at": old}, "2026-12-06T18:00:00", schedule)
        zonedata.use(open_release(zone_releases.folder("2026c")))
        others = {OTHER_SLOT: "2027-01-20T08:00:00Z", "2026-12-06T18:00:00": old}
        status = await world.get("/v1/zones/status")
        (move,) = status["items"]
        assert (status["checked"], move["schedule_id"], move["before"], move["after"]) == (3, schedule, old, new)

        change = UUID(int=7)
        await world.services.zone_changes.apply(Call(tenant=ACME, actor="cli"), change, "wall_time")
        assert await waits(world, schedule) == {SLOT: new} | others
        told = await world.get(f"/v1/zones/changes/{change}")
        assert (told["checked"], told["zones"], len(told["items"])) == (3, {VANCOUVER: 1}, 1)
        assert (await world.get("/v1/zones/status"))["items"] == []
        await world.services.zone_changes.undo(Call(tenant=ACME, actor="cli"), change)
        assert await waits(world, schedule) == {SLOT: old} | others
        told = await world.get(f"/v1/zones/changes/{change}")
        assert (told["restored"], told["left"], told["items"][0]["undone"]) == (1, 0, True)
        again = await world.services.zone_changes.apply(Call(tenant=ACME, actor="cli"), UUID(int=8), "instant")
        assert [found.occurrence for found in again.moves] == [UUID(move["occurrence"])]
        assert await waits(world, schedule) == {SLOT: old} | others
        assert (await world.get("/v1/zones/status"))["items"] == []
