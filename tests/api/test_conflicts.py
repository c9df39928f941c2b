"""Conflicts between schedules through the whole service: found, settled, told, and held under concurrency."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api.world import World

AT_NOON = {"kind": "at", "at": "2026-12-02T12:00:00Z"}
AT_HALF_PAST = {"kind": "at", "at": "2026-12-02T12:30:00Z"}
PLAIN = {"recipient": "user-17", "channel": "log:", "content": {"subject": "Hi"}}


def asking(strategy: str, timing: dict[str, Any] = AT_HALF_PAST, **policy: Any) -> dict[str, Any]:
    """A body that asks for a strategy."""
    return {**PLAIN, "timing": timing, "conflicts": {"strategy": strategy, **policy}}


@pytest.mark.covers("SCH-05", "LIF-04")
async def test_reject_names_the_other_schedule(world: World) -> None:
    """409 with the other's id, slot and instant, and nothing is stored."""
    other = await world.create({**PLAIN, "timing": AT_NOON})
    answer = await world.client.post("/v1/schedules", json=asking("reject"))
    assert answer.status_code == 409, answer.text
    problem = answer.json()
    assert problem["code"] == "schedule_conflict"
    assert problem["others"] == 1
    (met,) = problem["conflicts"]
    assert met["schedule"] == other["id"]
    assert (met["due_at"], met["other_due_at"]) == ("2026-12-02T12:30:00Z", "2026-12-02T12:00:00Z")
    assert len((await world.get("/v1/schedules"))["items"]) == 1


async def test_nobody_looks_unless_asked(world: World) -> None:
    """Without a policy two schedules at one instant are two schedules."""
    for _ in range(2):
        shown = await world.create({**PLAIN, "timing": AT_NOON})
        assert shown["settled"] is None


@pytest.mark.covers("SCH-05")
async def test_shift_goes_out_later_and_says_so(world: World) -> None:
    """By the least that is free; the slot stays, the instant moves, and explain tells against whom."""
    other = await world.create({**PLAIN, "timing": AT_NOON})
    shown = await world.create(asking("shift"))
    assert shown["next"]["slot"] == "2026-12-02T12:30:00"
    assert shown["next_due_at"] == "2026-12-02T13:00:00Z"
    assert shown["settled"]["action"] == "shifted"
    assert shown["settled"]["shifted_by"] == "PT30M"
    assert [met["schedule"] for met in shown["settled"]["against"]] == [other["id"]]
    kept = await world.get(f"/v1/schedules/{shown['id']}")
    assert kept["settled"] == shown["settled"]
    assert kept["timing"]["shifted_by"] == "PT30M"
    story = await world.get(f"/v1/schedules/{shown['id']}/explain", slot="2026-12-02T12:30:00")
    assert any(other["id"] in line and "moved on by PT30M" in line for line in story["story"])


async def test_allow_only_tells(world: World) -> None:
    """It stays where it is, and the answer names whom it meets."""
    other = await world.create({**PLAIN, "timing": AT_NOON})
    shown = await world.create(asking("allow"))
    assert shown["next_due_at"] == "2026-12-02T12:30:00Z"
    assert (shown["settled"]["action"], shown["settled"]["others"]) == ("allowed", 1)
    assert shown["settled"]["against"][0]["schedule"] == other["id"]


async def test_far_enough_away_is_no_conflict(world: World) -> None:
    """Exactly a window apart is apart."""
    await world.create({**PLAIN, "timing": AT_NOON})
    shown = await world.create(asking("reject", window="PT30M"))
    assert shown["settled"]["action"] == "none"


async def test_others_of_other_people_do_not_count_but_those_under_a_key_do(world: World) -> None:
    """The recipient's own by default; with a key, whoever names it."""
    await world.create({**PLAIN, "recipient": "user-18", "timing": AT_NOON})
    assert (await world.create(asking("reject")))["settled"]["action"] == "none"
    first = await world.create({**asking("reject", key="room-12"), "recipient": "user-18"})
    answer = await world.client.post("/v1/schedules", json=asking("reject", key="room-12"))
    assert answer.status_code == 409
    assert [met["schedule"] for met in answer.json()["conflicts"]] == [first["id"]]


