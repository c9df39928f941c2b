"""Occurrences: one of them, its explanation, and what providers report of it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from fastapi import APIRouter, Request, Response

from horae.api import openapi
from horae.api.auth import caller_of
from horae.api.bodies import query, read_model
from horae.api.explain import explain_occurrence
from horae.api.models.occurrences import Callback, Explanation, OccurrenceShown, OccurrenceWritten
from horae.api.reading import ReadQuery, read_models, services_of
from horae.api.rows import occurrence_row_shown
from horae.api.starts import with_starts
from horae.api.views import call_of, occurrence_written, respond
from horae.commands.reading import fold_schedule
from horae.domain import occurrence as o
from horae.domain.draft import check_size
from horae.domain.envelope import Recorded
from horae.domain.errors import NotFound
from horae.domain.key import Scope
from horae.domain.personal import METADATA_LIMIT
from horae.projections import queries

router = APIRouter(tags=["occurrences"])


def _absent(occurrence: UUID) -> NotFound:
    return NotFound(
        "Nothing is on record of such an occurrence.",
        field="occurrence_id",
        value=str(occurrence),
        hint="Slots to come have none yet: see the schedule's /preview, or its /explain?slot=...",
    )


@router.get(
    "/v1/occurrences/{occurrence_id}",
    **openapi.operation("Get an occurrence", answer=OccurrenceShown, query=ReadQuery),
)
async def get_occurrence(request: Request, occurrence_id: UUID) -> Response:
    """What became of one slot, or of one trigger by hand."""
    caller = caller_of(request, Scope.READ)
    asked = query(request, ReadQuery)
    async with read_models(request, caller, asked.min_position, about=occurrence_id) as conn:
        row = await queries.get_occurrence(conn, caller.tenant, occurrence_id)
    if row is None:
        raise _absent(occurrence_id)
    return respond(occurrence_row_shown(row))


@router.get(
    "/v1/occurrences/{occurrence_id}/explain",
    **openapi.operation("Why it went out then, or not", answer=Explanation, query=ReadQuery),
)
async def explain(request: Request, occurrence_id: UUID) -> Response:
    """Every decision in order, from the log: what was asked, zone, clock changes, edits, claim, attempts, outcome."""
    caller = caller_of(request, Scope.READ)
    asked = query(request, ReadQuery)
    services = services_of(request)
    reader = services.store.scoped(caller.tenant)
    history = await reader.load(occurrence_id)
    if history and isinstance(history[0].body, o.OccurrenceEvent):
        schedule = history[0].body.schedule
    else:
        async with read_models(request, caller, asked.min_position, about=occurrence_id) as conn:
            row = await queries.get_occurrence(conn, caller.tenant, occurrence_id)
        if row is None:
            raise _absent(occurrence_id)
        schedule, history = row.schedule, []
    events = await reader.load(schedule)
    state = fold_schedule(schedule, events)
    zone = await services.recipients.zone(caller.tenant, state.personal.recipient)
    context = state.context(
        services.clock.now(),
        default_zone=services.settings.default_zone,
        recipient_zone=zone,
        calendar=await services.calendars.resolver.for_timing(caller.tenant, state.timing),
    )
    missed: Sequence[Recorded] = ()
    asked_again = next((e.body for e in history if isinstance(e.body, o.OccurrenceBackfilled)), None)
    if asked_again is not None:
        # The run that it was missed in is told in the stream of the run's first slot.
        async with read_models(request, caller, asked.min_position, about=occurrence_id) as conn:
            run = await queries.missed_run_near(conn, caller.tenant, schedule, asked_again.slot)
        missed = await reader.load(run) if run is not None and run != occurrence_id else ()
    explanation = explain_occurrence(occurrence_id, events, history, context, missed)
    return respond(await with_starts(explanation, services.workers_started))


@router.post(
    "/v1/occurrences/{occurrence_id}/callbacks",
    **openapi.operation(
        "Report a delivery",
        body=Callback,
        answer=OccurrenceWritten,
        scope=Scope.WRITE,
        status=202,
        errors=(409,),
        idempotent=True,
        examples={"delivered": {"status": "delivered", "detail": {"provider_id": "m-1"}}},
    ),
)
async def report_delivery(request: Request, occurrence_id: UUID) -> Response:
    """A provider's word on what became of a release, after it was taken."""
    caller = caller_of(request, Scope.WRITE)
    body, plain = await read_model(request, Callback)
    check_size(body.detail, "detail", METADATA_LIMIT)
    services = services_of(request)
    answer = await services.occurrences.report_delivery(
        call_of(request, caller, plain), occurrence_id, body.status, body.at or services.clock.now(), body.detail
    )
    return respond(occurrence_written(answer), 202)
