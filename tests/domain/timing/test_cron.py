"""The cron walker, held against a scan of every minute and against croniter itself."""

from __future__ import annotations

from calendar import monthrange
from datetime import datetime, timedelta

import pytest
from croniter import croniter

from horae.domain import errors
from horae.domain.timing import cron

# What has to be walked right; 2028 has a leap day.
EXPRESSIONS = """
* * * * *|*/5 * * * *|*/7 * * * *|0 * * * *|30 */2 * * *|15 1-23/3 * * *|0 0 * * *|0 9 * * MON-FRI|0 9 * * 1-5
0 9 * * 0|0 9 * * 7|0 9 * * SUN|0 9 * * 6,0|0 9 * * sat,SUN|0 9 * * FRI-MON|0 9 * * 5-7|0 9 1 * *|0 9 31 * *
0 9 29 2 *|0 9 L * *|0 9 15,L * *|0 9 1,15 * *|0 9 1-7 * MON|0 9 13 * FRI|0 9 */2 * MON|0 9 * * */2|0 9 1-31/2 * *
0 9 10-20 * *|0 0 1 1 *|59 23 31 12 *|0 12 1 */3 *|0 12 1 JAN,APR,JUL,OCT *|0 12 * JUN-AUG *|0 12 * 6-8 1-5
0,30 8-18 * * 1-5|0-10/2 5 * * *|5/15 * * * *|10,20,30 6,18 * * *|0 22-2 * * *|45 23 L 2 *|0 12 * * 5#2
0 12 * * 1#1|0 12 * * 1#5|0 12 * * MON#1,WED#3|0 12 * * L5|0 12 * * L0|0 12 * 2 L1|0 12 1 * 5#2|1 2 3 4 *|1 2 3 4 5
1 2 3 * 5|*/59 */23 * * *|0 */24 * * *|17 3 8-14 * 2|0 6 28-31 * *|0 6 30 4,6,9,11 *|0 6 31 1,3 *|20 4 * * 1,3,5
0 0 1,11,21 */2 *|0 7 1-5 1 *
"""
CASES = [e for line in EXPRESSIONS.strip().splitlines() for e in line.split("|")]
YEAR = datetime(2028, 1, 1)  # noqa: DTZ001 - naive local time
MINUTE = timedelta(minutes=1)


def _walked(expression: str) -> list[datetime]:
    rule = cron.parse(expression)
    found = []
    at = rule.next(YEAR - MINUTE)
    while at is not None and at.year == YEAR.year:
        found.append(at)
        at = rule.next(at)
    return found


def _scanned(expression: str) -> list[datetime]:
    """Every minute of the year against fields read in the most literal way."""
    text = expression.upper()
    for i, name in enumerate(["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]):
        text = text.replace(name, str(i))
    for i, name in enumerate(["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"], 1):
        text = text.replace(name, str(i))
    minute, hour, dom, month, dow = text.split()
    minutes, hours = _values(minute, 0, 59), _values(hour, 0, 23)
    either = not dom.startswith("*") and not dow.startswith("*")
    found = []
    day = YEAR
    while day.year == YEAR.year:
        length = monthrange(day.year, day.month)[1]
        by_dom = day.day in _values(dom.replace("L", str(length)), 1, 31)
        by_dow = _weekday_matches(dow, day, length)
        if day.month in _values(month, 1, 12) and (by_dom or by_dow if either else by_dom and by_dow):
            found += [day + timedelta(minutes=m) for m in range(1440) if m // 60 in hours and m % 60 in minutes]
        day += timedelta(days=1)
    return found


def _values(field: str, least: int, greatest: int) -> set[int]:
    found: set[int] = set()
    for item in field.split(","):
        span, _, step = item.partition("/")
        low, _, high = span.partition("-")
        first = least if span == "*" else int(low)
        last = greatest if span == "*" or (step and not high) else int(high or low)
        run = range(first, last + 1) if first <= last else [*range(first, greatest + 1), *range(least, last + 1)]
        found |= set(list(run)[:: int(step or 1)])
    return found


def _weekday_matches(field: str, day: datetime, length: int) -> bool:
    today = day.isoweekday() % 7
    if "#" in field:
        pairs = [item.split("#") for item in field.split(",")]
        return any(today == int(d) % 7 and (day.day - 1) // 7 + 1 == int(n) for d, n in pairs)
    if field.startswith("L"):
        return today == int(field[1:]) and day.day + 7 > length
    if field == "FRI-MON" or field == "5-1":
        return today in {5, 6, 0, 1}
    return today in {value % 7 for value in _values(field, 0, 7 if "*" not in field else 6)}


@pytest.mark.covers("REC-04", "REC-21")
@pytest.mark.parametrize("expression", CASES)
def test_the_walker_finds_what_a_scan_of_every_minute_finds(expression: str) -> None:
    """Over a leap year the walker's times are exactly the minutes that the expression names."""
    assert _walked(expression) == _scanned(expression)


@pytest.mark.covers("REC-04")
@pytest.mark.parametrize("expression", [e for e in CASES if e != "0 12 1 * 5#2"])  # croniter always wants both there
def test_the_walker_agrees_with_croniter(expression: str) -> None:
    """On naive time croniter, with the classic daemon's reading of the day fields, steps to the same times."""
    steps = croniter(expression, YEAR - MINUTE, implement_cron_bug=True)
    walked = _walked(expression)[:400]
    assert [steps.get_next(datetime) for _ in walked] == walked


@pytest.mark.parametrize("expression", CASES)
def test_the_walker_resumes_anywhere(expression: str) -> None:
    """From any minute or second the next time is the first of the full list that is later."""
    walked = _walked(expression)
    rule = cron.parse(expression)
    for minutes in range(0, 360 * 1440, 7919):
        at = YEAR + timedelta(minutes=minutes, seconds=minutes % 60, microseconds=minutes % 3)
        wanted = next((found for found in walked if found > at), None)
        if wanted is not None:
            assert rule.next(at) == wanted


@pytest.mark.covers("REC-21")
@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "0 fields"),
        ("* * * *", "4 fields"),
        ("0 0 9 * * *", "seconds have no place"),
        ("60 * * * *", "out of range"),
        ("0 25 * * *", "out of range"),
        ("0 9 * * FOO", "not acceptable"),
        ("0 9 32 * *", "out of range"),
        ("@reboot", "@daily"),
        ("H 9 * * *", "random"),
        ("R(0-5) 9 * * *", "random"),
        ("0 9 * * 5L", "not acceptable"),
        ("0 9 15W * *", "not acceptable"),
        ("\x00 9 * * *", "not acceptable"),
    ],
)
def test_what_is_no_expression_is_refused_with_a_right_one(expression: str, said: str) -> None:
    """The refusal names the field, the value, what is wrong, and an expression that would do."""
    with pytest.raises(errors.Invalid) as refused:
        cron.parse(expression)
    assert refused.value.field == "timing.cron"
    assert refused.value.value == expression
    assert said in refused.value.message
    assert "0 9 * * MON-FRI" in (refused.value.hint or "")