async def test_merge_makes_one_of_two(world: World) -> None:
    """The other takes the content in; the new one is there, cancelled, and says where it went."""
    other = await world.create({**PLAIN, "timing": AT_NOON})
    body = {**asking("merge"), "content": {"subject": "Second"}, "priority": 4}
    shown = await world.create(body)
    assert (shown["status"], shown["settled"]["action"], shown["settled"]["into"]) == (
        "cancelled",
        "merged",
        other["id"],
    )
    taken = await world.get(f"/v1/schedules/{other['id']}")
    assert taken["content"]["subject"] == "Hi"
    assert taken["content"]["merged"] == [{"schedule": shown["id"], "content": {"subject": "Second"}}]
    assert (taken["priority"], taken["next_due_at"]) == (4, "2026-12-02T12:00:00Z")


async def test_merge_refuses_what_does_not_go_together(world: World) -> None:
    """A one-off cannot become a part of every day."""
    await world.create({**PLAIN, "timing": {"kind": "every", "cron": "0 12 * * *", "zone": "UTC"}})
    answer = await world.client.post("/v1/schedules", json=asking("merge"))
    assert answer.status_code == 409
    assert "merged only with" in answer.json()["detail"]


async def test_the_higher_priority_goes_out(world: World) -> None:
    """The lower one is cancelled, or of a series the one slot is skipped; of equal ones the older stays."""
    daily = await world.create({**PLAIN, "timing": {"kind": "every", "cron": "0 12 * * *", "zone": "UTC"}})
    once = await world.create({**PLAIN, "timing": AT_NOON})
    urgent = await world.create({**asking("highest_priority"), "priority": 4})
    assert urgent["settled"]["action"] == "kept"
    assert {given["schedule"] for given in urgent["settled"]["given_up"]} == {daily["id"], once["id"]}
    assert (await world.get(f"/v1/schedules/{once['id']}"))["status"] == "cancelled"
    series = await world.get(f"/v1/schedules/{daily['id']}")
    assert series["next_due_at"] == "2026-12-01T12:00:00Z"
    assert series["skipped"] == [{"slot": "2026-12-02T12:00:00", "fold": 0}]
    late = await world.create({**asking("highest_priority"), "priority": 4})
    assert (late["status"], late["settled"]["action"]) == ("cancelled", "given_way")


async def test_a_series_gives_way_slot_by_slot(world: World) -> None:
    """Only the slots that meet a stronger one are skipped."""
    await world.create({**PLAIN, "timing": AT_NOON, "priority": 5})
    series = await world.create(asking("highest_priority", {"kind": "every", "cron": "0 12 * * *", "zone": "UTC"}))
    assert series["settled"]["action"] == "partly_given_way"
    assert series["skipped"] == [{"slot": "2026-12-02T12:00:00", "fold": 0}]
    preview = await world.get(f"/v1/schedules/{series['id']}/preview", count=2)
    assert [slot["due_at"] for slot in preview["slots"]] == ["2026-12-01T12:00:00Z", "2026-12-03T12:00:00Z"]


