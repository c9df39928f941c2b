"""What read routes share: the services, waiting for a position, versions in headers, and instants or positions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, TypeVar
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.requests import Request

from horae.api.auth import Caller
from horae.api.services import Services
from horae.domain.errors import Busy, Invalid
from horae.domain.timing.values import FIRST_YEAR, LAST_YEAR
from horae.projections.tenancy import tenant_connection

if TYPE_CHECKING:
    from horae.projections.schema import Connection

MIN_POSITION_HEADER = "X-Min-Position"
_MAX_POSITION = 2**63 - 1

V = TypeVar("V")

Many = Annotated[
    tuple[V, ...], Field(max_length=50), BeforeValidator(lambda v: v if isinstance(v, list | tuple) else [v])
]
"""A query parameter that may be repeated."""


class ReadQuery(BaseModel):
    """What every read takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_position: int | None = Field(
        default=None,
        ge=0,
        le=_MAX_POSITION,
        description="Answer only when everything up to this position is applied (also as X-Min-Position): a write's "
        "`position` here reads what was written.",
    )


class PageQuery(ReadQuery):
    """What every list takes."""

    limit: int = Field(default=50, ge=1, le=500, description="At most so many items.")
    cursor: str | None = Field(default=None, max_length=500, description="`next` of the page before.")


def services_of(request: Request) -> Services:
    """The services of the application."""
    services: Services = request.app.state.services
    return services


async def settle(
    request: Request,
    caller: Caller,
    position: int | None = None,
    *,
    shard: int | None = None,
    about: UUID | None = None,
) -> None:
    """Wait until the read models have applied the position that the request asks for, if it does.

    `shard`: only rows of that shard will be read; `about`: only those of this schedule or occurrence. Where shards are
    fed on their own, either spares the wait for all the others. Raises `Busy` after the bounded wait.
    """
    header = request.headers.get(MIN_POSITION_HEADER)
    if position is None and header is not None:
        if not header.isdecimal() or len(header) > 19 or int(header) > _MAX_POSITION:
            raise Invalid(
                "The header is not a position.", field=MIN_POSITION_HEADER, value=header[:80], hint="Send 4711."
            )
        position = int(header)
    if position is None:
        return
    services = services_of(request)
    if shard is None and about is not None and services.progress.sharded and services.progress.applied < position:
        shard = await _shard_written(services, caller, position, about)
    if not await services.progress.wait(position, services.settings.settle_timeout_s, shard):
        raise Busy(
            f"The read models have applied {services.progress.applied}, not yet {position}.",
            retry_after_s=1.0,
            hint="Read again; if it stays behind, /readyz says why.",
        )


async def _shard_written(services: Services, caller: Caller, position: int, about: UUID) -> int | None:
    """The shard of the event at this position, if it is one about that very thing."""
    for event in await services.store.scoped(caller.tenant).after(position - 1, 1):
        named = (event.stream, getattr(event.body, "schedule", None), getattr(event.body, "occurrence", None))
        if event.position == position and about in named:
            return event.meta.shard
    return None


@asynccontextmanager
async def read_models(
    request: Request,
    caller: Caller,
    position: int | None = None,
    *,
    shard: int | None = None,
    about: UUID | None = None,
) -> AsyncIterator[Connection]:
    """A connection that sees the caller's rows, at least as new as the request asks for; see `settle`."""
    await settle(request, caller, position, shard=shard, about=about)
    async with tenant_connection(services_of(request).pool, caller.tenant) as conn:
        yield conn


def if_match(request: Request) -> int | None:
    """The version that the caller wants to change, from If-Match; None: whichever it is. Raises `Invalid`."""
    header = request.headers.get("if-match")
    if header is None or header.strip() == "*":
        return None
    text = header.strip().removeprefix("W/").strip('"')
    if not text.isdecimal() or len(text) > 9:
        raise Invalid(
            "If-Match is not a version.", field="If-Match", value=header[:80], hint='Send the ETag, e.g. "3".'
        )
    return int(text)


def moment(text: str | None, field: str) -> datetime | int | None:
    """An instant (RFC 3339 with offset) or a log position. Raises `Invalid`."""
    if text is None:
        return None
    if text.isdecimal() and int(text) <= _MAX_POSITION:
        return int(text)
    try:
        # A plus sign in a query reads as a space.
        instant = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None or not FIRST_YEAR <= instant.year <= LAST_YEAR:
        raise Invalid(
            "It is neither an instant nor a position.",
            field=field,
            value=text[:80],
            hint="Send 2026-12-01T09:00:00Z or 4711.",
        )
    return instant
