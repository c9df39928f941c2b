"""What a calendar file may bring at once, however it is folded."""

from __future__ import annotations

from datetime import date

import pytest

from horae.domain import errors
from horae.domain.timing import contentlines
from horae.domain.timing.daysfile import read_days

#: A line, how often it may come, and what there is too much of with one more.
LIMITS = [
    ("X:", contentlines.MOST_LINES, "lines"),
    ("BEGIN:X", contentlines.MOST_COMPONENTS, "components"),
    ("begin:vevent", contentlines.MOST_COMPONENTS, "VEVENTs"),
    ("BEGIN:VTIMEZONE", contentlines.MOST_ZONES, "VTIMEZONEs"),
    ('BEGIN;X="a:b":VTIMEZONE', contentlines.MOST_ZONES, "VTIMEZONEs"),
    ("BEGIN:STANDARD", contentlines.MOST_OBSERVANCES, "STANDARD and DAYLIGHT"),
    ("BEGIN:DAYLIGHT", contentlines.MOST_OBSERVANCES, "STANDARD and DAYLIGHT"),
    ("ATTENDEE;CN=Ann:mailto:ann@example.com", contentlines.MOST_ATTENDEES, "attendees"),
    ("EXDATE;TZID=Europe/Berlin:20270104T090000", contentlines.MOST_DATES, "dates"),
    ("RDATE:20270104T090000Z", contentlines.MOST_DATES, "dates"),
    ("FREEBUSY:20270104T090000Z/PT1H", contentlines.MOST_DATES, "dates"),
    ("CATEGORIES:a,b,c,d,e", contentlines.MOST_LISTED // 5, "values of rules and categories"),
    ("RRULE:FREQ=DAILY;BYHOUR=1,2,3,4", contentlines.MOST_LISTED // 5, "values of rules and categories"),
]


@pytest.mark.parametrize("fold", ["", "\r\n ", "\n\t", "\r\n\r\n "])
@pytest.mark.parametrize(("line", "most", "what"), LIMITS)
def test_so_much_is_taken_and_no_more(line: str, most: int, what: str, fold: str) -> None:
    """A line that is folded is one."""
    folded = f"{line[:1]}{fold}{line[1:]}\r\n"
    contentlines.check(folded * most)
    with pytest.raises(errors.Invalid, match=f"The file has [0-9]+ {what}, at most"):
        contentlines.check(folded * (most + 1))


def test_dates_on_one_line_are_counted() -> None:
    """As if each had a line of its own."""
    with pytest.raises(errors.Invalid, match="5001 dates, at most 5000"):
        contentlines.check("EXDATE:" + ",".join(["20270104T090000Z"] * (contentlines.MOST_DATES + 1)))


def test_a_calendars_days_have_the_same_limits() -> None:
    """Before they are read."""
    lines = "X:\r\n" * contentlines.MOST_LINES
    with pytest.raises(errors.Invalid, match="50001 lines, at most 50000"):
        read_days(f"BEGIN:VCALENDAR\r\n{lines}", date(2026, 1, 1), date(2027, 1, 1))
