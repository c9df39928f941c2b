"""Calendars: days and hours of work, what they say of a time, and the schedules that a change moves."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta

from fastapi import APIRouter, Request, Response

from horae.api import openapi
from horae.api.auth import caller_of
from horae.api.bodies import query, read, read_model
from horae.api.calendar_answers import answer_written, calendar_shown, named, subscription_shown
from horae.api.models.calendars import (
    CalendarBody,
    CalendarItem,
    CalendarList,
    CalendarShown,
    CalendarsQuery,
    HolidayList,
    HolidayShown,
    HolidaysQuery,
    ImportQuery,
    OpenQuery,
    OpenShown,
    YearQuery,
)
from horae.api.reading import ReadQuery, if_match, read_models, services_of
from horae.api.views import call_of, etag, respond
from horae.domain.calendar import Subscription
from horae.domain.errors import Invalid
from horae.domain.key import Scope
from horae.domain.timing import publicdays
from horae.domain.timing.daysfile import read_days
from horae.domain.timing.opendays import WEEKDAYS, Calendar, CalendarDefinition
from horae.domain.timing.zones import check_zone, to_local, to_utc
from horae.projections import queries

router = APIRouter(tags=["calendars"])

_EXAMPLES = {
    "an office": {
        "title": "Munich office",
        "country": "DE",
        "subdivision": "BY",
        "hours": {day: [{"start": "09:00", "end": "17:00"}] for day in WEEKDAYS[:4]},
        "days": [{"date": "2026-12-24", "until": "2026-12-31", "name": "closed for the year", "yearly": True}],
    }
}
_IMPORT_YEARS = 5


@router.get("/v1/holidays", **openapi.operation("List public holidays", answer=HolidayList, query=HolidaysQuery))
async def list_holidays(request: Request) -> Response:
    """Of a country or a part of it in a year; with `on`: of that date, empty if it is none."""
    caller_of(request, Scope.READ)
    asked = query(request, HolidaysQuery)
    publicdays.check_country(asked.country, asked.subdivision)
    definition = CalendarDefinition(country=asked.country, subdivision=asked.subdivision)
    source = f"holidays {publicdays.holidays_version()}"
    return _holidays(request, Calendar(asked.country, 0, definition), source, asked.year, asked.on)


@router.get("/v1/calendars", **openapi.operation("List calendars", answer=CalendarList, query=CalendarsQuery))
async def list_calendars(request: Request) -> Response:
    """Those that were written; `default` is there without."""
    caller = caller_of(request, Scope.READ)
    asked = query(request, CalendarsQuery)
    async with read_models(request, caller, asked.min_position) as conn:
        rows = await queries.list_calendars(conn, caller.tenant, after=asked.cursor or "", limit=asked.limit + 1)
    items = [
        CalendarItem.model_construct(
            id=row.id,
            title=CalendarDefinition.model_validate_json(row.definition).title,
            version=row.version,
            subscription=subscription_shown(
                None if row.subscription is None else Subscription.model_validate_json(row.subscription)
            ),
            updated_at=row.updated_at,
        )
        for row in rows[: asked.limit]
    ]
    return respond(CalendarList.model_construct(items=items, next=items[-1].id if len(rows) > asked.limit else None))


@router.put(
    "/v1/calendars/{calendar_id}",
    **openapi.operation(
        "Write a calendar",
        body=CalendarBody,
        answer=CalendarShown,
        scope=Scope.WRITE,
        errors=(412,),
        parameters=[openapi.IF_MATCH],
        examples=_EXAMPLES,
    ),
)
async def put_calendar(request: Request, calendar_id: str) -> Response:
    """The whole of it; it need not exist before. Schedules that keep to it are planned anew if their next slot moves.

    Should that be broken off, the same request again finishes it.
    """
    caller = caller_of(request, Scope.WRITE)
    body, plain = await read_model(request, CalendarBody)
    definition = CalendarDefinition.model_validate(body.model_dump())
    call = call_of(request, caller, plain)
    written = await services_of(request).calendars.put(call, named(calendar_id), definition, if_match=if_match(request))
    return await answer_written(request, call, written)


@router.post(
    "/v1/calendars/{calendar_id}/import",
    **openapi.operation(
        "Import days from an iCalendar file",
        answer=CalendarShown,
        query=ImportQuery,
        scope=Scope.WRITE,
        idempotent=True,
        bodies={"text/calendar": {"schema": {"type": "string"}}},
    ),
)
async def import_days(request: Request, calendar_id: str) -> Response:
    """Events of whole days become days of the calendar's own, in place of those it had; the rest of it stays."""
    caller = caller_of(request, Scope.WRITE)
    asked = query(request, ImportQuery)
    services, calendar = services_of(request), named(calendar_id)
    raw = await read(request, types=("text/calendar",))
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise Invalid("The file is not UTF-8.", field="body", hint="Save it as UTF-8.") from None
    year = services.clock.now().year
    first, last = asked.from_year or year, asked.to_year or max(asked.from_year or year, year + _IMPORT_YEARS)
    if last < first:
        raise Invalid(
            f"The last year is before the first, {first}.",
            field="to_year",
            value=last,
            hint="Give `from_year` as well, or a later year.",
        )
    imported = await asyncio.to_thread(read_days, text, date(first, 1, 1), date(last, 12, 31))
    call = call_of(request, caller, text)
    written = await services.calendars.set_days(call, calendar, tuple(imported.days))
    return await answer_written(request, call, written, imported.passed_over)


