"""What happens to a schedule when what its slots are reckoned by changes: an event if the next one moves, else none."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.timing.opendays import Calendar, CalendarDefinition
from tests.domain.makers import NOW, SCHEDULE, context, created

KEPT = t.Every.model_validate({"cron": "0 9 * * *", "zone": "UTC", "calendar": {"skip_holidays": True}})


def calendar(version: int, *closed: str) -> Calendar:
    days = [{"date": day} for day in closed]
    return Calendar("default", version, CalendarDefinition.model_validate({"days": days}))


def state(*closed: str, **fields: Any) -> s.Schedule:
    """A schedule planned while these days were closed; `NOW` is Tuesday, 1 December 2026, 08:00."""
    event = created(KEPT, context=replace(context(), calendar=calendar(1, *closed)))
    return replace(s.evolve(None, SCHEDULE, event), **fields)


def replanned(before: s.Schedule, *closed: str, now: datetime = NOW) -> list[s.ScheduleEvent]:
    ctx = replace(context(now), calendar=calendar(2, *closed))
    command = s.Replan(cause="calendar", detail="default@2", context=ctx, current=s.Current(next=before.next))
    return s.decide(command, before)


def test_a_slot_that_moves_is_planned_anew() -> None:
    """The first becomes a holiday: its slot goes out a day later; the event says from where to where, and why."""
    before = state()
    (event,) = replanned(before, "2026-12-01")
    assert isinstance(event, s.ScheduleReplanned)
    assert event.next is not None
    assert event.before == before.next
    # Its slot meets the next day's own, under which it goes out.
    assert event.next.due_at == datetime(2026, 12, 2, 9, tzinfo=UTC)
    assert event.next.plan.calendar == "default@2"
    after = s.evolve(before, SCHEDULE, event)
    assert (after.next, after.version, after.timing) == (event.next, 2, before.timing)


def test_a_slot_that_comes_back_is_planned_anew() -> None:
    """A holiday that is taken out of the calendar again gives back the slot that it took."""
    (event,) = replanned(state("2026-12-01"))
    assert isinstance(event, s.ScheduleReplanned)
    assert event.next is not None
    assert event.next.slot.local == datetime(2026, 12, 1, 9)  # noqa: DTZ001 - slots are naive


def test_what_does_not_move_has_no_event() -> None:
    """Another day, another version: the next slot is where it was."""
    assert replanned(state(), "2026-12-09") == []


def test_what_is_due_or_rests_is_left_alone() -> None:
    """A slot that is due is being claimed; paused and cancelled schedules have none."""
    before = state()
    assert before.next is not None
    assert replanned(before, "2026-12-01", now=before.next.due_at + timedelta(seconds=1)) == []
    for status in (s.Status.PAUSED, s.Status.CANCELLED):
        assert replanned(replace(before, status=status), "2026-12-01") == []
