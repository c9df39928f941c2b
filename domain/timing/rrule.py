"""RFC 5545 recurrence rules on naive local time: reading them, and laying them over a start.

`COUNT` and `UNTIL` are kept apart: the series counts and ends, so that all three kinds of recurrence end alike.
Walking is our own (`walker` and `subdaily`), because a search in python-dateutil always begins at DTSTART and one that
never matches runs to the year 9999; the tests hold both against each other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache

from horae.domain import errors
from horae.domain.timing.ruledays import DAILY, HOURLY, MINUTELY, MONTHLY, SECONDLY, WEEKLY, YEARLY, RuleDays, SetWalk
from horae.domain.timing.subdaily import SubdailyWalk
from horae.domain.timing.values import FIRST_YEAR, LAST_YEAR, MAX_COUNT
from horae.domain.timing.walker import DayWalk, Rule, Times

_FREQUENCIES = {
    "YEARLY": YEARLY,
    "MONTHLY": MONTHLY,
    "WEEKLY": WEEKLY,
    "DAILY": DAILY,
    "HOURLY": HOURLY,
    "MINUTELY": MINUTELY,
    "SECONDLY": SECONDLY,
}
_WEEKDAYS = {"MO": 0, "TU": 1, "WE": 2, "TH": 3, "FR": 4, "SA": 5, "SU": 6}
_RANGES = {  # least, greatest, may count from the end
    "BYSECOND": (0, 60, False),
    "BYMINUTE": (0, 59, False),
    "BYHOUR": (0, 23, False),
    "BYMONTHDAY": (1, 31, True),
    "BYYEARDAY": (1, 366, True),
    "BYWEEKNO": (1, 53, True),
    "BYMONTH": (1, 12, False),
    "BYSETPOS": (1, 366, True),
}
_ALLOWED = {  # RFC 5545 §3.3.10: the parts that only some frequencies may have
    "BYWEEKNO": {YEARLY},
    "BYYEARDAY": {YEARLY, HOURLY, MINUTELY, SECONDLY},
    "BYMONTHDAY": {YEARLY, MONTHLY, DAILY, HOURLY, MINUTELY, SECONDLY},
}
_DAY = re.compile(r"([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
_UNTIL = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z)?)?")
_EXAMPLE = 'Write it as in RFC 5545, for example "FREQ=MONTHLY;BYDAY=-1FR".'

Numbers = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Recurrence:
    """The parts of a rule; empty tuples where a part is absent. `by_day` holds (weekday, n), n = 0 for every one."""

    frequency: int
    interval: int = 1
    week_start: int = 0
    by_month: Numbers = ()
    by_week: Numbers = ()
    by_year_day: Numbers = ()
    by_month_day: Numbers = ()
    by_day: tuple[tuple[int, int], ...] = ()
    by_hour: Numbers = ()
    by_minute: Numbers = ()
    by_second: Numbers = ()
    by_position: Numbers = ()
    count: int | None = None
    until: date | datetime | None = None

    @property
    def follows_clock(self) -> bool:
        """Hourly and finer rules fire by the running clock, through gaps and overlaps."""
        return self.frequency >= HOURLY


def parse(text: str, field: str = "timing.rrule") -> Recurrence:
    """Read a rule. Raises `errors.Invalid`, naming `field`, when it is none or breaks RFC 5545."""
    try:
        return _parse(text)
    except ValueError as problem:
        raise errors.Invalid(
            f"{text!r} is not a recurrence rule: {problem}.", field=field, value=text, hint=_EXAMPLE
        ) from None


@lru_cache(maxsize=4096)
def walk(rule: Recurrence, start: datetime) -> Rule:
    """The local times of a rule; `start` (naive) fills what the rule leaves open and sets the phase of its interval."""
    days = RuleDays.of(rule.frequency, rule.interval, rule.week_start, _day_parts(rule, start), start)
    if rule.frequency >= HOURLY:
        return SubdailyWalk(rule.frequency, rule.interval, days, start, _time_parts(rule, start), rule.by_position)
    hours, minutes, seconds = _time_parts(rule, start)
    times = Times(hours, minutes, seconds)
    return SetWalk(days, times, rule.by_position) if rule.by_position else DayWalk(days, times)


def _day_parts(
    rule: Recurrence, start: datetime
) -> tuple[Numbers, Numbers, Numbers, Numbers, tuple[tuple[int, int], ...]]:
    month, month_day, day = rule.by_month, rule.by_month_day, rule.by_day
    if not (rule.by_week or rule.by_year_day or rule.by_month_day or rule.by_day):
        if rule.frequency == YEARLY:
            month, month_day = month or (start.month,), (start.day,)
        elif rule.frequency == MONTHLY:
            month_day = (start.day,)
        elif rule.frequency == WEEKLY:
            day = ((start.weekday(), 0),)
    return month, rule.by_week, rule.by_year_day, month_day, day


def _time_parts(rule: Recurrence, start: datetime) -> tuple[Numbers, Numbers, Numbers]:
    hours = rule.by_hour or ((start.hour,) if rule.frequency < HOURLY else tuple(range(24)))
    minutes = rule.by_minute or ((start.minute,) if rule.frequency < MINUTELY else tuple(range(60)))
    seconds = rule.by_second or ((start.second,) if rule.frequency < SECONDLY else tuple(range(60)))
    return hours, minutes, seconds


@lru_cache(maxsize=4096)
def _parse(text: str) -> Recurrence:
    parts = _split(text)
    if "FREQ" not in parts:
        raise ValueError("FREQ is missing")
    frequency = _FREQUENCIES.get(parts["FREQ"])
    if frequency is None:
        raise ValueError(f"FREQ is one of {', '.join(_FREQUENCIES)}, not {parts['FREQ']!r}")
    numbers = {name: _numbers(name, parts[name]) if name in parts else () for name in _RANGES}
    by_day = _days(parts["BYDAY"]) if "BYDAY" in parts else ()
    for name, allowed in _ALLOWED.items():
        if numbers[name] and frequency not in allowed:
            raise ValueError(f"{name} has no meaning with FREQ={parts['FREQ']}")
    if any(n for _, n in by_day) and (frequency not in {YEARLY, MONTHLY} or numbers["BYWEEKNO"]):
        raise ValueError("numbered days such as 2MO need FREQ=MONTHLY or FREQ=YEARLY, without BYWEEKNO")
    if numbers["BYSETPOS"] and not (by_day or any(numbers[name] for name in _RANGES if name != "BYSETPOS")):
        raise ValueError("BYSETPOS needs another BY part to choose from")
    if "COUNT" in parts and "UNTIL" in parts:
        raise ValueError("COUNT and UNTIL exclude each other")
    week_start = parts.get("WKST", "MO")
    if week_start not in _WEEKDAYS:
        raise ValueError(f"WKST is one of {', '.join(_WEEKDAYS)}, not {week_start!r}")
    return Recurrence(
        frequency=frequency,
        interval=_whole("INTERVAL", parts.get("INTERVAL", "1"), 1_000_000),
        week_start=_WEEKDAYS[week_start],
        by_month=numbers["BYMONTH"],
        by_week=numbers["BYWEEKNO"],
        by_year_day=numbers["BYYEARDAY"],
        by_month_day=numbers["BYMONTHDAY"],
        by_day=by_day,
        by_hour=numbers["BYHOUR"],
        by_minute=numbers["BYMINUTE"],
        by_second=tuple(sorted({min(second, 59) for second in numbers["BYSECOND"]})),  # §3.3.12: 60 is read as 59
        by_position=numbers["BYSETPOS"],
        count=_whole("COUNT", parts["COUNT"], MAX_COUNT) if "COUNT" in parts else None,
        until=_until(parts["UNTIL"]) if "UNTIL" in parts else None,
    )


def _split(text: str) -> dict[str, str]:
    known = {"FREQ", "INTERVAL", "WKST", "BYDAY", "COUNT", "UNTIL", *_RANGES}
    upper = text.strip().upper()
    if "DTSTART" in upper or "\n" in upper:
        raise ValueError("give the start in `starts_at` and only the rule here")
    parts: dict[str, str] = {}
    for part in upper.removeprefix("RRULE:").rstrip(";").split(";"):
        name, equals, value = part.partition("=")
        if not equals or not value:
            raise ValueError(f"{part!r} is not NAME=VALUE")
        if name not in known:
            raise ValueError(f"{name!r} is not a part of RFC 5545 rules")
        if name in parts:
            raise ValueError(f"{name} is given twice")
        parts[name] = value
    return parts


def _whole(name: str, value: str, greatest: int) -> int:
    if not re.fullmatch(r"[0-9]{1,7}", value) or not 1 <= int(value) <= greatest:
        raise ValueError(f"{name} is a whole number from 1 to {greatest}, not {value!r}")
    return int(value)


def _numbers(name: str, value: str) -> Numbers:
    least, greatest, signed = _RANGES[name]
    found = set()
    for item in value.split(","):
        number = int(item) if re.fullmatch(r"[+-]?[0-9]{1,3}", item) else None
        if number is None or not least <= (abs(number) if signed else number) <= greatest:
            sign = f", or -{greatest} to -1 from the end" if signed else ""
            raise ValueError(f"{name} takes {least} to {greatest}{sign}, not {item!r}")
        found.add(number)
    return tuple(sorted(found))


def _days(value: str) -> tuple[tuple[int, int], ...]:
    found = set()
    for item in value.split(","):
        match = _DAY.fullmatch(item)
        n = int(match[1]) if match and match[1] else 0
        if match is None or abs(n) > 53 or (match[1] and n == 0):
            raise ValueError(f"BYDAY takes days such as MO, 2TU or -1FR, not {item!r}")
        found.add((_WEEKDAYS[match[2]], n))
    return tuple(sorted(found))


def _until(value: str) -> date | datetime:
    match = _UNTIL.fullmatch(value)
    if match is None:
        raise ValueError(f"UNTIL is a date (20271231) or a time (20271231T090000, with Z for UTC), not {value!r}")
    year, month, day = int(match[1]), int(match[2]), int(match[3])
    if match[4] is None:
        return _within_years(date(year, month, day))
    zone = UTC if match[7] else None
    return _within_years(datetime(year, month, day, int(match[4]), int(match[5]), int(match[6]), tzinfo=zone))


def _within_years(until: date | datetime) -> date | datetime:
    """Calendars write "for ever" as 99991231. No slot lies outside our years, so their edges say the same."""
    if until.year > LAST_YEAR:
        return until.replace(year=LAST_YEAR + 1, month=1, day=1)
    return until.replace(year=FIRST_YEAR - 1, month=12, day=31) if until.year < FIRST_YEAR else until
