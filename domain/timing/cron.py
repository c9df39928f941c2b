"""Cron expressions: `croniter` validates and expands the fields, our own walker steps over naive local time.

Day fields follow the classic daemon: when both are restricted a day that matches either will do; when one of them
starts with `*` (or `?`) both must match, so that `0 0 */2 * MON` means the Mondays among the odd days.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import lru_cache

from croniter import croniter

from horae.domain import errors
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
_HOUR_OF_CLOCK = re.compile(r"[*?](/\d+)?")
_EXAMPLE = 'Use five fields, minute hour day month weekday, for example "0 9 * * MON-FRI".'
_FULL = {0: range(60), 1: range(24), 2: range(1, 32), 3: range(1, 13), 4: range(7)}


class Cron:
    """A parsed expression; compared by identity, because `parse` gives the same object for the same text."""

    def __init__(
        self, fields: list[str], values: Sequence[Sequence[int | str]], nth: Mapping[int, Collection[int | str]]
    ) -> None:
        def numbers(i: int) -> tuple[int, ...]:
            found = values[i]
            return tuple(_FULL[i]) if "*" in found else tuple(sorted(v for v in found if isinstance(v, int)))

        self.follows_clock = _HOUR_OF_CLOCK.fullmatch(fields[1]) is not None
        """The hour field alone says so: such a rule fires by the running clock, through gaps and overlaps."""
        self._days, self._months, self._weekdays = frozenset(numbers(2)), frozenset(numbers(3)), frozenset(numbers(4))
        self._last_day = "l" in values[2]
        self._nth = nth
        self._either = not any(fields[i].startswith(("*", "?")) for i in (2, 4))
        self._walk = DayWalk(self, Times(numbers(1), numbers(0), (0,)))

    def next(self, local: datetime) -> datetime | None:
        """See `walker.Rule.next`."""
        return self._walk.next(local)

    @lru_cache(maxsize=16_384)  # noqa: B019 - expressions are themselves cached, and both caches are bounded
    def days(self, year: int, month: int) -> tuple[int, ...]:
        """The days of a month that the expression names."""
        if month not in self._months:
            return ()
        first, length = monthrange(year, month)
        return tuple(day for day in range(1, length + 1) if self._matches(day, (first + day) % 7, length))

    def _matches(self, day: int, weekday: int, length: int) -> bool:
        by_date = day in self._days or (self._last_day and day == length)
        by_weekday = weekday in self._weekdays
        if by_weekday and self._nth:
            wanted = self._nth.get(weekday, ())
            by_weekday = (day - 1) // 7 + 1 in wanted or ("l" in wanted and day + 7 > length)
        return by_date or by_weekday if self._either else by_date and by_weekday


def parse(expression: str, field: str = "timing.cron") -> Cron:
    """Read an expression. Raises `errors.Invalid`, naming `field`, when it is none."""
    try:
        return _parse(expression)
    except (ValueError, KeyError) as problem:
        raise errors.Invalid(
            f"{expression!r} is not a cron expression: {str(problem).rstrip('.')}.",
            field=field,
            value=expression,
            hint=_EXAMPLE,
        ) from None


@lru_cache(maxsize=4096)
def _parse(expression: str) -> Cron:
    text = _MACROS.get(expression.strip().lower(), expression)
    if text.lstrip().startswith("@"):
        raise ValueError(f"the macros are {', '.join(_MACROS)}")
    fields = text.split()
    if len(fields) != 5:
        seconds = "; seconds have no place here" if len(fields) == 6 else ""
        raise ValueError(f"it has {len(fields)} field{'s' if len(fields) != 1 else ''}, not five{seconds}")
    if _RANDOM_FIELD.search(text):
        raise ValueError("random fields (R, H) would differ from one reading to the next; `jitter` spreads releases")
    values, nth = croniter.expand(text)
    # Its stubs name the weekdays of the second table as text; they are numbers.
    return Cron(fields, values, {int(weekday): set(wanted) for weekday, wanted in nth.items()})
