"""The nth business day of each month by a calendar, as a rule for the walk over local times."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from horae.domain.timing.opendays import BusinessDay, Calendar
from horae.domain.timing.walker import SEARCH_YEARS


class BusinessDays:
    """The nth business day of each month, as a rule (`walker.Rule`)."""

    __slots__ = ("_asked", "_at", "_calendar", "_known")

    def __init__(self, asked: BusinessDay, calendar: Calendar) -> None:
        self._asked, self._calendar = asked, calendar
        self._at = timedelta(hours=int(asked.at[:2]), minutes=int(asked.at[3:]))
        self._known: dict[tuple[int, int], datetime | None] = {}  # of each month that was looked at: 2,770 at most

    def next(self, local: datetime) -> datetime | None:
        """The first such time after `local`; None: there is none within reach."""
        year, month = local.year, local.month
        for _ in range(SEARCH_YEARS * 12):
            if year > 2200:
                return None
            if not self._asked.months or month in self._asked.months:
                if (year, month) not in self._known:
                    self._known[year, month] = self._of(year, month)
                found = self._known[year, month]
                if found is not None and found > local:
                    return found
            year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        return None

    def _of(self, year: int, month: int) -> datetime | None:
        first = date(year, month, 1)
        following = date(year + 1, 1, 1) if month == 12 else date(year, month + 1, 1)
        days = (first + timedelta(days=n) for n in range((following - first).days))
        worked = [day for day in days if self._calendar.business_day(day)]
        nth = self._asked.nth
        if not 1 <= abs(nth) <= len(worked):
            return None
        return datetime.combine(worked[nth - 1 if nth > 0 else nth], time()) + self._at
