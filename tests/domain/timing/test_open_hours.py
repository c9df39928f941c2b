"""Business hours that are put together of several calendars', minute by minute as a plain model has them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from horae.domain import errors
from horae.domain import timing as t
from horae.domain.timing.opendays import WEEKDAYS, Calendar, CalendarDefinition, Day, Hours
from tests.domain.timing.calendar_strategies import MONDAY, QUARTERS, calendars
from tests.domain.timing.cases import context

_QUARTER = timedelta(minutes=15)
_MINUTE = timedelta(minutes=1)


# --- the model: is it open in this quarter of an hour? --------------------------------------------------------------


def is_open(calendar: Calendar, local: datetime) -> bool:
    """By the words of the page, without any stretch being added to or taken off another."""
    return _open_quarters(calendar, local.date())[local.hour * 4 + local.minute // 15]


@lru_cache(maxsize=4096)
def _open_quarters(calendar: Calendar, day: date) -> list[bool]:
    definition = calendar.definition
    own = [each for each in definition.days if _names(each, day)]
    dated = [each for each in own if not each.yearly] or own
    said = dated[-1] if dated else None
    if said is not None and (said.hours or not said.open):
        return _within(said.hours)
    weekend = ("sat", "sun") if definition.weekend is None else definition.weekend
    worked = said is not None or WEEKDAYS[day.weekday()] not in weekend
    usual = (Hours(start="09:00", end="17:00"),)
    hours = usual if definition.hours is None else definition.hours.get(WEEKDAYS[day.weekday()], ())
    if said is not None and not hours:
        hours = usual
    opened = _within(hours if worked else ())
    added = [_open_quarters(other, day) for other in calendar.plus_hours]
    taken = [_open_quarters(other, day) for other in calendar.minus_hours]
    return [
        (opened[n] or any(other[n] for other in added)) and not any(other[n] for other in taken)
        for n in range(QUARTERS)
    ]


def _names(own: Day, day: date) -> bool:
    first = own.date.replace(year=day.year) if own.yearly else own.date
    return first <= day <= first + ((own.until or own.date) - own.date)


@lru_cache(maxsize=4096)
def _within(hours: tuple[Hours, ...]) -> list[bool]:
    clocks = (f"{n // 4:02}:{n % 4 * 15:02}" for n in range(QUARTERS))
    return [any(each.start <= clock < each.end for each in hours) for clock in clocks]


# --- properties -----------------------------------------------------------------------------------------------------


@pytest.mark.covers("TZ-05", "TZ-13", "TZ-14")
@settings(max_examples=40, deadline=None)
@given(calendars())
def test_hours_are_those_of_any_added_less_those_of_any_taken_off(calendar: Calendar) -> None:
    """At the first and the last minute of every quarter of nine days; stretches are in order and apart."""
    for n in range(9):
        day = MONDAY + timedelta(days=n)
        midnight = datetime.combine(day, time())
        for quarter in range(QUARTERS):
            at = midnight + quarter * _QUARTER
            wanted = is_open(calendar, at)
            assert (calendar.open_at(at), calendar.open_at(at + _QUARTER - _MINUTE)) == (wanted, wanted), at
        hours = calendar.hours(day)
        assert all(start < end for start, end in hours)
        assert all(a[1] <= b[0] for a, b in pairwise(hours))
        assert not hours or calendar.business_day(day)


@settings(max_examples=40, deadline=None)
@given(calendars(), st.integers(0, 9 * 24 * 60))
def test_the_next_and_the_last_open_minute_are_those_that_a_scan_finds(calendar: Calendar, minutes: int) -> None:
    """From any minute, forward and back."""
    asked = datetime.combine(MONDAY, time()) + minutes * _MINUTE
    for step, told in ((_MINUTE, calendar.next_open(asked)), (-_MINUTE, calendar.last_open(asked))):
        at = asked
        while not is_open(calendar, at):
            at += step
            if abs(at - asked) > timedelta(days=2):
                break
        else:
            assert told == at


@settings(max_examples=25, deadline=None)
@given(
    calendars(),
    st.sampled_from(["0 9 * * *", "30 2 * * *", "0 6,12,20 * * *", "45 23 * * SAT,SUN", "7,22,38 10 * * MON-FRI"]),
    st.sampled_from(["forward", "back", "drop"]),
    st.sets(st.sampled_from(["skip_weekends", "skip_holidays"])),
)
def test_series_keep_to_such_hours_as_a_scan_has_it(calendar: Calendar, cron: str, move: str, also: set[str]) -> None:
    """Moved on, moved back and dropped; what is open of such hours is neither weekend nor holiday."""
    begin, looked = datetime(2027, 2, 1), 60  # noqa: DTZ001 - a local time
    open_quarters = [is_open(calendar, begin + n * _QUARTER) for n in range(looked * QUARTERS)]
    assume(_longest_closure(open_quarters) < 12 * QUARTERS)
    kept = {"id": "drawn", "business_hours_only": True, "move": move} | dict.fromkeys(also, True)
    ctx = context(datetime(2027, 2, 14, tzinfo=UTC), calendar=calendar)
    asked = {"cron": cron, "zone": "UTC", "starts_at": "2027-02-01", "calendar": kept}
    try:
        timing = t.normalise(t.Every.model_validate(asked), ctx)
    except errors.Invalid:  # it leaves nothing of the rule
        found = []
    else:
        found = t.preview(timing, 120, ctx).slots
    end = datetime(2027, 3, 17, tzinfo=UTC)
    told = [(slot.slot.local, slot.due_at.replace(tzinfo=None)) for slot in found if slot.due_at < end]
    slots = [slot.slot.local for slot in t.preview(_plain(cron), 400, context("2027-02-01T00:00Z")).slots]
    due: dict[datetime, datetime] = {}
    for local in slots:
        there = _moved(local, begin, open_quarters, move)
        if there is not None and (there == local or there not in due):
            due[there] = local
    wanted = [(local, at) for at, local in sorted(due.items()) if ctx.now.replace(tzinfo=None) < at]
    assert told == [pair for pair in wanted if pair[1] < end.replace(tzinfo=None)]


@lru_cache
def _plain(cron: str) -> t.Timing:
    return t.normalise(t.Every(cron=cron, zone="UTC"), context("2027-02-01T00:00Z"))


def _longest_closure(quarters: list[bool]) -> int:
    longest = run = 0
    for each in quarters:
        run = 0 if each else run + 1
        longest = max(longest, run)
    return longest


def _moved(local: datetime, begin: datetime, quarters: list[bool], move: str) -> datetime | None:
    """Where a scan from quarter to quarter comes to; None: nowhere, or out of what was looked at."""
    at = (local - begin) // _QUARTER
    if not 0 <= at < len(quarters) or (move == "drop" and not quarters[at]):
        return None
    if quarters[at]:
        return local
    found = next((n for n in _ahead(at, len(quarters), move) if quarters[n]), None)
    if found is None:
        return None
    return begin + found * _QUARTER + (_QUARTER - _MINUTE if move == "back" else timedelta(0))


def _ahead(at: int, end: int, move: str) -> Iterator[int]:
    return iter(range(at + 1, end) if move == "forward" else range(at - 1, -1, -1))


# --- by hand --------------------------------------------------------------------------------------------------------


def _open(**fields: Any) -> CalendarDefinition:
    return CalendarDefinition.model_validate(fields)


@pytest.mark.covers("TZ-20", "TZ-28")
def test_a_day_off_that_anothers_hours_open_is_none() -> None:
    """Neither weekend nor holiday, and the first business day of the month; a day of one's own stays what it is."""
    shop = Calendar("shop", 1, _open(weekend=["sun"], hours={"sat": [{"start": "10:00", "end": "14:00"}]}))
    closed = [{"date": "2027-05-08", "name": "the move"}]
    office = Calendar("office", 2, _open(country="DE", subdivision="BY", days=closed), plus_hours=(shop,))
    may_day, saturday, sunday = date(2027, 5, 1), date(2027, 5, 15), date(2027, 5, 2)
    assert (office.known(may_day), office.known(saturday)) == ((False, None), (False, None))
    assert (office.known(sunday), office.known(date(2027, 5, 8))) == ((True, None), (True, "the move"))
    assert [office.rests_on(day) for day in (saturday, sunday)] == [False, True]
    first = t.normalise(
        t.Every.model_validate(
            {"business_day": {"nth": 1, "at": "10:00"}, "calendar": {"id": "office"}, "zone": "UTC"}
        ),
        context("2027-04-30T12:00Z", calendar=office),
    )
    slots = t.preview(first, 1, context("2027-04-30T12:00Z", calendar=office)).slots
    assert slots[0].slot.local == datetime(2027, 5, 1, 10)  # noqa: DTZ001
    assert slots[0].plan.calendar is not None
    assert "+hours shop@1" in slots[0].plan.calendar


def test_hours_over_midnight_are_of_two_days() -> None:
    """From ten to two, with an hour around midnight taken off."""
    night = Calendar(
        "night",
        1,
        _open(
            weekend=[],
            hours={"fri": [{"start": "22:00", "end": "24:00"}], "sat": [{"start": "00:00", "end": "02:00"}]},
        ),
    )
    hour = {"fri": [{"start": "23:30", "end": "24:00"}], "sat": [{"start": "00:00", "end": "00:30"}]}
    left = Calendar("left", 1, _open(weekend=[], hours={}), plus_hours=(night,))
    around = Calendar("around", 1, _open(weekend=[], hours=hour))
    less = Calendar("less", 1, _open(hours={}), plus_hours=(left,), minus_hours=(around,))
    friday = datetime(2027, 3, 5)  # noqa: DTZ001
    assert left.open_at(friday.replace(hour=23, minute=59))
    assert left.open_at(friday + timedelta(days=1))
    at = friday.replace(hour=23, minute=30)
    assert less.next_open(at) == friday + timedelta(days=1, minutes=30)
    assert less.last_open(at + timedelta(minutes=40)) == at - _MINUTE
