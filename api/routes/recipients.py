"""Recipients: their zone and locale, and what they got and will get."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field

from horae.api import openapi
from horae.api.auth import Caller, caller_of
from horae.api.bodies import query, read_model
from horae.api.models.occurrences import RecipientBody, RecipientShown, Timeline, ZoneHad, ZonesHad
from horae.api.models.schedules import Replanned
from horae.api.reading import PageQuery, ReadQuery, read_models, services_of
from horae.api.replanning import replan
from horae.api.rows import timeline_row_shown
from horae.api.views import call_of, etag, respond
from horae.commands.context import Answer, Call
from horae.domain.errors import Busy, Invalid
from horae.domain.ids import shard_of
from horae.domain.key import Scope
from horae.domain.personal import RECIPIENT_LIMIT, refuse_unstorable
from horae.domain.recipient import Recipient, RecipientProfile
from horae.domain.timing.values import Instant
from horae.projections import queries

router = APIRouter(tags=["recipients"])


class TimelineQuery(PageQuery):
    """Which stretch."""

    order: Literal["asc", "desc"] = Field(default="asc", description="`desc`: latest first.")
    due_from: Instant | None = Field(default=None, description="Due at or after this instant.")
    due_to: Instant | None = Field(default=None, description="Due before this instant.")


def checked_id(recipient_id: str) -> str:
    """A recipient's id in a path. Raises `Invalid`."""
    refuse_unstorable(recipient_id, "recipient_id")
    if not 1 <= len(recipient_id) <= RECIPIENT_LIMIT:
        raise Invalid(
            f"The id has {len(recipient_id)} characters.",
            field="recipient_id",
            value=recipient_id[:80],
            hint=f"Ids have 1 to {RECIPIENT_LIMIT} characters.",
        )
    return recipient_id


def _shown(answer: Answer[Recipient]) -> RecipientShown:
    profile = answer.state.profile
    return RecipientShown.model_construct(
        id=profile.id,
        zone=profile.zone,
        locale=profile.locale,
        attributes=profile.attributes,
        segment=profile.segment,
        best_time=profile.best_time,
        version=answer.version,
        position=answer.position,
        created_at=answer.created_at,
        updated_at=answer.updated_at,
    )


@router.put(
    "/v1/recipients/{recipient_id}",
    **openapi.operation(
        "Set a recipient",
        body=RecipientBody,
        answer=RecipientShown,
        scope=Scope.WRITE,
        examples={"Berlin": {"zone": "Europe/Berlin", "locale": "de-DE", "attributes": {"plan": "pro"}}},
    ),
)
async def put_recipient(request: Request, recipient_id: str) -> Response:
    """The whole profile; it need not exist before. If the zone changes, schedules that follow it are planned anew.

    Should that be broken off, the same request again finishes it.
    """
    caller = caller_of(request, Scope.WRITE)
    body, plain = await read_model(request, RecipientBody)
    profile = RecipientProfile(
        id=checked_id(recipient_id),
        zone=body.zone,
        locale=body.locale,
        attributes=body.attributes,
        segment=body.segment,
        best_time=body.best_time,
    )
    services, call = services_of(request), call_of(request, caller, plain)
    written = await services.recipients.put(call, profile)
    answer, shown = written.answer, _shown(written.answer)
    if written.look:
        shown = shown.model_copy(update={"replanned": await _replanned(request, caller, call, answer)})
    return respond(shown, headers=etag(answer.version))


async def _replanned(request: Request, caller: Caller, call: Call, answer: Answer[Recipient]) -> Replanned | None:
    """What the new zone did to the schedules that follow it; None: nobody could tell which, but the zone is stored."""
    services, profile = services_of(request), answer.state.profile
    reference = services.refs.recipient_ref(caller.tenant, profile.id)
    shard = shard_of(caller.tenant, profile.id)
    try:
        async with read_models(request, caller, answer.position, shard=shard) as conn:
            found = await queries.schedules_following(conn, caller.tenant, reference)
    except Busy:
        return None
    return await replan(services, call, found, "recipient", profile.zone or services.settings.default_zone)


@router.get(
    "/v1/recipients/{recipient_id}", **openapi.operation("Get a recipient", answer=RecipientShown, query=ReadQuery)
)
async def get_recipient(request: Request, recipient_id: str) -> Response:
    """From the log itself: what was written is there at once."""
    caller = caller_of(request, Scope.READ)
    query(request, ReadQuery)
    answer = await services_of(request).recipients.get(caller.tenant, checked_id(recipient_id))
    return respond(_shown(answer), headers=etag(answer.version))


@router.get(
    "/v1/recipients/{recipient_id}/zones",
    **openapi.operation("The zones that a recipient had", answer=ZonesHad, query=ReadQuery),
)
async def get_zones(request: Request, recipient_id: str) -> Response:
    """Every zone that was set for them and since when, from the log itself."""
    caller = caller_of(request, Scope.READ)
    query(request, ReadQuery)
    told = await services_of(request).recipients.zones(caller.tenant, checked_id(recipient_id))
    items = [ZoneHad.model_construct(zone=zone, since=since) for zone, since in told]
    return respond(ZonesHad.model_construct(items=items))


@router.get(
    "/v1/recipients/{recipient_id}/timeline",
    **openapi.operation("What a recipient got and will get", answer=Timeline, query=TimelineQuery),
)
async def get_timeline(request: Request, recipient_id: str) -> Response:
    """Every occurrence so far and the next slot of each schedule, by due instant."""
    caller = caller_of(request, Scope.READ)
    asked = query(request, TimelineQuery)
    reference = services_of(request).refs.recipient_ref(caller.tenant, checked_id(recipient_id))
    shard = shard_of(caller.tenant, recipient_id)
    async with read_models(request, caller, asked.min_position, shard=shard) as conn:
        page = await queries.recipient_timeline(
            conn,
            caller.tenant,
            reference,
            order=asked.order,
            due_from=asked.due_from,
            due_to=asked.due_to,
            cursor=asked.cursor,
            limit=asked.limit,
        )
    return respond(Timeline.model_construct(items=[timeline_row_shown(row) for row in page.items], next=page.next))
