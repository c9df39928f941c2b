"""Series that keep to calendars, change from a slot on and are shifted, for property tests."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from horae.domain import errors
from horae.domain import timing as t
from horae.domain.timing.opendays import WEEKDAYS, Calendar, CalendarDefinition, Day, Hours, OnCalendar
from horae.domain.timing.series import follows_clock
from tests.domain.timing.cases import take
from tests.domain.timing.strategies import series

#: A day's quarters of an hour; all hours here begin and end with one.
QUARTERS = 96
MONDAY = date(2027, 3, 1)


@st.composite
def stretches(draw: st.DrawFn) -> tuple[Hours, ...]:
    """Up to three of a day, some of which meet; the last may end with the day."""
    ends = sorted(draw(st.sets(st.integers(0, QUARTERS), min_size=2, max_size=6)))
    marks = [f"{at // 4:02}:{at % 4 * 15:02}" for at in ends]
    if draw(st.booleans()):  # one after the other
        return tuple(Hours(start=start, end=end) for start, end in pairwise(marks[:4]))
    return tuple(Hours(start=start, end=end) for start, end in zip(marks[::2], marks[1::2], strict=False))


@st.composite
def days(draw: st.DrawFn, around: date = MONDAY) -> Day:
    """A day of one's own, or three, near those that are looked at."""
    first = around + timedelta(days=draw(st.integers(-4, 12)))
    return Day(
        date=first,
        until=draw(st.sampled_from([None, first + timedelta(days=2)])),
        open=draw(st.booleans()),
        hours=draw(st.one_of(st.just(()), stretches())),
        yearly=draw(st.booleans()),
    )


@st.composite
def definitions(draw: st.DrawFn, around: date = MONDAY) -> CalendarDefinition:
    """Hours by weekday, a weekend, and days of its own around those that are looked at."""
    fields: dict[str, Any] = {}
    if draw(st.booleans()):
        fields["hours"] = draw(st.dictionaries(st.sampled_from(WEEKDAYS), stretches(), max_size=7))
    if draw(st.booleans()):
        fields["weekend"] = tuple(draw(st.sets(st.sampled_from(WEEKDAYS), max_size=3)))
    fields["days"] = draw(st.lists(days(around), max_size=4))
    return CalendarDefinition.model_validate(fields)


@st.composite
def calendars(draw: st.DrawFn, depth: int = 2, around: date = MONDAY) -> Calendar:
    """With others' hours added and taken off, and those of others again."""
    plus, minus = (
        tuple(draw(st.lists(calendars(depth - 1, around), max_size=2))) if depth else () for _ in ("plus", "minus")
    )
    return Calendar("drawn", 1, draw(definitions(around)), plus_hours=plus, minus_hours=minus)


@st.composite
def kept(draw: st.DrawFn, *, changed: bool = True, jitter: bool = False) -> tuple[t.Every, t.Context]:
    """A series on a calendar, some changed from a slot on, some shifted as a whole, with the present of its own."""
    rule, ctx = draw(series(jitter=jitter))
    calendar = draw(calendars(depth=1, around=ctx.now.date()))
    ctx = t.Context(ctx.now, ctx.schedule_id, calendar=calendar)
    timing = _on(draw, rule, ctx)
    if changed and draw(st.booleans()):
        other, _ = draw(series(jitter=False))
        later = _on(draw, other.model_copy(update={"zone": timing.zone}), ctx)
        slots = take(timing, ctx, 15)
        since = slots[min(draw(st.integers(0, 14)), len(slots) - 1)].slot
        timing = t.cut(timing, since, later, ctx)
    if draw(st.booleans()):
        shifted = t.shifted(timing, timedelta(minutes=draw(st.integers(1, 600))))
        assert isinstance(shifted, t.Every)
        timing = shifted
    return timing, ctx


def _on(draw: st.DrawFn, rule: t.Every, ctx: t.Context) -> t.Every:
    """The rule on the calendar, settled; one of which that leaves nothing, or that it may not keep to, is not drawn."""
    flags = draw(
        st.sets(st.sampled_from(["skip_weekends", "skip_holidays", "business_hours_only"]), min_size=1, max_size=2)
    )
    move = draw(st.sampled_from([None, "forward", "back", "drop"]))
    on = OnCalendar.model_validate({"id": "drawn", "move": move, **dict.fromkeys(flags, True)})
    if move is not None and move != "drop" and follows_clock(rule):
        on = on.model_copy(update={"move": "drop"})
    try:
        settled = t.normalise(rule.model_copy(update={"calendar": on}), ctx)
    except errors.Invalid:
        assume(condition=False)
        raise
    assert isinstance(settled, t.Every)
    return settled
