"""Series that keep to a calendar: what it closes is moved to an open day or hour, or was never a slot.

A moved slot keeps its identity and gets another instant. Moving can put several slots on one instant (Saturday's and
Sunday's on Monday's): they are merged, the slot that did not move stays, else the first. It can also turn the order of
slots round (Saturday 10:00 and Sunday 09:00, both on Monday); series are therefore walked in the order of the instants
at which slots go out, gathered by the day on which that is. Instants are naive UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import lru_cache

from horae.domain.timing.businessdays import BusinessDays
from horae.domain.timing.opendays import DEFAULT, REACH_DAYS, Calendar, OnCalendar
from horae.domain.timing.ordinals import SHORT_STRIDE, Ordinals
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
#: Days of which a series remembers what goes out on them.
_REMEMBERED_DAYS = 8
#: Days of which a series remembers whether anything is open.
_REMEMBERED_OPEN = 1_000


@dataclass(frozen=True, slots=True)
class Moved(Found):
    """A slot that a calendar moved, and why."""

    why: Reason | None = None


class CalendarSeries:
    """A series between its own bounds, which are those of the slots, with every slot where its calendar has it."""

    def __init__(self, base: Series, kept: OnCalendar, calendar: Calendar, zone: str) -> None:
        self._base, self._kept, self._calendar, self._zone = base, kept, calendar, zone
        self.begin, self.end, self.count = base.begin, base.end, base.count
        self._ordinals = Ordinals(base.begin, SHORT_STRIDE)
        self.source: Source = _Source(self, base.source)
        self._drops = kept.move == "drop"
        self._groups: dict[date, list[Found]] = {}
        self._open: dict[date, bool] = {}
        self._near: dict[tuple[date, int], date | None] = {}

    # --- what planning asks -------------------------------------------------------------------------------------

    def later(self, instant: datetime) -> Found | None:
        """The first slot that goes out after an instant, the count left aside."""
        return self._next_kept(instant) if self._drops else self._next_moved(instant)

    def numbered(self, instant: datetime) -> tuple[Found, int | None] | None:
        """See `Series.numbered`: only what is sent counts."""
        found = self.later(instant)
        if found is None or self.count is None:
            return (found, None) if found is not None else None
        number = self._ordinals.of(found.due, self.later, self.count)
        return (found, number) if number <= self.count else None

    def reaching(self, local: datetime, fold: int) -> CalendarSeries:
        """See `Series.reaching`."""
        base = self._base.reaching(local, fold)
        return self if base is self._base else CalendarSeries(base, self._kept, self._calendar, self._zone)

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
        day = self._nearest(local.date(), 1 if forward else -1)
        if day is None or not by_hours:
            return None if day is None else datetime.combine(day, local.time())
        if forward:
            return calendar.next_open(datetime.combine(day, time()))
        return calendar.last_open(datetime.combine(day, time(23, 59)))

    def _nearest(self, day: date, step: int) -> date | None:
        """The next day (the one before, by -1) with anything open; None: none within reach. Walks a stretch once."""
        if (day, step) not in self._near:
            if len(self._near) >= _REMEMBERED_OPEN:
                self._near.clear()
            ahead, further = [day], timedelta(days=step)
            while len(ahead) < REACH_DAYS and not self._open_sometime(ahead[-1] + further):
                ahead.append(ahead[-1] + further)
            if len(ahead) == REACH_DAYS:
                self._near[day, step] = None
            else:
                self._near |= {(each, step): ahead[-1] + further for each in ahead}
        return self._near[day, step]

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
            reopening = self._reopening(found.local)
            if reopening is None:
                return None
            at = max(found.due, reopening - _TICK)
        return None

    def _reopening(self, local: datetime) -> datetime | None:
        """An instant up to which everything is closed from a closed local time on; None: from there on for ever."""
        if self._open_sometime(local.date()):
            there = self._target(local)
        else:
            opening = self._opening(local.date())
            there = None if opening is None else datetime.combine(opening, time())
        return None if there is None else to_utc(there, 0, self._zone)

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
                coming = self._within_reach(coming)
            if coming is None or coming.due > limit or there is None:
                return None
            day = max(there, day + _ONE_DAY)

    def _within_reach(self, found: Found) -> Found | None:
        """The first slot after one that cannot be moved for which there may be an open day."""
        opening = self._opening(found.local.date())
        if opening is None:
            return None
        if self._kept.move != "back":
            opening -= timedelta(days=REACH_DAYS - 1)
        return self._base.later(max(found.due, self._midnight(opening) - _TICK))

    def _opening(self, day: date) -> date | None:
        """The first day after a closed one on which anything is open, however far; None: there is none."""
        near, last = self._nearest(day, 1), self._calendar.last_dated
        while near is None and last is not None and day < last:  # only what is closed by date opens again so late
            day = min(day + timedelta(days=REACH_DAYS - 1), last)
            near = self._nearest(day, 1)
        return near

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
        bounds = series_of(daily, zone)
        base = replace(bounds, source=source, ordinals=Ordinals(bounds.begin))
    else:
        base = series_of(every, zone)
    if every.calendar is None or not every.calendar.restricts:
        return base
    return CalendarSeries(base, every.calendar, calendar, zone)


def calendar_id(timing: object) -> str | None:
    """The calendar that a timing needs; None: none."""
    rule = timing if isinstance(timing, Every) else None
    while rule is not None:
        if rule.calendar is not None:
            return rule.calendar.id
        if rule.business_day is not None:
            return DEFAULT
        rule = rule.then.timing if rule.then is not None else None
    return None
