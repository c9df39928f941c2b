"""The most literal reading of a cron expression: every day of a stretch, every second or minute, held to each field.

It shares nothing with `domain/timing/cron.py`: no tables, no stepping, no code for its grammar.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import date, datetime, timedelta

_MACROS = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *"}
_MACROS |= {"@midnight": "0 0 * * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *"}
_DAYS = {name: i for i, name in enumerate(["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"])}
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]


def scan(expression: str, first: date, last: date) -> list[datetime]:
    """The naive local times from `first` to `last` (both included) that the expression names, in order."""
    fields = _MACROS.get(expression.lower(), expression).upper().split()
    second, minute, hour, dom, month, dow = ["0", *fields] if len(fields) == 5 else fields
    for i, name in enumerate(_MONTHS, 1):
        month = month.replace(name, str(i))
    seconds, minutes, hours = _values(second, 0, 59), _values(minute, 0, 59), _values(hour, 0, 23)
    times = [
        timedelta(hours=h, minutes=m, seconds=s)
        for h in range(24)
        if h in hours
        for m in range(60)
        if m in minutes
        for s in range(60)
        if s in seconds
    ]
    months = _values(month, 1, 12)
    found: list[datetime] = []
    day = first
    while day <= last:
        if day.month in months and _is_named(day, dom, dow):
            midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - local times are naive
            found += [midnight + time for time in times]
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


def _is_named(day: date, dom: str, dow: str) -> bool:
    by_dom = dom == "?" or any(_is_day(day, item) for item in dom.split(","))
    by_dow = dow == "?" or any(_is_weekday(day, item) for item in dow.split(","))
    return by_dom and by_dow if dom[0] in "*?" or dow[0] in "*?" else by_dom or by_dow


def _is_day(day: date, item: str) -> bool:
    length = monthrange(day.year, day.month)[1]
    if not item.startswith("L") and not item.endswith("W"):
        return day.day in _values(item, 1, 31)
    target = item.removesuffix("W")
    wanted = length - int(target[2:] or 0) if target.startswith("L") else int(target)
    if not 1 <= wanted <= length:
        return False
    if not item.endswith("W"):
        return day.day == wanted
    # Of the month's weekdays the nearest; of two as near, a Saturday's Friday and a Sunday's Monday.
    weekdays = [d for d in range(1, length + 1) if day.replace(day=d).weekday() < 5]
    prefers_earlier = day.replace(day=wanted).weekday() == 5
    nearest = min(weekdays, key=lambda d: (abs(d - wanted), (d > wanted) == prefers_earlier))
    return day.day == nearest


def _is_weekday(day: date, item: str) -> bool:
    for name, number in _DAYS.items():
        item = item.replace(name, str(number))
    today = day.isoweekday() % 7
    if "#" in item:
        wanted, nth = item.split("#")
        return today == int(wanted) % 7 and (day.day - 1) // 7 + 1 == int(nth)
    if "L" in item:
        return today == int(item.replace("L", "")) % 7 and (day + timedelta(days=7)).month != day.month
    low, dash, high = item.partition("/")[0].partition("-")
    step = int(item.partition("/")[2] or 1)
    if not dash:
        return today in {v % 7 for v in _values(item, 0, 7 if low != "*" and "/" not in item else 6)}
    walked, at = [int(low) % 7], int(low) % 7
    last = int(high) % 7
    while at != last or (len(walked) == 1 and low == "0" and high == "7"):  # 0-7 is the whole week
        at = (at + 1) % 7
        walked.append(at)
    return today in walked[::step]