@pytest.mark.covers("SCH-05")
@pytest.mark.parametrize("key", [None, "room-12"])
async def test_of_many_at_the_same_instant_one_is_created(world: World, key: str | None) -> None:
    """Whoever asks to be rejected is, however close together the requests come."""
    people = ["user-17"] * 8 if key is None else [f"user-{number}" for number in range(8)]
    bodies = [{**asking("reject", key=key), "recipient": person} for person in people]
    answers = await asyncio.gather(*(world.client.post("/v1/schedules", json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 7]


async def test_of_many_that_shift_no_two_meet(world: World) -> None:
    """Each is moved behind those that were decided before it, however close the requests came."""
    answers = await asyncio.gather(*(world.client.post("/v1/schedules", json=asking("shift")) for _ in range(6)))
    assert sorted(answer.json()["next_due_at"] for answer in answers) == [
        f"2026-12-02T{hour}:30:00Z" for hour in range(12, 18)
    ]


async def test_a_repeat_gets_the_first_answer(world: World) -> None:
    """Under its Idempotency-Key, whatever was decided then and is there by now."""
    await world.create({**PLAIN, "timing": AT_NOON})
    for strategy in ("shift", "merge", "highest_priority"):
        headers = {"Idempotency-Key": f"same-{strategy}"}
        first = await world.client.post("/v1/schedules", json=asking(strategy), headers=headers)
        again = await world.client.post("/v1/schedules", json=asking(strategy), headers=headers)
        assert first.status_code == 201, first.text
        assert again.headers["Idempotent-Replayed"] == "true"
        assert {**again.json(), "replayed": False} == first.json()


async def test_in_bulk_each_sees_those_before_it(world: World) -> None:
    """Items that ask are settled one by one, in their order."""
    bodies = [asking("reject"), {**PLAIN, "timing": AT_NOON, "recipient": "user-18"}, asking("shift")]
    answer = await world.client.post("/v1/schedules/bulk", json=[*bodies, asking("reject")])
    items = answer.json()["items"]
    assert [item["status"] for item in items] == [201, 201, 201, 409]
    assert items[2]["settled"]["shifted_by"] == "PT1H"
    assert {met["schedule"] for met in items[3]["error"]["conflicts"]} == {items[0]["id"]}


async def test_a_preview_says_what_would_be_decided(world: World) -> None:
    """Stores nothing, and shows the slots as they would go out."""
    other = await world.create({**PLAIN, "timing": AT_NOON})
    body = {"timing": AT_HALF_PAST, "recipient": "user-17"}

    async def preview(**policy: Any) -> dict[str, Any]:
        answer = await world.client.post("/v1/timings/preview", json={**body, "conflicts": policy})
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    shifted = await preview(strategy="shift")
    assert shifted["slots"][0]["due_at"] == "2026-12-02T13:00:00Z"
    rejected = await preview(strategy="reject")
    assert rejected["settled"]["action"] == "rejected"
    assert rejected["settled"]["against"][0]["schedule"] == other["id"]
    assert len((await world.get("/v1/schedules"))["items"]) == 1
    del body["recipient"]
    nobody = await world.client.post("/v1/timings/preview", json={**body, "conflicts": {"strategy": "shift"}})
    assert (nobody.status_code, nobody.json()["field"]) == (422, "recipient")


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        ({"strategy": "shift", "window": "PT0S"}, "conflicts.window"),
        ({"strategy": "shift", "window": "P8D"}, "conflicts.window"),
        ({"strategy": "shift", "max_shift": "P31D"}, "conflicts.max_shift"),
        ({"strategy": "perhaps"}, "conflicts.strategy"),
        ({"window": "PT1H"}, "conflicts.strategy"),
        ({"strategy": "shift", "key": "a person"}, "conflicts.key"),
    ],
)
async def test_a_bad_policy_is_named(world: World, policy: dict[str, Any], field: str) -> None:
    """422 with the field."""
    answer = await world.client.post("/v1/schedules", json={**PLAIN, "timing": AT_NOON, "conflicts": policy})
    assert (answer.status_code, answer.json()["field"]) == (422, field)


@pytest.mark.covers("LIF-20", "SCH-05")
async def test_a_change_is_settled_like_a_creation(world: World) -> None:
    """By the schedule's own policy when its timing moves, or by one that comes with the change."""
    other = await world.create({**PLAIN, "timing": AT_NOON})
    far = {"kind": "at", "at": "2026-12-05T12:00:00Z"}
    shown = await world.create(asking("reject", far))
    assert shown["settled"]["action"] == "none"
    path = f"/v1/schedules/{shown['id']}"
    refused = await world.client.patch(path, json={"timing": AT_HALF_PAST})
    assert (refused.status_code, refused.json()["conflicts"][0]["schedule"]) == (409, other["id"])
    assert (await world.get(path))["next_due_at"] == "2026-12-05T12:00:00Z"
    policy = {"strategy": "shift", "window": "PT1H"}
    moved = await world.client.patch(path, json={"timing": AT_HALF_PAST, "conflicts": policy})
    assert moved.status_code == 200, moved.text
    assert moved.json()["next_due_at"] == "2026-12-02T13:00:00Z"
    assert (await world.get(path))["settled"]["shifted_by"] == "PT30M"
    # The same timing again asks for nothing else: it stays where it was put.
    same = await world.client.patch(path, json={"timing": AT_HALF_PAST})
    assert (same.json()["next_due_at"], same.json()["version"]) == ("2026-12-02T13:00:00Z", moved.json()["version"])
    # Without a policy nobody looks.
    free = await world.client.patch(path, json={"timing": AT_NOON, "conflicts": None})
    assert (free.json()["next_due_at"], free.json()["settled"]) == ("2026-12-02T12:00:00Z", None)


