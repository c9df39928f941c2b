"""Days out of iCalendar files: the ends of what recurs, and events that are not what they say."""

from __future__ import annotations

from datetime import date

import pytest

from horae.domain import errors
from horae.domain.timing.daysfile import Imported, read_days


def read(*events: str) -> Imported:
    """2026 to 2031. Lines of an event are set apart by `|`."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//example//days//EN"]
    for number, event in enumerate(events):
        lines += ["BEGIN:VEVENT", f"UID:{number}", "DTSTAMP:20260101T000000Z", *event.split("|"), "END:VEVENT"]
    return read_days("\r\n".join([*lines, "END:VCALENDAR", ""]), date(2026, 1, 1), date(2031, 12, 31))


@pytest.mark.parametrize(
    ("rule", "years"),
    [
        ("UNTIL=20271231", [2026, 2027]),
        ("UNTIL=20271224T000000Z", [2026, 2027]),
        ("COUNT=2", [2026, 2027]),
        ("COUNT=2|EXDATE;VALUE=DATE:20261224", [2027]),
    ],
)
def test_what_recurs_ends_where_it_says(rule: str, years: list[int]) -> None:
    """By UNTIL, which is included, or by COUNT, of which an excluded day is one."""
    found = read(f"DTSTART;VALUE=DATE:20261224|SUMMARY:x|RRULE:FREQ=YEARLY;{rule}")
    assert ([day.date.year for day in found.days], found.passed_over) == (years, [])


def test_who_counts_begins_before_the_years_that_are_asked_for() -> None:
    """The third of five is the first that is wanted."""
    found = read("DTSTART;VALUE=DATE:20241224|SUMMARY:x|RRULE:FREQ=YEARLY;COUNT=5")
    assert [day.date.year for day in found.days] == [2026, 2027, 2028]


@pytest.mark.parametrize(
    ("lines", "days"),
    [
        ("RRULE:FREQ=MONTHLY;BYMONTHDAY=1;COUNT=3", ["12-24", "01-01", "02-01"]),
        ("RRULE:FREQ=MONTHLY;BYMONTHDAY=1;COUNT=3|EXDATE;VALUE=DATE:20261224", ["01-01", "02-01"]),
        ("RRULE:FREQ=DAILY;COUNT=2|RDATE;VALUE=DATE:20261231", ["12-24", "12-25", "12-31"]),
        ("RDATE;VALUE=DATE:20261231,20270106", ["12-24", "12-31", "01-06"]),
    ],
)
def test_the_start_and_dates_beside_a_rule_are_days_as_well(lines: str, days: list[str]) -> None:
    """Also a start that the rule does not name; it is the first that COUNT counts."""
    found = read(f"DTSTART;VALUE=DATE:20261224|SUMMARY:x|{lines}")
    assert ([f"{day.date:%m-%d}" for day in found.days], found.passed_over) == (days, [])


@pytest.mark.parametrize(
    "event",
    [
        "DTSTART;VALUE=DATE:20261224|RRULE:FREQ=YEARLY|RRULE:FREQ=MONTHLY",
        "DTSTART;VALUE=DATE:2026",
        "DTSTART;VALUE=DATE:20261224|RRULE:FREQ=YEARLY|EXDATE:garbage",
        "DTSTART;VALUE=DATE:20261224|DURATION:P99999999999D",
        "DTSTART;VALUE=DATE:99991231",
        "DTSTART;VALUE=DATE:20261224|RRULE:FREQ=SECONDLY",
        "DTSTART;VALUE=DATE:20261224|RRULE:garbage",
    ],
)
def test_an_event_that_cannot_be_read_is_passed_over(event: str) -> None:
    """With its reason, and the others are read."""
    found = read(f"SUMMARY:odd|{event}", "SUMMARY:good|DTSTART;VALUE=DATE:20261231")
    assert [day.name for day in found.days] == ["good"]
    ((name, why),) = found.passed_over
    assert (name, bool(why)) == ("odd", True)


def test_a_file_of_too_many_days_is_refused_when_there_are_too_many() -> None:
    """Two days a day of five years; not read to its end first."""
    daily = "DTSTART;VALUE=DATE:20260101|SUMMARY:{}|RRULE:FREQ=DAILY"
    with pytest.raises(errors.Invalid, match="more than 2000 days") as refused:
        read(daily.format("a"), daily.format("b"))
    assert refused.value.field == "body"
