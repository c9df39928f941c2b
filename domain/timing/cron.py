"""Cron expressions of five or six fields, stepped over naive local time by our own walker.

Six fields begin with the second, as in Quartz and Spring; five fire at second 0. Day fields follow the classic daemon:
when both are restricted a day that matches either will do; when one of them starts with `*` (or `?`) both must match,
so that `0 0 */2 * MON` means the Mondays among the odd days.
"""

from __future__ import annotations

import re
from calendar import monthrange
from functools import lru_cache

from horae.domain import errors
from horae.domain.timing import cronfields as fields
from horae.domain.timing.walker import DayWalk, Times

_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_RANDOM_FIELD = re.compile(r"(?<![A-Za-z])[RHrh](?![A-Za-z])")
_HOUR_OF_CLOCK = re.compile(r"\*(/\d+)?")
_EXAMPLE = (
    'Use five fields, minute hour day month weekday, for example "0 9 * * MON-FRI", or six with the second first, '
    'for example "30 0 9 * * MON-FRI".'
)


class Cron:
    """A parsed expression; compared by identity, because `parse` gives the same object for the same text."""

    def __init__(self, second: str, minute: str, hour: str, day: str, month: str, weekday: str) -> None:
        self.follows_clock = _HOUR_OF_CLOCK.fullmatch(hour) is not None
        """The hour field alone says so: such a rule fires by the running clock, through gaps and overlaps."""
        self.month_days, self.weekdays = fields.month_days(day), fields.weekdays(weekday)
        self.months = frozenset(fields.numbers(month, fields.MONTH))
        self.either = not any(text.startswith(("*", "?")) for text in (day, weekday))
        """Do days count that only one of the day fields names?"""
        self.times = Times(
            fields.numbers(hour, fields.HOUR),
            fields.numbers(minute, fields.MINUTE),
            fields.numbers(second, fields.SECOND),
        )
        walk = DayWalk(self, self.times)
        self.next, self.between = walk.next, walk.between
        """See `walker.Rule.next` and `walker.Counted.between`."""

    @lru_cache(maxsize=16_384)  # noqa: B019 - expressions are themselves cached, and both caches are bounded
    def days(self, year: int, month: int) -> tuple[int, ...]:
        """The days of a month that the expression names."""
        if month not in self.months:
            return ()
        first, length = monthrange(year, month)
        by_date = self.month_days.of(year, month)
        has = self.weekdays.has
        if self.either:
            return tuple(d for d in range(1, length + 1) if d in by_date or has(d, (first + d) % 7, length))
        return tuple(d for d in sorted(by_date) if has(d, (first + d) % 7, length))


def parse(expression: str, field: str = "timing.cron") -> Cron:
    """Read an expression. Raises `errors.Invalid`, naming `field`, when it is none."""
    try:
        return _parse(expression)
    except ValueError as problem:
        raise errors.Invalid(
            f"{expression!r} is not a cron expression: {problem}.", field=field, value=expression, hint=_EXAMPLE
        ) from None


@lru_cache(maxsize=4096)
def _parse(expression: str) -> Cron:
    text = _MACROS.get(expression.strip().lower(), expression)
    if text.lstrip().startswith("@"):
        raise ValueError(f"the macros are {', '.join(_MACROS)}")
    if _RANDOM_FIELD.search(text):
        raise ValueError("random fields (R, H) would differ from one reading to the next; `jitter` spreads releases")
    parts = text.split()
    if len(parts) == 7:
        raise ValueError("it has 7 fields, and there is none for years: `starts_at` and `ends_at` bound a series")
    if len(parts) not in {5, 6}:
        raise ValueError(f"it has {len(parts)} field{'s' if len(parts) != 1 else ''}, not five or six")
    return Cron(*(parts if len(parts) == 6 else ["0", *parts]))
