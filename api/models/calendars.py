"""Questions and answers about calendars."""

from __future__ import annotations

from datetime import date, datetime

from pydantic import Field

from horae.api.models.schedules import Replanned, Shown
from horae.api.models.zones import AnyTime
from horae.api.reading import ReadQuery
from horae.domain.timing.opendays import CalendarDefinition, Weekday


class CalendarBody(CalendarDefinition):
    """The whole calendar, as it is to be."""


class CalendarShown(Shown):
    """A calendar."""

    id: str
    version: int = Field(description="0: the built-in one, which nobody has written.")
    position: int | None = None
    definition: CalendarDefinition
    label: str = Field(description="How plans name it.", examples=["munich@3 holidays 0.109"])
    created_at: datetime | None = None
    updated_at: datetime | None = None
    replayed: bool = False
    replanned: Replanned | None = Field(default=None, description="In answers to a change.")
    passed_over: list[str] | None = Field(default=None, description="Of an import: events that are no days off, why.")


class CalendarItem(Shown):
    """A calendar in a list."""

    id: str
    title: str | None = None
    version: int
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