async def test_a_policy_alone_may_be_changed(world: World) -> None:
    """It is looked at once, then; the slot is moved if that is what it comes to."""
    await world.create({**PLAIN, "timing": AT_NOON})
    shown = await world.create({**PLAIN, "timing": AT_HALF_PAST})
    path = f"/v1/schedules/{shown['id']}"
    policy = {"strategy": "shift", "window": "PT45M"}
    dry = await world.client.patch(path, params={"dry_run": True}, json={"conflicts": policy})
    assert dry.json()["after"]["next_due_at"] == "2026-12-02T12:45:00Z"
    assert (await world.get(path))["next_due_at"] == "2026-12-02T12:30:00Z"
    moved = await world.client.patch(path, json={"conflicts": policy})
    assert moved.json()["next_due_at"] == "2026-12-02T12:45:00Z"
    merged = await world.client.patch(path, json={"conflicts": {"strategy": "merge", "window": "PT50M"}})
    assert (merged.json()["status"], merged.json()["settled"]["action"]) == ("cancelled", "merged")
    gone = await world.client.patch(path, json={"conflicts": {"strategy": "reject"}})
    assert gone.status_code == 409


@pytest.mark.covers("SCH-05", "LIF-22")
async def test_from_a_slot_on_only_what_comes_is_settled(world: World) -> None:
    """The slots before stay where they are; those of the new rule are moved on together."""
    await world.create({**PLAIN, "timing": {"kind": "at", "at": "2026-12-05T12:00:00Z"}})
    daily = {"kind": "every", "cron": "0 10 * * *", "zone": "UTC"}
    series = await world.create(asking("shift", daily, max_shift="PT2H"))
    assert series["settled"]["action"] == "none"
    later = {"timing": {**daily, "cron": "30 12 * * *"}}
    path = f"/v1/schedules/{series['id']}?scope=following&slot=2026-12-04T10:00"
    tried = await world.client.patch(f"{path}&dry_run=true", json=later)
    assert tried.json()["after"]["settled"]["shifted_by"] == "PT30M"
    changed = await world.client.patch(path, json=later)
    assert changed.json()["settled"]["action"] == "shifted", changed.text
    preview = await world.get(f"/v1/schedules/{series['id']}/preview", count=4, after="2026-12-02T00:00:00Z")
    due = [slot["due_at"] for slot in preview["slots"]]
    assert due == [f"2026-12-0{day}Z" for day in ("2T10:00:00", "3T10:00:00", "4T13:00:00", "5T13:00:00")]
    kept = await world.get(f"/v1/schedules/{series['id']}")
    assert kept["settled"] == changed.json()["settled"]
    assert kept["timing"]["shifted_by"] is None
    assert kept["timing"]["then"]["timing"]["shifted_by"] == "PT30M"


DAILY = {"kind": "every", "cron": "0 9 * * *", "zone": "UTC"}
MOVED = {"timing": {"kind": "at", "local": "2026-12-02T12:30"}}


async def series_asking(world: World, strategy: str, hour: int = 9, priority: int = 3) -> str:
    """The path under which one slot of a series that asks is changed by itself."""
    series = await world.create({**asking(strategy, {**DAILY, "cron": f"0 {hour} * * *"}), "priority": priority})
    return f"/v1/schedules/{series['id']}?scope=this&slot=2026-12-02T{hour:02}:00"


@pytest.mark.covers("SCH-05", "LIF-22")
async def test_one_slot_that_is_moved_by_itself_is_settled_too(world: World) -> None:
    """By the policy of its series: refused, and nothing is stored; or moved on to where it meets nobody."""
    other = await world.create({**PLAIN, "timing": AT_NOON})
    path = await series_asking(world, "reject", 7)
    for dry in ("", "&dry_run=true"):
        refused = await world.client.patch(path + dry, json=MOVED)
        assert (refused.status_code, refused.json()["conflicts"][0]["schedule"]) == (409, other["id"])
    path = await series_asking(world, "shift")
    changed = await world.client.patch(path, json=MOVED)
    (own,) = changed.json()["changes"]
    assert (own["slot"], own["due_at"]) == ("2026-12-02T09:00:00", "2026-12-02T13:00:00Z")
    assert (own["settled"]["action"], own["settled"]["shifted_by"]) == ("shifted", "PT30M")
    kept = await world.get(path.partition("?")[0])
    assert kept["changes"] == [own]
    story = await world.get(f"{path.partition('?')[0]}/explain", slot="2026-12-02T09:00:00")
    assert any(other["id"] in line and "moved on by PT30M" in line for line in story["story"])


