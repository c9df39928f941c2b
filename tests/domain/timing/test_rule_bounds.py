"""Recurrence rules at the edges of the years that slots may have, and of what one rule may cost."""

from __future__ import annotations

from calendar import monthrange
from datetime import date, datetime, timedelta

import pytest

from horae.domain import errors
from horae.domain import timing as t
from horae.domain.timing import rrule, ruleset
from horae.domain.timing.ruledays import RuleDays, SetWalk
from horae.domain.timing.series import series_of
from horae.domain.timing.walker import DayWalk
from tests.domain.timing.cases import context, every, locals_of, take

START = datetime.fromisoformat("2026-01-05T09:00")
CTX = context("2025-12-31T00:00Z")


@pytest.mark.covers("REC-05")
@pytest.mark.parametrize("until", ["99991231", "99991231T235959", "99991231T235959Z", "22000101"])
@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York", "recipient"])
@pytest.mark.parametrize("more", ["", "\nEXDATE:20260102"])
def test_an_until_for_ever_is_one(until: str, zone: str, more: str) -> None:
    """Calendars write "without end" as the last day of the year 9999, alone or in a set."""
    rule = every(rrule=f"FREQ=DAILY;UNTIL={until}{more}", starts_at="2026-01-01T09:00", zone=zone)
    timing = t.normalise(rule, CTX)
    assert locals_of(take(timing, CTX, 3))[-1] == ("2026-01-04T09:00" if more else "2026-01-03T09:00")
    tokyo = context("2199-12-30T00:00Z", recipient_zone="Asia/Tokyo")
    assert isinstance(timing, t.Every)
    assert t.after(timing, tokyo.now, tokyo) is not None
    late = context("2199-12-31T23:59:59Z", recipient_zone="Asia/Tokyo")
    assert t.after(timing, late.now, late) is None


@pytest.mark.parametrize("until", ["00010101", "00010101T000000", "00010101T000000Z", "19691231T000000"])
@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
def test_an_until_before_all_years_leaves_nothing(until: str, zone: str) -> None:
    """Refused like every series that has ended."""
    with pytest.raises(errors.Invalid, match="No slot"):
        t.normalise(every(rrule=f"FREQ=DAILY;UNTIL={until}", zone=zone), CTX)


@pytest.mark.covers("REC-22")
@pytest.mark.parametrize("date", ["99991231", "99991231T235959Z", "00010101T000000Z", "19691231", "22000101"])
@pytest.mark.parametrize("name", ["RDATE", "EXDATE"])
@pytest.mark.parametrize("rules", ["RRULE:FREQ=DAILY;COUNT=2\n", ""])
def test_dates_outside_the_years_are_refused(date: str, name: str, rules: str) -> None:
    """The refusal tells the date and the years; nothing that names such a date is accepted."""
    text = f"{rules}{name}:{date}" if rules or name == "RDATE" else f"RDATE:20260301\nEXDATE:{date}"
    with pytest.raises(errors.Invalid, match=f"{date[:4]}-.* is outside the years 1970 to 2199") as refused:
        t.normalise(every(rrule=text, zone="Asia/Tokyo"), CTX)
    assert refused.value.field == "timing.rrule"
    assert refused.value.hint


@pytest.mark.parametrize("date", ["99991231", "99991231T235959Z", "00010101T000000Z"])
def test_dates_outside_the_years_that_were_accepted_once_are_passed_over(date: str) -> None:
    """A schedule that has them runs to the end of its other dates."""
    text = f"RRULE:FREQ=DAILY;COUNT=2\nRDATE:{date}\nEXDATE:{date}"
    timing = every(rrule=text, starts_at="2026-01-01T09:00", zone="Asia/Tokyo", gap="shift", overlap="first")
    assert locals_of(take(timing, CTX, 5)) == ["2026-01-01T09:00", "2026-01-02T09:00"]


def test_a_rule_that_comes_again_after_all_years_has_ended() -> None:
    """Every forty-third year from 2190: the next would be past the end, and is not looked for."""
    timing = every(rrule="FREQ=YEARLY;INTERVAL=43", starts_at="2190-03-01T09:00", zone="UTC", gap="shift")
    series = series_of(timing, "UTC")
    first = series.later(series.begin)
    assert first is not None
    assert series.later(first.due) is None


