"""Explain and explain-not over HTTP, and a schedule's past and future."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from horae.projections.schema import connect
from tests.api.world import DAILY, LOG_NOW, NOW, OWNER, World


def codes(explanation: dict[str, Any]) -> list[str]:
    return [decision["code"] for decision in explanation["decisions"]]


@pytest.mark.covers("LIF-09")
async def test_a_delivery_is_explained_from_intent_to_outcome(world: World) -> None:
    """Asked, zone, zone data, claim, failed attempt with the wait that followed, retry, outcome: in order."""
    await world.client.put("/v1/recipients/user-17", json={"zone": "Asia/Tokyo"})
    await world.create(LOG_NOW, timing={"kind": "in", "delay": "PT1H", "zone": "recipient"})
    world.pass_time(hours=1)
    (attempt,) = await world.claim_due()
    await world.fail(attempt)
    world.pass_time(seconds=10)
    (retry,) = await world.claim_due()
    await world.deliver(retry)
    told = await world.get(f"/v1/occurrences/{attempt.occurrence.id}/explain")
    assert told["verdict"] == "delivered"
    assert told["released"] is True
    assert told["zone"] == "Asia/Tokyo"
    wanted = ["asked", "zone", "tzdata", "due", "claimed", "attempt_failed", "attempt_started", "delivered"]
    assert [code for code in codes(told) if code in wanted] == wanted
    assert told["story"] == [decision["text"] for decision in told["decisions"]]
    assert any("the recipient's own" in line for line in told["story"])
    assert any("2026-12-01 18:00:00 (Asia/Tokyo)" in line for line in told["story"])
    failed = next(decision for decision in told["decisions"] if decision["code"] == "attempt_failed")
    assert failed["text"].startswith(
        "Attempt 1 failed after 12 ms: the receiver answered 500 (http). The next follows in"
    )
    assert failed["facts"]["retry_at"] == "2026-12-01T09:00:05Z"


async def test_a_release_that_was_late_for_want_of_a_worker_says_so(world: World) -> None:
    """The worker that claimed it had started after it was due; of one that was there in time nothing is said."""
    await world.create(LOG_NOW, timing={"kind": "in", "delay": "PT1H"})
    world.pass_time(hours=1, minutes=14)
    (attempt,) = await world.claim_due()
    await world.deliver(attempt)
    path = f"/v1/occurrences/{attempt.occurrence.id}/explain"
    of_slot = f"/v1/schedules/{attempt.occurrence.schedule}/explain"
    await _worker_started(world, NOW + timedelta(minutes=59))
    assert not any("had started" in line for line in (await world.get(path))["story"])
    await _worker_started(world, NOW + timedelta(hours=1, minutes=13, seconds=58))
    for told in (await world.get(path), await world.get(of_slot, slot="2026-12-01T09:00")):
        (claimed,) = [decision for decision in told["decisions"] if decision["code"] == "claimed"]
        assert claimed["facts"]["worker_started_at"] == "2026-12-01T09:13:58Z"
        assert claimed["text"].endswith(
            "That worker had started at 2026-12-01 09:13:58 (UTC), 14 min after the due instant."
        )
        assert told["story"] == [decision["text"] for decision in told["decisions"]]


async def _worker_started(world: World, at: datetime) -> None:
    conn = await connect(world.owner_dsn)
    await conn.execute(
        "INSERT INTO sys.incarnations (id, kind, started_at, pid) OVERRIDING SYSTEM VALUE VALUES ($1, 'worker', $2, 1) "
        "ON CONFLICT (id) DO UPDATE SET started_at = EXCLUDED.started_at",
        OWNER,
        at,
    )
    await conn.close()


@pytest.mark.parametrize(
    ("cron", "asked", "near"),
    [
        ("*/15 * * * *", "2026-12-10T10:07", "2026-12-10T10:00:00, 2026-12-10T10:15:00"),
        ("*/10 * * * * *", "2026-12-10T01:27:33", "2026-12-10T01:27:30, 2026-12-10T01:27:40"),
        ("0 9 * * MON-FRI", "2026-12-12T09:00", "2026-12-11T09:00:00, 2026-12-14T09:00:00"),
        ("30 2 * * *", "2027-03-28T02:40", "2027-03-28T02:30:00, 2027-03-29T02:30:00"),
        ("0 9 1 1 *", "2027-11-30T09:00", "2027-01-01T09:00:00, 2028-01-01T09:00:00"),
        ("0 9 29 2 *", "2030-05-01T09:00", "2032-02-29T09:00:00"),
    ],
)
async def test_what_is_no_slot_has_its_neighbours_named(world: World, cron: str, asked: str, near: str) -> None:
    """The slot before it and the one after, however close together or far apart slots are."""
    created = await world.create(timing={"kind": "every", "cron": cron, "zone": "Europe/Berlin"})
    told = await world.get(f"/v1/schedules/{created['id']}/explain", slot=asked)
    assert told["verdict"] == "not_a_slot"
    assert told["story"][-1].endswith(f" Near it: {near}.")


async def test_a_waiting_trigger_and_a_dead_letter_are_explained(world: World) -> None:
    """What was asked for by hand says so before it is claimed; a dead letter says why no attempt follows."""
    created = await world.create()
    path = f"/v1/schedules/{created['id']}"
    triggered = (await world.client.post(f"{path}/trigger", json={"reason": "a test"})).json()
    await world.settled()
    told = await world.get(f"/v1/occurrences/{triggered['occurrence']}/explain")
    assert (told["verdict"], told["released"]) == ("waiting", False)
    assert any("Reason given: a test." in line for line in told["story"])
    (attempt,) = await world.claim_due()
    await world.fail(attempt, retryable=False)
    told = await world.get(f"/v1/occurrences/{attempt.occurrence.id}/explain")
    assert told["verdict"] == "dead_lettered"
    assert "triggered" in codes(told)


async def test_explain_not(world: World) -> None:
    """Each reason for not sending has its own verdict: not yet due, skipped, paused, cancelled, never a slot …"""
    created = await world.create()
    path = f"/v1/schedules/{created['id']}"

    async def verdict(slot: str) -> str:
        told: str = (await world.get(f"{path}/explain", slot=slot))["verdict"]
        return told

    assert await verdict("2026-12-05T09:00") == "not_yet_due"
    assert await verdict("2026-12-05T09:30") == "not_a_slot"
    assert await verdict("2026-11-05T09:00") == "before_start"
    await world.client.post(f"{path}/skip", json={"slot": "2026-12-04T09:00"})
    assert await verdict("2026-12-04T09:00") == "skipped"
    await world.client.post(f"{path}/pause", json={})
    assert await verdict("2026-12-05T09:00") == "paused"
    world.pass_time(days=2)
    await world.client.post(f"{path}/resume", json={})
    assert await verdict("2026-12-02T09:00") == "paused"
    await world.client.patch(path, json={"timing": {"kind": "every", "cron": "0 10 * * *", "zone": "Europe/Berlin"}})
    assert await verdict("2026-12-05T09:00") == "replaced"
    await world.client.delete(path)
    assert await verdict("2026-12-05T10:00") == "cancelled"


async def test_a_time_in_a_gap_is_explained(world: World) -> None:
    """A slot that the clocks skip, with gap `skip`, is told as that; with `shift`, where it went."""
    skip = {"kind": "every", "cron": "30 2 * * *", "zone": "Europe/Berlin", "gap": "skip"}
    skipping = await world.create(timing=skip)
    shifting = await world.create(timing={**skip, "gap": "shift"})
    gone = await world.get(f"/v1/schedules/{skipping['id']}/explain", slot="2027-03-28T02:30")
    assert gone["verdict"] == "gap_skipped"
    moved = await world.get(f"/v1/schedules/{shifting['id']}/explain", slot="2027-03-28T02:30")
    assert (moved["verdict"], moved["due_at"]) == ("not_yet_due", "2027-03-28T01:30:00Z")
    assert "gap_shifted" in codes(moved)


async def test_a_missed_run_is_explained_for_each_of_its_slots(world: World) -> None:
    """A slot in the middle of a run that was missed names the run."""
    created = await world.create(timing=DAILY["timing"] | {"missed": {"policy": "skip", "within": "PT10M"}})  # type: ignore[operator]
    world.pass_time(days=5, hours=1)
    assert await world.claim_due() == []
    told = await world.get(f"/v1/schedules/{created['id']}/explain", slot="2026-12-04T09:00")
    assert told["verdict"] == "missed"
    assert "one of 5 slots" in told["story"][-1]


async def test_a_due_slot_that_nobody_has_claimed_waits(world: World) -> None:
    """Between the due instant and the claim the verdict is `waiting`; claimed, it is the occurrence's own story."""
    created = await world.create()
    world.pass_time(days=1, seconds=3)
    told = await world.get(f"/v1/schedules/{created['id']}/explain", slot="2026-12-02T09:00")
    assert told["verdict"] == "waiting"
    (attempt,) = await world.claim_due()
    told = await world.get(f"/v1/schedules/{created['id']}/explain", slot="2026-12-02T09:00")
    assert (told["verdict"], told["occurrence"]) == ("executing", str(attempt.occurrence.id))


