"""The application: routes, the door in front of them, errors behind them, and its documentation."""

from __future__ import annotations

import asyncio
import time

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from horae.api import errors, openapi
from horae.api.auth import Authenticator, FindKey, KeyFacts
from horae.api.door import Door
from horae.api.health import Monitor
from horae.api.metrics import Metrics
from horae.api.ratelimit import RateLimiter
from horae.api.routes import (
    backfills,
    besttimes,
    bulk,
    calendars,
    changes,
    clock,
    dead_letters,
    engagements,
    events,
    feeds,
    histories,
    importing,
    keys,
    occurrences,
    recipientmoves,
    recipients,
    schedules,
    search,
    subscriptions,
    system,
    timings,
    zonechanges,
    zones,
)
from horae.api.services import Services
from horae.api.sse import OpenStreams
from horae.api.turns import Turns
from horae.domain.errors import HoraeError
from horae.domain.key import Scope
from horae.projections.queries import find_key

_DESCRIPTION = """\
Horae decides *when* each notification goes out, releases it at that moment, once, and can always say why.

Times are RFC 3339 instants; slots are local times without a zone; durations are ISO 8601. Every write answers its
`position` in the log: give it as `min_position` to read what you wrote. Errors are `application/problem+json`.
"""


def create_app(services: Services) -> FastAPI:
    """The ASGI application on `services`, which it neither opens nor closes."""
    app = FastAPI(
        title="Horae",
        version=services.settings.version,
        description=_DESCRIPTION,
        redoc_url=None,
        docs_url="/docs",
        # The door has spans of its own, without paths and messages, which may name people.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    metrics = Metrics(services.registry)
    authenticator = Authenticator(_finder(services), services.real_clock, services.settings.api_key_header)
    app.state.services = services
    app.state.metrics = metrics
    app.state.authenticator = authenticator
    app.state.streams = OpenStreams(services.settings.event_streams_per_key)
    app.state.monitor = Monitor(services, time.monotonic(), metrics)
    # Bulk and import before schedules: their paths must not be read as a schedule's id.
    for module in (
        bulk,
        importing,
        schedules,
        changes,
        backfills,
        histories,
        timings,
        occurrences,
        dead_letters,
        recipients,
        recipientmoves,
        engagements,
        besttimes,
        events,
        clock,
        keys,
        search,
        feeds,
        calendars,
        subscriptions,
        zones,
        zonechanges,
        system,
    ):
        app.include_router(module.router)
    app.add_exception_handler(HoraeError, errors.on_horae_error)
    app.add_exception_handler(RequestValidationError, errors.on_validation_error)
    app.add_exception_handler(HTTPException, errors.on_http_error)
    limiter = RateLimiter(services.settings.rate_limit_requests, services.settings.rate_limit_window_s)
    app.state.limiter = limiter
    # Feeds that are written at the same time: each is a thread at work.
    app.state.rendering = asyncio.Semaphore(2)
    # Calendar files are read one by one: each may take seconds, and neither feeds nor memory should wait for a queue.
    app.state.importing = Turns(1, waiting=8)
    app.add_middleware(
        Door,
        authenticator=authenticator,
        limiter=limiter,
        metrics=metrics,
        ids=services.ids,
    )
    app.openapi = lambda: openapi.build(app)  # type: ignore[method-assign]
    return app


def _finder(services: Services) -> FindKey:
    async def find(sha256: str) -> KeyFacts | None:
        async with services.pool.acquire() as conn:
            row = await find_key(conn, sha256)
        if row is None:
            return None
        return KeyFacts(row.id, row.tenant, row.sha256, Scope(row.scope), row.expires_at, row.revoked)

    return find
