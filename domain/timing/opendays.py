"""Calendars: which days are worked, and during which hours.

A `CalendarDefinition` is what a tenant has written down; a `Calendar` is that together with the calendars it names and
the versions of all of them: the value that deciders are given. Times in here are naive local times; whose zone they are
read in is the business of whoever asks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import cached_property
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from horae.domain.envelope import Value
from horae.domain.timing.openhours import Stretch, less
from horae.domain.timing.publicdays import holidays_version, make_up_days, public_days, weekend_of

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DEFAULT = "default"
#: So far ahead and back an open day is looked for.
REACH_DAYS = 400
#: Days of which a calendar remembers what it says of them.
_REMEMBERED_DAYS = 20_000
MAX_DAYS = 2_000
_LONGEST_LABEL = 8_000

_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d|24:00", re.ASCII)
_ONE_DAY = timedelta(days=1)


def _clock(value: str) -> str:
    if not _CLOCK.fullmatch(value):
        raise ValueError(f"{value!r} is not a time of day such as 09:00; the last is 24:00")
    return value


def _plain(value: str) -> str:
    if any(char == "\x00" or 0xD800 <= ord(char) < 0xE000 for char in value):
        raise ValueError("text must not hold U+0000 or lone surrogates")
    return value


Date = date
"""The type, where a field has its name."""

ClockTime = Annotated[str, AfterValidator(_clock)]
CalendarId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")]
Title = Annotated[str, AfterValidator(_plain), StringConstraints(max_length=200)]


class Hours(Value):
    """One stretch of opening on a day, from `start` up to but not including `end`."""

    start: ClockTime = Field(examples=["09:00"])
    end: ClockTime = Field(description="24:00 is the day's end.", examples=["17:00"])


class Day(Value):
    """A day of one's own, or a run of them: closed, unless it says otherwise."""

    date: Date
    until: Date | None = Field(default=None, description="Last day of a run, included.")
    name: Title | None = Field(default=None, examples=["Works outing"])
    open: bool = Field(default=False, description="A day that is worked although it is a weekend or a holiday.")
    hours: tuple[Hours, ...] = Field(default=(), max_length=24, description="Worked at these hours only.")
    yearly: bool = Field(default=False, description="Comes every year.")


class CalendarDefinition(Value):
    """Days and hours of work. What is not given is as in the built-in calendar: Monday to Friday, 09:00 to 17:00."""

    title: Title | None = Field(default=None, description="For people.", examples=["Munich office"])
    hours: dict[Weekday, tuple[Hours, ...]] | None = Field(
        default=None,
        description="Business hours by weekday, several a day if need be; a weekday that is left out has none. "
        "Default: 09:00 to 17:00 every day that is worked, or what the installation has set.",
        examples=[{"mon": [{"start": "09:00", "end": "12:00"}, {"start": "13:00", "end": "17:00"}]}],
    )
    weekend: tuple[Weekday, ...] | None = Field(
        default=None, description="Days off of every week. Default: the country's, else Saturday and Sunday."
    )
    country: str | None = Field(default=None, max_length=8, description="Public holidays of it.", examples=["DE"])
    subdivision: str | None = Field(default=None, max_length=40, description="And of this part.", examples=["BY"])
    days: tuple[Day, ...] = Field(default=(), max_length=MAX_DAYS, description="Days of one's own.")
    plus: tuple[CalendarId, ...] = Field(
        default=(), max_length=16, description="Calendars whose holidays count as well."
    )
    minus: tuple[CalendarId, ...] = Field(
        default=(), max_length=16, description="Calendars whose holidays do not count; days of one's own always do."
    )
    plus_hours: tuple[CalendarId, ...] | None = Field(
        default=None,
        max_length=16,
        description="Calendars whose business hours are added: open when any of them is. A weekend or holiday on which "
        "one of them is open is none; days of one's own stay as they are.",
    )
    minus_hours: tuple[CalendarId, ...] | None = Field(
        default=None,
        max_length=16,
        description="Calendars whose business hours are taken off all that is open: closed when any of them is open. "
        "Days of one's own stay as they are.",
    )

    @property
    def named(self) -> tuple[str, ...]:
        """Every calendar that it names, as often as it does."""
        return (*self.plus, *self.minus, *(self.plus_hours or ()), *(self.minus_hours or ()))


@dataclass(frozen=True, slots=True)
class Standard:
    """What calendars leave out is so: business hours and weekend; and the built-in calendar's holidays."""

    hours: tuple[Hours, ...] = (Hours(start="09:00", end="17:00"),)
    #: Days of the week, Monday is 0.
    weekend: frozenset[int] = frozenset({5, 6})
    country: str | None = None
    subdivision: str | None = None

    @property
    def label(self) -> str:
        """What plans call it where it is not the usual one."""
        hours = ",".join(f"{stretch.start}-{stretch.end}" for stretch in self.hours)
        return hours if self.weekend == USUAL.weekend else f"{hours} weekend:{_names(self.weekend)}"


USUAL = Standard()


def _names(days: frozenset[int]) -> str:
    return ",".join(WEEKDAYS[day] for day in sorted(days)) or "none"


