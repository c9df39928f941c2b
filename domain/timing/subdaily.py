"""Recurrence rules of FREQ=HOURLY, MINUTELY and SECONDLY: jumping from period to period in whole seconds.

Periods that the rule's other parts exclude are not stepped over one by one: the walk jumps to the next day that they
admit, or to the next period of all that falls into an admitted hour, minute and second of a day or week (`cycles`).
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import date, datetime, timedelta

from horae.domain.timing.cycles import cycles
from horae.domain.timing.ruledays import HOURLY, MINUTELY, SECONDLY, Numbers, RuleDays
from horae.domain.timing.walker import SEARCH_YEARS, next_day

_UNIT_S = {HOURLY: 3600, MINUTELY: 60, SECONDLY: 1}
_DAY_S = 86_400
_MAX_JUMPS = 20_000  # more than the days of SEARCH_YEARS, each of which is gone to once at most


class SubdailyWalk:
    """Aligned periods of the interval, those that the BY parts admit, and within each its minutes and seconds."""

    def __init__(
        self,
        frequency: int,
        interval: int,
        days: RuleDays,
        start: datetime,
        times: tuple[Numbers, Numbers, Numbers],
        positions: Numbers,
    ) -> None:
        unit = _UNIT_S[frequency]
        self._days, self._step = days, unit * interval
        self._phase = _seconds(start) // unit * unit % self._step
        hours, minutes, seconds = times
        # An ordinal day is a Monday where it leaves 1 when divided by seven.
        weekdays = tuple(sorted((weekday + 1) % 7 for weekday in days.weekdays))
        levels = [(60, 1, seconds)] if frequency == SECONDLY else []
        levels += [(3600, 60, minutes)] if frequency >= MINUTELY else []
        levels += [(_DAY_S, 3600, hours), (7 * _DAY_S, _DAY_S, weekdays)]
        self._cycles = cycles(levels, self._step, self._phase)
        inner_minutes = minutes if frequency == HOURLY else (0,)
        inner_seconds = seconds if frequency < SECONDLY else (0,)
        within = [minute * 60 + second for minute in inner_minutes for second in inner_seconds]
        if positions:
            chosen = {p - 1 if p > 0 else len(within) + p for p in positions}
            within = [within[i] for i in sorted(chosen) if 0 <= i < len(within)]
        self._within = within
        self.between = self._between if days.every_day and not self._cycles else None
        """See `walker.Counted.between`; None where BY parts leave out periods."""

    def next(self, local: datetime) -> datetime | None:
        """See `walker.Rule.next`."""
        if not self._within:  # BYSETPOS names times that no period has
            return None
        target = _seconds(local)
        period = target - (target - self._phase) % self._step
        limit = target + SEARCH_YEARS * 366 * _DAY_S
        for _ in range(_MAX_JUMPS):
            if period > limit:
                break
            admitted = self._admitted_from(period)
            if admitted is None:
                return None
            if admitted == period:
                i = bisect_right(self._within, target - period)
                if i < len(self._within):
                    return _datetime(period + self._within[i])
                admitted = period + 1
            period = admitted + (self._phase - admitted) % self._step
        return None

    def _between(self, after: datetime, until: datetime) -> int:
        return self._up_to(until) - self._up_to(after)

    def _up_to(self, local: datetime) -> int:
        """How many times there are no later than a local time, from the first period of all."""
        periods, rest = divmod(_seconds(local) - self._phase, self._step)
        return periods * len(self._within) + bisect_right(self._within, rest)

    def _admitted_from(self, period: int) -> int | None:
        """`period` if the BY parts admit it, else a second up to which they admit none; None: they never do again."""
        for cycle in self._cycles:
            ahead = cycle.ahead(period)
            if ahead != 0:
                return None if ahead is None else period + ahead
        day = date.fromordinal(period // _DAY_S)
        if day.day in self._days.days(day.year, day.month):
            return period
        later = next_day(self._days, day)
        return None if later is None else later.toordinal() * _DAY_S


def _seconds(local: datetime) -> int:
    return local.toordinal() * _DAY_S + local.hour * 3600 + local.minute * 60 + local.second


def _datetime(seconds: int) -> datetime:
    day, rest = divmod(seconds, _DAY_S)
    midnight = datetime.combine(date.fromordinal(day), datetime.min.time())
    return midnight + timedelta(seconds=rest)
