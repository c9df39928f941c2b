"""Recurrence rules, held against python-dateutil on naive time."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice, pairwise

import pytest
from dateutil.rrule import rrulestr
from hypothesis import assume, given
from hypothesis import strategies as st

from horae.domain import errors
from horae.domain.timing import rrule

# The examples of RFC 5545 §3.8.5.3 without COUNT and UNTIL, and the corners around them.
RULES = """
FREQ=DAILY|FREQ=DAILY;INTERVAL=2|FREQ=DAILY;INTERVAL=10|FREQ=YEARLY;BYMONTH=1;BYDAY=SU,MO,TU,WE,TH,FR,SA
FREQ=DAILY;BYMONTH=1|FREQ=WEEKLY|FREQ=WEEKLY;INTERVAL=2;WKST=SU|FREQ=WEEKLY;WKST=SU;BYDAY=TU,TH
FREQ=WEEKLY;INTERVAL=2;WKST=SU;BYDAY=MO,WE,FR|FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=MO
FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=SU|FREQ=MONTHLY;BYDAY=1FR|FREQ=MONTHLY;INTERVAL=2;BYDAY=1SU,-1SU
FREQ=MONTHLY;BYDAY=-2MO|FREQ=MONTHLY;BYMONTHDAY=-3|FREQ=MONTHLY;BYMONTHDAY=2,15|FREQ=MONTHLY;BYMONTHDAY=1,-1
FREQ=MONTHLY;INTERVAL=18;BYMONTHDAY=10,11,12,13,14,15|FREQ=MONTHLY;INTERVAL=2;BYDAY=TU|FREQ=YEARLY;BYMONTH=6,7
FREQ=YEARLY;INTERVAL=2;BYMONTH=1,2,3|FREQ=YEARLY;INTERVAL=3;BYYEARDAY=1,100,200|FREQ=YEARLY;BYDAY=20MO
FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO|FREQ=YEARLY;BYMONTH=3;BYDAY=TH|FREQ=YEARLY;BYDAY=TH;BYMONTH=6,7,8
FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13|FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13
FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8|FREQ=MONTHLY;BYDAY=TU,WE,TH;BYSETPOS=3
FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2|FREQ=HOURLY;INTERVAL=3|FREQ=MINUTELY;INTERVAL=15|FREQ=MINUTELY;INTERVAL=90
FREQ=DAILY;BYHOUR=9,10,11,12,13,14,15,16;BYMINUTE=0,20,40|FREQ=MINUTELY;INTERVAL=20;BYHOUR=9,10,11,12,13,14,15,16
FREQ=YEARLY|FREQ=MONTHLY|FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29|FREQ=YEARLY;BYYEARDAY=-1,60|FREQ=YEARLY;BYYEARDAY=366
FREQ=YEARLY;BYWEEKNO=1,53,-1;BYDAY=MO,SU|FREQ=YEARLY;BYWEEKNO=1;WKST=SU;BYDAY=SA|FREQ=YEARLY;BYDAY=1MO,-1FR
FREQ=YEARLY;BYDAY=MO,TU;BYSETPOS=1,-1|FREQ=WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=-1|FREQ=DAILY;BYHOUR=6,18;BYSETPOS=2
FREQ=HOURLY;INTERVAL=5;BYDAY=MO|FREQ=HOURLY;BYMONTHDAY=-1;BYMINUTE=0,30|FREQ=HOURLY;BYMINUTE=5,10,15;BYSETPOS=-1
FREQ=HOURLY;INTERVAL=7;BYHOUR=9,17|FREQ=MINUTELY;INTERVAL=7;BYHOUR=3;BYDAY=SU|FREQ=SECONDLY;INTERVAL=45
FREQ=SECONDLY;INTERVAL=86399|FREQ=SECONDLY;INTERVAL=30;BYHOUR=5;BYMINUTE=10|FREQ=MINUTELY;BYSECOND=0,30;BYHOUR=0
FREQ=SECONDLY;BYMINUTE=7;BYSECOND=1,59;BYYEARDAY=100
"""
CASES = [rule for line in RULES.strip().splitlines() for rule in line.split("|")]
STARTS = [datetime.fromisoformat(text) for text in ("1997-09-02T09:00", "2024-02-29T23:59:30", "2025-12-31T02:30")]


def _ours(text: str, start: datetime, n: int) -> list[datetime]:
    rule = rrule.walk(rrule.parse(text), start)
    found: list[datetime] = []
    at = rule.next(start - timedelta(seconds=1))
    while at is not None and len(found) < n:
        found.append(at)
        at = rule.next(at)
    return found


@pytest.mark.covers("REC-01", "REC-02", "REC-22")
@pytest.mark.parametrize("start", STARTS, ids=str)
@pytest.mark.parametrize("text", CASES)
def test_rules_come_to_what_dateutil_says(text: str, start: datetime) -> None:
    """The first times of a rule from a start are those of python-dateutil, in order."""
    wanted = list(islice(rrulestr(text, dtstart=start), 60))
    if "BYSETPOS" in text and start.date() not in {d.date() for d in wanted}:
        # dateutil cuts the first week at DTSTART before it counts positions; RFC 5545 counts in the whole week.
        wanted = wanted[1:]
    ours = _ours(text, start, 62)
    skipped = 0 if not wanted or not ours else next((i for i, at in enumerate(ours) if at >= wanted[0]), 0)
    assert skipped <= 2
    assert ours[skipped : skipped + len(wanted[:59])] == wanted[: min(59, len(ours) - skipped)]


@pytest.mark.parametrize("text", CASES)
def test_a_rule_resumes_anywhere(text: str) -> None:
    """From any second the next time is the first of the walk that is later."""
    start = STARTS[0]
    times = _ours(text, start, 80)
    rule = rrule.walk(rrule.parse(text), start)
    for before, after in pairwise(times):
        middle = before + (after - before) / 2
        assert rule.next(middle) == after
        assert rule.next(after - timedelta(microseconds=1)) == after


@given(
    st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY"]),
    st.integers(1, 5),
    st.sets(st.integers(1, 12), max_size=3),
    st.sets(st.sampled_from(["MO", "TU", "WE", "TH", "FR", "SA", "SU"]), max_size=3),
    st.sets(st.sampled_from([1, 2, 15, 28, 30, 31, -1, -2]), max_size=3),
    st.sets(st.integers(0, 23), max_size=3),
    st.datetimes(datetime.fromisoformat("1990-01-01"), datetime.fromisoformat("2040-01-01")),
)
def test_any_combination_agrees_with_dateutil(
    frequency: str, interval: int, months: set[int], days: set[str], dates: set[int], hours: set[int], start: datetime
) -> None:
    """Rules put together at random come to the same times as in python-dateutil, as far as a search may look."""
    parts = {"FREQ": frequency, "INTERVAL": str(interval)}
    parts |= {"BYMONTH": ",".join(map(str, sorted(months)))} if months else {}
    parts |= {"BYDAY": ",".join(sorted(days))} if days else {}
    parts |= {"BYMONTHDAY": ",".join(map(str, sorted(dates)))} if dates and frequency != "WEEKLY" else {}
    parts |= {"BYHOUR": ",".join(map(str, sorted(hours)))} if hours and frequency != "HOURLY" else {}
    text = ";".join(f"{name}={value}" for name, value in parts.items())
    start = start.replace(microsecond=0)
    ours = _ours(text, start, 12)
    assume(ours)
    assert ours == list(islice(rrulestr(text, dtstart=start), len(ours)))


@pytest.mark.covers("REC-22")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not NAME=VALUE"),
        ("INTERVAL=2", "FREQ is missing"),
        ("FREQ=FORTNIGHTLY", "FREQ is one of"),
        ("FREQ=DAILY;FREQ=DAILY", "twice"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL is a whole number from 1"),
        ("FREQ=DAILY;COUNT=0", "COUNT is a whole number from 1"),
        ("FREQ=DAILY;COUNT=3;UNTIL=20270101", "exclude each other"),
        ("FREQ=DAILY;UNTIL=tomorrow", "UNTIL is a date"),
        ("FREQ=DAILY;UNTIL=20271332", "month must be in 1..12"),
        ("FREQ=DAILY;BYHOUR=24", "BYHOUR takes 0 to 23"),
        ("FREQ=DAILY;BYDAY=2MO", "numbered days"),
        ("FREQ=YEARLY;BYDAY=0MO", "BYDAY takes days"),
        ("FREQ=MONTHLY;BYWEEKNO=3", "BYWEEKNO has no meaning"),
        ("FREQ=WEEKLY;BYMONTHDAY=3", "BYMONTHDAY has no meaning"),
        ("FREQ=MONTHLY;BYSETPOS=1", "BYSETPOS needs another"),
        ("FREQ=YEARLY;BYEASTER=1", "not a part of RFC 5545"),
        ("DTSTART=20260101T000000;FREQ=DAILY", "starts_at"),
        ("FREQ=WEEKLY;WKST=XX", "WKST is one of"),
    ],
)
def test_what_is_no_rule_is_refused_with_a_right_one(text: str, said: str) -> None:
    """The refusal names the field, the value, what is wrong, and a rule that would do."""
    with pytest.raises(errors.Invalid) as refused:
        rrule.parse(text)
    assert refused.value.field == "timing.rrule"
    assert said in refused.value.message
    assert "FREQ=MONTHLY" in (refused.value.hint or "")