@dataclass(frozen=True, eq=False)
class Calendar:
    """A calendar with those that it names. `version` 0: the built-in one, which nobody has written down."""

    id: str
    version: int
    definition: CalendarDefinition
    plus: tuple[Calendar, ...] = ()
    minus: tuple[Calendar, ...] = ()
    standard: Standard = USUAL
    plus_hours: tuple[Calendar, ...] = ()
    minus_hours: tuple[Calendar, ...] = ()
    _own: dict[date, Day] = field(default_factory=dict, repr=False)
    _yearly: dict[tuple[int, int], Day] = field(default_factory=dict, repr=False)
    _known: dict[date, tuple[bool, str | None]] = field(default_factory=dict, repr=False)
    _together: dict[date, list[Stretch]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for day in self.definition.days:
            at = day.date
            while at <= (day.until or day.date):
                if day.yearly:
                    self._yearly[at.month, at.day] = day
                    if (at.month, at.day) == (2, 28) and at < (day.until or at):
                        self._yearly[2, 29] = day  # the year in which it was written down may have none
                else:
                    self._own[at] = day
                at += _ONE_DAY

    @cached_property
    def label(self) -> str:
        """What plans call it: name, version, those of the calendars that it names, and the holidays' version."""
        parts = [f"{self.id}@{self.version}", *(f"+{other.label}" for other in self.plus)]
        parts += [f"-{other.label}" for other in self.minus]
        parts += [f"+hours {other.label}" for other in self.plus_hours]
        parts += [f"-hours {other.label}" for other in self.minus_hours]
        if self.definition.country is not None:
            # What the settings say is no version, so the built-in one names its country.
            parts.append(f"holidays {holidays_version()}" + ("" if self.version else f" {self._country}"))
        if self.standard.hours != USUAL.hours or self.standard.weekend != USUAL.weekend:
            parts.append(self.standard.label)
        label = " ".join(parts)
        if len(label) > _LONGEST_LABEL:  # the same calendars over and over: each once says as much
            label = " ".join(f"{part.id}@{part.version}" for _, part in sorted(self.family.items()))
            label = f"{self.id}@{self.version} of {label} holidays {holidays_version()}"
        return label

    @property
    def _country(self) -> str:
        definition = self.definition
        return "-".join(part for part in (definition.country, definition.subdivision) if part is not None)

    @cached_property
    def family(self) -> dict[str, Calendar]:
        """Itself and every calendar that it names, by itself or through others, by id: each once."""
        found: dict[str, Calendar] = {}
        ahead = [self]
        while ahead:
            calendar = ahead.pop()
            if calendar.id not in found:
                found[calendar.id] = calendar
                ahead += (*calendar.plus, *calendar.minus, *calendar.plus_hours, *calendar.minus_hours)
        return found

    @cached_property
    def last_dated(self) -> date | None:
        """The last day of one's own that does not come every year, here or in a calendar that it names.

        Behind it one year is as the next: what is closed for longer than a year then stays so.
        """
        days = (day for part in self.family.values() for day in part.definition.days if not day.yearly)
        return max((day.until or day.date for day in days), default=None)

    def holiday(self, day: date) -> str | None:
        """The name of the holiday on that day; None: it is none. A day of one's own comes first."""
        return self.known(day)[1]

    def weekend(self, day: date) -> bool:
        """Is it a day off of every week (and not one that is worked in return for another)?"""
        return self.known(day)[0]

    def business_day(self, day: date) -> bool:
        """Neither weekend nor holiday."""
        weekend, holiday = self.known(day)
        return not weekend and holiday is None

    def known(self, day: date) -> tuple[bool, str | None]:
        """`weekend` and `holiday` of the day, remembered. A day that another's hours open is neither."""
        found = self._known.get(day)
        if found is None:
            if len(self._known) > _REMEMBERED_DAYS:
                self._known.clear()
            found = self._by_itself(day)
            if self.plus_hours and found != (False, None) and self.hours(day):
                found = (False, None)
            self._known[day] = found
        return found

    def rests_on(self, day: date) -> bool:
        """Is its weekday off every week? Make-up days, days of one's own and hours taken off are left aside."""
        return self._off_every_week(day) and not any(other.works_on(day) for other in self.plus_hours)

    def works_on(self, day: date) -> bool:
        """Has its weekday business hours, the same left aside?"""
        hours = self.definition.hours
        own = not self._off_every_week(day) and (hours is None or bool(hours.get(WEEKDAYS[day.weekday()])))
        return own or any(other.works_on(day) for other in self.plus_hours)

    def hours(self, day: date) -> list[Stretch]:
        """The day's business hours as local times, in order; empty on days off."""
        if not self.plus_hours and not self.minus_hours:
            return self._own_hours(day) if self.business_day(day) else []
        found = self._together.get(day)
        if found is None:
            if len(self._together) > _REMEMBERED_DAYS:
                self._together.clear()
            found = self._together[day] = self._put_together(day)
        return found

    def _put_together(self, day: date) -> list[Stretch]:
        own = self._own_day(day)
        hours = self._own_hours(day) if self._by_itself(day) == (False, None) else []
        if own is not None and (own.hours or not own.open):  # it says itself when it is open
            return hours
        for other in self.plus_hours:
            hours = hours + other.hours(day)
        return less(hours, [stretch for other in self.minus_hours for stretch in other.hours(day)])

    def _own_hours(self, day: date) -> list[Stretch]:
        """Of a day that is worked."""
        own = self._own_day(day)
        midnight = datetime.combine(day, time())
        stretches = own.hours if own is not None and own.hours else None
        if stretches is None and self.definition.hours is not None:
            stretches = self.definition.hours.get(WEEKDAYS[day.weekday()], ())
            if not stretches and own is not None and own.open:
                stretches = self.standard.hours
        return [
            (midnight + _since_midnight(stretch.start), midnight + _since_midnight(stretch.end))
            for stretch in (self.standard.hours if stretches is None else stretches)
        ]

    def open_at(self, local: datetime) -> bool:
        """Is the local time within business hours?"""
        return any(start <= local < end for start, end in self.hours(local.date()))

    def next_open(self, local: datetime) -> datetime | None:
        """The local time itself if it is within business hours, else the next opening; None: none in `REACH_DAYS`."""
        day = local.date()
        for _ in range(REACH_DAYS):
            for start, end in self.hours(day):
                if local < end:
                    return max(local, start)
            day += _ONE_DAY
        return None

    def last_open(self, local: datetime) -> datetime | None:
        """The local time itself if it is within business hours, else the last minute before of them."""
        day = local.date()
        for _ in range(REACH_DAYS):
            for start, end in reversed(self.hours(day)):
                if start <= local:
                    return min(local, end - timedelta(minutes=1))
            day -= _ONE_DAY
        return None

    def _by_itself(self, day: date) -> tuple[bool, str | None]:
        """Weekend and holiday, hours of others left aside."""
        own = self._own_day(day)
        if own is not None:
            worked = own.open or bool(own.hours)
            return not worked and self._weekend(day), None if worked else own.name or "closed"
        name = self._named(day)
        if name is not None and any(other.known(day)[1] is not None for other in self.minus):
            name = None
        return self._weekend(day), name

    def _weekend(self, day: date) -> bool:
        if not self._off_every_week(day):
            return False
        definition = self.definition
        if definition.weekend is not None or definition.country is None:
            return True
        return day not in make_up_days(definition.country, definition.subdivision, day.year)

    def _off_every_week(self, day: date) -> bool:
        definition = self.definition
        if definition.weekend is not None:
            return WEEKDAYS[day.weekday()] in definition.weekend
        if definition.country is None:
            return day.weekday() in self.standard.weekend
        return day.weekday() in weekend_of(definition.country, day.year)

    def _own_day(self, day: date) -> Day | None:
        own = self._own.get(day)
        return own if own is not None else self._yearly.get((day.month, day.day))

    def _named(self, day: date) -> str | None:
        definition = self.definition
        if definition.country is not None:
            name = public_days(definition.country, definition.subdivision, day.year).get(day)
            if name is not None:
                return name
        for other in self.plus:
            name = other.known(day)[1]
            if name is not None:
                return name
        return None


def _since_midnight(text: str) -> timedelta:
    return timedelta(hours=int(text[:2]), minutes=int(text[3:]))


def built_in(standard: Standard = USUAL) -> Calendar:
    """The calendar that is there without being written."""
    weekend = None if standard.weekend == USUAL.weekend else tuple(WEEKDAYS[day] for day in sorted(standard.weekend))
    named = {"country": standard.country, "subdivision": standard.subdivision, "weekend": weekend}
    return Calendar(DEFAULT, 0, CalendarDefinition.model_validate(named), standard=standard)


BUILT_IN = built_in()


# --- a timing's own calendar ----------------------------------------------------------------------------------------


class OnCalendar(Value):
    """The calendar that a recurring timing keeps to."""

    id: CalendarId = Field(default=DEFAULT, description="A calendar of yours; `default` is there without writing it.")
    business_hours_only: bool = Field(default=False, description="Nothing outside its business hours.")
    skip_weekends: bool = Field(default=False, description="Nothing on its weekends.")
    skip_holidays: bool = Field(default=False, description="Nothing on its holidays.")
    move: Literal["forward", "back", "drop"] | None = Field(
        default=None,
        description="What falls on a closed day goes out at the same time of the next open day (`forward`, default) or "
        "of the last one before (`back`); what falls outside business hours, at the next opening, or in the last "
        "minute before closing. `drop`: not at all; the default, and the only choice, for rules that follow the clock.",
    )

    @property
    def restricts(self) -> bool:
        """Does it close anything?"""
        return self.business_hours_only or self.skip_weekends or self.skip_holidays


class BusinessDay(Value):
    """The same business day of every month: neither weekend nor holiday by the timing's calendar."""

    nth: int = Field(ge=-23, le=23, description="1 is the first of the month, -1 the last.", examples=[-1])
    at: ClockTime = Field(description="Local time.", examples=["09:00"])
    months: tuple[Annotated[int, Field(ge=1, le=12)], ...] = Field(
        default=(), max_length=12, description="Only in these months. Default: in all."
    )
