"""The service's clock: what time it is, and moving virtual time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request, Response

from horae.api import openapi
from horae.api.auth import caller_of
from horae.api.bodies import read_model
from horae.api.models.admin import AdvanceClock, ClockShown
from horae.api.reading import services_of
from horae.api.services import Services
from horae.api.views import respond
from horae.domain import timing as t
from horae.domain.errors import Conflict, Invalid, Unavailable
from horae.domain.key import Scope
from horae.domain.timing.values import LAST_YEAR

router = APIRouter(tags=["clock"])


@router.get("/v1/clock", **openapi.operation("What time is it", answer=ClockShown))
async def get_clock(request: Request) -> Response:
    """The instant by which everything is decided."""
    caller_of(request, Scope.READ)
    return respond(_shown(services_of(request)))


@router.post(
    "/v1/clock/advance",
    **openapi.operation(
        "Move virtual time",
        body=AdvanceClock,
        answer=ClockShown,
        scope=Scope.ADMIN,
        errors=(409,),
        examples={"by a day": {"by": "P1D"}, "to an instant": {"to": "2027-01-01T00:00:00Z"}},
    ),
)
async def advance_clock(request: Request) -> Response:
    """Answers when time is there and nothing that came due on the way is left. 409 on a real clock."""
    caller_of(request, Scope.ADMIN)
    body, _ = await read_model(request, AdvanceClock)
    services = services_of(request)
    virtual = services.virtual_time
    if virtual is None:
        raise Conflict(
            "The service runs on real time, which nobody can move.",
            field="clock",
            value="real",
            hint="Start it with --clock virtual=2027-01-01T00:00:00Z.",
        )
    target = _target(body, virtual.now())
    await virtual.ask_for(target)
    try:
        async with asyncio.timeout(services.settings.advance_timeout_s):
            await virtual.reached(target)
    except TimeoutError:
        raise Unavailable(
            f"Time is still moving: it is {virtual.now():%Y-%m-%dT%H:%M:%SZ} on its way.",
            field="to",
            value=target.isoformat(),
            hint="Send the same again to wait on; is a worker running?",
        ) from None
    return respond(_shown(services))


def _target(body: AdvanceClock, now: datetime) -> datetime:
    if (body.to is None) == (body.by is None):
        raise Invalid("Give exactly one of `to` and `by`.", field="to", hint='Send {"by": "P1D"}.')
    if body.to is not None:
        if body.to < now:
            raise Invalid(
                "Time does not go back.", field="to", value=body.to.isoformat(), hint=f"It is {now.isoformat()} now."
            )
        return body.to
    assert body.by is not None
    target = _later(now, body.by)
    if target is None:
        raise Invalid("That is too far.", field="by", value=str(body.by), hint=f"Time ends with the year {LAST_YEAR}.")
    return target


def _later(now: datetime, by: t.Span) -> datetime | None:
    """`by` after `now`, months and years by the calendar of UTC, clamped to a month's last day."""
    year, month = divmod(now.year * 12 + now.month - 1 + by.years * 12 + by.months, 12)
    if year > LAST_YEAR:
        return None
    last = (datetime(year + (month == 11), (month + 1) % 12 + 1, 1, tzinfo=UTC) - timedelta(days=1)).day
    try:
        moved = now.replace(year=year, month=month + 1, day=min(now.day, last)) + timedelta(days=by.days) + by.clock
    except OverflowError:
        return None
    return moved if moved.year <= LAST_YEAR else None


def _shown(services: Services) -> ClockShown:
    virtual = services.virtual_time
    if virtual is None:
        return ClockShown.model_construct(mode="real", now=services.clock.now(), target=None)
    return ClockShown.model_construct(mode="virtual", now=virtual.now(), target=virtual.target)
