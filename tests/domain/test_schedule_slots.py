"""Single slots of a schedule: taken out, put back, and asked for by hand."""

import pytest

from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.errors import AlreadyClaimed, Conflict, Invalid
from horae.domain.ids import occurrence_id, trigger_occurrence_id
from tests.domain.makers import AT_NOON, DAY, NOW, SCHEDULE, TRIGGER, context, created, next_on, slot, standing
from tests.domain.spec import given, schedule_of


def skip(day: int, current: t.Next | None, hour: int = 9) -> s.Skip:
    return s.Skip(slot=slot(day, hour), context=context(), current=standing(current))


def unskip(day: int, current: t.Next | None, *, days_later: int = 0) -> s.Unskip:
    return s.Unskip(slot=slot(day), context=context(NOW + days_later * DAY), current=standing(current))


def skipped(day: int, next_: t.Next | None = None) -> s.SlotSkipped:
    return s.SlotSkipped(
        slot=slot(day),
        occurrence=occurrence_id(SCHEDULE, slot(day).local, 0),
        due_at=next_on(day).due_at,
        next_unchanged=next_ is None,
        next=next_,
    )


def unskipped(day: int, next_: t.Next | None = None) -> s.SlotUnskipped:
    return s.SlotUnskipped(
        slot=slot(day),
        occurrence=occurrence_id(SCHEDULE, slot(day).local, 0),
        next_unchanged=next_ is None,
        next=next_,
    )


def test_skipping_a_later_slot_leaves_the_current_one() -> None:
    """The slot becomes an exception; the series stands where it stood."""
    given(created()).when(skip(3, next_on(1))).then(skipped(3))
    assert schedule_of(created(), skipped(3)).exceptions == {slot(3)}


def test_skipping_the_current_slot_moves_the_series_on() -> None:
    """The event names the slot that follows, over other exceptions."""
    given(created()).when(skip(1, next_on(1))).then(skipped(1, next_on(2)))
    given(created(), skipped(2)).when(skip(1, next_on(1))).then(skipped(1, next_on(3)))


def test_a_slot_behind_the_series_cannot_be_skipped() -> None:
    """What has fired or is on its way is named in the refusal."""
    error = given(created()).when(skip(1, next_on(2))).then_raises(AlreadyClaimed, field="slot")
    assert error.extra["already_claimed"] == [str(occurrence_id(SCHEDULE, slot(1).local, 0))]
    given(created()).when(skip(1, None)).then_raises(AlreadyClaimed, field="slot")


def test_the_order_of_slots_is_the_series_own() -> None:
    """Jitter may make a later slot due before an earlier one; it is still the later one, and can be skipped."""
    spread = t.Every(cron="*/5 * * * *", zone="UTC", jitter="PT6H")
    first = created(spread)
    state = schedule_of(first)
    slots = t.preview(state.timing, 60, context()).slots
    ordered = sorted(slots, key=lambda planned: planned.slot.local)
    current, later = next(
        (a, b) for a in ordered for b in ordered if a.slot.local < b.slot.local and a.due_at > b.due_at
    )
    event = given(first).when(s.Skip(slot=later.slot, context=context(), current=standing(current))).events()[0]
    assert isinstance(event, s.SlotSkipped)
    assert event.next_unchanged


def test_only_slots_of_the_series_can_be_skipped() -> None:
    """A time that the rule does not name is refused with a way to find those that it does."""
    given(created()).when(skip(3, next_on(1), hour=10)).then_raises(Invalid, field="slot")
    given(created(), skipped(3)).when(skip(3, next_on(1))).then()


def test_skipping_in_a_pause_waits_for_the_resume() -> None:
    """Nothing stands anywhere while it is paused, so nothing moves."""
    given(created(), s.SchedulePaused()).when(skip(2, None)).then(skipped(2))


def test_a_one_off_is_skipped_and_put_back() -> None:
    """Skipping its only slot leaves it without one; putting it back gives it again."""
    noon = created(AT_NOON).next
    occurrence = occurrence_id(SCHEDULE, noon.slot.local, 0)
    out = s.SlotSkipped(slot=noon.slot, occurrence=occurrence, due_at=noon.due_at, next_unchanged=False)
    given(created(AT_NOON)).when(s.Skip(slot=noon.slot, context=context(), current=standing(noon))).then(out)
    given(created(AT_NOON), out).when(s.Unskip(slot=noon.slot, context=context(), current=standing(None))).then(
        s.SlotUnskipped(slot=noon.slot, occurrence=occurrence, next_unchanged=False, next=noon)
    )


def test_putting_back_an_earlier_slot_moves_the_series_back() -> None:
    """The series stands at the earlier one of the two; a later one only ceases to be an exception."""
    given(created(), skipped(1, next_on(2))).when(unskip(1, next_on(2))).then(unskipped(1, next_on(1)))
    given(created(), skipped(3)).when(unskip(3, next_on(1))).then(unskipped(3))
    given(created(), skipped(3)).when(unskip(3, None)).then(unskipped(3, next_on(3)))
    given(created()).when(unskip(3, next_on(1))).then()
    assert schedule_of(created(), skipped(3), unskipped(3)).exceptions == frozenset()


def test_a_slot_of_the_past_is_not_put_back() -> None:
    """It would never fire: triggering is the way."""
    given(created(), skipped(1, next_on(2))).when(unskip(1, next_on(3), days_later=1)).then_raises(
        Conflict, field="slot"
    )


@pytest.mark.covers("LIF-21")
def test_a_trigger_asks_for_one_occurrence_beside_the_series() -> None:
    """Its occurrence is of the trigger, not of the slot, so that twice in one second is twice."""
    event = given(created()).when(s.Trigger(trigger=TRIGGER, context=context(), reason="now")).events()[0]
    assert isinstance(event, s.ScheduleTriggered)
    assert event.at.due_at == NOW
    assert (event.at.plan.zone, event.at.plan.zone_source) == ("UTC", "timing")
    assert event.occurrence == trigger_occurrence_id(SCHEDULE, TRIGGER, event.at.slot.local)
    again = given(created()).when(s.Trigger(trigger=SCHEDULE, context=context())).events()[0]
    assert isinstance(again, s.ScheduleTriggered)
    assert again.occurrence != event.occurrence
    state = schedule_of(created(), event)
    assert state.next == next_on(1)
    assert state.triggers == {event.occurrence: event.at}


def test_a_paused_schedule_is_not_triggered() -> None:
    """Paused means that nothing goes out, by hand neither."""
    given(created(), s.SchedulePaused()).when(s.Trigger(trigger=TRIGGER, context=context())).then_raises(
        Conflict, field="status", value="paused"
    )
