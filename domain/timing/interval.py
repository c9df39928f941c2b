"""Calendar intervals: every n days, weeks, months or years on the local calendar, from an origin."""

from __future__ import annotations

from datetime import datetime, timedelta

from pendulum.helpers import add_duration

from horae.domain.timing.values import Interval, Unit

ELAPSED_UNITS: dict[Unit, timedelta] = {"minutes": timedelta(minutes=1), "hours": timedelta(hours=1)}
_DAYS: dict[Unit, int] = {"days": 1, "weeks": 7}
_MONTHS: dict[Unit, int] = {"months": 1, "years": 12}


class CalendarWalk:
    """origin, origin + n, origin + 2n …; each counted from the origin, so that a clamped month end comes back."""

    __slots__ = ("days", "months", "origin")

    def __init__(self, interval: Interval, origin: datetime) -> None:
        self.origin = origin
        self.days = _DAYS.get(interval.unit, 0) * interval.count
        self.months = _MONTHS.get(interval.unit, 0) * interval.count

    def next(self, local: datetime) -> datetime | None:
        """See `walker.Rule.next`."""
        origin = self.origin
        if local < origin:
            return origin
        try:
            if self.days:
                step = timedelta(days=self.days)
                return origin + ((local - origin) // step + 1) * step
            k = ((local.year - origin.year) * 12 + local.month - origin.month) // self.months
            candidate = self._month(k)
            return candidate if candidate > local else self._month(k + 1)
        except (OverflowError, ValueError):
            return None  # past the end of the calendar

    def _month(self, k: int) -> datetime:
        return add_duration(self.origin, months=k * self.months)
