"""What holds for every recurring timing, near clock changes above all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from horae.domain import timing as t
from horae.domain.timing.calendared import series_on
from horae.domain.timing.opendays import BUILT_IN
from horae.domain.timing.ordinals import Ordinals
from horae.domain.timing.series import Found, WallSource, series_of, start_of
from horae.domain.timing.values import MAX_COUNT
from horae.domain.timing.zones import place, to_utc
from tests.domain.timing.cases import every, take, walk
from tests.domain.timing.strategies import series

N = 60
SPAN = (datetime.fromisoformat("2000-01-01"), datetime.fromisoformat("2040-01-01"))
#: Its first slot lies at the present and is lifted past it by jitter.
_LIFTED = t.Every(
    rrule="FREQ=MINUTELY;INTERVAL=50",
    zone="Europe/Berlin",
    starts_at=datetime(2026, 3, 29, 1),  # noqa: DTZ001 - a local time
    jitter=timedelta(minutes=45),
)
Case = tuple[t.Every, t.Context]


def _nominal(slot: t.Next) -> float:
    return (slot.due_at - timedelta(seconds=slot.plan.jitter_s)).timestamp()


@pytest.mark.covers("REC-29", "TZ-02", "TZ-29")
@given(series())
def test_slots_strictly_increase(case: Case) -> None:
    """Every slot is due later than the one before it, jitter aside, and no identity comes twice."""
    slots = take(*case, N)
    assert all(_nominal(a) < _nominal(b) for a, b in pairwise(slots))
    assert len({slot.slot for slot in slots}) == len(slots)


@given(series())
def test_slots_come_in_the_order_of_the_clocks(case: Case) -> None:
    """By `place`, that is: also where local times repeat, and where a gap swallows them."""
    slots = take(*case, N)
    places = [place(slot.slot.local, slot.slot.fold, slot.plan.zone) for slot in slots]
    assert all(a < b for a, b in pairwise(places))


@given(series(), st.integers(0, N - 1))
def test_a_walk_resumes_from_any_slot(case: Case, i: int) -> None:
    """What follows a slot does not depend on how the slot was reached, nor on its due instant."""
    timing, ctx = case
    slots = take(timing, ctx, N + 1)
    if i + 1 >= len(slots):
        return
    moved = slots[i].model_copy(update={"due_at": slots[i].due_at + timedelta(minutes=7), "number": None})
    assert t.following(timing, slots[i], ctx) == slots[i + 1]
    assert t.following(timing, moved, ctx) == slots[i + 1]


@pytest.mark.covers("REC-19", "REC-20")
@given(series(), st.integers(1, N))
def test_a_preview_is_the_walk(case: Case, n: int) -> None:
    """Previewing n slots gives the first n of the walk, also when it begins at a slot of the walk."""
    timing, ctx = case
    slots = take(timing, ctx, N + 1)
    assert t.preview(timing, n, ctx).slots == slots[:n]
    if timing.jitter is None:
        assert t.preview(timing, n, ctx, after=slots[0].due_at).slots == slots[1 : n + 1]


@given(series(), st.integers(-(10**5), 10**6))
def test_after_is_the_first_that_is_due_later(case: Case, seconds: int) -> None:
    """`after` gives the first slot of the walk, in the series' order, whose due instant is later."""
    timing, ctx = case
    instant = ctx.now + timedelta(seconds=max(seconds, 0))
    slots = take(timing, ctx, 300)
    wanted = next((slot for slot in slots if slot.due_at > instant), None)
    if wanted is not None:
        assert t.after(timing, instant, ctx) == wanted


@given(series())
def test_find_knows_its_own_slots_and_no_others(case: Case) -> None:
    """`find` gives each slot of the walk as the walk gave it; other times and folds are not slots."""
    timing, ctx = case
    slots = take(timing, ctx, N)
    own = {slot.slot for slot in slots}
    for slot in slots:
        assert t.find(timing, slot.slot, ctx) == slot
        other = t.Slot(local=slot.slot.local + timedelta(seconds=1), fold=slot.slot.fold)
        assert t.find(timing, other, ctx) is None
        twin = t.Slot(local=slot.slot.local, fold=1 - slot.slot.fold)
        found = t.find(timing, twin, ctx)
        # A first passing may lie before the present, a second one behind those that were taken.
        assert twin in own or found is None or not ctx.now < found.due_at <= slots[-1].due_at