@pytest.mark.covers("REC-22")
@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([f"RRULE:FREQ=YEARLY;BYYEARDAY={day}" for day in range(1, 66)], "65 RRULE lines, at most 64"),
        (["RRULE:FREQ=DAILY;COUNT=10001", "RRULE:FREQ=WEEKLY;COUNT=10000"], "COUNTs come to 20001"),
    ],
)
def test_a_set_that_would_cost_every_slot_too_much_is_refused(lines: list[str], said: str) -> None:
    """One rule or one count fewer is accepted."""
    with pytest.raises(errors.Invalid, match=said) as refused:
        t.normalise(every(rrule="\n".join(lines), zone="UTC"), CTX)
    assert refused.value.field == "timing.rrule"
    assert refused.value.hint
    assert t.normalise(every(rrule="\n".join([*lines[:-1], "EXDATE:20260105"]), zone="UTC"), CTX)


class Counting:
    """A rule of every so many days that counts how often it is asked."""

    def __init__(self, days: int) -> None:
        self.days, self.asked = days, 0

    def next(self, local: datetime) -> datetime | None:
        self.asked += 1
        return START + ((local - START) // timedelta(days=self.days) + 1) * timedelta(days=self.days)


def test_a_part_whose_time_is_still_to_come_is_not_asked_again() -> None:
    """Of a daily and a hundred-daily rule, a hundred slots ask the second once; going back asks it anew."""
    daily, rare = Counting(1), Counting(100)
    union = ruleset.Union([daily, rare], frozenset(), frozenset())
    found: datetime | None = START
    for _ in range(100):
        assert found is not None
        found = union.next(found)
    assert found == START + timedelta(days=100)
    assert (daily.asked, rare.asked) == (100, 1)
    assert union.next(START - timedelta(days=250)) == START - timedelta(days=249)
    assert rare.asked == 2


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=DAILY;BYHOUR=9;BYSETPOS=2",
        "FREQ=WEEKLY;BYDAY=MO,TU;BYSETPOS=-3",
        "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=6",
        "FREQ=MONTHLY;BYMONTHDAY=1,-1;BYSETPOS=3",
        "FREQ=YEARLY;BYMONTH=3;BYDAY=2MO;BYSETPOS=2",
        "FREQ=YEARLY;BYYEARDAY=20,40;BYSETPOS=3",
        "FREQ=YEARLY;BYDAY=-1TH;BYSETPOS=3",
        "FREQ=YEARLY;BYWEEKNO=5,52;BYSETPOS=-21",
        "FREQ=HOURLY;BYMINUTE=9;BYSETPOS=2",
    ],
)
def test_positions_that_no_period_has_are_not_looked_for(rule: str) -> None:
    """Not one month's table is made for them, alone or beside another rule."""
    walk = rrule.walk(rrule.parse(rule), START)
    before = RuleDays.days.cache_info()
    assert walk.next(START) is None
    assert RuleDays.days.cache_info() == before


@pytest.mark.parametrize(
    "days", ["BYDAY=MO,FR", "BYDAY=2MO,-1MO,FR", "BYMONTHDAY=1,31,-1", "BYMONTH=1,2", "BYWEEKNO=1,-1"]
)
@pytest.mark.parametrize("frequency", ["YEARLY", "MONTHLY"])
def test_no_period_has_more_days_than_the_bound(frequency: str, days: str) -> None:
    """Twelve years, leap years among them: a position within the longest period is therefore looked for."""
    if "BYWEEKNO" in days and frequency == "MONTHLY":
        return  # RFC 5545 has week numbers in a year only
    walk = rrule.walk(rrule.parse(f"FREQ={frequency};{days};BYSETPOS=1"), START)
    assert isinstance(walk, SetWalk)
    table = walk._days
    for year in range(2024, 2036):
        assert all(len(table.period(date(year, month, 1))) <= table.most for month in range(1, 13))


@pytest.mark.covers("REC-02")
@pytest.mark.parametrize("week_start", ["MO", "SU", "TH"])
@pytest.mark.parametrize("weeks", ["1", "53", "-1", "-53", "1,27,-2", "20;BYDAY=MO", "52,-52;BYDAY=SU,MO"])
def test_the_days_of_named_weeks_are_those_whose_own_week_has_the_number(weeks: str, week_start: str) -> None:
    """Around each new year, where weeks belong to the year beside: forty years, each day held to ISO 8601's count."""
    table = rrule.walk(rrule.parse(f"FREQ=YEARLY;BYWEEKNO={weeks};WKST={week_start}"), START)
    assert isinstance(table, DayWalk)
    assert isinstance(table.table, RuleDays)
    for year, month in ((year, month) for year in range(1990, 2030) for month in (1, 2, 5, 7, 12)):
        length = monthrange(year, month)[1]
        literal = tuple(day for day in range(1, length + 1) if table.table._matches(date(year, month, day)))
        assert table.table.days(year, month) == literal
