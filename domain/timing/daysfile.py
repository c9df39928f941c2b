"""A calendar's days out of an iCalendar file (RFC 5545): each event of whole days is a day of one's own.

Recurring events are laid out over the years that are asked for, by the same rules as timings. Pure: text in, days out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

from horae.domain import errors
from horae.domain.timing import contentlines, rrule, ruleset
from horae.domain.timing.opendays import MAX_DAYS, Day

_ONE_DAY = timedelta(days=1)
_LAST_YEAR = 2199


@dataclass(slots=True)
class Imported:
    """What a file came to. `passed_over`: (event, why) of what is no day off."""

    days: list[Day] = field(default_factory=list)
    passed_over: list[tuple[str, str]] = field(default_factory=list)


def read_days(text: str, first: date, last: date) -> Imported:
    """The days of a file between two dates, both included.

    Raises `errors.Invalid` for what is no iCalendar file, or brings more than is taken at once.
    """
    contentlines.check(text)
    from icalendar import Calendar as File  # a third of a second, and only importing needs it

    try:
        file = File.from_ical(text)
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise errors.Invalid(
            f"This is no iCalendar file: {error}.", field="body", hint="Send BEGIN:VCALENDAR … END:VCALENDAR."
        ) from None
    found = Imported()
    seen: set[tuple[date, str | None]] = set()
    for event in file.walk("VEVENT"):
        name = str(event.get("SUMMARY", "")).replace("\x00", "")[:200] or None
        try:
            start, length = _whole_days(event)
            starts = _starts(event, start, first - length, last)
        except errors.Invalid as error:
            found.passed_over.append((name or "without a name", error.message))
            continue
        except (ValueError, TypeError, AttributeError, OverflowError) as error:  # a property that is not what it says
            found.passed_over.append((name or "without a name", f"It cannot be read: {str(error)[:200]}."))
            continue
        for day in starts:
            until = day + length - _ONE_DAY
            if until < first or day > last or (day, name) in seen:
                continue
            seen.add((day, name))
            found.days.append(Day(date=day, until=until if until != day else None, name=name))
            if len(found.days) > MAX_DAYS:
                raise errors.Invalid(
                    f"The file has more than {MAX_DAYS} days between {first} and {last}; a calendar holds no more.",
                    field="body",
                    hint="Ask for fewer years.",
                )
    found.days.sort(key=lambda day: (day.date, day.name or ""))
    return found


def _whole_days(event: object) -> tuple[date, timedelta]:
    """First day and length of an event of whole days."""
    start = getattr(event.get("DTSTART"), "dt", None)  # type: ignore[attr-defined]
    end = getattr(event.get("DTEND"), "dt", None)  # type: ignore[attr-defined]
    length = getattr(event.get("DURATION"), "dt", None)  # type: ignore[attr-defined]
    if not isinstance(start, date) or isinstance(start, datetime):
        raise errors.Invalid("It has a time of day: only whole days are days off.", field="DTSTART")
    if start.year > _LAST_YEAR:
        raise errors.Invalid(f"It begins after {_LAST_YEAR}.", field="DTSTART")
    if isinstance(end, date) and not isinstance(end, datetime):
        length = end - start  # DTEND is not included
    if not isinstance(length, timedelta) or length < _ONE_DAY:
        length = _ONE_DAY
    if length > timedelta(days=366):
        raise errors.Invalid("It is longer than a year.", field="DTEND")
    return start, timedelta(days=length.days)


def _starts(event: object, start: date, first: date, last: date) -> list[date]:
    """The days on which a (recurring) event begins within the stretch."""
    rule = event.get("RRULE")  # type: ignore[attr-defined]
    if isinstance(rule, list):
        raise errors.Invalid("It has more than one RRULE.", field="RRULE")
    gone, more = _dates(event, "EXDATE"), _dates(event, "RDATE")
    named = set(more) | {start} if rule is None else {*more, *_ruled(rule.to_ical().decode(), start, first, last)}
    return sorted(day for day in named - gone if first <= day <= last)[: MAX_DAYS + 1]


def _ruled(text: str, start: date, first: date, last: date) -> Iterator[date]:
    """The days of a rule up to the last, and its start, which counts as its first whether it names it or not."""
    single = ruleset.parse(f"RRULE:{text}").rules[0]
    if single.follows_clock:
        raise errors.Invalid("It recurs within a day: only whole days are days off.", field="RRULE")
    until = single.until.date() if isinstance(single.until, datetime) else single.until
    begin = datetime.combine(start, time())
    walk = rrule.walk(single, begin)
    number = 0
    if ruleset.leaves_out_start(single, begin, "UTC"):
        number = 1
        yield start
    # Who counts begins at the start; what is excluded counts as well.
    day: date = start if single.count is not None else max(first, start)
    while number <= MAX_DAYS if single.count is None else number < single.count:
        at = walk.next(datetime.combine(day, time()) - timedelta(seconds=1))
        if at is None or at.date() > min(last, until or last):
            break
        number += 1
        yield at.date()
        day = at.date() + _ONE_DAY


def _dates(event: object, name: str) -> set[date]:
    """The days of an EXDATE or RDATE; of a time or a period the day on which it begins."""
    given = event.get(name)  # type: ignore[attr-defined]
    values = (
        value.dt[0] if isinstance(value.dt, tuple) else value.dt
        for each in (given if isinstance(given, list) else [given] if given is not None else [])
        for value in each.dts
    )
    return {value.date() if isinstance(value, datetime) else value for value in values}