@given(series(jitter=False))
def test_a_normal_slot_is_what_the_clock_on_the_wall_shows(case: Case) -> None:
    """Except for moved ones, the due instant read in the zone is the slot, fold included."""
    timing, ctx = case
    for slot in take(timing, ctx, N):
        wall = slot.due_at.astimezone(ZoneInfo(slot.plan.zone))
        if slot.plan.branch == "gap_shifted":
            assert wall.replace(tzinfo=None, fold=0) > slot.slot.local
        else:
            assert (wall.replace(tzinfo=None, fold=0), wall.fold) == (slot.slot.local, slot.slot.fold)


@given(series(), st.sets(st.integers(0, 20)))
@example((_LIFTED, t.Context(datetime(2026, 3, 29, 1, tzinfo=UTC), UUID("e3e70682-c209-4cac-629f-6fbed82c07cd"))), {0})
def test_exceptions_leave_out_exactly_their_slots(case: Case, skipped: set[int]) -> None:
    """Skipped slots vanish from the walk and show in the preview; the others keep their number and instant."""
    timing, ctx = case
    slots = take(timing, ctx, 40)
    gone = frozenset(slots[i].slot for i in skipped)
    without = t.Context(ctx.now, ctx.schedule_id, exceptions=gone)
    kept = [slot for slot in slots if slot.slot not in gone]
    assert take(timing, without, len(kept)) == kept
    shown = t.preview(timing, len(kept), without)
    assert {s.slot for s in shown.skipped if s.reason.code == "skipped"} == gone
    assert all(t.find(timing, slot, without) is not None for slot in gone)


@pytest.mark.covers("REC-05")
@given(series(jitter=False), st.integers(1, 30))
def test_a_count_ends_the_series(case: Case, count: int) -> None:
    """With a count of n the series has the first n slots, numbered from 1, and then ends."""
    timing, ctx = case
    uncounted = timing.model_copy(update={"count": None})
    # The count begins with the series, not with the present.
    beginning = t.Context(ctx.now - timedelta(days=30), ctx.schedule_id)
    slots = take(uncounted, beginning, count)
    numbered = take(timing.model_copy(update={"count": count}), beginning, count + 1)
    assert [n.slot for n in numbered] == [n.slot for n in slots]
    assert [n.number for n in numbered] == list(range(1, count + 1))


@settings(max_examples=50)
@given(series(), st.lists(st.integers(0, 99), min_size=1, max_size=12))
def test_a_slot_has_its_number_in_whatever_order_they_are_asked(case: Case, places: list[int]) -> None:
    """From a slot on, from an instant on, and by its name: the number is that of the walk from the beginning."""
    timing, ctx = case
    counted = timing.model_copy(update={"count": 5_000 + len(places), "jitter": None})
    beginning = t.Context(ctx.now - timedelta(days=30), ctx.schedule_id)
    slots = take(counted, beginning, 100)
    first = slots[0].number
    assert first is not None
    assert [slot.number for slot in slots] == list(range(first, first + len(slots)))
    series_of.cache_clear()  # what was remembered on the walk
    for slot in (slots[i % len(slots)] for i in places):
        assert t.after(counted, slot.due_at - timedelta(microseconds=1), beginning) == slot
        assert t.find(counted, slot.slot, beginning) == slot


@settings(max_examples=50)
@given(series(jitter=False), st.integers(1, 500), st.lists(st.integers(0, 400 * 24 * 60), min_size=1, max_size=5))
def test_slots_that_are_counted_by_the_month_are_as_many_as_those_walked(
    case: Case, days: int, minutes: list[int]
) -> None:
    """From years of clock changes before: what is told of a stretch at once is what a walk meets in it."""
    timing, ctx = case
    start = (ctx.now - timedelta(days=days)).replace(tzinfo=None, microsecond=0)
    counted = series_on(timing.model_copy(update={"starts_at": start, "count": MAX_COUNT}), timing.zone, BUILT_IN)
    for later in minutes:
        found = counted.later(start + timedelta(minutes=later))
        assert found is not None
        walked = Ordinals(counted.begin).of(found.due, counted.later, MAX_COUNT)
        asked = counted.numbered(found.due - timedelta(microseconds=1))
        assert asked == ((found, walked) if walked <= MAX_COUNT else None)


