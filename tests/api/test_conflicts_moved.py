"""Conflicts with slots that were moved by themselves: met, and made to give way, wherever their series stands."""

from __future__ import annotations

import pytest

from tests.api.test_conflicts import AT_NOON, DAILY, MOVED, PLAIN, asking
from tests.api.world import World


async def moved_away(world: World, key: str | None, *, far: bool) -> tuple[str, str]:
    """A series that stands in June, or has ended but for one slot, moved to half past twelve on 2 December."""
    timing = {**DAILY, "starts_at": "2027-06-01"} if far else {**DAILY, "starts_at": "2026-12-02", "count": 1}
    own = {"conflicts": {"strategy": "allow", "key": key}} if key else {}
    series = await world.create({**PLAIN, "timing": timing, **own})
    slot = "2027-06-01T09:00" if far else "2026-12-02T09:00"
    changed = await world.client.patch(f"/v1/schedules/{series['id']}?scope=this&slot={slot}", json=MOVED)
    assert changed.status_code == 200, changed.text
    return series["id"], f"{slot}:00"


@pytest.mark.covers("SCH-05", "LIF-22")
@pytest.mark.parametrize("key", [None, "room-12"])
@pytest.mark.parametrize("far", [True, False])
async def test_a_moved_slot_is_met_wherever_its_series_stands(world: World, key: str | None, *, far: bool) -> None:
    """Months behind all that is compared, or at its end: by a creation, a change and a preview."""
    series, slot = await moved_away(world, key, far=far)
    refused = await world.client.post("/v1/schedules", json=asking("reject", AT_NOON, key=key))
    assert refused.status_code == 409, refused.text
    assert [(met["schedule"], met["other_slot"]["local"]) for met in refused.json()["conflicts"]] == [(series, slot)]
    later = await world.create(asking("reject", {"kind": "at", "at": "2026-12-09T12:00:00Z"}, key=key))
    changed = await world.client.patch(f"/v1/schedules/{later['id']}", json={"timing": AT_NOON})
    assert (changed.status_code, changed.json()["conflicts"][0]["schedule"]) == (409, series)
    policy = {"strategy": "shift", "key": key}
    body = {"timing": AT_NOON, "recipient": "user-17", "conflicts": policy}
    shown = (await world.client.post("/v1/timings/preview", json=body)).json()
    assert (shown["settled"]["action"], shown["settled"]["shifted_by"]) == ("shifted", "PT1H30M")


@pytest.mark.parametrize("far", [True, False])
async def test_a_moved_slot_gives_way_wherever_its_series_stands(world: World, *, far: bool) -> None:
    """It is skipped, and the series stays where it is; then nobody meets it any more."""
    series, slot = await moved_away(world, None, far=far)
    strong = await world.create({**asking("highest_priority", AT_NOON), "priority": 5})
    assert (strong["status"], strong["settled"]["action"]) == ("pending", "kept")
    shown = await world.get(f"/v1/schedules/{series}")
    assert (shown["changes"], shown["skipped"]) == ([], [{"slot": slot, "fold": 0}])
    assert shown["next_due_at"] == ("2027-06-02T09:00:00Z" if far else None)


async def test_a_moved_slot_that_has_gone_out_is_met_by_nobody(world: World) -> None:
    """Nor one that was put back, or whose schedule is cancelled."""
    soon = {"timing": {"kind": "at", "local": "2026-12-01T08:30"}}
    series = await world.create({**PLAIN, "timing": DAILY})
    path = f"/v1/schedules/{series['id']}"
    assert (await world.client.patch(f"{path}?scope=this&slot=2026-12-04T09:00", json=soon)).status_code == 200
    gone, _ = await moved_away(world, None, far=True)
    assert (await world.client.delete(f"/v1/schedules/{gone}")).status_code == 200
    world.pass_time(minutes=31)
    (attempt,) = await world.claim_due()
    await world.deliver(attempt)
    there = await world.create(asking("reject", {"kind": "at", "at": "2026-12-01T08:40:00Z"}, window="PT15M"))
    assert there["settled"]["action"] == "none"
    assert (await world.create(asking("reject", AT_NOON)))["settled"]["action"] == "none"
