"""Changing schedules over HTTP."""

from __future__ import annotations

import pytest

from tests.api.world import DAILY, LOG_NOW, World


@pytest.mark.covers("LIF-15", "LIF-18", "LIF-01")
async def test_a_patch_changes_what_is_given_and_keeps_the_rest(world: World) -> None:
    """PATCH raises the version; a stale If-Match is 412 with the present version; DELETE with the right one cancels."""
    created = await world.create(tags=["a"])
    path = f"/v1/schedules/{created['id']}"
    patched = await world.client.patch(path, json={"priority": 4}, headers={"If-Match": '"1"'})
    assert (patched.status_code, patched.headers["etag"]) == (200, '"2"')
    assert (patched.json()["priority"], patched.json()["tags"]) == (4, ["a"])
    stale = await world.client.patch(path, json={"priority": 1}, headers={"If-Match": 'W/"1"'})
    assert (stale.status_code, stale.json()["code"], stale.json()["version"]) == (412, "version_mismatch", 2)
    assert (await world.get(path))["priority"] == 4
    assert (await world.client.delete(path, headers={"If-Match": '"2"'})).status_code == 200
    assert (await world.get(path))["status"] == "cancelled"


async def test_a_dry_run_tells_and_stores_nothing(world: World) -> None:
    """dry_run shows the differing fields and the slots before and after; the version stays."""
    created = await world.create()
    path = f"/v1/schedules/{created['id']}"
    timing = {"kind": "every", "cron": "0 10 * * *", "zone": "Europe/Berlin"}
    told = await world.client.patch(path, params={"dry_run": True}, json={"timing": timing})
    assert told.status_code == 200
    assert told.json()["changed"] == ["timing.cron"]
    assert told.json()["slots_before"][0]["slot"] == "2026-12-02T09:00:00"
    assert told.json()["slots_after"][0]["slot"] == "2026-12-01T10:00:00"
    assert (await world.get(path))["version"] == 1


@pytest.mark.covers("LIF-16")
async def test_cancelling_names_what_was_on_its_way(world: World) -> None:
    """DELETE cancels; occurrences that were claimed before are named, since they cannot be called back."""
    created = await world.create(LOG_NOW)
    (attempt,) = await world.claim_due()
    answer = await world.client.delete(f"/v1/schedules/{created['id']}")
    assert answer.status_code == 200
    assert answer.json()["status"] == "cancelled"
    assert answer.json()["already_claimed"] == [str(attempt.occurrence.id)]
    again = await world.client.post(f"/v1/schedules/{created['id']}/cancel")
    assert again.json()["version"] == answer.json()["version"]


@pytest.mark.parametrize("ends", ["completed", "failed"])
async def test_what_has_ended_is_answered_as_it_ended(world: World, ends: str) -> None:
    """Cancelling, pausing or resuming a one-off that is over says what GET says, not what was asked."""
    created = await world.create(LOG_NOW)
    path = f"/v1/schedules/{created['id']}"
    (attempt,) = await world.claim_due()
    await (world.deliver(attempt) if ends == "completed" else world.fail(attempt, retryable=False))
    for verb in ("pause", "resume", "cancel"):
        answer = await world.client.post(f"{path}/{verb}")
        assert (answer.json()["status"], (await world.get(path))["status"]) == (ends, ends), verb
    again = await world.client.delete(path)
    assert (again.json()["status"], again.json()["next_due_at"]) == (ends, None)


async def test_pause_and_resume(world: World) -> None:
    """A paused series has no next slot and cannot be triggered; resumed, it goes on with the first slot after now."""
    created = await world.create()
    path = f"/v1/schedules/{created['id']}"
    paused = await world.client.post(f"{path}/pause", json={"reason": "holidays"})
    assert (paused.json()["status"], paused.json()["next_due_at"]) == ("paused", None)
    assert (await world.client.post(f"{path}/trigger")).status_code == 409
    world.pass_time(days=3)
    resumed = await world.client.post(f"{path}/resume", json={})
    assert resumed.json()["next_due_at"] == "2026-12-05T08:00:00Z"
    assert (await world.get(path))["status"] == "pending"