@pytest.mark.covers("LIF-23", "LIF-02")
async def test_history_and_diff_say_who_changed_what(world: World) -> None:
    """Every change is kept with its author, request id, fields before and after; diff names the last author."""
    created = await world.create(tags=["a"])
    path = f"/v1/schedules/{created['id']}"
    await world.client.patch(path, json={"tags": ["b"]}, headers={"X-Request-Id": "my-request"})
    await world.client.post(f"{path}/pause", json={"reason": "holidays"})
    entries = (await world.get(f"{path}/history"))["items"]
    assert [entry["event"] for entry in entries] == ["schedule.created.v1", "schedule.changed.v1", "schedule.paused.v1"]
    assert entries[1]["request_id"] == "my-request"
    assert entries[1]["actor"].startswith("key:")
    assert entries[1]["changes"] == [{"field": "tags", "before": ["a"], "after": ["b"]}]
    assert entries[2]["reason"] == "holidays"
    diff = await world.get(f"{path}/diff", from_version=1, to_version=3)
    assert {change["field"]: change["version"] for change in diff["changes"]} == {"tags": 2, "status": 3}
    assert (await world.client.get(f"{path}/diff?from_version=9")).status_code in (404, 422)


@pytest.mark.covers("REC-19", "REC-20")
async def test_preview_lists_the_slots_of_a_window(world: World) -> None:
    """`count` slots from now, or all of a window between `after` and `until`, in a cancelled schedule none."""
    created = await world.create()
    path = f"/v1/schedules/{created['id']}"
    ahead = await world.get(f"{path}/preview", count=3)
    assert [slot["due_at"] for slot in ahead["slots"]] == [f"2026-12-0{day}T08:00:00Z" for day in (2, 3, 4)]
    window = await world.get(f"{path}/preview", after="2027-03-27T00:00:00Z", until="2027-03-29T23:00:00Z", count=1000)
    assert [slot["due_at"][8:16] for slot in window["slots"]] == ["27T08:00", "28T07:00", "29T07:00"]
    await world.client.delete(path)
    assert (await world.get(f"{path}/preview"))["slots"] == []


