"""Recipients: their zone and locale, and what they got and will get."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field

from horae.api import openapi
from horae.api.auth import caller_of
from horae.api.bodies import query, read_model
from horae.api.models.occurrences import RecipientBody, RecipientShown, Timeline, ZoneHad, ZonesHad
from horae.api.models.zonechanges import RecipientMovePreview
from horae.api.reading import PageQuery, ReadQuery, read_models, services_of
from horae.api.replanning import reaching, replanned_shown
from horae.api.rows import timeline_row_shown
from horae.api.views import call_of, etag, respond
from horae.api.zonereports import move_shown
from horae.commands.context import Answer
from horae.domain.errors import Invalid
from horae.domain.ids import shard_of
from horae.domain.key import Scope
from horae.domain.personal import RECIPIENT_LIMIT, refuse_unstorable
from horae.domain.recipient import Recipient, RecipientProfile
from horae.domain.schedule import Keep
from horae.domain.timing.values import Instant
from horae.projections import queries

router = APIRouter(tags=["recipients"])


class PutQuery(ReadQuery):
    """How to set a recipient."""

    keep: Keep = Field(
        default="wall_time",
        description="If the zone changes: `wall_time` moves planned slots to the same time on the new clock, `instant` "
        "leaves those that are planned already at their moment. Later ones are planned in the new zone.",
    )
    dry_run: bool = Field(default=False, description="Only tell which planned slots it would move.")


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
        query=PutQuery,
        scope=Scope.WRITE,
        alternatives=[RecipientMovePreview],
        examples={"Berlin": {"zone": "Europe/Berlin", "locale": "de-DE", "attributes": {"plan": "pro"}}},
    ),
)
async def put_recipient(request: Request, recipient_id: str) -> Response:
    """The whole profile; it need not exist before. If the zone changes, schedules that follow it are planned anew.

    The report is kept under `/v1/recipients/{id}/moves`. Should it be broken off, the same request again finishes it.
    """
    caller = caller_of(request, Scope.WRITE)
    asked = query(request, PutQuery)
    body, plain = await read_model(request, RecipientBody)
    profile = RecipientProfile(
        id=checked_id(recipient_id),
        zone=body.zone,
        locale=body.locale,
        attributes=body.attributes,
        segment=body.segment,
        best_time=body.best_time,
    )
    told = asked.model_dump(mode="json", include={"keep"}, exclude_defaults=True)
    services, call = services_of(request), call_of(request, caller, [plain, told] if told else plain)
    if asked.dry_run:
        would = await services.recipient_moves.would_move(caller.tenant, profile)
        moves = [move_shown(move) for move in would.moves]
        return respond(
            RecipientMovePreview.model_construct(checked=would.checked, moves=moves, failed=list(would.failed))
        )
    written = await services.recipients.put(call, profile)
    answer, shown = written.answer, _shown(written.answer)
    if written.look:
        moved = await services.recipient_moves.follow(call, profile.id, written.zones, answer.position, asked.keep)
        replanned = replanned_shown(moved)
        shown = await reaching(services, shown.model_copy(update={"replanned": replanned}), replanned)
    return respond(shown, headers=etag(answer.version))


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
