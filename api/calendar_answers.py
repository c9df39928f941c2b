"""Calendars as clients see them, and what routes of calendars share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

from fastapi import Request, Response
from pydantic import TypeAdapter, ValidationError

from horae.api.models.calendars import CalendarShown, SubscriptionShown
from horae.api.models.schedules import Replanned
from horae.api.reading import services_of
from horae.api.replanning import reaching, replan
from horae.api.views import etag, respond
from horae.commands.calendars import CalendarWritten
from horae.commands.context import Answer, Call
from horae.domain import calendar as c
from horae.domain.errors import Invalid
from horae.domain.timing.opendays import CalendarId

_ID: TypeAdapter[str] = TypeAdapter(CalendarId)


def named(calendar_id: str) -> str:
    """The id, as a path has it. Raises `Invalid`."""
    try:
        return _ID.validate_python(calendar_id)
    except ValidationError:
        raise Invalid(
            "This cannot be a calendar's id.",
            field="calendar_id",
            value=calendar_id[:80],
            hint="Use up to 63 small letters, digits, `-`, `_` and `.`, such as munich-office.",
        ) from None


def subscription_shown(subscription: c.Subscription | None) -> SubscriptionShown | None:
    """Where a calendar's days come from; None: from the tenant's own hand."""
    if subscription is None:
        return None
    return SubscriptionShown.model_construct(
        url=subscription.url,
        every=timedelta(seconds=subscription.every_s),
        year=subscription.year,
        fetched_at=subscription.fetched_at,
        passed_over=subscription.passed_over,
        failing_since=subscription.failing_since,
        error=subscription.error,
    )


def calendar_shown(
    answer: Answer[c.State],
    label: str,
    replanned: Replanned | None = None,
    passed_over: list[str] | None = None,
    result: Literal["changed", "unchanged", "failed"] | None = None,
) -> CalendarShown:
    """A calendar that was written."""
    return CalendarShown.model_construct(
        id=answer.state.id,
        version=answer.version,
        position=answer.position,
        definition=answer.state.definition,
        subscription=subscription_shown(answer.state.subscription),
        label=label,
        created_at=answer.created_at,
        updated_at=answer.updated_at,
        replayed=answer.replayed,
        replanned=replanned,
        passed_over=passed_over,
        result=result,
    )


async def answer_written(
    request: Request,
    call: Call,
    written: CalendarWritten,
    passed_over: Sequence[tuple[str, str]] | None = None,
    result: Literal["changed", "unchanged", "failed"] | None = None,
) -> Response:
    """The answer, after the schedules that keep to the calendar were looked at."""
    services, answer = services_of(request), written.answer
    replanned = await replan(services, call, written.users, "calendar", f"{answer.state.id}@{answer.version}")
    label = (await services.calendars.resolve(call.tenant, answer.state.id)).label
    told = None if passed_over is None else [f"{name}: {why}" for name, why in passed_over]
    shown = await reaching(services, calendar_shown(answer, label, replanned, told, result), replanned)
    return respond(shown, headers=etag(answer.version))
