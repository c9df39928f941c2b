"""Engagement in: what recipients were seen to do, by the batch."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from horae.api import openapi
from horae.api.auth import caller_of
from horae.api.bodies import BULK_LIMIT, check_storable, load_json, read, validate
from horae.api.errors import problem, request_id_of
from horae.api.models.learning import MOST, Engagement, Engagements, EngagementShown, EngagementsShown
from horae.api.reading import services_of
from horae.api.views import call_of, respond
from horae.commands.engagements import Report, Taken
from horae.domain.errors import HoraeError, Invalid
from horae.domain.key import Scope

router = APIRouter(tags=["learning"])

_OPENED = {
    "id": "evt-4711",
    "kind": "opened",
    "at": "2027-01-04T08:12:40Z",
    "occurrence_id": "01936f3e-5b70-8cc4-a8d1-5f1e3c9d2a10",
}
_ACTIVE = {"id": "evt-4712", "kind": "active", "at": "2027-01-04T08:12:40Z", "recipient": "user-17"}


@router.post(
    "/v1/engagements",
    **openapi.operation(
        "Report engagement",
        body=Engagements,
        answer=EngagementsShown,
        scope=Scope.WRITE,
        examples={"an answer and activity": [_OPENED, _ACTIVE]},
    ),
)
async def report_engagement(request: Request) -> Response:
    """Up to 10,000 at once, in any order, late ones too; each stands for itself. What machines do is marked."""
    caller = caller_of(request, Scope.WRITE)
    raw = await read(request, limit=BULK_LIMIT)
    values = load_json(raw) if raw else None
    if not isinstance(values, list) or len(values) > MOST:
        raise Invalid(
            f"The body is not an array of at most {MOST} reports.", field="body", hint="Send [report, report, ...]."
        )
    judged = [_judge(index, value) for index, value in enumerate(values)]
    reports = [item for item in judged if isinstance(item, Report)]
    taken = {
        item.index: item for item in await services_of(request).engagements.take(call_of(request, caller), reports)
    }
    results = [taken[item.index] if isinstance(item, Report) else item for item in judged]
    shown = [_shown(request, result, values[result.index]) for result in results]
    return respond(
        EngagementsShown.model_construct(
            stored=sum(item.status == 201 for item in shown),
            repeated=sum(item.status == 200 for item in shown),
            rejected=sum(item.error is not None for item in shown),
            machines=sum(item.machine is not None for item in shown),
            position=max((item.position for item in shown if item.position), default=None),
            items=shown,
        )
    )


def _judge(index: int, value: Any) -> Report | Taken:
    try:
        check_storable(value)
        item = validate(Engagement, value)
    except HoraeError as error:
        return Taken(index=index, error=error)
    return Report(
        index=index,
        id=item.id,
        kind=item.kind,
        at=item.at,
        occurrence=item.occurrence_id,
        recipient=item.recipient,
        agent=item.agent,
        machine=item.machine,
    )


def _shown(request: Request, taken: Taken, value: Any) -> EngagementShown:
    id_ = value.get("id") if isinstance(value, dict) and isinstance(value.get("id"), str) else None
    if taken.error is not None:
        where = f"{request.url.path}#{taken.index}"
        document = problem(taken.error, instance=where, request_id=request_id_of(request))
        return EngagementShown(index=taken.index, id=id_, status=document["status"], error=document)
    return EngagementShown.model_construct(
        index=taken.index,
        id=id_,
        status=200 if taken.repeated else 201,
        position=taken.position or None,
        machine=taken.machine,
        answers=taken.answers,
    )
