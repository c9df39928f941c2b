"""Calendar feeds: addresses at which calendar programs find schedules, opened, listed, rotated and revoked.

`GET /feeds/TOKEN.ics` is behind no key: who knows the token may read. Unknown, replaced and revoked ones look alike.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

from fastapi import APIRouter, Request, Response

from horae.api import icalendar, openapi
from horae.api.auth import caller_of
from horae.api.bodies import query, read_model
from horae.api.errors import RateLimited
from horae.api.models.feeds import FeedList, FeedMade, FeedShown, OpenFeed, RotateFeed
from horae.api.models.schedules import Reasoned
from horae.api.reading import PageQuery, read_models, services_of
from horae.api.services import Services
from horae.api.views import call_of, respond
from horae.commands.feeds import OpenedFeed, sha256_of
from horae.domain.errors import NotFound
from horae.domain.ids import shard_of
from horae.domain.key import Scope
from horae.projections import queries
from horae.projections.queries import FeedRow, ScheduleFilters, ScheduleRow
from horae.projections.tenancy import tenant_connection

router = APIRouter(tags=["feeds"])

_DEFAULT_OVERLAP = timedelta(days=7)
#: Programs may show what they have for so long without asking.
_FRESH_S = 300
_PAGE = 500


@router.get("/v1/feeds", **openapi.operation("List feeds", answer=FeedList, query=PageQuery, scope=Scope.ADMIN))
async def list_feeds(request: Request) -> Response:
    """Revoked ones too, newest first; tokens are not stored."""
    caller = caller_of(request, Scope.ADMIN)
    asked = query(request, PageQuery)
    async with read_models(request, caller, asked.min_position) as conn:
        page = await queries.list_feeds(conn, caller.tenant, cursor=asked.cursor, limit=asked.limit)
    return respond(FeedList.model_construct(items=[_row_shown(row) for row in page.items], next=page.next))


@router.post(
    "/v1/feeds",
    **openapi.operation(
        "Open a feed",
        body=OpenFeed,
        answer=FeedMade,
        scope=Scope.ADMIN,
        status=201,
        idempotent=True,
        examples={"a recipient's": {"label": "My reminders", "recipient": "user-17"}, "a team's": {"label": "Team"}},
    ),
)
async def open_feed(request: Request) -> Response:
    """Its address is in this answer and nowhere else, ever. Whoever has it reads the feed."""
    caller = caller_of(request, Scope.ADMIN)
    body, plain = await read_model(request, OpenFeed)
    opened = await services_of(request).feeds.open(
        call_of(request, caller, plain), label=body.label, recipient=body.recipient
    )
    return await _made(request, caller.tenant, opened, 201)


@router.post(
    "/v1/feeds/{feed_id}/rotate",
    **openapi.operation(
        "Give a feed another address",
        body=RotateFeed,
        answer=FeedMade,
        scope=Scope.ADMIN,
        errors=(409,),
        idempotent=True,
    ),
)
async def rotate_feed(request: Request, feed_id: UUID) -> Response:
    """The one before works on for the overlap, so that calendar programs can be told the new one."""
    caller = caller_of(request, Scope.ADMIN)
    body, plain = await read_model(request, RotateFeed)
    overlap = _DEFAULT_OVERLAP if body.overlap is None else body.overlap
    opened = await services_of(request).feeds.rotate(call_of(request, caller, plain), feed_id, overlap=overlap)
    return await _made(request, caller.tenant, opened, 200)


@router.post(
    "/v1/feeds/{feed_id}/revoke",
    **openapi.operation("Revoke a feed", body=Reasoned, answer=FeedShown, scope=Scope.ADMIN, idempotent=True),
)
async def revoke_feed(request: Request, feed_id: UUID) -> Response:
    """It answers no more."""
    caller = caller_of(request, Scope.ADMIN)
    body, plain = await read_model(request, Reasoned)
    services = services_of(request)
    answer = await services.feeds.revoke(call_of(request, caller, plain), feed_id, reason=body.reason)
    await _settled(services, caller.tenant, answer.state.recipient, feed_id, answer.position)
    shown = FeedShown.model_construct(
        id=feed_id,
        prefix=answer.state.prefix,
        label=answer.state.label,
        recipient=answer.state.recipient,
        status="revoked",
        created_at=answer.created_at,
        old_until=answer.state.old_until,
        revoked_at=answer.updated_at,
    )
    return respond(shown)


@router.get(
    "/feeds/{token}.ics",
    **openapi.operation(
        "Read a feed",
        scope=None,
        errors=(404, 429),
        answers={"text/calendar": {"schema": {"type": "string"}}},
        parameters=[
            {"name": "If-None-Match", "in": "header", "required": False, "schema": {"type": "string"}},
        ],
    ),
)
async def read_feed(request: Request, token: str) -> Response:
    """What is active and to come, as iCalendar; 304 while it is what the program has (ETag, If-None-Match)."""
    services, sha256 = services_of(request), sha256_of(token)
    async with services.pool.acquire() as conn:
        feed = await queries.find_feed(conn, sha256)
    if feed is None or not feed.opens(sha256, services.real_clock.now()):
        raise NotFound("There is no such feed.", hint="It may have been revoked, or have another address by now.")
    allowance = request.app.state.limiter.take(f"feed:{feed.id}")
    if allowance is not None and not allowance.allowed:
        raise RateLimited("The feed was read too often.", retry_after_s=max(1, allowance.reset_s))
    shown = await _gathered(services, feed)
    headers = {"ETag": shown.etag, "Cache-Control": f"private, max-age={_FRESH_S}"}
    if _names(request.headers.get("if-none-match"), shown.etag):
        return Response(status_code=304, headers=headers)
    async with request.app.state.rendering:
        body = await asyncio.to_thread(icalendar.render, shown)
    return Response(body, headers=headers, media_type=icalendar.MEDIA_TYPE)


async def _gathered(services: Services, feed: FeedRow) -> icalendar.Shown:
    """What the feed shows today. Read as its tenant, whom the token has named."""
    filters, today = ScheduleFilters(recipient_ref=feed.recipient_ref), _today(services.clock.now())
    rows: list[ScheduleRow] = []
    cursor: str | None = None
    async with tenant_connection(services.pool, feed.tenant) as conn:
        while len(rows) < icalendar.MAX_SCHEDULES:
            page = await queries.list_schedules(conn, feed.tenant, filters, order="due", cursor=cursor, limit=_PAGE)
            rows += page.items
            cursor = page.next
            if cursor is None:
                break
        left = await queries.left_of_series(conn, feed.tenant, feed.recipient_ref, today, icalendar.MAX_SCHEDULES)
    timings = [icalendar.timing_of(row) for row in rows]
    calendars = await services.calendars.resolver.for_timings(feed.tenant, timings)
    rows += left[: icalendar.MAX_SCHEDULES - len(rows)]
    varied = [row.id for row in rows if row.later or any(names for _, _, names, _ in row.changes)]
    return icalendar.Shown(
        title=feed.label,
        today=today,
        schedules=rows,
        calendars=calendars,
        states=await services.schedules.get_many(feed.tenant, varied) if varied else {},
        truncated=cursor is not None,
    )


def _names(if_none_match: str | None, etag: str) -> bool:
    """Weak comparison, as If-None-Match wants it (RFC 9110 §13.1.2)."""
    given = [each.strip().removeprefix("W/") for each in (if_none_match or "").split(",")]
    return "*" in given or etag in given


async def _made(request: Request, tenant: str, opened: OpenedFeed, status: int) -> Response:
    answer, services = opened.answer, services_of(request)
    state = answer.state
    await _settled(services, tenant, state.recipient, answer.id, answer.position)
    path = None if opened.token is None else f"/feeds/{opened.token}.ics"
    shown = FeedMade.model_construct(
        id=answer.id,
        prefix=state.prefix,
        label=state.label,
        recipient=state.recipient,
        status="revoked" if state.revoked else "active",
        created_at=answer.created_at,
        old_until=state.old_until,
        token=opened.token,
        path=path,
        url=None if path is None else f"{str(request.base_url).rstrip('/')}{path}",
        position=answer.position,
        replayed=answer.replayed,
    )
    return respond(shown, status)


async def _settled(services: Services, tenant: str, recipient: str | None, feed: UUID, position: int) -> None:
    """Until the read models know it: the first use of an address should not depend on how fast they are."""
    shard = shard_of(tenant, recipient or str(feed))
    await services.progress.wait(position, services.settings.settle_timeout_s, shard)


def _row_shown(row: FeedRow) -> FeedShown:
    return FeedShown.model_construct(
        id=row.id,
        prefix=row.prefix,
        label=row.label,
        recipient=row.recipient,
        status="revoked" if row.revoked_at is not None else "active",
        created_at=row.created_at,
        old_until=row.old_until,
        revoked_at=row.revoked_at,
    )


def _today(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
