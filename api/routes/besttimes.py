"""Best times: when a recipient is likeliest to answer, as numbers and as a picture; and the model behind it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import Field

from horae.api import openapi
from horae.api.auth import Caller, caller_of
from horae.api.bodies import query
from horae.api.heatmap import heat_map, weekdays
from horae.api.models.learning import (
    BestMoment,
    BestTimesShown,
    Evidence,
    Forgotten,
    HourShown,
    ModelFittedShown,
    ModelShown,
    ModelsShown,
)
from horae.api.reading import ReadQuery, services_of, settle
from horae.api.routes.recipients import checked_id
from horae.api.services import Services
from horae.api.views import call_of, respond
from horae.commands.besttimes import About
from horae.commands.ports import HourChance
from horae.commands.recipients import Person
from horae.domain import timing as t
from horae.domain.draft import Draft
from horae.domain.envelope import Recorded
from horae.domain.ids import shard_of
from horae.domain.key import Scope
from horae.domain.model import ModelFitted

router = APIRouter(tags=["learning"])

SVG = "image/svg+xml"
_NO_SCHEDULE = UUID(int=0)


class BestTimesQuery(ReadQuery):
    """As what."""

    format: Literal["json", "svg"] | None = Field(
        default=None, description="`svg`: a heat map; also by `Accept: image/svg+xml`."
    )


@router.get(
    "/v1/recipients/{recipient_id}/best-times",
    **openapi.operation(
        "When a recipient is likeliest to answer",
        answer=BestTimesShown,
        query=BestTimesQuery,
        answers={SVG: {"schema": {"type": "string"}}},
    ),
)
async def get_best_times(request: Request, recipient_id: str) -> Response:
    """Every hour of the week with its 95 % interval, what would be chosen of a day, and what that rests on."""
    caller = caller_of(request, Scope.READ)
    asked = query(request, BestTimesQuery)
    await settle(request, caller, asked.min_position, shard=shard_of(caller.tenant, checked_id(recipient_id)))
    shown = await _best_times(services_of(request), caller, recipient_id)
    if asked.format == "svg" or (asked.format is None and SVG in request.headers.get("accept", "")):
        return Response(heat_map(shown), 200, media_type=SVG)
    return respond(shown)


async def _best_times(services: Services, caller: Caller, recipient: str) -> BestTimesShown:
    person = (await services.recipients.people(caller.tenant, [recipient]))[recipient]
    reference = services.refs.recipient_ref(caller.tenant, recipient)
    now = services.clock.now()
    known = await services.send_times.habits(caller.tenant, reference, person.segment, now)
    best = await _of_whole_days(services, caller, recipient, person, now)
    hours = {
        "weekday": [_hour(hour) for hour in known.weekday],
        "weekend": [_hour(hour) for hour in known.weekend],
    }
    return BestTimesShown.model_construct(
        recipient=recipient,
        zone=person.zone,
        segment=person.segment,
        override=person.best_time,
        holdout=any(choice.holdout for choice in best.values()),
        model=known.model,
        evidence=Evidence(asked=known.asked, answered=known.answered, active=known.active),
        best=[
            BestMoment.model_construct(
                day=day,
                at=f"{choice.at:%H:%M}",
                level=choice.level,
                confidence=choice.confidence,
                chance=choice.chance,
                why=choice.why,
            )
            for day, choice in best.items()
        ],
        hours=weekdays(hours),
        curve="recipient",
    )


async def _of_whole_days(
    services: Services, caller: Caller, recipient: str, person: Person, now: datetime
) -> dict[str, t.Choice]:
    """What would be chosen of the next weekday and weekend day, were the whole day the window."""
    draft = Draft(recipient=recipient, channel="log:", timing=t.Now())
    wanted, names = [], []
    today = now.astimezone(UTC).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
    coming = [today + timedelta(days=days) for days in range(2, 9)]
    for name, weekend in (("weekday", False), ("weekend", True)):
        day = next(day for day in coming if (day.weekday() >= 5) is weekend)
        timing = t.Best.model_validate({"from": day, "to": day + timedelta(days=1), "zone": "recipient"})
        context = t.Context(
            now=now,
            schedule_id=_NO_SCHEDULE,
            default_zone=services.settings.default_zone,
            recipient_zone=person.zone,
        )
        wanted.append((context, About(draft, timing, person)))
        names.append(name)
    chosen = await services.schedules.chooser.chosen(caller.tenant, wanted)
    return {name: context.choice for name, context in zip(names, chosen, strict=True) if context.choice is not None}


def _hour(hour: HourChance) -> HourShown:
    return HourShown.model_construct(chance=hour.chance, low=hour.low, high=hour.high)


@router.delete(
    "/v1/recipients/{recipient_id}/best-times",
    **openapi.operation("Forget a recipient's habits", answer=Forgotten, scope=Scope.WRITE),
)
async def forget_habits(request: Request, recipient_id: str) -> Response:
    """Their counts and what is awaited of them are removed; learning begins anew with what comes. The model of
    everybody loses them at the next fit."""
    caller = caller_of(request, Scope.WRITE)
    position = await services_of(request).engagements.forget(call_of(request, caller), checked_id(recipient_id))
    return respond(Forgotten.model_construct(recipient=recipient_id, position=position))


@router.get("/v1/models", **openapi.operation("The models of send times", answer=ModelsShown, query=ReadQuery))
async def list_models(request: Request) -> Response:
    """From the log itself, newest first."""
    caller = caller_of(request, Scope.READ)
    query(request, ReadQuery)
    versions = await services_of(request).models.versions(caller.tenant)
    return respond(ModelsShown.model_construct(items=[_model(event) for event in reversed(versions)]))


@router.post("/v1/models/fit", **openapi.operation("Fit the model now", answer=ModelFittedShown, scope=Scope.WRITE))
async def fit_model(request: Request) -> Response:
    """Once a day it is done without being asked for. Plans from now on rest on it; those made stay as they are."""
    caller = caller_of(request, Scope.WRITE)
    event = await services_of(request).models.fit(call_of(request, caller))
    shown = ModelFittedShown.model_construct(fitted=event is not None, model=_model(event) if event else None)
    return respond(shown)


def _model(event: Recorded) -> ModelShown:
    body = event.body
    assert isinstance(body, ModelFitted)
    return ModelShown.model_construct(
        version=event.version,
        position=event.position,
        fitted_at=body.fitted_at,
        people=body.people,
        asked=body.asked,
        answered=body.answered,
        segments=[curve.name for curve in body.segments],
        trust=body.trust,
        activity_gain=max(body.gain),
    )
