"""What holds for every series on a calendar: whatever the calendar closes, and wherever it is changed or shifted."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from horae.domain import timing as t
from horae.domain.timing.calendared import series_on
from horae.domain.timing.series import series_of, start_of
from horae.domain.timing.zones import place, to_utc
from tests.domain.timing.calendar_strategies import kept
from tests.domain.timing.cases import context, every, take

N = 30
Case = tuple[t.Every, t.Context]
few = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


@pytest.mark.covers("REC-10", "REC-11", "REC-29")
@few
@given(kept())
def test_slots_strictly_increase(case: Case) -> None:
    """Every slot is due later than the one before, and no identity comes twice; two of different rules may meet."""
    slots = take(*case, N)
    met = [(a.slot, b.slot) for a, b in pairwise(slots) if a.due_at >= b.due_at]
    assert not met or case[0].then is not None
    assert all(a.due_at <= b.due_at for a, b in pairwise(slots))
    assert len({slot.slot for slot in slots}) == len(slots)


@pytest.mark.covers("REC-06")
@few
@given(kept())
def test_a_change_from_a_slot_on_leaves_each_rule_its_slots(case: Case) -> None:
    """Before it those of the old rule, from it on those of the new one, in the order of their instants."""
    timing, ctx = case
    assume(timing.then is not None)
    assert timing.then is not None
    begin = to_utc(timing.then.since.local, timing.then.since.fold, timing.zone)
    old, new = (take(rule, ctx, 60) for rule in (timing.model_copy(update={"then": None}), timing.then.timing))
    horizon = min(
        (slots[-1].due_at for slots in (old, new) if len(slots) == 60), default=ctx.now + timedelta(days=9999)
    )
    stays = [slot for slot in old if to_utc(slot.slot.local, slot.slot.fold, timing.zone) < begin]
    comes = [slot for slot in new if to_utc(slot.slot.local, slot.slot.fold, timing.zone) >= begin]
    wanted = {(slot.due_at, slot.slot) for slot in [*stays, *comes] if slot.due_at < horizon}
    found = [(slot.due_at, slot.slot) for slot in take(timing, ctx, 120) if slot.due_at < horizon]
    assert set(found) == wanted
    assert [due for due, _ in found] == sorted(due for due, _ in wanted)


#: Saturday's goes out on Monday at ten, Sunday's at seven, Monday's own at eight.
TURNED = (
    "RRULE:FREQ=WEEKLY;BYDAY=SA;BYHOUR=10,11;BYMINUTE=0;BYSECOND=0\n"
    "RRULE:FREQ=WEEKLY;BYDAY=SU;BYHOUR=7;BYMINUTE=0;BYSECOND=0\n"
    "RRULE:FREQ=WEEKLY;BYDAY=MO;BYHOUR=8;BYMINUTE=0;BYSECOND=0"
)


@pytest.mark.covers("REC-06", "REC-10")
@pytest.mark.parametrize("since", ["2027-03-06T10:00", "2027-03-06T11:00", "2027-03-07T07:00", "2027-03-08T08:00"])
def test_a_change_within_a_closure_neither_loses_nor_delays_a_slot(since: str) -> None:
    """A slot before the change stays the old rule's, however far the calendar moves it behind the first new one."""
    ctx = context("2027-03-01T12:00Z")
    keeping = {"skip_weekends": True}
    rule = every(rrule=TURNED, zone="UTC", starts_at="2027-03-01", calendar=keeping)
    settled = t.normalise(rule, ctx)
    assert isinstance(settled, t.Every)
    at = t.Slot(local=datetime.fromisoformat(since))
    changed = t.cut(settled, at, settled, ctx)
    slots = [(slot.slot, slot.due_at) for slot in take(settled, ctx, 8)]
    assert [f"{due:%d %H}" for _, due in slots] == [
        "08 07",
        "08 08",
        "08 10",
        "08 11",
        "15 07",
        "15 08",
        "15 10",
        "15 11",
    ]
    assert [(slot.slot, slot.due_at) for slot in take(changed, ctx, 8)] == slots
    assert [(slot.slot, slot.due_at) for slot in t.preview(changed, 8, ctx).slots] == slots
    for (_, due), (slot, following) in pairwise(slots):
        found = t.after(changed, due, ctx)
        assert found is not None
        assert (found.slot, found.due_at) == (slot, following)
        found = t.anew(changed, found, ctx)
        assert found is not None
        assert (found.slot, found.due_at) == slots[0]


