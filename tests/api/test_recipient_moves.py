"""A recipient who moves: what would move with them, the report of what did, keeping instants, and taking it back."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.api.world import World

PERSON = "/v1/recipients/user-17"
MOVES = f"{PERSON}/moves"
BERLIN, TOKYO, NEW_YORK = "Europe/Berlin", "Asia/Tokyo", "America/New_York"
#: 18:00 on 24 December in Berlin, in Tokyo and in New York.
IN_BERLIN, IN_TOKYO, IN_NEW_YORK = "2026-12-24T17:00:00Z", "2026-12-24T09:00:00Z", "2026-12-24T23:00:00Z"


async def set_to(world: World, zone: str | None, **params: Any) -> dict[str, Any]:
    answer = await world.client.put(PERSON, json={"zone": zone, "attributes": {"plan": "pro"}}, params=params)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def following(world: World, local: str = "2026-12-24T18:00") -> str:
    return str((await world.create(timing={"kind": "at", "local": local, "zone": "recipient"}))["id"])


async def due(world: World, schedule: str) -> str:
    return str((await world.get(f"/v1/schedules/{schedule}"))["next_due_at"])


async def undo(world: World, change: str, status: int = 200) -> dict[str, Any]:
    answer = await world.client.post(f"{MOVES}/{change}/undo")
    assert answer.status_code == status, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


@pytest.mark.covers("TZ-04", "TZ-22")
async def test_what_would_move_is_told_before_and_the_report_after(world: World) -> None:
    """A dry run stores nothing; the report is kept, and read page by page."""
    await set_to(world, BERLIN)
    ids = sorted([await following(world) for _ in range(3)])
    head = await world.services.store.head()
    would = await set_to(world, TOKYO, dry_run=True)
    assert (would["checked"], would["failed"]) == (3, [])
    assert [(m["schedule_id"], m["zone"], m["before"], m["after"]) for m in would["moves"]] == [
        (id_, BERLIN, IN_BERLIN, IN_TOKYO) for id_ in ids
    ]
    assert await world.services.store.head() == head
    change = (await set_to(world, TOKYO))["replanned"]["change"]
    assert [await due(world, id_) for id_ in ids] == [IN_TOKYO] * 3
    (listed,) = (await world.get(MOVES))["items"]
    assert (listed["id"], listed["keep"], listed["checked"], listed["zones"]) == (change, "wall_time", 3, {BERLIN: 3})
    assert (listed["zone_before"], listed["zone_after"], listed["undone_at"]) == (BERLIN, TOKYO, None)
    first = await world.get(f"{MOVES}/{change}", limit=2)
    second = await world.get(f"{MOVES}/{change}", limit=2, cursor=first["next"])
    assert [item["schedule_id"] for item in first["items"] + second["items"]] == ids
    assert {item["after"] for item in first["items"] + second["items"]} == {IN_TOKYO}
    assert second["next"] is None
    # Neither another tenant, nor another recipient, nor the tenant's changes of zone data have it.
    assert (await world.other.get(f"{MOVES}/{change}")).status_code == 404
    assert (await world.client.get(f"/v1/recipients/user-18/moves/{change}")).status_code == 404
    assert (await world.get("/v1/zones/changes"))["items"] == []
    wrong = await world.client.put(PERSON, json={"zone": "Europe/Berln"}, params={"dry_run": True})
    assert (wrong.status_code, wrong.json()["field"]) == (422, "zone")
    wrong = await world.client.put(PERSON, json={"zone": BERLIN}, params={"keep": "nothing"})
    assert (wrong.status_code, wrong.json()["field"]) == (422, "keep")


@pytest.mark.covers("TZ-04")
async def test_instants_can_be_kept(world: World) -> None:
    """What is planned stays at its moment, and says why; later slots are planned where they live now."""
    await set_to(world, BERLIN)
    once = await following(world)
    daily = str((await world.create(timing={"kind": "every", "cron": "0 18 * * *", "zone": "recipient"}))["id"])
    told = (await set_to(world, NEW_YORK, keep="instant"))["replanned"]
    assert set(told["moved"]) == {once, daily}
    shown = (await world.get(f"/v1/schedules/{once}"))["next"]
    assert (shown["due_at"], shown["zone"], shown["reasons"][-1]["code"]) == (IN_BERLIN, NEW_YORK, "instant_kept")
    text = f"Planned in {BERLIN}; in {NEW_YORK} it would be 2026-12-24 23:00Z. The instant was kept."
    assert shown["reasons"][-1]["text"] == text
    report = await world.get(f"{MOVES}/{told['change']}")
    assert {item["schedule_id"]: item["after"] for item in report["items"]}[once] == IN_NEW_YORK
    assert report["keep"] == "instant"
    # Asked again nothing moves: it was decided.
    again = (await set_to(world, NEW_YORK))["replanned"]
    assert (again["moved"], again["change"]) == ([], None)
    world.pass_time(hours=9, minutes=1)
    (attempt,) = await world.claim_due()
    assert str(attempt.schedule.id) == daily
    assert await due(world, daily) == "2026-12-02T23:00:00Z"
    # Where they lived before, they are planned as before: nothing is kept there.
    await set_to(world, BERLIN)
    shown = (await world.get(f"/v1/schedules/{once}"))["next"]
    assert (shown["due_at"], shown["zone"]) == (IN_BERLIN, BERLIN)
    assert "instant_kept" not in {reason["code"] for reason in shown["reasons"]}


@pytest.mark.parametrize("there", [TOKYO, NEW_YORK])
@pytest.mark.parametrize(
    "timing", [{"cron": "0 * * * *"}, {"interval": {"unit": "hours", "count": 1}}], ids=["cron", "interval"]
)
async def test_what_comes_every_hour_goes_on_hour_by_hour(world: World, timing: dict[str, Any], there: str) -> None:
    """Whatever is kept: a slot that kept its old name would be hours from the next one where they live now."""
    await set_to(world, BERLIN)
    hourly = str((await world.create(timing={"kind": "every", **timing, "zone": "recipient"}))["id"])
    first = datetime.fromisoformat(await due(world, hourly))
    await set_to(world, there, keep="instant")
    assert datetime.fromisoformat(await due(world, hourly)) == first
    world.pass_time(hours=1, seconds=1)
    (attempt,) = await world.claim_due()
    assert str(attempt.schedule.id) == hourly
    assert datetime.fromisoformat(await due(world, hourly)) == first + timedelta(hours=1)


@pytest.mark.covers("TZ-04", "TZ-22")
async def test_a_move_is_undone_by_events(world: World) -> None:
    """The zone is the one of before, the slots are where they were, and what came since is planned there, too."""
    await set_to(world, BERLIN)
    moved, paused = await following(world), await following(world)
    change = (await set_to(world, TOKYO))["replanned"]["change"]
    since = await following(world)
    assert await due(world, since) == IN_TOKYO
    await world.client.post(f"/v1/schedules/{paused}/pause", json={})
    done = await undo(world, change)
    assert (done["restored"], done["left"], done["zone"], done["undone_at"] is not None) == (1, 1, BERLIN, True)
    assert (done["replanned"]["moved"], [await due(world, id_) for id_ in (moved, since)]) == ([since], [IN_BERLIN] * 2)
    known = await world.get(PERSON)
    assert (known["zone"], known["attributes"]) == (BERLIN, {"plan": "pro"})
    items = {item["schedule_id"]: item for item in (await world.get(f"{MOVES}/{change}"))["items"]}
    assert (items[moved]["undone"], items[moved]["left"]) == (True, None)
    assert (items[paused]["undone"], items[paused]["left"]) == (False, "it is paused")
    history = (await world.get(f"/v1/schedules/{moved}/history"))["items"]
    assert [entry["event"] for entry in history][-2:] == ["schedule.replanned.v1"] * 2
    # Asked again it answers the same and does nothing; what moved since the undoing is a change of its own.
    head = await world.services.store.head()
    again = await undo(world, change)
    assert (again["restored"], again["undone_at"]) == (1, done["undone_at"])
    assert await world.services.store.head() == head
    newest, oldest = (await world.get(MOVES))["items"]
    assert (oldest["id"], newest["id"]) == (change, done["replanned"]["change"])
    assert (newest["zone_before"], newest["zone_after"]) == (TOKYO, BERLIN)


@pytest.mark.covers("TZ-04")
async def test_what_another_move_has_followed_is_not_undone(world: World) -> None:
    """409, naming the change; and what was never made is not found."""
    await set_to(world, BERLIN)
    schedule = await following(world)
    first = (await set_to(world, TOKYO))["replanned"]["change"]
    second = (await set_to(world, NEW_YORK))["replanned"]["change"]
    refused = await undo(world, first, status=409)
    assert (refused["field"], refused["value"]) == ("change", first)
    assert await due(world, schedule) == IN_NEW_YORK
    await undo(world, second)
    assert await due(world, schedule) == IN_TOKYO
    await undo(world, "00000000-0000-0000-0000-000000000007", status=404)


@pytest.mark.covers("TZ-04")
async def test_explain_names_the_move(world: World) -> None:
    """Of what went out: that the zone changed, to which, from when to when, and under which change."""
    await set_to(world, BERLIN)
    await following(world, "2026-12-01T18:00")
    change = (await set_to(world, "Europe/Lisbon"))["replanned"]["change"]
    world.pass_time(hours=11)
    (attempt,) = await world.claim_due()
    await world.deliver(attempt)
    told = await world.get(f"/v1/occurrences/{attempt.occurrence.id}/explain")
    (decision,) = [one for one in told["decisions"] if one["code"] == "replanned"]
    assert decision["text"].startswith("The recipient's zone changed (Europe/Lisbon): what was planned for ")
    assert (decision["facts"]["cause"], decision["facts"]["change"]) == ("recipient", change)


@pytest.mark.covers("TZ-04", "REC-17")
async def test_a_series_that_follows_them_from_a_slot_on_moves_along(world: World) -> None:
    """Until then it has a zone of its own, and stays; its later rule has theirs."""
    await set_to(world, BERLIN)
    rule = {"kind": "every", "cron": "0 18 * * *", "zone": BERLIN}
    schedule = str((await world.create(timing=rule))["id"])
    changed = await world.client.patch(
        f"/v1/schedules/{schedule}",
        json={"timing": rule | {"zone": "recipient"}},
        params={"scope": "following", "slot": "2026-12-02T18:00"},
    )
    assert changed.status_code == 200, changed.text
    assert (await set_to(world, "Europe/Vienna"))["replanned"]["moved"] == []
    world.pass_time(hours=9, minutes=1)
    assert len(await world.claim_due()) == 1
    assert await due(world, schedule) == "2026-12-02T17:00:00Z"
    assert (await set_to(world, NEW_YORK))["replanned"]["moved"] == [schedule]
    assert await due(world, schedule) == "2026-12-02T23:00:00Z"
