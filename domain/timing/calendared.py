"""Series that keep to a calendar: what it closes is moved to an open day or hour, or was never a slot.

A moved slot keeps its identity and gets another instant. Moving can put several slots on one instant (Saturday's and
Sunday's on Monday's): they are merged, the slot that did not move stays, else the first. It can also turn the order of
slots round (Saturday 10:00 and Sunday 09:00, both on Monday); series are therefore walked in the order of the instants
at which slots go out, gathered by the day on which that is. Instants are naive UTC.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import lru_cache

from horae.domain import errors
from horae.domain.timing import cron, ruleset
from horae.domain.timing.opendays import DEFAULT, REACH_DAYS, BusinessDay, Calendar, OnCalendar
from horae.domain.timing.series import Found, Series, Source, WallSource, series_of
from horae.domain.timing.values import Every, Interval, Reason
from horae.domain.timing.walker import SEARCH_YEARS
from horae.domain.timing.zonedata import of_zone_data
from horae.domain.timing.zones import to_local, to_utc

_TICK = timedelta(microseconds=1)
_ONE_DAY = timedelta(days=1)
_SEARCH = timedelta(days=SEARCH_YEARS * 366)
#: After so many slots in succession that the calendar closes, it leaves nothing of the rule.
_MOST_CLOSED = 1_500
#: After so many for which no open day is within reach, there is none.
_MOST_UNMOVABLE = 50
#: So many removed slots are listed beside a preview.
_MOST_REMOVED = 1_000
#: Rules with more times a day are not moved: each step gathers all that meet on a day.
_MOST_MOVED_A_DAY = 96
#: Days of which a series remembers what goes out on them.
_REMEMBERED_DAYS = 8
#: Days of which a series remembers whether anything is open.
_REMEMBERED_OPEN = 1_000


@dataclass(frozen=True, slots=True)
class Moved(Found):
    """A slot that a calendar moved, and why."""

    why: Reason | None = None


class BusinessDays:
    """The nth business day of each month, as a rule (`walker.Rule`)."""

    __slots__ = ("_asked", "_at", "_calendar")

    def __init__(self, asked: BusinessDay, calendar: Calendar) -> None:
        self._asked, self._calendar = asked, calendar
        self._at = timedelta(hours=int(asked.at[:2]), minutes=int(asked.at[3:]))

    def next(self, local: datetime) -> datetime | None:
        """The first such time after `local`; None: there is none within reach."""
        year, month = local.year, local.month
        for _ in range(SEARCH_YEARS * 12):
            if year > 2200:
                return None
            if not self._asked.months or month in self._asked.months:
                found = self._of(year, month)
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


class CalendarSeries:
    """A series between its own bounds, which are those of the slots, with every slot where its calendar has it."""

    def __init__(self, base: Series, kept: OnCalendar, calendar: Calendar, zone: str) -> None:
        self._base, self._kept, self._calendar, self._zone = base, kept, calendar, zone
        self.begin, self.end, self.count = base.begin, base.end, base.count
        self.source: Source = _Source(self, base.source)
        self._drops = kept.move == "drop"
        self._groups: dict[date, list[Found]] = {}
        self._open: dict[date, bool] = {}
        self._near: dict[date, date | None] = {}

    # --- what planning asks -------------------------------------------------------------------------------------

    def later(self, instant: datetime) -> Found | None:
        """The first slot that goes out after an instant, the count left aside."""
        return self._next_kept(instant) if self._drops else self._next_moved(instant)

    def numbered(self, instant: datetime) -> tuple[Found, int | None] | None:
        """See `Series.numbered`: only what is sent counts."""
        found = self.later(instant)
        if found is None or self.count is None:
            return (found, None) if found is not None else None
        number, at = 1, self.later(self.begin)
        while at is not None and at.due < found.due and number <= self.count:
            number, at = number + 1, self.later(at.due)
        return (found, number) if number <= self.count else None

    def has(self, local: datetime, fold: int) -> Found | None:
        """The slot with that identity, unless the calendar removes it."""
        found = self._base.has(local, fold)
        if found is None or self.closed(found.local) is None:
            return found
        if self._drops:
            return None
        target = self._target(found.local)
        if target is None:
            return None
        return next((own for own in self._group(target.date()) if (own.local, own.fold) == (local, fold)), None)

    def moved_instant(self, local: datetime, nominal: datetime) -> datetime:
        """When a slot goes out; where the calendar removes it, its own instant."""
        if self._drops or self.closed(local) is None:
            return nominal
        target = self._target(local)
        return nominal if target is None else to_utc(target, 0, self._zone)

    def removed(self, start: datetime, end: datetime) -> list[tuple[datetime, datetime, int, Reason]]:
        """Slots between two instants that are not sent: instant, local time, fold and the reason of each."""
        gone: list[tuple[datetime, datetime, int, Reason]] = []
        found = self._base.later(start - _TICK)
        while found is not None and found.due <= end and len(gone) < _MOST_REMOVED:
            why = self.closed(found.local)
            if why is not None and self.has(found.local, found.fold) is None:
                gone.append((found.due, found.local, found.fold, self._removal(found.local, why)))
            found = self._base.later(found.due)
        return gone

    # --- the calendar's word ------------------------------------------------------------------------------------

    def closed(self, local: datetime) -> str | None:
        """Why nothing goes out at a local time; None: it is open."""
        day = local.date()
        why = self._closed_day(day)
        if why is not None or not self._kept.business_hours_only:
            return why
        if self._calendar.open_at(local):
            return None
        weekend, holiday = self._calendar.known(day)
        return holiday or ("a weekend" if weekend else "outside business hours")

    def _closed_day(self, day: date) -> str | None:
        weekend, holiday = self._calendar.known(day)
        if self._kept.skip_holidays and holiday is not None:
            return holiday
        return "a weekend" if self._kept.skip_weekends and weekend else None

    def _target(self, local: datetime) -> datetime | None:
        """Where a closed local time is moved to; None: nothing is open within reach."""
        forward, by_hours, calendar = self._kept.move != "back", self._kept.business_hours_only, self._calendar
        hours = calendar.hours(local.date()) if by_hours else []
        if hours and forward and local < hours[-1][1]:
            return calendar.next_open(local)
        if hours and not forward and local >= hours[0][0]:
            return calendar.last_open(local)
        day = self._nearest(local.date(), _ONE_DAY if forward else -_ONE_DAY)
        if day is None or not by_hours:
            return None if day is None else datetime.combine(day, local.time())
        if forward:
            return calendar.next_open(datetime.combine(day, time()))
        return calendar.last_open(datetime.combine(day, time(23, 59)))

    def _nearest(self, day: date, step: timedelta) -> date | None:
        """The next day on which anything is open; None: none is within reach. Each stretch is walked once."""
        if day not in self._near:
            if len(self._near) >= _REMEMBERED_OPEN:
                self._near.clear()
            ahead = [day]
            while len(ahead) < REACH_DAYS and not self._open_sometime(ahead[-1] + step):
                ahead.append(ahead[-1] + step)
            if len(ahead) == REACH_DAYS:
                self._near[day] = None
            else:
                self._near |= dict.fromkeys(ahead, ahead[-1] + step)
        return self._near[day]

    def _removal(self, local: datetime, why: str) -> Reason:
        shown = f"{local:%Y-%m-%d %H:%M} is {why} by the calendar {self._calendar.id}"
        target = None if self._drops else self._target(local)
        if target is None:
            end = "dropped" if self._drops else f"and nothing is open within {REACH_DAYS} days"
            return Reason(code="calendar_dropped", text=f"{shown}: {end}.")
        return Reason(
            code="calendar_merged",
            text=f"{shown}: moved to {target:%Y-%m-%d %H:%M}, where another slot goes out: sent once.",
        )

    # --- dropping -----------------------------------------------------------------------------------------------

    def _next_kept(self, instant: datetime) -> Found | None:
        limit, at = max(instant, self.begin) + _SEARCH, instant
        for _ in range(_MOST_CLOSED):
            found = self._base.later(at)
            if found is None or found.due > limit:
                return None
            if self.closed(found.local) is None:
                return found
            at = max(found.due, self._reopening(found.local) - _TICK)
        return None

    def _reopening(self, local: datetime) -> datetime:
        """An instant up to which everything is closed from a closed local time on, so that the walk need not look."""
        if self._kept.business_hours_only:
            there = self._target(local)
        else:
            there = datetime.combine(local.date() + _ONE_DAY, time())
        return to_utc(there if there is not None else local, 0, self._zone)

    # --- moving -------------------------------------------------------------------------------------------------

    def _next_moved(self, instant: datetime) -> Found | None:
        begin = max(instant, self.begin)
        # A zone may leave a whole day out: what was meant for it goes out the day after.
        day, limit = to_local(begin, self._zone)[0].date() - _ONE_DAY, begin + _SEARCH
        while True:
            if self._open_sometime(day):
                for found in self._group(day):
                    if found.due > instant:
                        return found
            coming = self._base.later(self._midnight(self._sources(day)[0]) - _TICK)
            while coming is not None and (there := self._day_of(coming)) is not None and there <= day:
                coming = self._base.later(coming.due)
            for _ in range(_MOST_UNMOVABLE):
                if coming is None or (there := self._day_of(coming)) is not None:
                    break
                coming = self._base.later(coming.due)
            if coming is None or coming.due > limit or there is None:
                return None
            day = max(there, day + _ONE_DAY)

    def _day_of(self, found: Found) -> date | None:
        """The day on which a slot goes out."""
        if self.closed(found.local) is None:
            return found.local.date()
        target = self._target(found.local)
        return None if target is None else target.date()

    def _sources(self, day: date) -> tuple[date, date]:
        """First and last day of the slots that may go out on a day."""
        step = _ONE_DAY if self._kept.move == "back" else -_ONE_DAY
        other = day
        for _ in range(REACH_DAYS):
            other += step
            if self._open_sometime(other):
                break
        if not self._kept.business_hours_only:
            other -= step  # an open day's own slots stay on it
        return (day, other) if step > timedelta(0) else (other, day)

    def _open_sometime(self, day: date) -> bool:
        known = self._open.get(day)
        if known is None:
            if len(self._open) >= _REMEMBERED_OPEN:
                self._open.clear()
            known = self._closed_day(day) is None and (
                not self._kept.business_hours_only or bool(self._calendar.hours(day))
            )
            self._open[day] = known
        return known

    def _group(self, day: date) -> list[Found]:
        """What goes out on a day, in order of time, each instant once; remembered, as each step asks for it anew."""
        known = self._groups.get(day)
        if known is None:
            if len(self._groups) >= _REMEMBERED_DAYS:
                self._groups.clear()
            known = self._groups[day] = self._gather(day)
        return known

    def _gather(self, day: date) -> list[Found]:
        first, last = self._sources(day)
        stay: dict[datetime, Found] = {}
        moved: list[Moved] = []
        end = self._midnight(last + _ONE_DAY)
        found = self._base.later(self._midnight(first) - _TICK)
        while found is not None and (found.due < end or found.local.date() <= last):
            why = self.closed(found.local)
            if why is None:
                if found.local.date() == day:
                    stay[found.due] = found
            elif (target := self._target(found.local)) is not None and target.date() == day:
                moved.append(self._moved(found, target, why))
            found = self._base.later(found.due)
        for each in moved:
            stay.setdefault(each.due, each)
        return sorted(stay.values(), key=lambda each: each.due)

    def _moved(self, found: Found, target: datetime, why: str) -> Moved:
        way = "back" if self._kept.move == "back" else "on"
        text = (
            f"{found.local:%Y-%m-%d %H:%M} is {why} by the calendar {self._calendar.id}: "
            f"moved {way} to {target:%Y-%m-%d %H:%M}."
        )
        code = "calendar_back" if way == "back" else "calendar_forward"
        due = to_utc(target, 0, self._zone)
        return Moved(found.local, found.fold, due, found.branch, found.merged, Reason(code=code, text=text))

    def _midnight(self, day: date) -> datetime:
        return to_utc(datetime.combine(day, time()), 0, self._zone)


class _Source:
    """The base's source, with slots where the calendar has them."""

    def __init__(self, series: CalendarSeries, base: Source) -> None:
        self._series, self._base = series, base

    def later(self, instant: datetime) -> Found | None:
        """See `Source.later`."""
        return self._series.later(instant)

    def nominal(self, local: datetime, fold: int) -> datetime:
        """See `Source.nominal`: when it goes out."""
        return self._series.moved_instant(local, self._base.nominal(local, fold))

    def dropped(self, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        """See `Source.dropped`: what clock changes take; what the calendar takes is `CalendarSeries.removed`."""
        return self._base.dropped(start, end)


@of_zone_data
@lru_cache(maxsize=256)
def series_on(every: Every, zone: str, calendar: Calendar) -> Series | CalendarSeries:
    """The series of a normalised timing in a zone, on its calendar where it keeps to one."""
    if every.business_day is not None:
        # The bounds are those of any rule; only its days are other ones.
        daily = every.model_copy(update={"business_day": None, "interval": Interval(unit="days")})
        rule = BusinessDays(every.business_day, calendar)
        source = WallSource(rule, zone, every.gap or "shift", every.overlap or "first", reports=True)
        base = replace(series_of(daily, zone), source=source)
    else:
        base = series_of(every, zone)
    if every.calendar is None or not every.calendar.restricts:
        return base
    return CalendarSeries(base, every.calendar, calendar, zone)


def calendar_id(timing: object) -> str | None:
    """The calendar that a timing needs; None: none."""
    if not isinstance(timing, Every):
        return None
    if timing.calendar is not None:
        return timing.calendar.id
    return DEFAULT if timing.business_day is not None else None


def check_calendar(every: Every, *, follows_clock: bool) -> None:
    """Refuse a calendar that closes nothing, or that would move what follows the clock. Raises `errors.Invalid`."""
    if every.business_day is not None:
        if every.business_day.nth == 0:
            raise errors.Invalid("Months have no day 0.", field="timing.business_day.nth", value=0, hint="1 or -1.")
        if every.business_day.at == "24:00":
            raise errors.Invalid("A day's last minute is 23:59.", field="timing.business_day.at", value="24:00")
    kept = every.calendar
    if kept is None:
        return
    if not kept.restricts and every.business_day is None:
        raise errors.Invalid(
            "The calendar closes nothing.",
            field="timing.calendar",
            value=kept.id,
            hint="Set business_hours_only, skip_weekends or skip_holidays, or drop `calendar`.",
        )
    if not follows_clock and kept.move != "drop" and _times_a_day(every) > _MOST_MOVED_A_DAY:
        raise errors.Invalid(
            f"A rule with more than {_MOST_MOVED_A_DAY} times a day is not moved.",
            field="timing.calendar.move",
            value=kept.move or "forward",
            hint='Say "drop": what falls on a closed day or hour is not sent. Or send less often.',
        )
    if follows_clock and kept.move not in (None, "drop"):
        raise errors.Invalid(
            "This rule follows the running clock, so nothing of it is moved.",
            field="timing.calendar.move",
            value=kept.move,
            hint='Say "drop": what falls on a closed day or hour is not sent.',
        )


def _times_a_day(every: Every) -> int:
    """At most so many slots has a day by the rule."""
    if every.cron is not None:
        return cron.parse(every.cron).times.size
    if every.rrule is None:
        return 1
    given = ruleset.parse(every.rrule)
    times = sum(max(len(r.by_hour), 1) * max(len(r.by_minute), 1) * max(len(r.by_second), 1) for r in given.rules)
    days = Counter(one.value.date() if isinstance(one.value, datetime) else one.value for one in given.dates)
    return times + max(days.values(), default=0)