@router.get("/v1/calendars/{calendar_id}", **openapi.operation("Get a calendar", answer=CalendarShown, query=ReadQuery))
async def get_calendar(request: Request, calendar_id: str) -> Response:
    """From the log itself: what was written is there at once."""
    caller = caller_of(request, Scope.READ)
    query(request, ReadQuery)
    calendars, name = services_of(request).calendars, named(calendar_id)
    calendar = await calendars.resolve(caller.tenant, name)
    if calendar.version == 0:
        return respond(
            CalendarShown.model_construct(id=name, version=0, definition=calendar.definition, label=calendar.label)
        )
    answer = await calendars.get(caller.tenant, name)
    return respond(calendar_shown(answer, calendar.label), headers=etag(answer.version))


@router.get(
    "/v1/calendars/{calendar_id}/holidays",
    **openapi.operation("A calendar's holidays", answer=HolidayList, query=YearQuery),
)
async def list_calendar_holidays(request: Request, calendar_id: str) -> Response:
    """Its country's, its own, and those of calendars that it names; with `on`: of that date."""
    caller = caller_of(request, Scope.READ)
    asked = query(request, YearQuery)
    calendar = await services_of(request).calendars.resolve(caller.tenant, named(calendar_id))
    return _holidays(request, calendar, calendar.label, asked.year, asked.on)


@router.get(
    "/v1/calendars/{calendar_id}/open",
    **openapi.operation("Business hours at a time", answer=OpenShown, query=OpenQuery),
)
async def check_open(request: Request, calendar_id: str) -> Response:
    """Whether a time is within business hours, and the next one that is."""
    caller = caller_of(request, Scope.READ)
    asked = query(request, OpenQuery)
    services = services_of(request)
    calendar = await services.calendars.resolve(caller.tenant, named(calendar_id))
    zone = asked.zone or services.settings.default_zone
    check_zone(zone, "zone")
    local = _local(asked.at or services.clock.now(), zone)
    weekend, holiday = calendar.known(local.date())
    following = calendar.next_open(local)
    shown = OpenShown.model_construct(
        calendar=calendar.label,
        zone=zone,
        local=local.isoformat(),
        open=calendar.open_at(local),
        business_day=calendar.business_day(local.date()),
        weekend=weekend,
        holiday=holiday,
        next_open=None if following is None else to_utc(following, 0, zone).replace(tzinfo=UTC),
        next_open_local=None if following is None else following.isoformat(),
    )
    return respond(shown)


def _local(at: datetime, zone: str) -> datetime:
    if not 1971 <= at.year <= 2198:
        raise Invalid("The year is outside 1971 to 2198.", field="at", value=at.isoformat())
    return at if at.tzinfo is None else to_local(at.astimezone(UTC).replace(tzinfo=None), zone)[0]


def _holidays(request: Request, calendar: Calendar, source: str, year: int | None, on: date | None) -> Response:
    if on is not None and not 1970 <= on.year <= 2199:
        raise Invalid("The year is outside 1970 to 2199.", field="on", value=on.isoformat())
    wanted = year if year is not None else services_of(request).clock.now().year
    begin = on or date(wanted, 1, 1)
    days = [begin + timedelta(days=n) for n in range(1 if on else (date(wanted, 12, 31) - begin).days + 1)]
    found = [HolidayShown.model_construct(date=day, name=name) for day in days if (name := calendar.holiday(day))]
    week = [begin + timedelta(days=n) for n in range(7)]
    weekend = tuple(WEEKDAYS[day.weekday()] for day in sorted(week, key=date.weekday) if calendar.rests_on(day))
    return respond(HolidayList.model_construct(source=source, weekend=weekend, items=found))
