"""Timings to try out: what a timing comes to, without creating anything."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request, Response

from horae.api import openapi
from horae.api.auth import Caller, caller_of
from horae.api.bodies import read_model
from horae.api.models.schedules import TimingPreview, TimingPreviewShown
from horae.api.reading import services_of
from horae.api.views import next_shown, respond, skipped_shown
from horae.commands.conflicts import Asking
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.conflicts import Settlement
from horae.domain.draft import check_policy
from horae.domain.errors import Invalid
from horae.domain.key import Scope

router = APIRouter(tags=["timings"])

#: Jitter is a hash of the occurrence, hence of its schedule; a timing alone has none yet.
_NO_SCHEDULE = UUID(int=0)


@router.post(
    "/v1/timings/preview",
    **openapi.operation(
        "Try a timing",
        body=TimingPreview,
        answer=TimingPreviewShown,
        scope=Scope.READ,
        examples={
            "over a clock change": {
                "timing": {"kind": "every", "cron": "30 2 * * *", "zone": "Europe/Berlin"},
                "after": "2027-03-26T00:00:00Z",
                "count": 5,
            },
            "words": {"timing": {"kind": "phrase", "text": "tomorrow at 9 AM", "zone": "Asia/Tokyo"}},
        },
    ),
)
async def preview_timing(request: Request) -> Response:
    """Also the validation of a rule: what is wrong is a 422 that names the field. Stores nothing."""
    caller = caller_of(request, Scope.READ)
    body, _ = await read_model(request, TimingPreview)
    services = services_of(request)
    people = await services.recipients.people(caller.tenant, [body.recipient] if body.recipient else [])
    person = people.get(body.recipient or "")
    context = t.Context(
        now=services.clock.now(),
        schedule_id=_NO_SCHEDULE,
        default_zone=services.settings.default_zone,
        recipient_zone=person.zone if person is not None else None,
        recipient_locale=person.locale if person is not None else None,
        calendar=await services.calendars.resolver.for_timing(caller.tenant, body.timing),
    )
    understood = t.normalise(body.timing, context)
    settled = await _settled(request, caller, body, understood, context) if body.conflicts is not None else None
    understood = s.shifted(understood, settled)
    found = t.preview(understood, body.count, context, after=body.after)
    shown = TimingPreviewShown.model_construct(
        slots=[next_shown(at) for at in found.slots],
        skipped=skipped_shown(found.skipped),
        understood=understood,
        description=t.describe(understood),
        settled=settled,
    )
    return respond(shown)


async def _settled(
    request: Request, caller: Caller, body: TimingPreview, timing: t.Timing, context: t.Context
) -> Settlement | None:
    """What would be decided now, were a schedule of this timing created."""
    if body.recipient is None or body.conflicts is None:
        raise Invalid(
            "Whose schedules it is compared with is not given.",
            field="recipient",
            hint="Name the recipient beside `conflicts`.",
        )
    check_policy(body.conflicts)
    asking = Asking(
        schedule=_NO_SCHEDULE,
        policy=body.conflicts,
        timing=timing,
        context=context,
        recipient=body.recipient,
        priority=body.priority,
    )
    return await services_of(request).schedules.conflicts.preview(caller.tenant, asking)
