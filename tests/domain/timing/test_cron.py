"""The cron walker, held against a scan of every minute and against croniter itself."""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime, timedelta
from functools import lru_cache

import pytest
from croniter import croniter

from horae.domain import errors
from horae.domain.timing import cron
from tests.domain.timing.cron_scan import scan

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
# What croniter refuses or reads otherwise: seconds come first here, `1-1` is the first and not every day.
OWN = """
0 9 1-1 * *|0 9 * * 5-5|0 4-4 * * *|0 22-4/5 * * *|0 9 * * 1,5#2|0 9 * * 5L|0 9 * * FRIL|0 9 * * 7L|0 9 15W * *
0 9 1W * *|0 9 31W * *|0 9 30W,L * *|0 9 LW * *|0 9 L-3 * *|0 9 L-3W * *|0 9 L-30 * *|0 9 1W,LW 2,5 *|0 9 ? * 1-5
0 9 1 * ?|0 9 L * 5L|0 9 15W * MON|0 0 9 * * *|30 0 9 * * MON-FRI|*/20 59 23 L * ?|15,45 */30 12 1W * ?
0 0/15 8-9 ? * 2#1|5-55/10 0 0 1 1 *|0 0 9 ? * 6L
"""
OWN_CASES = [e for line in OWN.strip().splitlines() for e in line.split("|")]
CASES = [e for line in EXPRESSIONS.strip().splitlines() for e in line.split("|")]
YEAR = datetime(2028, 1, 1)  # noqa: DTZ001 - naive local time
MINUTE = timedelta(minutes=1)


@lru_cache(maxsize=4)
def _walked(expression: str) -> list[datetime]:
    rule = cron.parse(expression)
    found = []
    at = rule.next(YEAR - timedelta(seconds=1))
    while at is not None and at.year == YEAR.year:
        found.append(at)
        at = rule.next(at)
    return found


@pytest.mark.covers("REC-04", "REC-21")
@pytest.mark.parametrize("expression", CASES + OWN_CASES)
def test_the_walker_finds_what_a_scan_of_every_minute_finds(expression: str) -> None:
    """Over a leap year the walker's times are exactly the minutes that the expression names."""
    assert _walked(expression) == scan(expression, YEAR.date(), YEAR.replace(month=12, day=31).date())


@pytest.mark.covers("REC-04")
@pytest.mark.parametrize("expression", [e for e in CASES if e != "0 12 1 * 5#2"])  # croniter always wants both there
def test_the_walker_agrees_with_croniter(expression: str) -> None:
    """On naive time croniter, with the classic daemon's reading of the day fields, steps to the same times."""
    steps = croniter(expression, YEAR - MINUTE, implement_cron_bug=True)
    walked = _walked(expression)[:400]
    assert [steps.get_next(datetime) for _ in walked] == walked


@pytest.mark.parametrize("expression", CASES + OWN_CASES)
def test_the_walker_resumes_anywhere(expression: str) -> None:
    """From any minute or second the next time is the first of the full list that is later."""
    walked = _walked(expression)
    rule = cron.parse(expression)
    for minutes in range(0, 360 * 1440, 7919):
        at = YEAR + timedelta(minutes=minutes, seconds=minutes % 60, microseconds=minutes % 3)
        i = bisect_right(walked, at)
        if i < len(walked):
            assert rule.next(at) == walked[i]


@pytest.mark.covers("REC-21")
@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "0 fields"),
        ("* * * *", "4 fields"),
        ("0 0 9 * * ? 2027", "none for years"),
        ("60 * * * *", "the minute 60 is out of range, which is 0 to 59"),
        ("60 0 9 * * *", "the second 60 is out of range"),
        ("0 25 * * *", "the hour 25 is out of range, which is 0 to 23"),
        ("0 9 * * FOO", "'FOO' is not a day of week: the names are SUN"),
        ("0 9 * 13 *", "the month 13 is out of range, which is 1 to 12"),
        ("0 9 32 * *", "the day of month 32 is out of range"),
        ("0 9 0 * *", "the day of month 0 is out of range"),
        ("0 9 * * 8", "the day of week 8 is out of range, which is 0 to 7"),
        ("0 9 * * 1#6", "the number after # 6 is out of range, which is 1 to 5"),
        ("0 9 * * L", "5L"),
        ("0 9 L-31 * *", "is out of range, which is 0 to 30"),
        ("0 9 1-5W * *", "'1-5W' is not a day of month"),
        ("0 9 32W * *", "the day of month 32 is out of range"),
        ("*/0 * * * *", "the step of the minute 0 is out of range"),
        ("5, * * * *", "'' is not a minute"),
        ("? 9 * * *", "'?' is not a minute"),
        ("0 9 *-5 * *", "'*-5' is not a day of month"),
        ("@reboot", "@daily"),
        ("@every 5m", "@daily"),
        ("H 9 * * *", "random"),
        ("R(0-5) 9 * * *", "random"),
        ("\x00 9 * * *", "is not a minute"),
        ("٣ 9 * * *", "is not a minute"),
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
