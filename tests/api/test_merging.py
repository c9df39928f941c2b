"""One schedule merged into another: its content goes out also where the other has its own, or nothing is merged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api.world import World

PLAIN = {"recipient": "user-17", "channel": "log:", "content": {"subject": "Hi"}}
NOON = {"kind": "every", "cron": "0 12 * * *", "zone": "UTC"}
MERGE = {"strategy": "merge", "window": "PT1H"}


async def patched(world: World, path: str, body: dict[str, Any]) -> None:
    """A change that goes well."""
    answer = await world.client.patch(path, json=body)
    assert answer.status_code == 200, answer.text


async def sent(world: World, days: int) -> list[tuple[str, list[str], int]]:
    """What goes out day by day: its subject, the subjects that were merged into it, its priority."""
    found = []
    for _ in range(days):
        for attempt in await world.claim_due():
            seen = attempt.schedule.seen_from(attempt.occurrence.slot)
            content = seen.personal.content
            merged = [each["content"]["subject"] for each in content.get("merged", [])]
            found.append((content["subject"], merged, seen.definition.priority))
            await world.deliver(attempt)
        world.pass_time(days=1)
    return found


@pytest.mark.covers("SCH-05", "LIF-18")
async def test_merged_content_goes_out_at_slots_that_have_their_own(world: World) -> None:
    """Changed by themselves, moved, moved and changed, and from a slot on; each keeps what it has beside it."""
    daily = await world.create({**PLAIN, "timing": {**NOON, "starts_at": "2026-12-02", "count": 6}})
    path = f"/v1/schedules/{daily['id']}"
    await patched(world, f"{path}?scope=this&slot=2026-12-03T12:00", {"content": {"subject": "third"}, "priority": 5})
    moved = {"timing": {"kind": "at", "local": "2026-12-04T12:10"}}
    await patched(world, f"{path}?scope=this&slot=2026-12-04T12:00", moved)
    moved = {"timing": {"kind": "at", "local": "2026-12-05T12:10"}, "content": {"subject": "fifth"}}
    await patched(world, f"{path}?scope=this&slot=2026-12-05T12:00", moved)
    await patched(world, f"{path}?scope=following&slot=2026-12-06T12:00", {"content": {"subject": "on"}})
    again = {"timing": {**NOON, "cron": "20 12 * * *", "starts_at": "2026-12-02", "count": 6}}
    taken = await world.create({**PLAIN, **again, "content": {"subject": "new"}, "priority": 4, "conflicts": MERGE})
    assert (taken["status"], taken["settled"]["into"]) == ("cancelled", daily["id"]), taken["settled"]
    world.clock.instant = datetime(2026, 12, 2, 12, 30, tzinfo=UTC)
    subjects = ["Hi", "third", "Hi", "fifth", "on", "on"]
    assert [(what, merged) for what, merged, _ in await sent(world, 6)] == [(each, ["new"]) for each in subjects]
    shown = await world.get(path)
    assert [change["slot"] for change in shown["changes"]] == [f"2026-12-0{day}T12:00:00" for day in (3, 4, 5)]


async def test_what_has_its_own_priority_keeps_the_higher(world: World) -> None:
    """Of a slot, and from a slot on."""
    daily = await world.create({**PLAIN, "timing": {**NOON, "starts_at": "2026-12-02", "count": 4}, "priority": 2})
    path = f"/v1/schedules/{daily['id']}"
    await patched(world, f"{path}?scope=this&slot=2026-12-03T12:00", {"priority": 1})
    await patched(world, f"{path}?scope=following&slot=2026-12-05T12:00", {"priority": 5})
    timing = {**NOON, "starts_at": "2026-12-02", "count": 4}
    await world.create({**PLAIN, "timing": timing, "priority": 3, "conflicts": MERGE})
    world.clock.instant = datetime(2026, 12, 2, 12, 30, tzinfo=UTC)
    assert [(merged, priority) for _, merged, priority in await sent(world, 4)] == [
        (["Hi"], priority) for priority in (3, 3, 3, 5)
    ]


async def test_a_series_that_has_ended_takes_in_what_goes_with_its_moved_slot(world: World) -> None:
    """The moved slot is all that is left of it."""
    once = {**NOON, "starts_at": "2026-12-02", "count": 1}
    series = await world.create({**PLAIN, "timing": once})
    moved = {"timing": {"kind": "at", "local": "2026-12-02T18:00"}, "content": {"subject": "late"}}
    await patched(world, f"/v1/schedules/{series['id']}?scope=this&slot=2026-12-02T12:00", moved)
    taken = await world.create({**PLAIN, "timing": {**once, "cron": "30 18 * * *"}, "conflicts": MERGE})
    assert taken["settled"]["into"] == series["id"]
    world.clock.instant = datetime(2026, 12, 2, 18, tzinfo=UTC) + timedelta(minutes=1)
    assert await sent(world, 1) == [("late", ["Hi"], 2)]


@pytest.mark.parametrize(
    ("scope", "change"),
    [
        ("this", {"content": {"subject": "own"}}),
        ("this", {"timing": {"kind": "at", "local": "2026-12-03T12:30"}}),
        ("following", {"content": {"subject": "own"}}),
        ("following", {"channel": "webhook:https://example.com/hook"}),
    ],
)
async def test_what_is_not_all_alike_is_not_merged_into_another(
    world: World, scope: str, change: dict[str, Any]
) -> None:
    """One content would go out at every slot: 409, and nothing is changed."""
    await world.create({**PLAIN, "timing": NOON})
    series = await world.create({**PLAIN, "timing": NOON})
    path = f"/v1/schedules/{series['id']}"
    await patched(world, f"{path}?scope={scope}&slot=2026-12-03T12:00", change)
    refused = await world.client.patch(path, json={"conflicts": MERGE})
    assert (refused.status_code, refused.json()["code"]) == (409, "schedule_conflict"), refused.text
    assert "of its own content" in refused.json()["detail"]
    assert (await world.get(path))["status"] == "pending"


async def test_what_was_otherwise_in_the_past_is_merged_as_it_is_now(world: World) -> None:
    """All are alike since the change: what is compared, and what goes over, is that of the slots to come."""
    timing = {**NOON, "starts_at": "2026-12-02"}
    daily = await world.create({**PLAIN, "timing": timing, "content": {"subject": "first"}})
    own = {"channel": "webhook:https://example.com/hook", "content": {"subject": "before"}, "priority": 1}
    series = await world.create({**PLAIN, "timing": timing, **own})
    path = f"/v1/schedules/{series['id']}"
    since = {"channel": "log:", "content": {"subject": "since"}, "priority": 4}
    await patched(world, f"{path}?scope=following&slot=2026-12-03T12:00", since)
    world.clock.instant = datetime(2026, 12, 2, 12, 30, tzinfo=UTC)
    assert [what for what, _, _ in await sent(world, 2)] == ["first", "before", "first", "since"]
    world.clock.instant = datetime(2026, 12, 4, 11, tzinfo=UTC)
    await patched(world, path, {"conflicts": MERGE})
    merged = await world.get(path)
    assert (merged["status"], merged["settled"]["into"]) == ("cancelled", daily["id"]), merged["settled"]
    world.pass_time(hours=2)
    assert await sent(world, 1) == [("first", ["since"], 4)]


async def test_nothing_is_merged_where_a_slot_goes_another_way(world: World) -> None:
    """Of the other schedule one slot has a channel of its own."""
    series = await world.create({**PLAIN, "timing": NOON})
    own = {"channel": "webhook:https://example.com/hook"}
    await patched(world, f"/v1/schedules/{series['id']}?scope=this&slot=2026-12-03T12:00", own)
    refused = await world.client.post("/v1/schedules", json={**PLAIN, "timing": NOON, "conflicts": MERGE})
    assert (refused.status_code, "merged only with" in refused.json()["detail"]) == (409, True)


async def test_a_slot_gives_way_by_its_own_priority(world: World) -> None:
    """One that was made more pressing stays where the rest of its series would give way."""
    series = await world.create({**PLAIN, "timing": NOON, "priority": 2})
    await patched(world, f"/v1/schedules/{series['id']}?scope=this&slot=2026-12-03T12:00", {"priority": 5})
    daily = {**NOON, "starts_at": "2026-12-02", "count": 3}
    strong = await world.create(
        {**PLAIN, "timing": daily, "priority": 4, "conflicts": {"strategy": "highest_priority"}}
    )
    assert strong["settled"]["action"] == "partly_given_way"
    assert strong["skipped"] == [{"slot": "2026-12-03T12:00:00", "fold": 0}]
    shown = await world.get(f"/v1/schedules/{series['id']}")
    assert [each["slot"] for each in shown["skipped"]] == ["2026-12-02T12:00:00", "2026-12-04T12:00:00"]


async def test_a_moved_slot_keeps_its_local_time_after_it_took_something_in(world: World) -> None:
    """It still goes along when its recipient moves."""
    series = await world.create({**PLAIN, "timing": {**NOON, "starts_at": "2026-12-02", "count": 1}})
    path = f"/v1/schedules/{series['id']}"
    at_six = {"kind": "at", "local": "2026-12-02T18:00", "zone": "recipient"}
    await patched(world, f"{path}?scope=this&slot=2026-12-02T12:00", {"timing": at_six, "content": {"subject": "own"}})
    other = {"kind": "every", "cron": "0 18 * * *", "zone": "UTC", "starts_at": "2026-12-02", "count": 1}
    taken = await world.create({**PLAIN, "timing": other, "conflicts": MERGE})
    assert taken["settled"]["into"] == series["id"]
    assert (await world.client.put("/v1/recipients/user-17", json={"zone": "Asia/Tokyo"})).status_code == 200
    assert [change["due_at"] for change in (await world.get(path))["changes"]] == ["2026-12-02T09:00:00Z"]