async def test_a_moved_slot_is_allowed_to_meet_others_or_makes_them_give_way(world: World) -> None:
    """`allow` tells whom it meets; a higher priority takes the other's place, a lower one is refused by name."""
    other = await world.create({**PLAIN, "timing": AT_NOON})
    allowed = await world.client.patch(await series_asking(world, "allow"), json=MOVED)
    assert allowed.json()["changes"][0]["settled"]["against"][0]["schedule"] == other["id"]
    weak = await world.client.patch(await series_asking(world, "highest_priority", 7, priority=1), json=MOVED)
    assert (weak.status_code, weak.json()["field"]) == (409, "timing")
    assert "give way to schedule" in weak.json()["detail"]
    merged = await world.client.patch(await series_asking(world, "merge", 5), json=MOVED)
    assert (merged.status_code, other["id"] in merged.json()["detail"]) == (409, True)
    strong = await world.client.patch(await series_asking(world, "highest_priority", 3, priority=5), json=MOVED)
    assert strong.json()["changes"][0]["settled"]["action"] == "kept", strong.text
    assert (await world.get(f"/v1/schedules/{other['id']}"))["status"] == "cancelled"


@pytest.mark.covers("SCH-05")
async def test_others_meet_a_slot_where_it_was_moved_to(world: World) -> None:
    """It is taken from there, and gives way to what is stronger."""
    series = await world.create({**PLAIN, "timing": DAILY})
    path = f"/v1/schedules/{series['id']}"
    await world.client.patch(f"{path}?scope=this&slot=2026-12-02T09:00", json=MOVED)
    refused = await world.client.post("/v1/schedules", json=asking("reject", AT_NOON))
    assert [met["other_slot"]["local"] for met in refused.json()["conflicts"]] == ["2026-12-02T09:00:00"]
    strong = await world.create({**asking("highest_priority", AT_NOON), "priority": 5})
    assert strong["settled"]["action"] == "kept"
    shown = await world.get(path)
    assert (shown["changes"], shown["skipped"]) == ([], [{"slot": "2026-12-02T09:00:00", "fold": 0}])


async def test_what_is_left_of_a_series_does_not_give_way_as_a_whole(world: World) -> None:
    """The slots before would be cancelled with it: 409, and nothing is changed. Nor has a part a policy of its own."""
    noon = {"kind": "every", "cron": "0 12 * * *", "zone": "UTC"}
    await world.create({**PLAIN, "timing": noon, "priority": 5})
    series = await world.create(asking("highest_priority", {**noon, "cron": "0 20 * * *"}))
    path = f"/v1/schedules/{series['id']}?scope=following&slot=2026-12-04T20:00"
    refused = await world.client.patch(path, json={"timing": {**noon, "cron": "30 12 * * *"}})
    assert (refused.status_code, refused.json()["field"]) == (409, "slot"), refused.text
    assert (await world.get(f"/v1/schedules/{series['id']}"))["version"] == 1
    for scope in ("following", "this"):
        url = f"/v1/schedules/{series['id']}?scope={scope}&slot=2026-12-04T20:00"
        refused = await world.client.patch(url, json={"conflicts": {"strategy": "allow"}})
        assert (refused.status_code, refused.json()["field"]) == (422, "scope"), refused.text


async def test_series_are_compared_slot_by_slot_over_the_clock_changes(world: World) -> None:
    """9:00 in Berlin and 8:30 UTC are half an hour apart in winter only: found months ahead."""
    daily = await world.create(
        {**PLAIN, "timing": {"kind": "every", "cron": "0 9 * * *", "zone": "Europe/Berlin", "starts_at": "2027-03-01"}}
    )
    utc = {"kind": "every", "cron": "0 6 * * *", "zone": "UTC", "starts_at": "2027-03-01"}
    answer = await world.client.post("/v1/schedules", json=asking("reject", utc, window="PT90M"))
    assert answer.status_code == 409
    (met,) = answer.json()["conflicts"]
    assert met["schedule"] == daily["id"]
    assert (met["due_at"], met["other_due_at"]) == ("2027-03-28T06:00:00Z", "2027-03-28T07:00:00Z")
    shifted = await world.create(asking("shift", utc, window="PT90M"))
    assert shifted["settled"]["shifted_by"] == "PT3H30M"
    merged = await world.create({**asking("merge", {**utc, "cron": "15 8 * * *", "zone": "Europe/Berlin"})})
    assert merged["settled"]["into"] == daily["id"]
