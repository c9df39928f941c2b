"""Schedules: create, get, list."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import Field

from horae.api import openapi
from horae.api.auth import caller_of
from horae.api.bodies import query, read_model
from horae.api.models.schedules import CREATE_EXAMPLES, CreateSchedule, ScheduleList, ScheduleShown, ScheduleStatus
from horae.api.plain import PlainRoute
from horae.api.reading import Many, PageQuery, ReadQuery, moment, read_models, services_of
from horae.api.rows import changed_since, schedule_row_shown
from horae.api.views import call_of, created_headers, etag, respond, schedule_shown
from horae.domain.ids import shard_of
from horae.domain.key import Scope
from horae.domain.timing.values import Instant
from horae.projections import queries

router = APIRouter(tags=["schedules"], route_class=PlainRoute)


class GetQuery(ReadQuery):
    """Reading one schedule."""

    as_of: str | None = Field(
        default=None,
        max_length=64,
        description="The schedule as it was asked for at an instant, or after a log position.",
        examples=["2026-12-01T09:00:00Z", "4711"],
    )


class ListQuery(PageQuery):
    """Which schedules; all given filters must hold, of one that is repeated any (of tags: all)."""

    status: Many[ScheduleStatus] = Field(default=(), description="Where it stands.")
    recipient: str | None = Field(default=None, max_length=256, description="Whose.")
    channel: str | None = Field(default=None, max_length=2048, description="A whole channel, or its kind: `webhook`.")
    tag: Many[str] = Field(default=(), description="With this tag.")
    priority: Many[int] = Field(default=(), description="Of this priority.")
    kind: Many[Literal["now", "at", "in", "phrase", "every", "best"]] = Field(default=(), description="Kind of timing.")
    zone: str | None = Field(default=None, max_length=64, description="Last planned in this IANA zone.")
    type: str | None = Field(default=None, max_length=256, description="With this metadata.type.")
    due_from: Instant | None = Field(default=None, description="Next due at or after this instant.")
    due_to: Instant | None = Field(default=None, description="Next due before this instant.")
    created_from: Instant | None = Field(default=None, description="Created at or after this instant.")
    created_to: Instant | None = Field(default=None, description="Created before this instant.")
    order: Literal["created", "due"] = Field(
        default="created", description="`created`: newest first; `due`: those with a next slot, soonest first."
    )

    def filters(self, recipient_ref: str | None) -> queries.ScheduleFilters:
        """As the read models take them."""
        return queries.ScheduleFilters(
            status=self.status,
            recipient_ref=recipient_ref,
            channel=self.channel,
            tags=self.tag,
            priority=tuple(p for p in self.priority if 0 <= p <= 9),
            kind=self.kind,
            zone=self.zone,
            type=self.type,
            due_from=self.due_from,
            due_to=self.due_to,
            created_from=self.created_from,
            created_to=self.created_to,
        )


@router.post(
    "/v1/schedules",
    **openapi.operation(
        "Create a schedule",
        body=CreateSchedule,
        answer=ScheduleShown,
        scope=Scope.WRITE,
        status=201,
        examples=CREATE_EXAMPLES,
        idempotent=True,
        errors=(409,),
    ),
)
async def create_schedule(request: Request) -> Response:
    """Durable when it answers. Under an Idempotency-Key the same request gets the first answer again."""
    caller = caller_of(request, Scope.WRITE)
    draft, plain = await read_model(request, CreateSchedule)
    services = services_of(request)
    answer = await services.schedules.create(call_of(request, caller, plain), draft)
    if not answer.replayed:
        request.app.state.metrics.created(draft)
    return respond(schedule_shown(answer), 201, created_headers(answer))


@router.get("/v1/schedules/{schedule_id}", **openapi.operation("Get a schedule", answer=ScheduleShown, query=GetQuery))
async def get_schedule(request: Request, schedule_id: UUID) -> Response:
    """The schedule as it stands, or with `as_of` as it was asked for then."""
    caller = caller_of(request, Scope.READ)
    asked = query(request, GetQuery)
    services = services_of(request)
    if asked.as_of is not None:
        answer = await services.schedules.get(caller.tenant, schedule_id, moment(asked.as_of, "as_of"))
        return respond(schedule_shown(answer), headers=etag(answer.version))
    async with read_models(request, caller, asked.min_position) as conn:
        row = await queries.get_schedule(conn, caller.tenant, schedule_id)
    if row is None:
        # The log is ahead of the read models: what was just created is found all the same.
        answer = await services.schedules.get(caller.tenant, schedule_id)
        return respond(schedule_shown(answer), headers=etag(answer.version))
    state = None
    if changed_since(row):
        state = (await services.schedules.get(caller.tenant, schedule_id)).state
    return respond(schedule_row_shown(row, state), headers=etag(row.version))


@router.get("/v1/schedules", **openapi.operation("List schedules", answer=ScheduleList, query=ListQuery))
async def list_schedules(request: Request) -> Response:
    """Newest first, page by page."""
    caller = caller_of(request, Scope.READ)
    asked = query(request, ListQuery)
    reference = shard = None
    if asked.recipient is not None:
        reference = services_of(request).refs.recipient_ref(caller.tenant, asked.recipient)
        shard = shard_of(caller.tenant, asked.recipient)
    async with read_models(request, caller, asked.min_position, shard=shard) as conn:
        page = await queries.list_schedules(
            conn, caller.tenant, asked.filters(reference), order=asked.order, cursor=asked.cursor, limit=asked.limit
        )
    late = [row.id for row in page.items if changed_since(row)]
    states = await services_of(request).schedules.get_many(caller.tenant, late) if late else {}
    items = [schedule_row_shown(row, states.get(row.id)) for row in page.items]
    return respond(ScheduleList.model_construct(items=items, next=page.next))