@few
@given(kept(), st.integers(0, N - 1), st.floats(0, 0.999))
def test_a_series_resumes_from_any_slot_and_any_instant(case: Case, i: int, part: float) -> None:
    """What follows does not depend on how the slot was reached, on its instant, or on what is remembered."""
    timing, ctx = case
    slots = take(timing, ctx, N + 1)
    if i + 1 >= len(slots):
        return
    here, coming = slots[i], slots[i + 1]
    series_on.cache_clear()
    series_of.cache_clear()
    assert t.following(timing, here, ctx) == coming
    moved = here.model_copy(update={"due_at": here.due_at + timedelta(minutes=7), "number": None})
    assert t.following(timing, moved, ctx) == coming
    between = here.due_at + (coming.due_at - here.due_at) * part
    assert t.after(timing, between, ctx) == coming
    assert t.after(timing, coming.due_at - timedelta(microseconds=1), ctx) == coming


@pytest.mark.covers("REC-19", "REC-20")
@few
@given(kept(jitter=True), st.integers(1, N))
def test_a_preview_is_what_goes_out(case: Case, n: int) -> None:
    """Slot for slot, with plans and numbers; each is found by its name; what is passed over is none of them."""
    timing, ctx = case
    slots = take(timing, ctx, n)
    shown = t.preview(timing, n, ctx)
    assert shown.slots == slots
    for slot in slots:
        assert t.find(timing, slot.slot, ctx) == slot
    own = {slot.slot for slot in slots}
    for gone in shown.skipped:
        if gone.reason.code.startswith("calendar_"):
            assert gone.slot not in own
            assert t.find(timing, gone.slot, ctx) is None


@pytest.mark.covers("REC-05")
@few
@given(kept(changed=False), st.integers(1, 20), st.integers(0, 20))
def test_slots_lie_inside_start_end_and_count(case: Case, count: int, days: int) -> None:
    """By their own local times, wherever the calendar moves them; counted is what is sent, from 1 on."""
    timing, ctx = case
    end = (ctx.now + timedelta(days=days)).date()
    counted = timing.model_copy(update={"count": count, "starts_at": timing.starts_at or ctx.now.date()})
    beginning = t.Context(ctx.now - timedelta(days=60), ctx.schedule_id, calendar=ctx.calendar)
    slots = take(counted, beginning, count + 1)
    assert [slot.number for slot in slots] == list(range(1, len(slots) + 1))
    assert len(slots) <= count
    begin = place(start_of(counted), 0, timing.zone)
    assert all(place(slot.slot.local, slot.slot.fold, timing.zone) >= begin for slot in slots)
    bounded = timing.model_copy(update={"ends_at": end})
    wanted = [slot for slot in take(timing, ctx, 100) if _before(slot, end, timing.zone)]
    found = take(bounded, ctx, 100)
    assert [(slot.slot, slot.due_at) for slot in found[: len(wanted)]] == [
        (slot.slot, slot.due_at) for slot in wanted[: len(found)]
    ]
    assert all(_before(slot, end, timing.zone) for slot in found)


def _before(slot: t.Next, end: date, zone: str) -> bool:
    midnight = datetime.combine(end + timedelta(days=1), datetime.min.time())
    return place(slot.slot.local, slot.slot.fold, zone) < place(midnight, 0, zone)


@few
@given(kept())
def test_a_shift_moves_the_instants_alone(case: Case) -> None:
    """Names, order and count stay; every instant is later by as much."""
    timing, ctx = case
    by = timedelta(minutes=45)
    plain, later = t.shifted(timing, None), t.shifted(timing, by)
    slots = [(slot.slot, slot.number, slot.due_at + by) for slot in take(plain, ctx, N)]
    shifted = [(slot.slot, slot.number, slot.due_at) for slot in take(later, ctx, N + 5) if slot.due_at > ctx.now + by]
    assert shifted[: len(slots)] == slots[: len(shifted)]
    assert all(slot.due_at.tzinfo is UTC for slot in take(later, ctx, 3))
