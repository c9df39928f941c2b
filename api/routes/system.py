"""Liveness, readiness and metrics: without a key, for those who run the service."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict, Field

from horae.api import exposition, openapi
from horae.api.bodies import query
from horae.api.health import Monitor
from horae.api.metrics import Metrics
from horae.api.models.admin import HealthShown
from horae.api.reading import Many, services_of
from horae.api.views import respond
from horae.domain.errors import HoraeError, NotFound
from horae.projections import due, queries
from horae.projections.away import DATABASE_AWAY

router = APIRouter(tags=["operations"])


@router.get("/healthz", **openapi.operation("Alive?", scope=None, answers={"text/plain": {"example": "ok"}}))
async def get_liveness() -> Response:
    """200 as long as this process answers; says nothing about others."""
    return Response(b"ok", media_type="text/plain")


class ReadinessQuery(BaseModel):
    """Whose readiness."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    only: Many[str] = Field(
        default=(),
        description="Ask these components alone, as a load balancer does: `database` and `start` are what a request "
        "needs, while an API without workers still takes and answers it.",
    )


@router.get(
    "/readyz", **openapi.operation("Ready?", answer=HealthShown, query=ReadinessQuery, scope=None, errors=(422, 503))
)
async def get_readiness(request: Request) -> Response:
    """200 when every component can do its work, else 503 with the reasons."""
    monitor: Monitor = request.app.state.monitor
    health = await monitor.check(query(request, ReadinessQuery).only)
    if health.status == "unhealthy":
        return respond(health, 503, {"Retry-After": "1"})
    return respond(health)


@router.get("/metrics", **openapi.operation("Prometheus metrics", scope=None, answers={"text/plain": {}}))
async def get_metrics(request: Request) -> Response:
    """Counters of this process and of those behind it, each of their samples with its source, and the installation's
    gauges read now; the latter are left out while it is down."""
    metrics: Metrics = request.app.state.metrics
    services = services_of(request)
    if not services.settings.metrics_enabled:
        raise NotFound("Metrics are switched off.", hint="Set METRICS_ENABLED=true.")
    worker = ""
    try:
        async with services.pool.acquire() as conn:
            metrics.standings(await queries.count_standings(conn))
            metrics.backlog(await due.backlog(conn, services.clock.now()))
        worker = await services.worker_metrics() if services.worker_metrics else ""
        applied = services.progress.applied
        metrics.lag.set(max(0, await services.store.head() - applied))
        if services.lag_seconds is not None:
            metrics.lag_seconds.set(services.lag_seconds(applied))
    except (*DATABASE_AWAY, HoraeError):
        metrics.forget_installation()
    return Response(exposition.merged([metrics.page(), worker]), media_type=CONTENT_TYPE_LATEST)
