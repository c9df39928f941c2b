"""What happens to a schedule when what its slots are reckoned by changes: an event if the next one moves, else none."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.timing.opendays import Calendar, CalendarDefinition, OnCalendar
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


def moved(before: s.Schedule, to: str, now: datetime) -> t.Next | None:
    """Where the series stands after its recipient has moved from Auckland to `to`."""
    command = s.Replan(
        cause="recipient",
        detail=to,
        context=replace(context(now), recipient_zone=to),
        current=s.Current(next=before.next),
    )
    events = s.decide(command, before)
    return events[0].next if events and isinstance(events[0], s.ScheduleReplanned) else before.next


@pytest.mark.covers("LIF-22")
def test_a_slot_that_is_put_into_the_past_is_late_not_lost() -> None:
    """Nine o'clock in Honolulu is long past in Auckland: the slot keeps its name, and is due at once."""
    daily = t.Every.model_validate({"cron": "0 9 * * *", "zone": "recipient"})
    event = created(daily, context=replace(context(), recipient_zone="Pacific/Honolulu"))
    before = s.evolve(None, SCHEDULE, event)
    assert before.next is not None
    assert before.next.due_at == datetime(2026, 12, 1, 19, tzinfo=UTC)
    after = moved(before, "Pacific/Auckland", NOW + timedelta(hours=1))
    assert after is not None
    assert (after.slot, after.due_at) == (before.next.slot, datetime(2026, 11, 30, 20, tzinfo=UTC))
    following = t.following(before.timing, after, replace(context(), recipient_zone="Pacific/Auckland"))
    assert following is not None
    assert following.due_at == datetime(2026, 12, 1, 20, tzinfo=UTC)


def coming_in(before: s.Schedule, at: t.Next | None, zone: str, most: int = 4) -> list[t.Next]:
    """A slot, and those that follow on it in that zone."""
    found: list[t.Next] = []
    while at is not None and len(found) < most:
        found.append(at)
        at = t.following(before.timing, at, replace(context(), recipient_zone=zone))
    return found


@pytest.mark.parametrize("zone", ["Europe/Berlin", "recipient"])
def test_what_is_accepted_in_the_second_passing_of_an_hour_begins_there(zone: str) -> None:
    """02:45 comes twice that night; accepted between its two passings, the series begins with the day after."""
    accepted = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)  # 02:30 in Berlin, for the second time
    ctx = replace(context(accepted), recipient_zone="Europe/Berlin")
    rule = t.normalise(t.Every(cron="45 2 * * *", zone=zone, count=2), ctx)
    assert [(at.number, at.due_at) for at in t.preview(rule, 5, ctx).slots] == [
        (1, datetime(2026, 10, 26, 1, 45, tzinfo=UTC)),
        (2, datetime(2026, 10, 27, 1, 45, tzinfo=UTC)),
    ]


@pytest.mark.covers("LIF-22")
@pytest.mark.parametrize("count", [None, 4])
@pytest.mark.parametrize("calendar", [None, OnCalendar(skip_holidays=True)], ids=["plain", "on a calendar"])
def test_all_that_a_move_puts_before_the_acceptance_are_late(count: int | None, calendar: OnCalendar | None) -> None:
    """Accepted on Monday evening in Honolulu, which is Tuesday evening in Auckland: Tuesday's three were named."""
    rule = t.Every(cron="0 9,12,15 * * *", zone="recipient", count=count, calendar=calendar)
    before = s.evolve(None, SCHEDULE, created(rule, context=replace(context(), recipient_zone="Pacific/Honolulu")))
    after = coming_in(before, moved(before, "Pacific/Auckland", NOW + timedelta(hours=1)), "Pacific/Auckland")
    assert [at.due_at for at in after] == [
        datetime(2026, 11, 30, 20, tzinfo=UTC),
        datetime(2026, 11, 30, 23, tzinfo=UTC),
        datetime(2026, 12, 1, 2, tzinfo=UTC),
        datetime(2026, 12, 1, 20, tzinfo=UTC),
    ]
    assert [at.number for at in after] == ([None] * 4 if count is None else [1, 2, 3, 4])
    there = replace(context(NOW + timedelta(hours=1)), recipient_zone="Pacific/Auckland")
    assert [t.find(before.timing, at.slot, there) for at in after] == after


@pytest.mark.covers("LIF-22")
@pytest.mark.parametrize("calendar", [None, OnCalendar(skip_holidays=True)], ids=["plain", "on a calendar"])
def test_what_was_named_in_between_is_late_as_well(calendar: OnCalendar | None) -> None:
    """Accepted in Auckland, gone to Honolulu, where Tuesday's three are ahead, and back."""
    rule = t.Every(cron="0 9,12,15 * * *", zone="recipient", calendar=calendar)
    before = s.evolve(None, SCHEDULE, created(rule, context=replace(context(), recipient_zone="Pacific/Auckland")))
    assert before.next is not None
    there = moved(before, "Pacific/Honolulu", NOW)
    assert there is not None
    assert (there.slot.local.day, before.next.slot.local.day) == (1, 2)
    back = coming_in(before, moved(replace(before, next=there), "Pacific/Auckland", NOW), "Pacific/Auckland")
    assert [(at.slot.local.day, at.slot.local.hour) for at in back] == [(1, 9), (1, 12), (1, 15), (2, 9)]
    assert [at.due_at for at in back[2:]] == [datetime(2026, 12, 1, hour, tzinfo=UTC) for hour in (2, 20)]


def test_a_series_that_follows_the_clock_sends_nothing_twice_for_a_move() -> None:
    """Every half hour stays every half hour: the hours that the new zone has behind it were sent in the old one."""
    often = t.Every.model_validate({"cron": "*/30 * * * *", "zone": "recipient"})
    before = s.evolve(None, SCHEDULE, created(often, context=replace(context(), recipient_zone="Pacific/Honolulu")))
    after = moved(before, "Pacific/Auckland", NOW)
    assert before.next is not None
    assert after is not None
    assert after.due_at == before.next.due_at


def test_days_that_a_calendar_gives_back_are_late_and_in_order() -> None:
    """Saturday's and Sunday's were to go out on Monday; on Sunday the weekend is opened: both are late, each once."""
    weekend = KEPT.model_copy(update={"cron": "0 9 * * SAT,SUN", "calendar": OnCalendar(skip_weekends=True)})
    open_ = Calendar("default", 2, CalendarDefinition(weekend=()))
    before = s.evolve(None, SCHEDULE, created(weekend))
    now = datetime(2026, 12, 6, 12, tzinfo=UTC)
    assert before.next is not None
    assert before.next.due_at == datetime(2026, 12, 7, 9, tzinfo=UTC)
    ctx = replace(context(now), calendar=open_)
    command = s.Replan(cause="calendar", detail="default@2", context=ctx, current=s.Current(next=before.next))
    (event,) = s.decide(command, before)
    assert isinstance(event, s.ScheduleReplanned)
    found: list[tuple[int, int]] = []
    at = event.next
    while at is not None and len(found) < 3:
        found.append((at.slot.local.day, at.due_at.day))
        at = t.following(before.timing, at, ctx)
    assert found == [(5, 5), (6, 6), (12, 12)]
