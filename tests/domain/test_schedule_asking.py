"""Asking for a schedule, changing it, and the standing of the asking: active, paused, cancelled."""

from datetime import timedelta
from typing import Any

import pytest

from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.delivery import Delivery, Priority, Retry
from horae.domain.errors import AlreadyClaimed, Conflict, Invalid, VersionMismatch
from horae.domain.ids import occurrence_id
from tests.domain.makers import (
    AT_NOON,
    DAILY,
    DAY,
    HOUR,
    NOW,
    PERSONAL,
    SCHEDULE,
    context,
    created,
    next_on,
    slot,
    standing,
)
from tests.domain.spec import given, schedule_of

PAUSED, CANCELLED = s.SchedulePaused(), s.ScheduleCancelled()
NOON = created(AT_NOON).next


def change(current: s.Current = s.NOT_READ, *, if_match: int | None = None, **changes: object) -> s.Change:
    return s.Change(changes=changes, context=context(), current=current, if_match=if_match)


def resume(current: s.Current = s.NOT_READ, *, later: timedelta = timedelta(0)) -> s.Resume:
    return s.Resume(context=context(NOW + later), current=current)


@pytest.mark.covers("SCH-07", "SCH-09", "SCH-10")
def test_a_creation_holds_the_intent_and_the_first_slot() -> None:
    """A schedule binds one recipient, one message and one timing, as they were meant, and names its first slot."""
    event = created(DAILY)
    assert event.personal == PERSONAL
    assert isinstance(event.definition.timing, t.Every)
    assert event.definition.timing.cron == "0 9 * * *"
    assert event.next == next_on(1)
    state = schedule_of(event)
    assert (state.status, state.version, state.definition.priority) == (s.Status.ACTIVE, 1, Priority.NORMAL)
    assert state.definition.delivery.retry.retries == 3


def test_a_timing_without_a_slot_is_no_schedule() -> None:
    """A series that ends before it begins is refused, naming the timing."""
    with pytest.raises(Invalid) as refused:
        created(t.Every(cron="0 9 * * *", zone="UTC", ends_at="2026-11-30"))
    assert (refused.value.field or "").startswith("timing")


@pytest.mark.covers("LIF-15", "LIF-18")
def test_content_changes_leave_the_slot_where_it_is() -> None:
    """A new content keeps the timing, and says which fields differ."""
    content = {"subject": "Hello"}
    given(created()).when(change(content=content)).then(
        s.ScheduleChanged(
            personal=PERSONAL.model_copy(update={"content": content}),
            definition=created().definition,
            changed=("content",),
            next_unchanged=True,
        )
    )


@pytest.mark.covers("LIF-22", "REC-06")
def test_a_new_timing_replaces_the_unclaimed_slot() -> None:
    """Changing the rule of a series names the slot that it takes away and the one that it puts there."""
    hourly = t.Every(interval=t.Interval(unit="hours", count=6), zone="UTC")
    events = given(created()).when(change(standing(next_on(1)), timing=hourly)).events()
    assert len(events) == 1
    event = events[0]
    assert isinstance(event, s.ScheduleChanged)
    assert (event.changed, event.next_unchanged, event.replaced) == (("timing",), False, slot(1))
    assert event.next is not None
    assert event.next.due_at == NOW + 6 * HOUR


def test_the_same_timing_again_changes_nothing() -> None:
    """A client that sends back what it read moves nothing, whether it sends the defaults along or not."""
    stored = created().definition.timing
    for same in (stored, DAILY, t.Every(cron="0 9 * * *", zone="UTC", gap="shift")):
        given(created()).when(change(standing(next_on(1)), timing=same)).then()


def test_an_interval_goes_on_counting_from_its_beginning() -> None:
    """Another policy for missed slots does not shift the hours at which an interval fires."""
    every_six = t.Every(interval=t.Interval(unit="hours", count=6), zone="UTC")
    first = created(every_six)
    later = s.Change(
        changes={"timing": every_six.model_copy(update={"missed": t.Missed(policy="all")})},
        context=context(NOW + HOUR),
        current=standing(first.next),
    )
    event = given(first).when(later).events()[0]
    assert isinstance(event, s.ScheduleChanged)
    assert event.next == first.next


def test_skipped_slots_stay_skipped_while_the_rule_stays() -> None:
    """Jitter or an end leave the exceptions alone; another rule has other slots, so they go."""
    skipped = s.SlotSkipped(slot=slot(2), occurrence=SCHEDULE, due_at=NOW, next_unchanged=True)
    longer = given(created(), skipped).when(
        change(standing(next_on(1)), timing=DAILY.model_copy(update={"ends_at": slot(24).local}))
    )
    other = given(created(), skipped).when(change(standing(next_on(1)), timing=t.Every(cron="30 9 * * *", zone="UTC")))
    for when, kept in ((longer, {slot(2)}), (other, set())):
        event = when.events()[0]
        assert isinstance(event, s.ScheduleChanged)
        assert schedule_of(created(), skipped, event).exceptions == kept


