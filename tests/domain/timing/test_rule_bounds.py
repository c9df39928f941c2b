"""Recurrence rules at the edges of the years that slots may have, and of what one rule may cost."""

from __future__ import annotations

import pytest

from horae.domain import errors
from horae.domain import timing as t
from horae.domain.timing.series import series_of
from tests.domain.timing.cases import context, every, locals_of, take

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
