"""Schedules as they were, and what each event changed."""

from datetime import timedelta

import pytest

from horae.domain import schedule as s
from horae.domain.differences import Difference
from horae.domain.draft import Patch
from horae.domain.errors import NotFound
from tests.commands.stage import NOW, TENANT, Stage, call, draft


@pytest.mark.covers("LIF-02", "LIF-23")
async def test_the_history_tells_who_changed_what_from_what_to_what() -> None:
    """Every event is there, with the differing fields before and after."""
    stage = Stage()
    schedule = (await stage.schedules.create(call(), draft())).id
    await stage.schedules.change(call(), schedule, Patch.model_validate({"content": {"subject": "Ho"}, "priority": 4}))
    await stage.schedules.cancel(call(), schedule, reason="left")
    created, changed, cancelled = await stage.schedules.history(TENANT, schedule)
    assert (created.name, created.actor, created.at) == ("schedule.created.v1", "key:1", NOW)
    assert Difference("content", None, {"subject": "Hi"}) in created.changes
    assert changed.changes == (Difference("content.subject", "Hi", "Ho"), Difference("priority", 2, 4))
    assert (cancelled.reason, cancelled.changes) == ("left", (Difference("status", "active", "cancelled"),))
    assert await stage.schedules.diff(TENANT, schedule, 1, 3) == [*changed.changes, *cancelled.changes]


async def test_versions_that_were_never_reached_are_not_there() -> None:
    """The error says which there are."""
    stage = Stage()
    schedule = (await stage.schedules.create(call(), draft())).id
    with pytest.raises(NotFound) as refused:
        await stage.schedules.diff(TENANT, schedule, 1, 2)
    assert refused.value.hint == "It has versions 1 to 1."


async def test_a_schedule_is_read_as_of_an_instant_or_a_position() -> None:
    """Before its creation there is none."""
    stage = Stage()
    created = await stage.schedules.create(call(), draft())
    stage.clock.instant = NOW + timedelta(hours=1)
    paused = await stage.schedules.pause(call(), created.id)
    for as_of in (NOW + timedelta(minutes=59), created.position):
        assert (await stage.schedules.get(TENANT, created.id, as_of)).state.status is s.Status.ACTIVE
    for later in (NOW + timedelta(hours=1), paused.position, None):
        assert (await stage.schedules.get(TENANT, created.id, later)).state.status is s.Status.PAUSED
    for before in (NOW - timedelta(seconds=1), 0):
        with pytest.raises(NotFound):
            await stage.schedules.get(TENANT, created.id, before)
