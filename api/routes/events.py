"""GET /v1/events: everything that happens to the tenant, as it happens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse
from starlette.types import Receive, Send
from starlette.types import Scope as Connection

from horae.api import openapi
from horae.api.auth import Authenticator, caller_of
from horae.api.bodies import query
from horae.api.metrics import Metrics
from horae.api.reading import Many, services_of
from horae.api.sse import OpenStreams, events
from horae.domain.errors import Invalid, Unauthenticated
from horae.domain.key import Scope
from horae.projections.away import DATABASE_AWAY

router = APIRouter(tags=["events"])


class EventsQuery(BaseModel):
    """Which events."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    from_: int | None = Field(
        default=None,
        alias="from",
        ge=0,
        le=2**63 - 1,
        description="Events later than this position; 0: all. Default: Last-Event-ID, else only new ones.",
    )
    types: Many[str] = Field(
        default=(),
        description="Only these, by name or beginning: `schedule`, `occurrence.ended`.",
        examples=["occurrence"],
    )
    limit: int | None = Field(default=None, ge=1, le=1_000_000, description="End after so many; default: never.")


@router.get(
    "/v1/events",
    **openapi.operation(
        "Follow events",
        query=EventsQuery,
        parameters=[
            {
                "name": "Last-Event-ID",
                "in": "header",
                "required": False,
                "description": "The position to go on behind; browsers send it by themselves.",
                "schema": {"type": "string"},
            }
        ],
        answers={"text/event-stream": {"schema": {"type": "string"}, "example": "id: 7\nevent: schedule.created.v1\n"}},
    ),
)
async def follow_events(request: Request) -> Response:
    """Server-sent events in the log's order: `id` is the position, `event` the name, `data` JSON. Nothing is skipped
    when a client comes back with the last id it saw."""
    caller = caller_of(request, Scope.READ)
    asked = query(request, EventsQuery)
    services = services_of(request)
    position = _position(request, asked)
    if position is None:
        position = await services.store.head()
    wanted = tuple(part for text in asked.types for part in text.split(",") if part)
    authenticator: Authenticator = request.app.state.authenticator

    async def admitted() -> bool:
        try:
            await authenticator.caller(request.headers)
        except Unauthenticated:
            return False
        except DATABASE_AWAY:
            # Nobody can tell now; the log, which is read next, is away as well.
            return True
        return True

    frames = events(services, caller, position, wanted, asked.limit, admitted)
    opened: OpenStreams = request.app.state.streams
    return _EventStream(_counted(frames, request.app.state.metrics), opened.open(caller))


class _EventStream(StreamingResponse):
    """Gives its place back when it ends, however it ends, even before its first frame."""

    def __init__(self, frames: AsyncIterator[bytes], close: Callable[[], None]) -> None:
        headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-store"}
        super().__init__(frames, 200, headers, "text/event-stream")
        self._close = close

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Stream until the client leaves or the frames end."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._close()


async def _counted(frames: AsyncIterator[bytes], metrics: Metrics) -> AsyncIterator[bytes]:
    with metrics.streams.track_inprogress():
        async for frame in frames:
            yield frame


def _position(request: Request, asked: EventsQuery) -> int | None:
    header = request.headers.get("last-event-id")
    if header is None or header == "":
        return asked.from_
    if not header.isdecimal() or len(header) > 19 or int(header) >= 2**63:
        raise Invalid("The header is not a position.", field="Last-Event-ID", value=header[:80], hint="Send 4711.")
    return int(header)
