"""The fields of a cron expression as sets of numbers: names, lists, ranges, steps, and the marks of the day fields.

Read by our own code, because what a stored expression means must not change with a library: croniter 5.0.1 puts
seconds last, takes `1-1` for every day and refuses `15W`, `5L` and `L-3`. The tests hold the two against each other.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from typing import NamedTuple

Numbers = tuple[int, ...]

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


class Field(NamedTuple):
    """What a field is called in refusals, its range, and the names that stand for numbers."""

    label: str
    least: int
    greatest: int
    names: dict[str, int]


SECOND = Field("second", 0, 59, {})
MINUTE = Field("minute", 0, 59, {})
HOUR = Field("hour", 0, 23, {})
DAY = Field("day of month", 1, 31, {})
MONTH = Field("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)})
WEEKDAY = Field("day of week", 0, 6, {name: number for number, name in enumerate(_WEEKDAYS)})

_ITEM = re.compile(r"(\*|[0-9]{1,2}|[A-Z]{3})(?:-([0-9]{1,2}|[A-Z]{3}))?(?:/([0-9]{1,3}))?")
_DAY_MARK = re.compile(r"(?:L(?:-([0-9]{1,2}))?|([0-9]{1,2}))(W)?")
_LAST_WEEKDAY = re.compile(r"L([0-7])|([0-7]|[A-Z]{3})L")
_NTH_WEEKDAY = re.compile(r"([0-7]|[A-Z]{3})#([0-9]+)")


@dataclass(frozen=True, slots=True)
class MonthDays:
    """The day-of-month field: plain days, days before the last one (`L`, `L-3`), and weekdays nearest to either."""

    days: frozenset[int]
    from_last: frozenset[int] = frozenset()
    nearest: frozenset[int] = frozenset()
    nearest_from_last: frozenset[int] = frozenset()

    def of(self, year: int, month: int) -> frozenset[int]:
        """The field's days in a month; those that the month lacks are left out."""
        first, length = monthrange(year, month)
        found = {day for day in self.days if day <= length}
        found |= {length - before for before in self.from_last if before < length}
        if self.nearest or self.nearest_from_last:
            wanted = {day for day in self.nearest if day <= length}
            wanted |= {length - before for before in self.nearest_from_last if before < length}
            found |= {_nearest_weekday(day, (first + day - 1) % 7, length) for day in wanted}
        return frozenset(found)


@dataclass(frozen=True, slots=True)
class Weekdays:
    """The day-of-week field, Sunday = 0: plain weekdays, and numbered ones as (weekday, n), n = -1 for the last."""

    days: frozenset[int]
    nth: frozenset[tuple[int, int]] = frozenset()

    def has(self, day: int, weekday: int, length: int) -> bool:
        """Whether a day of a month of `length` days is one of them."""
        if weekday in self.days:
            return True
        return bool(self.nth) and (
            (weekday, (day - 1) // 7 + 1) in self.nth or (day + 7 > length and (weekday, -1) in self.nth)
        )


def numbers(text: str, field: Field) -> Numbers:
    """The sorted numbers that a plain field names. Raises ValueError with a sentence about what is wrong in it."""
    found: set[int] = set()
    for item in text.upper().split(","):
        found |= _plain(item, field)
    return tuple(sorted(found))


def month_days(text: str) -> MonthDays:
    """Read a day-of-month field. Raises ValueError."""
    if text == "?":
        return MonthDays(frozenset(range(1, 32)))
    days: set[int] = set()
    marked: dict[tuple[bool, bool], set[int]] = {(True, False): set(), (False, True): set(), (True, True): set()}
    for item in text.upper().split(","):
        match = _DAY_MARK.fullmatch(item)
        last, near = item.startswith("L"), item.endswith("W")
        if match is None or not (last or near):
            days |= _plain(item, DAY)
        elif last:
            marked[True, near].add(_within(match[1] or "0", 0, 30, "days before the last of the month"))
        else:
            marked[False, True].add(_number(match[2], DAY))
    plain, nearest, both = (frozenset(marked[key]) for key in ((True, False), (False, True), (True, True)))
    return MonthDays(frozenset(days), plain, nearest, both)


def weekdays(text: str) -> Weekdays:
    """Read a day-of-week field: 0 and 7 are Sunday. Raises ValueError."""
    if text == "?":
        return Weekdays(frozenset(range(7)))
    days: set[int] = set()
    nth: set[tuple[int, int]] = set()
    for item in text.upper().split(","):
        if item == "L":
            raise ValueError("`L` alone says not which weekday is the last: write 5L for the last Friday of the month")
        if match := _LAST_WEEKDAY.fullmatch(item):
            nth.add((_number(match[1] or match[2], WEEKDAY), -1))
        elif match := _NTH_WEEKDAY.fullmatch(item):
            nth.add((_number(match[1], WEEKDAY), _within(match[2], 1, 5, "number after #")))
        else:
            days |= _plain(item, WEEKDAY)
    return Weekdays(frozenset(days), frozenset(nth))


def _plain(item: str, field: Field) -> set[int]:
    """`*`, `5`, `MON`, `2-6`, `22-2` (through the end), each with `/step`; `5/15` runs to the field's end."""
    match = _ITEM.fullmatch(item)
    if match is None or (match[1] == "*" and match[2]):
        raise ValueError(f"{item!r} is not a {field.label}")
    step = _within(match[3] or "1", 1, 999, f"step of the {field.label}")
    if match[1] == "*":
        return set(range(field.least, field.greatest + 1, step))
    first = _number(match[1], field)
    last = _number(match[2], field) if match[2] else field.greatest if match[3] else first
    if field is WEEKDAY and match[2] in {"7", "SUN"}:
        last = 7  # the Sunday after, unless the range begins on one
        first = 7 if match[1] in {"7", "SUN"} and match[2] == match[1] else first
    size = field.greatest - field.least + 1
    run = range(first, (last if first <= last else last + size) + 1, step)
    return {(number - field.least) % size + field.least for number in run}


def _number(text: str, field: Field) -> int:
    if text in field.names:
        return field.names[text]
    if not text.isdigit():
        known = ", ".join(field.names)
        raise ValueError(f"{text!r} is not a {field.label}" + (f": the names are {known}" if known else ""))
    if field is WEEKDAY:
        return _within(text, 0, 7, field.label) % 7
    return _within(text, field.least, field.greatest, field.label)


def _within(text: str, least: int, greatest: int, label: str) -> int:
    if not least <= int(text) <= greatest:
        raise ValueError(f"the {label} {int(text)} is out of range, which is {least} to {greatest}")
    return int(text)


def _nearest_weekday(day: int, weekday: int, length: int) -> int:
    """The Monday to Friday nearest to a day, without leaving its month; `weekday` counts from Monday = 0."""
    if weekday == 5:
        return day - 1 if day > 1 else day + 2
    if weekday == 6:
        return day + 1 if day < length else day - 2
    return day
