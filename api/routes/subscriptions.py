"""Calendars whose days come from somebody else's iCalendar file: subscribed, looked at at once, ended."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from horae.api import openapi
from horae.api.auth import caller_of
from horae.api.bodies import read_model
from horae.api.calendar_answers import answer_written, named
from horae.api.models.calendars import CalendarShown, SubscribeBody
from horae.api.models.schedules import Reasoned
from horae.api.reading import services_of
from horae.api.views import call_of
from horae.domain.key import Scope

router = APIRouter(tags=["calendars"])


@router.post(
    "/v1/calendars/{calendar_id}/subscribe",
    **openapi.operation(
        "Take a calendar's days from a file",
        body=SubscribeBody,
        answer=CalendarShown,
        scope=Scope.WRITE,
        idempotent=True,
        examples={"holidays of others": {"url": "https://example.com/holidays.ics", "every": "P1D"}},
    ),
)
async def subscribe(request: Request, calendar_id: str) -> Response:
    """Its whole days become the calendar's days, now and whenever they change; the rest of the calendar stays.

    The file is got before the answer: what cannot be got or read is refused, and nothing is stored.
    """
    caller = caller_of(request, Scope.WRITE)
    body, plain = await read_model(request, SubscribeBody)
    call, services = call_of(request, caller, plain), services_of(request)
    look = await services.subscriptions.subscribe(call, named(calendar_id), body.url, body.every)
    return await answer_written(request, call, look.calendar, look.passed_over, look.result)


@router.post(
    "/v1/calendars/{calendar_id}/refresh",
    **openapi.operation(
        "Look at the file now", body=Reasoned, answer=CalendarShown, scope=Scope.WRITE, idempotent=True
    ),
)
async def refresh(request: Request, calendar_id: str) -> Response:
    """Without waiting for the next look. If it fails the last good days stay, and `subscription` says what is wrong."""
    caller = caller_of(request, Scope.WRITE)
    _, plain = await read_model(request, Reasoned)
    call, services = call_of(request, caller, plain), services_of(request)
    look = await services.subscriptions.refresh(call, named(calendar_id))
    return await answer_written(request, call, look.calendar, look.passed_over, look.result)


@router.post(
    "/v1/calendars/{calendar_id}/unsubscribe",
    **openapi.operation(
        "End a calendar's subscription", body=Reasoned, answer=CalendarShown, scope=Scope.WRITE, idempotent=True
    ),
)
async def unsubscribe(request: Request, calendar_id: str) -> Response:
    """The days stay as they are, as the calendar's own."""
    caller = caller_of(request, Scope.WRITE)
    _, plain = await read_model(request, Reasoned)
    call, services = call_of(request, caller, plain), services_of(request)
    written = await services.subscriptions.unsubscribe(call, named(calendar_id))
    return await answer_written(request, call, written)
