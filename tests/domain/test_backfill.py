"""Slots of the past: by what was in force when they came due, and whether they may still be sent."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from horae.domain import occurrence as o
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.errors import Conflict, Invalid
from tests.domain.makers import (
    AT_NOON,
    COMMON,
    DAY,
    HOUR,
    NOW,
    SCHEDULE,
    claimed,
    context,
    created,
    ended,
    failed,
    next_on,
    slot,
)
from tests.domain.spec import given, given_occurrence, occurrence_of, schedule_of

BACKFILL = UUID("01932c5b-0000-7000-8000-000000000003")
EVENING = t.Every(cron="0 21 * * *", zone="UTC")


def in_force(*events: tuple[timedelta, s.ScheduleEvent], zone: str | None = None) -> list[s.InForce]:
    """The schedule after each of these events, which happened so long after `NOW`."""
    found: list[s.InForce] = []
    state: s.Schedule | None = None
    for after, event in events:
        state = s.evolve(state, SCHEDULE, event)
        found.append(s.InForce(NOW + after, state, state.context(NOW, default_zone="UTC", recipient_zone=zone)))
    return found


def changed(timing: t.Every, now: datetime, *before: s.ScheduleEvent) -> s.ScheduleChanged:
    command = s.Change(changes={"timing": timing}, context=context(now), current=s.Current(next=next_on(3)))
    (event,) = s.decide(command, schedule_of(*before))
    assert isinstance(event, s.ScheduleChanged)
    return event


def told(found: list[s.PastSlot]) -> list[tuple[int, int, int, str]]:
    """Day and hour in December, the version, and how it stood."""
    return [(each.at.slot.local.day, each.at.slot.local.hour, each.version, each.stood) for each in found]


def test_each_slot_is_of_the_timing_that_was_in_force_then() -> None:
    """Nine o'clock until it was changed to nine in the evening; today's timing says nothing of the days before."""
    first = created()
    history = in_force((HOUR * 0, first), (2 * DAY, changed(EVENING, NOW + 2 * DAY, first)))
    found = s.past_slots(NOW - DAY, NOW + 4 * DAY, history)
    assert told(found) == [(1, 9, 1, "due"), (2, 9, 1, "due"), (3, 21, 2, "due"), (4, 21, 2, "due")]
    evenings = [NOW + n * DAY + 13 * HOUR for n in (2, 3)]
    assert [each.at.due_at for each in found] == [NOW + HOUR, NOW + DAY + HOUR, *evenings]


def test_a_pause_and_a_skip_are_told_as_they_stood() -> None:
    """Whether they are sent all the same is for who asks to say."""
    skipped = s.SlotSkipped(slot=slot(2), occurrence=SCHEDULE, due_at=NOW, next_unchanged=True)
    history = in_force(
        (HOUR * 0, created()), (HOUR, skipped), (2 * DAY, s.SchedulePaused()), (3 * DAY, s.ScheduleResumed())
    )
    found = s.past_slots(NOW, NOW + 4 * DAY, history)
    assert told(found) == [(1, 9, 2, "due"), (2, 9, 2, "skipped"), (3, 9, 3, "paused"), (4, 9, 4, "due")]


def test_a_slot_that_was_moved_has_an_instant_of_its_own() -> None:
    """It waits there by itself, whatever becomes of the series."""
    command = s.ChangeSlot(
        slot=slot(2), changes={"timing": AT_NOON}, context=context(), current=s.Current(next=next_on(1))
    )
    (moved,) = s.decide(command, schedule_of(created()))
    found = s.past_slots(NOW, NOW + 2 * DAY, in_force((HOUR * 0, created()), (HOUR / 2, moved)))
    assert told(found) == [(1, 9, 2, "due"), (2, 9, 2, "moved")]


def test_the_window_begins_with_its_first_instant_and_ends_before_its_last() -> None:
    """So that windows that touch have each slot once."""
    history = in_force((HOUR * 0, created()))
    assert told(s.past_slots(NOW + HOUR, NOW + HOUR + DAY, history)) == [(1, 9, 1, "due")]
    assert told(s.past_slots(NOW + HOUR + DAY, NOW + HOUR + DAY, history)) == []
    assert s.past_slots(NOW - DAY, NOW, history) == []


def test_more_slots_than_are_taken_at_once_are_refused_with_where_to_go_on() -> None:
    """Whoever follows the hint gets all of them."""
    minutely = in_force((HOUR * 0, created(t.Every(cron="* * * * *", zone="UTC"))))
    with pytest.raises(Invalid) as refused:
        s.past_slots(NOW, NOW + DAY, minutely)
    assert (refused.value.field, refused.value.value) == ("to", (NOW + DAY).isoformat())
    upto = NOW + timedelta(minutes=s.MAX_SLOTS + 1)
    assert upto.isoformat() in (refused.value.hint or "")
    assert len(s.past_slots(NOW, upto, minutely)) == s.MAX_SLOTS


@drawn(
    st.sampled_from(["*/7 * * * *", "0 */2 * * *", "30 2 * * *"]),
    st.sampled_from([None, "PT3H"]),
    st.lists(st.integers(0, 3000), min_size=2, max_size=6, unique=True),
)
def test_windows_that_touch_have_each_slot_once(cron: str, jitter: str | None, minutes: list[int]) -> None:
    """Split anywhere, all parts together are the whole, also where jitter turns the order of instants round."""
    rule = t.Every.model_validate({"cron": cron, "zone": "Europe/Berlin", "jitter": jitter})
    history = in_force((HOUR * 0, created(rule)))
    cuts = [NOW + timedelta(minutes=at) for at in sorted(minutes)]

    def slots(begin: datetime, end: datetime) -> list[t.Slot]:
        return [each.at.slot for each in s.past_slots(begin, end, history, limit=10_000)]

    parts = [each for begin, end in pairwise(cuts) for each in slots(begin, end)]
    assert len(parts) == len(set(parts))
    assert set(parts) == set(slots(cuts[0], cuts[-1]))
    fired = {each.slot for each in t.preview(schedule_of(created(rule)).timing, 700, context()).slots}
    assert set(parts) <= fired


# --- asking -------------------------------------------------------------------------------------------------------


def asked(count: int = 2) -> s.Backfill:
    return s.Backfill(backfill=BACKFILL, begin=NOW - DAY, end=NOW, count=count)


def test_a_backfill_is_in_the_history_and_changes_nothing_of_the_schedule() -> None:
    """The series stands where it stood; where nothing is left to send nothing is recorded."""
    event = s.ScheduleBackfilled(backfill=BACKFILL, begin=NOW - DAY, end=NOW, count=2)
    given(created()).when(asked()).then(event)
    assert schedule_of(created(), event).next == next_on(1)
    given(created()).when(asked(0)).then()


def test_a_backfill_needs_a_series_that_is_active() -> None:
    """Paused, nothing goes out by hand either; and what happens once has no past slots."""
    given(created(), s.SchedulePaused()).when(asked()).then_raises(Conflict, field="status", value="paused")
    given(created(), s.ScheduleCancelled()).when(asked(0)).then_raises(Conflict, field="status", value="cancelled")
    given(created(AT_NOON)).when(asked()).then_raises(Conflict, field="timing.kind", value="at")


# --- a slot -------------------------------------------------------------------------------------------------------


def wanted() -> o.Backfill:
    return o.Backfill(schedule=schedule_of(created()), backfill=BACKFILL, at=next_on(1), under=1, due_at=NOW + 5 * DAY)


def missed(**more: object) -> o.OccurrenceMissed:
    at = next_on(1)
    facts = {**COMMON, "schedule_version": 1, "slot": at.slot, "due_at": at.due_at, "to": at.slot}
    return o.OccurrenceMissed(**{**facts, "to_due_at": at.due_at, "count": 1, "policy": "skip", **more})


def backfilled() -> o.OccurrenceBackfilled:
    (event,) = o.decide(wanted(), None)
    assert isinstance(event, o.OccurrenceBackfilled)
    return event


def test_what_came_too_late_is_sent_and_says_why() -> None:
    """Nothing recorded, missed, or expired: it waits until its new instant, and its plan tells the old one."""
    event = backfilled()
    assert (event.slot, event.was_due_at, event.due_at) == (slot(1), NOW + HOUR, NOW + 5 * DAY)
    assert event.plan.reasons[-1].code == "backfill"
    given_occurrence(missed()).when(wanted()).then(event)
    given_occurrence(ended(o.Outcome.EXPIRED, attempt=0)).when(wanted()).then(event)
    state = occurrence_of(missed(), event)
    assert state is not None
    assert (state.phase, state.outcome, state.wake_at) == (o.Phase.DEFERRED, None, NOW + 5 * DAY)


@pytest.mark.parametrize(
    "past",
    [
        (claimed(),),
        (claimed(), failed()),
        (claimed(), ended(o.Outcome.DELIVERED)),
        (claimed(), ended(o.Outcome.DEAD_LETTERED)),
        (claimed(), failed(), ended(o.Outcome.EXPIRED)),
        (ended(o.Outcome.SUPPRESSED, attempt=0),),
        (ended(o.Outcome.CANCELLED, attempt=0),),
    ],
)
def test_what_was_claimed_or_decided_against_is_left_alone(past: tuple[o.AnyOccurrenceEvent, ...]) -> None:
    """At most one claim per occurrence, ever; and a rule's no stays a no."""
    given_occurrence(*past).when(wanted()).then()


