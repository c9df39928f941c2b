"""A timing in one sentence, for explanations and the command line; where words would mislead, the expression itself."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import assert_never

from horae.domain.timing.best import Best
from horae.domain.timing.durations import Span
from horae.domain.timing.opendays import BusinessDay
from horae.domain.timing.values import At, Every, In, Now, Phrase, Timing
from horae.domain.timing.zones import RECIPIENT

_DAY_NAMES = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SHORT = {name[:3].upper(): number for number, name in enumerate(_DAY_NAMES[:7])}
_DAILY = re.compile(r"(\d{1,2}) (\d{1,2}) \* \* (\S+)")
_MINUTES = re.compile(r"\*/(\d{1,2}) \* \* \* \*")


def describe(timing: Timing) -> str:
    """One sentence without a full stop, such as "every weekday at 09:00 in Europe/Berlin"."""
    match timing:
        case Now():
            return "at once"
        case At():
            if timing.local is not None:
                return f"on {_moment(timing.local)} {_zone(timing.zone or RECIPIENT)}"
            return f"on {_moment(timing.at)} UTC" if timing.at is not None else "at no time"
        case In():
            return f"{_span(timing.delay)} after it was accepted"
        case Phrase():
            seen = timing.understood
            meaning = f", understood as {_moment(seen.local)} in {seen.zone}" if seen is not None else ""
            return f'"{timing.text}"{meaning}'
        case Best():
            window = f"between {_moment(timing.from_)} and {_moment(timing.to)} {_zone(timing.zone)}"
            hours = f", from {timing.hours.start} to {timing.hours.end}" if timing.hours is not None else ""
            return f"at the best moment {window}{hours}"
        case Every():
            said = f"{_rule(timing)} {_zone(timing.zone)}{_calendar(timing)}{_bounds(timing)}"
            then = timing.then
            return said if then is None else f"{said}; from {_moment(then.since.local)} on {describe(then.timing)}"
        case _:
            assert_never(timing)


def _business_day(asked: BusinessDay) -> str:
    place = {1: "first", 2: "second", 3: "third", -1: "last", -2: "last but one"}.get(asked.nth)
    named = place or (f"{asked.nth}th" if asked.nth > 0 else f"{-asked.nth}th last")
    when = "of the month" if not asked.months else f"of month {', '.join(map(str, asked.months))}"
    return f"on the {named} business day {when} at {asked.at}"


def _rule(every: Every) -> str:
    if every.business_day is not None:
        return _business_day(every.business_day)
    if every.interval is not None:
        count, unit = every.interval.count, every.interval.unit
        short = ", months that lack the day left out" if every.interval.month_end == "skip" else ""
        return (f"every {count} {unit}" if count != 1 else f"every {unit[:-1]}") + short
    if every.cron is not None:
        return _cron(" ".join(every.cron.split())) or f'by the cron expression "{every.cron}"'
    lines = (every.rrule or "").strip().splitlines()
    return f'by the rule "{every.rrule}"' if len(lines) <= 1 else f"by a recurrence set of {len(lines)} lines"


def _calendar(every: Every) -> str:
    kept = every.calendar
    if kept is None or not kept.restricts:
        return ""
    closed = [
        words
        for words, given in (
            ("outside business hours", kept.business_hours_only),
            ("on weekends", kept.skip_weekends),
            ("on holidays", kept.skip_holidays),
        )
        if given
    ]
    way = {"drop": "not", "back": "moved back", "forward": "moved on", None: "moved on"}[kept.move]
    return f", {' or '.join(closed)} by the calendar {kept.id} {way}"


def _cron(text: str) -> str | None:
    if text in {"0 * * * *", "@hourly"}:
        return "every hour"
    if text == "* * * * *":
        return "every minute"
    if (match := _MINUTES.fullmatch(text)) and int(match[1]) in {2, 3, 4, 5, 6, 10, 12, 15, 20, 30}:
        return f"every {match[1]} minutes"
    if match := _DAILY.fullmatch(text):
        days = _days(match[3].upper())
        return f"every {days} at {int(match[2]):02}:{int(match[1]):02}" if days else None
    return None


def _days(field: str) -> str | None:
    if field in {"*", "0-6", "1-7"}:
        return "day"
    if field in {"1-5", "MON-FRI"}:
        return "weekday"
    numbers = []
    for item in field.split(","):
        if item in _SHORT:
            numbers.append(_SHORT[item])
        elif item in {"0", "1", "2", "3", "4", "5", "6", "7"}:
            numbers.append(int(item))
        else:
            return None
    names = list(dict.fromkeys(_DAY_NAMES[number] for number in numbers))
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _bounds(every: Every) -> str:
    parts = []
    if every.starts_at is not None:
        parts.append(f", from {_moment(every.starts_at)}")
    if every.ends_at is not None:
        parts.append(f", until {_moment(every.ends_at)}")
    if every.count is not None:
        parts.append(f", {every.count} times" if every.count != 1 else ", once")
    return "".join(parts)


def _zone(zone: str) -> str:
    return "in the recipient's zone" if zone == RECIPIENT else f"in {zone}"


def _moment(when: date | datetime) -> str:
    if not isinstance(when, datetime):
        return when.isoformat()
    return f"{when:%Y-%m-%d} at {when:%H:%M:%S}" if when.second else f"{when:%Y-%m-%d} at {when:%H:%M}"


def _span(span: Span) -> str:
    clock_s = span.clock // timedelta(seconds=1)
    parts = [
        (span.years, "year"),
        (span.months, "month"),
        (span.days, "day"),
        (clock_s // 3600, "hour"),
        (clock_s // 60 % 60, "minute"),
        (clock_s % 60, "second"),
    ]
    words = [f"{n} {unit}{'s' if n != 1 else ''}" for n, unit in parts if n]
    return " ".join(words) if words and span.clock == timedelta(seconds=clock_s) else str(span)
