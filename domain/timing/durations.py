"""ISO 8601 durations as values: what clients write as `PT30M`, `P1D` or `P1M`.

Two kinds, because a day on the clock and a day on the calendar differ when clocks change:
`Duration` is elapsed time (a `timedelta`; one day is 24 hours, months and years are refused);
`Span` keeps years, months, weeks and days apart from the clock part, so that they can be added on the local calendar.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_ISO = re.compile(
    r"P(?=[0-9T])(?:(?P<years>\d{1,4})Y)?(?:(?P<months>\d{1,5})M)?(?:(?P<weeks>\d{1,5})W)?(?:(?P<days>\d{1,6})D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d{1,7})H)?(?:(?P<minutes>\d{1,8})M)?(?:(?P<seconds>\d{1,10}(?:[.,]\d{1,6})?)S)?)?",
    re.ASCII,
)
_EXAMPLES = "write it as ISO 8601, for example PT30M (30 minutes), PT6H or P1D"


@dataclass(frozen=True, slots=True)
class Span:
    """Time to add on a local calendar: years, months and days by the calendar, `clock` as elapsed time."""

    years: int = 0
    months: int = 0
    days: int = 0
    clock: timedelta = timedelta(0)

    @property
    def is_elapsed(self) -> bool:
        """True when no calendar is needed to know how long it is."""
        return not (self.years or self.months or self.days)

    def __bool__(self) -> bool:
        return not self.is_elapsed or bool(self.clock)

    def __str__(self) -> str:
        date = "".join(f"{n}{unit}" for n, unit in ((self.years, "Y"), (self.months, "M"), (self.days, "D")) if n)
        clock = _clock_text(self.clock)
        return f"P{date}{clock}" if date or clock else "PT0S"


def parse_span(text: object) -> Span:
    """Read an ISO 8601 duration, years and months included. Raises ValueError that says what a right one looks like."""
    if isinstance(text, Span):
        return text
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is not a duration; {_EXAMPLES}")
    return _parse_text(text)


# Every event of a schedule holds the same few durations.
@lru_cache(maxsize=1024)
def _parse_text(text: str) -> Span:
    match = _ISO.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration; {_EXAMPLES}")
    part = {name: value or "0" for name, value in match.groupdict().items()}
    seconds = Decimal(part["seconds"].replace(",", "."))
    clock = timedelta(hours=int(part["hours"]), minutes=int(part["minutes"]), microseconds=int(seconds * 1_000_000))
    return Span(int(part["years"]), int(part["months"]), int(part["weeks"]) * 7 + int(part["days"]), clock)


def parse_duration(text: object) -> timedelta:
    """Read an elapsed ISO 8601 duration; a day is 24 hours. Raises ValueError, also for years and months."""
    if isinstance(text, timedelta):
        if text < timedelta(0):
            raise ValueError(f"{text} is negative; {_EXAMPLES}")
        return text
    return _parse_elapsed(text) if isinstance(text, str) else _elapsed(parse_span(text), text)


@lru_cache(maxsize=1024)
def _parse_elapsed(text: str) -> timedelta:
    return _elapsed(_parse_text(text), text)


def _elapsed(span: Span, text: object) -> timedelta:
    if span.years or span.months:
        raise ValueError(f"{text!r} has no fixed length: years and months differ; use days, hours, minutes or seconds")
    return timedelta(days=span.days) + span.clock


@lru_cache(maxsize=1024)
def format_duration(value: timedelta) -> str:
    """The shortest ISO 8601 text that reads back as the same `timedelta`, such as `P1DT2H`."""
    days = f"{value.days}D" if value.days else ""
    clock = _clock_text(value - timedelta(days=value.days))
    return f"P{days}{clock}" if days or clock else "PT0S"


def _clock_text(value: timedelta) -> str:
    total_s = value.days * 86_400 + value.seconds
    hours, rest = divmod(total_s, 3600)
    minutes, seconds = divmod(rest, 60)
    fraction = f".{value.microseconds:06d}".rstrip("0") if value.microseconds else ""
    parts = [f"{n}{unit}" for n, unit in ((hours, "H"), (minutes, "M")) if n]
    if seconds or fraction:
        parts.append(f"{seconds}{fraction}S")
    return "T" + "".join(parts) if parts else ""


def _schema(description: str, *examples: str) -> dict[str, Any]:
    return {"type": "string", "format": "duration", "description": description, "examples": list(examples)}


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema(_schema("Elapsed time in ISO 8601; a day is 24 hours.", "PT10M", "P1D")),
]
"""Elapsed time: a `timedelta` in code, ISO 8601 text in JSON."""

CalendarDuration = Annotated[
    Span,
    BeforeValidator(parse_span),
    PlainSerializer(str, return_type=str, when_used="json"),
    WithJsonSchema(
        _schema("ISO 8601; years, months, weeks and days follow the local calendar.", "PT30M", "P1D", "P1M")
    ),
]
"""Time on the calendar: a `Span` in code, ISO 8601 text in JSON."""
