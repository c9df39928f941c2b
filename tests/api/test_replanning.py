"""Planning anew after a change: whatever breaks off or comes between, every slot is planned by what is so now."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from horae.commands.calendars import Calendars
from horae.commands.context import Call
from horae.commands.recipientmoves import RecipientMoves
from horae.commands.recipients import Person, Recipients
from horae.domain import schedule as s
from horae.domain.recipient import RecipientProfile
from tests.api.world import ACME, DAILY, World

FOLLOWING = DAILY | {"timing": {"kind": "every", "cron": "0 9 * * *", "zone": "recipient"}}
CALL = Call(tenant=ACME, actor="key:1")


async def test_a_schedule_that_cannot_be_planned_is_named_and_passed_by(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its planning fails at: the recipient's change is answered, and the schedule after it moves."""
    broken, sound = [(await world.create(FOLLOWING))["id"] for _ in range(2)]
    real = s.rezone

    def fails_at_one(command: s.Rezone, state: s.Schedule) -> s.Rezoned | None:
        if str(state.id) == broken:
            raise OverflowError("date value out of range")
        return real(command, state)

    monkeypatch.setattr(s, "rezone", fails_at_one)
    answer = await world.client.put("/v1/recipients/user-17", json={"zone": "Asia/Tokyo"})
    assert answer.status_code in (200, 201), answer.text
    told = answer.json()["replanned"]
    assert (told["checked"], told["moved"], told["failed"]) == (2, [sound], [broken])


@pytest.mark.covers("TZ-04")
async def test_a_move_that_broke_off_is_finished_by_the_same_request(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The zone is stored, the schedules were not looked at: whoever asks again has them planned."""
    schedule = (await world.create(FOLLOWING))["id"]
    with monkeypatch.context() as broken:
        broken.setattr(RecipientMoves, "follow", _breaks_off)
        assert (await world.client.put("/v1/recipients/user-17", json={"zone": "Asia/Tokyo"})).status_code == 500
    assert (await world.get(f"/v1/schedules/{schedule}"))["next_due_at"] == "2026-12-01T09:00:00Z"
    again = await world.client.put("/v1/recipients/user-17", json={"zone": "Asia/Tokyo"})
    assert again.json()["replanned"]["moved"] == [schedule]
    # One change, named after the version of the recipient that set the zone: broken off, and finished.
    (change,) = (await world.get("/v1/recipients/user-17/moves"))["items"]
    assert (change["id"], change["checked"]) == (again.json()["replanned"]["change"], 1)
    # Nine o'clock in Tokyo is eight hours past: late, not lost.
    assert (await world.get(f"/v1/schedules/{schedule}"))["next_due_at"] == "2026-12-01T00:00:00Z"
    (attempt,) = await world.claim_due()
    assert attempt.occurrence.plan is not None
    assert [reason.code for reason in attempt.occurrence.plan.reasons][-1] == "late"


async def _breaks_off(*_: object, **__: object) -> None:
    raise OSError("the process is killed here")


def _between(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, the first who reads a recipient's zone is overtaken by a move to Tokyo."""
    real, moved = Recipients.people, False

    async def people(self: Recipients, tenant: str, recipients: Collection[str]) -> dict[str, Person]:
        nonlocal moved
        found = await real(self, tenant, recipients)
        if not moved:
            moved = True
            await world.services.recipients.put(CALL, RecipientProfile(id="user-17", zone="Asia/Tokyo"))
        return found

    monkeypatch.setattr(Recipients, "people", people)


@pytest.mark.covers("TZ-04")
@pytest.mark.parametrize("many", [False, True])
async def test_who_is_overtaken_by_a_move_creates_by_the_new_zone(
    world: World, monkeypatch: pytest.MonkeyPatch, *, many: bool
) -> None:
    """The move has looked at the schedules before this one was stored, so that it may not be stored as it was."""
    _between(world, monkeypatch)
    if many:
        answer = await world.client.post("/v1/schedules/bulk", json=[FOLLOWING])
        schedule = answer.json()["items"][0]["id"]
    else:
        schedule = (await world.create(FOLLOWING))["id"]
    assert (await world.get(f"/v1/schedules/{schedule}"))["next_due_at"] == "2026-12-02T00:00:00Z"


@pytest.mark.covers("TZ-04")
async def test_a_claim_that_is_overtaken_by_a_move_goes_on_by_the_new_zone(world: World) -> None:
    """What was read before the move may not decide where the series goes: it expects the recipient."""
    schedule = (await world.create(FOLLOWING))["id"]
    world.pass_time(hours=2)
    await world.settled()
    reading = world.worker.candidates

    async def overtaken(rows: Any, **more: Any) -> Any:
        found = await reading(rows, **more)
        await world.services.recipients.put(CALL, RecipientProfile(id="user-17", zone="Asia/Tokyo"))
        return found

    world.worker.candidates = overtaken  # type: ignore[method-assign]
    assert len(await world.claim_due()) == 1
    assert (await world.get(f"/v1/schedules/{schedule}"))["next_due_at"] == "2026-12-02T00:00:00Z"


@pytest.mark.covers("TZ-08")
async def test_a_timing_that_begins_to_follow_the_recipient_does_so_at_once(world: World) -> None:
    """Their zone is read for the timing that is asked for, not for the one that was."""
    await world.client.put("/v1/recipients/user-17", json={"zone": "Asia/Tokyo"})
    schedule = (await world.create(DAILY))["id"]
    answer = await world.client.patch(f"/v1/schedules/{schedule}", json={"timing": FOLLOWING["timing"]})
    assert (answer.json()["next"]["zone"], answer.json()["next_due_at"]) == ("Asia/Tokyo", "2026-12-02T00:00:00Z")


async def test_an_import_that_is_overtaken_keeps_what_came_between(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the days are the file's: the title that somebody gives meanwhile stays."""
    real, written = Calendars._nameable, False

    async def overtaken(self: Calendars, *asked: Any) -> Any:
        nonlocal written
        if not written:
            written = True
            await world.client.put("/v1/calendars/munich", json={"title": "Munich office"})
        return await real(self, *asked)

    monkeypatch.setattr(Calendars, "_nameable", overtaken)
    file = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20261224\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    answer = await world.client.post(
        "/v1/calendars/munich/import", content=file, headers={"Content-Type": "text/calendar"}
    )
    definition = answer.json()["definition"]
    assert (definition["title"], [day["date"] for day in definition["days"]]) == ("Munich office", ["2026-12-24"])
