"""Questions and answers about calendars."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Literal

from pydantic import Field

from horae.api.models.schedules import Replanned, Request, Shown
from horae.api.models.zones import AnyTime
from horae.api.reading import ReadQuery
from horae.domain import timing as t
from horae.domain.timing.opendays import CalendarDefinition, Weekday


class CalendarBody(CalendarDefinition):
    """The whole calendar, as it is to be."""


class SubscribeBody(Request):
    """Where the calendar's days are to come from."""

    url: str = Field(
        min_length=1,
        max_length=2048,
        description="Of an iCalendar file: http, https or webcal.",
        examples=["https://example.com/holidays.ics"],
    )
    every: t.Duration = Field(
        default=timedelta(days=1), description="From one look to the next; up to P30D.", examples=["P1D"]
    )


class SubscriptionShown(Shown):
    """Where the calendar's days come from, and how that goes."""

    url: str
    every: t.Duration
    year: int = Field(description="The first year that the days were laid out for; five more follow.")
    fetched_at: datetime = Field(description="When the days that are there now were got.")
    passed_over: int = Field(description="Events of the file that are no days off.")
    failing_since: datetime | None = Field(
        default=None, description="No look has gone well since then: the days are the last good ones."
    )
    error: str | None = Field(default=None, description="What was wrong then.")


class CalendarShown(Shown):
    """A calendar."""

    id: str
    version: int = Field(description="0: the built-in one, which nobody has written.")
    position: int | None = None
    definition: CalendarDefinition
    subscription: SubscriptionShown | None = None
    label: str = Field(description="How plans name it.", examples=["munich@3 holidays 0.109"])
    created_at: datetime | None = None
    updated_at: datetime | None = None
    replayed: bool = False
    replanned: Replanned | None = Field(default=None, description="In answers to a change.")
    passed_over: list[str] | None = Field(
        default=None, description="Of an import, or a look at the file that it subscribes to: what is no day off, why."
    )
    result: Literal["changed", "unchanged", "failed"] | None = Field(
        default=None, description="Of a look at the file that it subscribes to."
    )


class CalendarItem(Shown):
    """A calendar in a list."""

    id: str
    title: str | None = None
    version: int
    subscription: SubscriptionShown | None = None
    updated_at: datetime


class CalendarList(Shown):
    """A page of calendars."""

    items: list[CalendarItem]
    next: str | None = None


class CalendarsQuery(ReadQuery):
    """Which page."""

    limit: int = Field(default=50, ge=1, le=500, description="At most so many items.")
    cursor: str | None = Field(default=None, max_length=64, description="`next` of the page before.")


class ImportQuery(ReadQuery):
    """Which years of a file."""

    from_year: int | None = Field(default=None, ge=1970, le=2199, description="First year; default: this one.")
    to_year: int | None = Field(default=None, ge=1970, le=2199, description="Last year; default: five years on.")


class OpenQuery(ReadQuery):
    """When, and where."""

    at: AnyTime | None = Field(default=None, description="An instant, or a local time of `zone`; default: now.")
    zone: str | None = Field(default=None, max_length=64, description="Whose clock counts; default: the tenant's.")


class OpenShown(Shown):
    """Is it within business hours?"""

    calendar: str = Field(description="With its version.")
    zone: str
    local: str = Field(description="The local time that was judged.", examples=["2026-12-24T14:00:00"])
    open: bool = Field(description="Within business hours.")
    business_day: bool
    weekend: bool
    holiday: str | None = Field(default=None, description="Its name.")
    next_open: datetime | None = Field(default=None, description="From then on: itself, if it is open.")
    next_open_local: str | None = None


class HolidaysQuery(ReadQuery):
    """Whose holidays, and when."""

    country: str = Field(max_length=8, description="ISO 3166 code.", examples=["DE"])
    subdivision: str | None = Field(default=None, max_length=40, description="A part of it.", examples=["BY"])
    year: int | None = Field(default=None, ge=1970, le=2199, description="Default: the present one.")
    on: date | None = Field(default=None, description="Is this date one? Then only it is listed.")


class YearQuery(ReadQuery):
    """Which year."""

    year: int | None = Field(default=None, ge=1970, le=2199, description="Default: the present one.")
    on: date | None = Field(default=None, description="Is this date one? Then only it is listed.")


class HolidayShown(Shown):
    """A holiday."""

    date: date
    name: str


class HolidayList(Shown):
    """Holidays in order of time."""

    source: str = Field(description="The calendar, or the version of the holidays.", examples=["holidays 0.109"])
    weekend: tuple[Weekday, ...] = Field(description="Days off of every week.")
    items: list[HolidayShown]