@pytest.mark.covers("LIF-20")
def test_a_one_off_on_its_way_cannot_be_changed() -> None:
    """What has been claimed is out of reach: the answer names the occurrence."""
    error = (
        given(created(AT_NOON))
        .when(change(standing(None, begun=True), timing=t.At(at=NOW + 5 * HOUR)))
        .then_raises(AlreadyClaimed, field="timing")
    )
    assert error.extra["already_claimed"] == [str(occurrence_id(SCHEDULE, NOON.slot.local, 0))]


def test_an_ended_series_gets_no_new_timing() -> None:
    """What has ended stays so; a clone goes on."""
    given(created()).when(change(standing(None), timing=t.Every(cron="30 9 * * *", zone="UTC"))).then_raises(
        Conflict, field="status", value="completed"
    )


def test_a_skipped_one_off_can_be_moved() -> None:
    """Its slot was taken out, not claimed: another timing gives it a new one."""
    skipped = s.SlotSkipped(slot=NOON.slot, occurrence=SCHEDULE, due_at=NOON.due_at, next_unchanged=False)
    event = given(created(AT_NOON), skipped).when(change(timing=t.At(at=NOW + 5 * HOUR))).events()[0]
    assert isinstance(event, s.ScheduleChanged)
    assert event.next is not None
    assert schedule_of(created(AT_NOON), skipped, event).exceptions == frozenset()


def test_a_paused_schedule_is_changed_without_starting_it() -> None:
    """A new timing of a paused series takes effect when it is resumed."""
    event = given(created(), PAUSED).when(change(timing=t.Every(cron="30 9 * * *", zone="UTC"))).events()[0]
    assert isinstance(event, s.ScheduleChanged)
    assert (event.next, event.next_unchanged) == (None, False)


@pytest.mark.parametrize("changes", [{"priority": 5}, {"delivery": Delivery(retry=Retry(retries=0))}, {"tags": ("a",)}])
def test_every_field_can_be_changed_alone(changes: dict[str, Any]) -> None:
    """The event names exactly the field that differs."""
    event = given(created()).when(change(**changes)).events()[0]
    assert isinstance(event, s.ScheduleChanged)
    assert event.changed == tuple(changes)


@pytest.mark.covers("LIF-02")
def test_if_match_guards_every_change() -> None:
    """A client that has seen another version is told so before anything happens."""
    commands: list[s.Command] = [change(if_match=7, priority=1), s.Pause(if_match=7), s.Cancel(if_match=7)]
    commands.append(s.Resume(context=context(), current=s.NOT_READ, if_match=7))
    for command in commands:
        error = given(created()).when(command).then_raises(VersionMismatch, field="If-Match", value=7)
        assert error.extra == {"version": 1}


@pytest.mark.covers("REC-07", "REC-14", "REC-23")
def test_pause_holds_a_schedule() -> None:
    """Pausing is recorded once; again it is so already."""
    given(created()).when(s.Pause(reason="holidays")).then(s.SchedulePaused(reason="holidays"))
    given(created(), PAUSED).when(s.Pause()).then()
    assert schedule_of(created(), PAUSED).status is s.Status.PAUSED


@pytest.mark.covers("REC-15", "REC-24")
def test_a_series_goes_on_with_the_first_slot_after_now() -> None:
    """Slots that passed while it was paused are not made up for."""
    given(created(), PAUSED).when(resume(later=3 * DAY)).then(s.ScheduleResumed(next=next_on(4)))
    given(created()).when(resume()).then()


def test_an_overdue_one_off_goes_out_when_it_is_resumed() -> None:
    """A one-off whose instant passed while it was paused keeps its slot, late; one that was claimed has none left."""
    late = given(created(AT_NOON), PAUSED).when(resume(standing(NOON), later=DAY))
    late.then(s.ScheduleResumed(next=NOON))
    gone = given(created(AT_NOON), PAUSED).when(resume(standing(None, begun=True), later=DAY))
    gone.then(s.ScheduleResumed(next=None))


def test_resuming_leaves_out_skipped_slots() -> None:
    """An exception holds over a pause."""
    skipped = s.SlotSkipped(slot=slot(1), occurrence=SCHEDULE, due_at=NOW + HOUR, next_unchanged=True)
    given(created(), PAUSED, skipped).when(resume()).then(s.ScheduleResumed(next=next_on(2)))


@pytest.mark.covers("LIF-16", "LIF-19", "REC-18")
def test_cancel_ends_a_schedule_for_good() -> None:
    """Active or paused it can be cancelled, once; after that nothing can be asked of it but a clone."""
    given(created()).when(s.Cancel(reason="left")).then(s.ScheduleCancelled(reason="left"))
    given(created(), PAUSED).when(s.Cancel()).then(CANCELLED)
    given(created(), CANCELLED).when(s.Cancel()).then()
    refused: list[s.Command] = [
        change(priority=1),
        s.Pause(),
        resume(),
        s.Trigger(trigger=SCHEDULE, context=context()),
        s.Skip(slot=slot(2), context=context(), current=s.NOT_READ),
        s.Unskip(slot=slot(2), context=context(), current=s.NOT_READ),
    ]
    for command in refused:
        given(created(), CANCELLED).when(command).then_raises(Conflict, field="status", value="cancelled")