def test_a_slot_is_asked_for_once() -> None:
    """While it waits, when it is being sent, and afterwards."""
    again = claimed(origin="backfill", moves=False, next=None)
    for past in ((backfilled(),), (backfilled(), again), (backfilled(), again, ended(o.Outcome.DELIVERED))):
        given_occurrence(*past).when(wanted()).then()


def test_its_time_to_live_counts_from_its_new_instant() -> None:
    """Else nothing that has one could ever be sent later."""
    schedule = schedule_of(created(expires_after=HOUR))
    at = t.Next(slot=slot(1), due_at=NOW + 5 * DAY, plan=backfilled().plan)
    for late, outcome in ((HOUR / 2, o.OccurrenceClaimed), (2 * HOUR, o.OccurrenceEnded)):
        fire = o.Fire(
            schedule=schedule,
            at=at,
            row="occurrence",
            origin="backfill",
            owner=7,
            now=at.due_at + late,
            context=context(),
        )
        (event,) = given_occurrence(missed(), backfilled()).when(fire).events()
        assert isinstance(event, outcome)


def test_the_series_goes_past_a_slot_that_was_asked_for() -> None:
    """Should it ever come upon it again: two due rows, one release."""
    fire = o.Fire(
        schedule=schedule_of(created()),
        at=next_on(1),
        row="slot",
        origin="slot",
        owner=7,
        now=NOW + HOUR,
        context=context(NOW + HOUR),
    )
    (event,) = given_occurrence(backfilled()).when(fire).events()
    assert isinstance(event, o.SlotPassed)
    assert event.next == next_on(2)