@pytest.mark.parametrize(
    "rule",
    [
        {"cron": "30 2 * * *"},
        {"rrule": "FREQ=DAILY;BYHOUR=2;BYMINUTE=30;BYSECOND=0"},
        {"rrule": "FREQ=MINUTELY;INTERVAL=1440"},
        {"interval": {"unit": "days"}},
    ],
)
def test_the_number_of_a_late_slot_is_not_walked_to(rule: dict[str, Any]) -> None:
    """46 years have 92 clock changes, and only beside them is a slot looked at for itself; one remembered is near."""
    timing = every(**rule, zone="Europe/Berlin", starts_at="1980-11-23T02:30", count=MAX_COUNT, gap="shift")
    counted = series_of(timing, "Europe/Berlin")
    assert isinstance(counted.source, WallSource)
    assert counted.ordinals is not None
    found = counted.later(datetime(2026, 11, 23))  # noqa: DTZ001 - naive UTC
    assert found is not None
    asked: list[datetime] = []

    def later(at: datetime) -> Found | None:
        asked.append(at)
        return counted.later(at)

    assert counted.ordinals.of(found.due, later, MAX_COUNT, counted.source.leap) == 16_802
    assert len(asked) <= 3 * 93
    asked.clear()
    assert counted.ordinals.of(found.due, later, MAX_COUNT, counted.source.leap) == 16_802
    assert len(asked) <= 3


@pytest.mark.covers("REC-05")
@settings(max_examples=40)
@given(series(jitter=False), st.integers(0, 10))
def test_an_end_cuts_the_series_and_nothing_else(case: Case, days: int) -> None:
    """Slots with an end date are those of the endless series up to the end of that local day."""
    timing, ctx = case
    end = (ctx.now + timedelta(days=days)).date()
    midnight_after = t.At(local=f"{end + timedelta(days=1)}T00:00", zone=timing.zone)
    bound = t.preview(midnight_after, 1, ctx).slots[0].due_at
    wanted = list(takewhile(lambda n: n.due_at < bound, islice(walk(timing, ctx), 3500)))
    assert list(walk(timing.model_copy(update={"ends_at": end}), ctx)) == wanted


@settings(max_examples=50)
@given(series())
def test_jitter_is_fixed_and_bounded(case: Case) -> None:
    """Jitter lies between nothing and its width, and is the same whenever it is asked."""
    timing, ctx = case
    slots = take(timing, ctx, 20)
    assert slots == take(timing, ctx, 20)
    width = timing.jitter or timedelta(0)
    assert all(0 <= slot.plan.jitter_s <= width.total_seconds() for slot in slots)
    assert all(slot.due_at.tzinfo is UTC for slot in slots)


@pytest.mark.covers("REC-05", "REC-29")
@settings(max_examples=50)
@given(series(jitter=False), st.integers(1, 40), st.datetimes(*SPAN))
def test_every_slot_lies_inside_start_end_and_count(case: Case, count: int, somewhere: datetime) -> None:
    """From whatever instant the series is asked, it gives no slot outside its bounds, and the same as the walk gave."""
    timing, ctx = case
    bounded = timing.model_copy(update={"count": count, "starts_at": timing.starts_at or ctx.now.date()})
    beginning = t.Context(ctx.now - timedelta(days=400), ctx.schedule_id)
    slots = take(bounded, beginning, count + 1)
    assert len(slots) <= count
    begin = to_utc(start_of(bounded), 0, timing.zone).replace(tzinfo=UTC)
    assert all(slot.due_at >= begin for slot in slots)
    asked = t.after(bounded, somewhere.replace(tzinfo=UTC), beginning)
    assert asked == next((slot for slot in slots if slot.due_at > somewhere.replace(tzinfo=UTC)), None)


@pytest.mark.covers("REC-06")
@settings(max_examples=50)
@given(series(jitter=False), series(jitter=False), st.integers(0, 20))
def test_an_edit_changes_only_slots_after_it(case: Case, other: Case, i: int) -> None:
    """Changed from a slot on, a series has the slots of the old rule before it, and from it on those of the new one."""
    timing, ctx = case
    slots = take(timing, ctx, 25)
    if not slots:
        return
    since = slots[min(i, len(slots) - 1)]
    rule = other[0].model_copy(update={"zone": timing.zone})
    begin = _clock(since)
    stays = [slot for slot in slots if _clock(slot) < begin]
    comes = [slot for slot in take(rule, ctx, 60) if _clock(slot) >= begin][:10]
    edited = take(t.cut(timing, since.slot, rule, ctx), ctx, len(stays) + len(comes))
    assert [(slot.slot, slot.due_at) for slot in edited] == [(slot.slot, slot.due_at) for slot in [*stays, *comes]]


def _clock(slot: t.Next) -> datetime:
    """A slot's instant by the clock of its zone, whatever moves it from there."""
    return to_utc(slot.slot.local, slot.slot.fold, slot.plan.zone)
