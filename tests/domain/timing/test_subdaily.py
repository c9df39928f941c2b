"""Rules of seconds, minutes and hours whose parts rarely meet: held against a walk that takes one period at a time."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from horae.domain.timing import rrule
from horae.domain.timing.cycles import Cycle, cycles, first_within
from horae.domain.timing.ruledays import RuleDays

START = datetime.fromisoformat("2026-01-05T09:00:07")
UNITS = {"HOURLY": 3600, "MINUTELY": 60, "SECONDLY": 1}
DAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]


@given(st.integers(1, 90), st.integers(1, 60), st.integers(0, 59), st.integers(0, 59))
@example(1441, 60, 1, 1)
@example(30, 60, 1, 29)
def test_the_first_step_into_a_stretch_is_the_first(step: int, length: int, low: int, high: int) -> None:
    """By one whole way round there is none before, and none at all where None is said."""
    low, high = low % length, high % length
    inside = (
        k
        for k in range(length)
        if low <= k * step % length <= high or (low > high and not high < k * step % length < low)
    )
    assert first_within(step, length, low, high) == next(inside, None)


@given(
    st.integers(1, 100_000),
    st.integers(0, 700_000),
    st.sets(st.integers(0, 59), min_size=1),
    st.sets(st.integers(0, 59), min_size=1, max_size=30),
    st.sets(st.integers(0, 23), min_size=1, max_size=5),
)
def test_cycles_go_to_the_first_moment_that_all_levels_name(
    step: int, at: int, seconds: set[int], minutes: set[int], hours: set[int]
) -> None:
    """Seconds, minutes and hours together: what lies before is named by one of them at most."""
    levels = [(60, 1, sorted(seconds)), (3600, 60, sorted(minutes)), (86_400, 3600, sorted(hours))]

    def named(moment: int) -> bool:
        return all(moment % length // unit in values for length, unit, values in levels)

    wanted = next((moment for moment in range(at, at + 3000 * step, step) if named(moment)), None)
    found: int | None = at
    while found is not None and found < at + 3000 * step:
        ahead = _furthest(cycles(levels, step, at), found)
        if ahead == 0:
            break
        found = found + ahead if ahead is not None else None
    assert (found if found is not None and found < at + 3000 * step else None) == wanted


def _furthest(found: list[Cycle], at: int) -> int | None:
    ahead = [cycle.ahead(at) for cycle in found]
    return None if None in ahead else max((each for each in ahead if each is not None), default=0)


@pytest.mark.covers("REC-02", "REC-22")
@given(
    st.sampled_from(["HOURLY", "MINUTELY", "SECONDLY"]),
    st.data(),
    st.sets(st.integers(0, 23), max_size=4),
    st.sets(st.integers(0, 59), max_size=4),
    st.sets(st.integers(0, 59), max_size=4),
    st.sets(st.sampled_from(DAYS), max_size=4),
    st.sets(st.integers(1, 31), max_size=2),
)
def test_periods_that_rarely_meet_the_other_parts_are_found(
    frequency: str,
    data: st.DataObject,
    hours: set[int],
    minutes: set[int],
    seconds: set[int],
    days: set[str],
    dates: set[int],
) -> None:
    """Intervals around a day and a week and any others: the next time is that of the first period that will do."""
    unit = UNITS[frequency]
    near = st.sampled_from([86_400 // unit, 7 * 86_400 // unit, 43_200 // unit, 5400 // unit or 1])
    interval = data.draw(
        st.integers(1, 3 * 86_400 // unit)
        | st.builds(max, st.just(1), st.builds(int.__add__, near, st.integers(-3, 3)))
    )
    parts = {"FREQ": frequency, "INTERVAL": str(interval)}
    for name, values in (("BYHOUR", hours), ("BYMINUTE", minutes), ("BYSECOND", seconds), ("BYMONTHDAY", dates)):
        parts |= {name: ",".join(map(str, sorted(values)))} if values else {}
    parts |= {"BYDAY": ",".join(sorted(days))} if days else {}
    rule = rrule.parse(";".join(f"{name}={value}" for name, value in parts.items()))
    after = START + timedelta(seconds=data.draw(st.integers(0, 10**9)))
    wanted, until = _one_by_one(rule, after)
    found = rrule.walk(rule, START).next(after)
    assert (found if found is not None and found < until else None) == wanted


def _one_by_one(rule: rrule.Recurrence, after: datetime) -> tuple[datetime | None, datetime]:
    """The first time after one, by looking at 1,500 periods; and the instant up to which that was."""
    unit = [3600, 60, 1][rule.frequency - 4]
    step = timedelta(seconds=unit * rule.interval)
    begin = START.replace(minute=START.minute if unit < 3600 else 0, second=START.second if unit < 60 else 0)
    period = begin + (after - begin) // step * step
    inner_minutes = (rule.by_minute or (START.minute,)) if unit == 3600 else (0,)
    inner_seconds = (rule.by_second or (START.second,)) if unit > 1 else (0,)
    for _ in range(1500):
        for at in (period + timedelta(minutes=m, seconds=s) for m in inner_minutes for s in inner_seconds):
            if at > after and _named(rule, at):
                return at, at + step
        period += step
    return None, period


def _named(rule: rrule.Recurrence, at: datetime) -> bool:
    fields = [(rule.by_hour, at.hour), (rule.by_minute, at.minute), (rule.by_second, at.second)]
    fields += [(rule.by_month_day, at.day), (tuple(day for day, _ in rule.by_day), at.weekday())]
    return all(not values or value in values for values, value in fields)


@pytest.mark.covers("REC-02")
@pytest.mark.parametrize(
    ("text", "after", "slot"),
    [
        ("FREQ=MINUTELY;INTERVAL=1441;BYHOUR=9", "2026-03-05T09:59:07", "2029-12-16T09:00:07"),
        ("FREQ=SECONDLY;INTERVAL=86401;BYHOUR=10;BYMINUTE=0", "2026-02-26T09:00:59", "2035-11-07T10:00:00"),
        ("FREQ=SECONDLY;INTERVAL=86401;BYHOUR=10", "2026-02-26T09:00:59", "2035-11-07T10:00:00"),
        ("FREQ=HOURLY;INTERVAL=168;BYDAY=TU", "2026-02-26T09:00:59", "None"),
        ("FREQ=MINUTELY;INTERVAL=90;BYHOUR=10;BYMINUTE=0", "2026-02-26T09:00:59", "None"),
    ],
)
def test_periods_that_the_parts_exclude_are_not_gone_through(text: str, after: str, slot: str) -> None:
    """Neither the 1,380 days between two times of a rule, nor fifty years for one that never matches."""
    rule = rrule.walk(rrule.parse(text), START)
    before = RuleDays.days.cache_info()
    found = rule.next(datetime.fromisoformat(after))
    asked = RuleDays.days.cache_info()
    assert (found.isoformat() if found else "None") == slot
    assert asked.hits + asked.misses - before.hits - before.misses <= 2