@pytest.mark.covers("REC-21", "REC-22")
async def test_a_timing_can_be_tried_without_creating_anything(world: World) -> None:
    """Slots, what is passed over, the timing in words; a wrong rule is 422 naming the field; the log stays as it is."""
    head = await world.services.store.head()
    timing = {"kind": "every", "cron": "30 2 * * *", "zone": "Europe/Berlin", "gap": "skip"}
    body = {"timing": timing, "after": "2027-03-27T12:00:00Z", "count": 2}
    answer = await world.client.post("/v1/timings/preview", json=body)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert [slot["slot"] for slot in told["slots"]] == ["2027-03-29T02:30:00", "2027-03-30T02:30:00"]
    assert told["skipped"][0]["slot"] == "2027-03-28T02:30:00"
    assert "02:30" in told["description"]
    wrong = await world.client.post("/v1/timings/preview", json={"timing": {**timing, "cron": "0 25 * * *"}})
    assert (wrong.status_code, wrong.json()["field"]) == (422, "timing.cron")
    assert wrong.json()["value"] == "0 25 * * *"
    assert wrong.json()["hint"]
    assert await world.services.store.head() == head
    assert world.clock.now() == NOW


@pytest.mark.covers("LIF-09")
async def test_a_slot_that_was_overdue_when_the_schedule_was_paused_or_changed_is_not_said_to_wait(
    world: World,
) -> None:
    """Nobody had claimed it, and the series went on behind it: it never comes, and explain-not says why."""
    paused, changed = await world.create(), await world.create()
    world.pass_time(days=1)
    for verb in ("pause", "resume"):
        await world.client.post(f"/v1/schedules/{paused['id']}/{verb}")
    later = {"timing": {"kind": "every", "cron": "0 9 * * *", "zone": "Europe/Berlin", "ends_at": "2027-12-01"}}
    answer = await world.client.patch(f"/v1/schedules/{changed['id']}", json=later)
    assert answer.status_code == 200, answer.text
    await world.settled()
    slot = paused["next"]["slot"]
    told = await world.get(f"/v1/schedules/{paused['id']}/explain", slot=slot)
    assert (told["verdict"], told["released"]) == ("paused", False)
    assert "went on with its next slot" in told["story"][-1]
    told = await world.get(f"/v1/schedules/{changed['id']}/explain", slot=slot)
    assert told["verdict"] == "replaced"
    assert "went on with a later slot" in told["story"][-1]
