"""Newer zone data over HTTP: what they would move of the tenant's own, and the report of what moved and came back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from horae.commands.context import Call
from horae.domain.timing import zonedata
from horae.infra.zonedata import open_release
from tests.api.world import ACME, World
from tests.fixtures.zone_releases import ZoneReleases

VANCOUVER = "America/Vancouver"
CHANGES = "/v1/zones/changes"
#: By 2025c Vancouver's winter is at UTC-8, by 2026c it is not.
OLD, NEW = "2027-01-20T17:00:00Z", "2027-01-20T16:00:00Z"


@pytest.fixture(autouse=True)
def planned_by_the_old_release(zone_releases: ZoneReleases) -> Iterator[None]:
    """Every test begins by 2025c."""
    with zonedata.using(open_release(zone_releases.folder("2025c"))):
        yield


async def winter(world: World, **more: Any) -> str:
    timing = {"kind": "at", "local": "2027-01-20T09:00", "zone": VANCOUVER}
    made = await world.create(timing=timing, **more)
    assert made["next_due_at"] == OLD
    return str(made["id"])


async def pages(world: World, path: str, **params: Any) -> list[dict[str, Any]]:
    """Every page of a list."""
    found = [await world.get(path, **params)]
    while (cursor := found[-1]["next"]) is not None:
        found.append(await world.get(path, **params, cursor=cursor))
    return found


@pytest.mark.covers("TZ-01", "TZ-29")
async def test_what_would_move_is_told_before_and_the_report_after(world: World, zone_releases: ZoneReleases) -> None:
    """Page by page; a change, its slots with both instants, and which of them are back after it was undone."""
    ids = {await winter(world, recipient=f"user-{number}") for number in range(3)}
    unmoved = await world.create(timing={"kind": "at", "local": "2027-01-20T09:00", "zone": "Europe/Berlin"})
    assert (await world.get("/v1/zones/status"))["checked"] == 0
    assert (await world.get(CHANGES))["items"] == []

    zonedata.use(open_release(zone_releases.folder("2026c")))
    looked = await pages(world, "/v1/zones/status", limit=2)
    assert [page["checked"] for page in looked] == [2, 2, 0]
    moves = [move for page in looked for move in page["items"]]
    assert {(move["schedule_id"], move["before"], move["after"]) for move in moves} == {(id_, OLD, NEW) for id_ in ids}
    assert {(move["zone"], move["tzdata"]) for move in moves} == {(VANCOUVER, "2025c")}
    assert {page["tzdata"] for page in looked} == {"2026c"}

    change = UUID(int=7)
    await world.services.zone_changes.apply(Call(tenant=ACME, actor="cli"), change, "wall_time")
    (listed,) = (await world.get(CHANGES))["items"]
    assert (listed["id"], listed["tzdata"], listed["keep"]) == (str(change), "2026c", "wall_time")
    assert (listed["checked"], listed["zones"], listed["undone_at"]) == (4, {VANCOUVER: 3}, None)
    reports = await pages(world, f"{CHANGES}/{change}", limit=2)
    assert [len(page["items"]) for page in reports] == [2, 1]
    told = [move for page in reports for move in page["items"]]
    assert {(move["schedule_id"], move["after"], move["undone"]) for move in told} == {(id_, NEW, None) for id_ in ids}
    assert unmoved["id"] not in {move["schedule_id"] for move in told}

    paused = min(ids)
    assert (await world.client.post(f"/v1/schedules/{paused}/pause", json={})).status_code == 200
    await world.services.zone_changes.undo(Call(tenant=ACME, actor="cli"), change)
    report = await world.get(f"{CHANGES}/{change}")
    assert (report["restored"], report["left"], report["undone_at"] is None) == (2, 1, False)
    undone = {move["schedule_id"]: (move["undone"], move["left"]) for move in report["items"]}
    assert undone == {id_: (False, "it is paused") if id_ == paused else (True, None) for id_ in ids}


@pytest.mark.covers("TZ-01")
async def test_each_tenant_sees_their_own(world: World, zone_releases: ZoneReleases) -> None:
    """Another's change is not there, nor are their slots; cursors of other lists are refused by name."""
    await winter(world)
    zonedata.use(open_release(zone_releases.folder("2026c")))
    first, second = UUID(int=7), UUID(int=8)
    await world.services.zone_changes.apply(Call(tenant=ACME, actor="cli"), first, "instant")
    assert (await world.get(f"{CHANGES}/{first}"))["items"][0]["after"] == NEW
    theirs = await world.other.get(f"{CHANGES}/{first}")
    assert (theirs.status_code, theirs.json()["code"]) == (404, "not_found")
    assert (await world.other.get(CHANGES)).json()["items"] == []
    assert (await world.other.get("/v1/zones/status")).json()["checked"] == 0
    assert (await world.client.get(f"{CHANGES}/{second}")).status_code == 404
    for path in ("/v1/zones/status", CHANGES, f"{CHANGES}/{first}"):
        answer = await world.client.get(path, params={"cursor": "x"})
        assert (answer.status_code, answer.json()["field"]) == (422, "cursor"), path