async def test_a_repeat_of_what_changed_nothing_changes_nothing(world: World) -> None:
    """A pause of what is paused, repeated after a resume: the first answer, and it goes on."""
    created = await world.create()
    path, key = f"/v1/schedules/{created['id']}", {"Idempotency-Key": "p"}
    await world.client.post(f"{path}/pause")
    first = await world.client.post(f"{path}/pause", headers=key)
    await world.client.post(f"{path}/resume")
    again = await world.client.post(f"{path}/pause", headers=key)
    assert (first.status_code, again.json()) == (200, {**first.json(), "replayed": True})
    assert (await world.get(path))["status"] == "pending"
    other = await world.client.post(f"{path}/pause", json={"reason": "another"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


async def test_two_triggers_in_one_second_are_two(world: World) -> None:
    """Each trigger is an occurrence of its own, a repeat under its key is not; the cadence stays."""
    created = await world.create()
    path = f"/v1/schedules/{created['id']}"
    one = await world.client.post(f"{path}/trigger", json={"reason": "test"}, headers={"Idempotency-Key": "t"})
    two = await world.client.post(f"{path}/trigger")
    again = await world.client.post(f"{path}/trigger", json={"reason": "test"}, headers={"Idempotency-Key": "t"})
    assert (one.status_code, two.status_code) == (202, 202)
    assert one.json()["occurrence"] != two.json()["occurrence"]
    assert again.json() == {**one.json(), "replayed": True}
    waiting = await world.get(f"/v1/occurrences/{one.json()['occurrence']}")
    assert (waiting["status"], waiting["origin"]) == ("waiting", "trigger")
    assert len(await world.claim_due()) == 2
    assert (await world.get(path))["next_due_at"] == created["next_due_at"]


async def test_one_exact_slot_can_be_skipped_and_put_back(world: World) -> None:
    """skip takes the slot out of preview and series, unskip puts it back; a slot that is none is 422."""
    created = await world.create()
    path = f"/v1/schedules/{created['id']}"
    skipped = await world.client.post(f"{path}/skip", json={"slot": "2026-12-02T09:00", "fold": 0})
    assert skipped.json()["next"]["slot"] == "2026-12-03T09:00:00"
    assert skipped.json()["skipped"] == [{"slot": "2026-12-02T09:00:00", "fold": 0}]
    assert (await world.get(f"{path}/preview", count=1))["slots"][0]["slot"] == "2026-12-03T09:00:00"
    back = await world.client.post(f"{path}/unskip", json={"slot": "2026-12-02T09:00"})
    assert back.json()["next"]["slot"] == "2026-12-02T09:00:00"
    none = await world.client.post(f"{path}/skip", json={"slot": "2026-12-02T09:30"})
    assert (none.status_code, none.json()["field"]) == (422, "slot")
    zoned = await world.client.post(f"{path}/skip", json={"slot": "2026-12-02T09:00Z"})
    assert (zoned.status_code, zoned.json()["field"]) == (422, "slot")


async def test_a_clone_is_a_new_schedule(world: World) -> None:
    """A clone has a new id, the overrides, and its origin; the original may be cancelled."""
    created = await world.create(tags=["a"])
    await world.client.delete(f"/v1/schedules/{created['id']}")
    answer = await world.client.post(f"/v1/schedules/{created['id']}/clone", json={"recipient": "user-18"})
    clone = answer.json()
    assert answer.status_code == 201
    assert clone["id"] != created["id"]
    assert (clone["recipient"], clone["tags"], clone["cloned_from"]) == ("user-18", ["a"], created["id"])
    assert (await world.get(f"/v1/schedules/{clone['id']}"))["timing"]["cron"] == DAILY["timing"]["cron"]  # type: ignore[index]


async def test_a_one_off_under_way_is_shown_alike_by_reads_and_writes(world: World) -> None:
    """Between two attempts nothing of it is pending: not in the answer to a resume that finds it active, either."""
    created = await world.create(LOG_NOW)
    path = f"/v1/schedules/{created['id']}"
    (attempt,) = await world.claim_due()
    resumed = (await world.client.post(f"{path}/resume")).json()
    assert (resumed["status"], resumed["next_due_at"]) == ("executing", None)
    await world.fail(attempt)
    for verb in ("resume", "pause", "resume"):
        written = (await world.client.post(f"{path}/{verb}")).json()
        read = await world.get(path)
        assert (written["status"], written["next_due_at"]) == (read["status"], read["next_due_at"])
        assert written["status"] == ("paused" if verb == "pause" else "executing")
