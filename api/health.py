"""Health: alive is whoever answers; ready is who can do the work, component by component."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

import structlog

from horae.api.metrics import Metrics
from horae.api.models.admin import Component, HealthShown
from horae.api.services import Health, Services
from horae.domain.errors import HoraeError, Invalid
from horae.projections.away import DATABASE_AWAY

log = structlog.get_logger(__name__)

_PATIENCE_S = 3.0
#: So long after the start what is not healthy yet is no news.
_STARTING_S = 30.0


@dataclass(frozen=True, slots=True)
class Monitor:
    """Runs the checks side by side and sums them up; `started` is `time.monotonic()` at the start."""

    services: Services
    started: float
    metrics: Metrics
    _known: dict[str, str] = field(default_factory=dict, init=False)

    async def watch(self, every_s: float) -> None:
        """Look every so often, also when nobody asks: what changes is logged, and /metrics tells how it stands."""
        while True:
            await self.check()
            await asyncio.sleep(every_s)

    async def check(self, only: Collection[str] = ()) -> HealthShown:
        """As healthy as the worst component that is a part of this installation. `only` asks these alone.

        Raises `Invalid` for a component that there is not.
        """
        checks = {
            "database": lambda: database(self.services),
            "projection": lambda: projection(self.services),
            **self.services.checks,
        }
        for name in only:
            if name not in checks:
                raise Invalid(
                    f"There is no component {name!r}.", field="only", value=name, hint=f"There are {', '.join(checks)}."
                )
        asked = {name: check() for name, check in checks.items() if not only or name in only}
        found = dict(zip(asked, await asyncio.gather(*map(_guarded, asked.values())), strict=True))
        statuses = {health.status for health in found.values()}
        status: Literal["healthy", "degraded", "unhealthy"] = "degraded" if "degraded" in statuses else "healthy"
        if "unhealthy" in statuses:
            status = "unhealthy"
        self._tell(found)
        return HealthShown.model_construct(
            status=status,
            timestamp=self.services.real_clock.now(),
            uptime=round(time.monotonic() - self.started, 3),
            version=self.services.settings.version,
            checks={
                name: Component.model_construct(
                    status=health.status,
                    responseTime=health.response_ms,
                    details=dict(health.details) if health.details else None,
                    error=health.error,
                )
                for name, health in found.items()
            },
            reasons=[
                f"{name}: {health.error or health.status}"
                for name, health in found.items()
                if health.status in ("degraded", "unhealthy")
            ],
        )

    def _tell(self, found: Mapping[str, Health]) -> None:
        self.metrics.components({name: health.status for name, health in found.items()})
        starting = time.monotonic() - self.started < _STARTING_S
        for name, health in found.items():
            if starting and name not in self._known and health.status == "unhealthy":
                continue
            before = self._known.get(name, "healthy")
            if health.status not in (before, "absent"):
                tell = log.info if health.status == "healthy" else log.warning
                tell("health_changed", component=name, before=before, now=health.status, reason=health.error)
            self._known[name] = health.status


async def _guarded(check: Awaitable[Health]) -> Health:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return await check
    except TimeoutError:
        return Health("unhealthy", error=f"no answer within {_PATIENCE_S:g} s")
    except (*DATABASE_AWAY, HoraeError) as error:
        return Health("unhealthy", error=f"{type(error).__name__}: {error}")


async def database(services: Services) -> Health:
    """Is PostgreSQL there, and how busy is the pool?"""
    pool, started = services.pool, time.perf_counter()
    async with pool.acquire() as conn:
        await conn.fetchval("SELECT 1")
        migrated = await conn.fetchval("SELECT to_regclass('read.positions') IS NOT NULL")
    details = {
        "connectionPool": {
            "size": pool.get_size(),
            "idle": pool.get_idle_size(),
            "max": pool.get_max_size(),
        },
        "migrated": migrated,
    }
    elapsed_ms = round((time.perf_counter() - started) * 1000, 3)
    if not migrated:
        return Health("unhealthy", elapsed_ms, details, "the read models are not installed")
    return Health("healthy", elapsed_ms, details)


async def projection(services: Services) -> Health:
    """How far are the read models behind the log?"""
    started = time.perf_counter()
    head = await services.store.head()
    lag = max(0, head - services.progress.applied)
    details = {"head": head, "applied": services.progress.applied, "lag": lag}
    elapsed_ms = round((time.perf_counter() - started) * 1000, 3)
    if lag > services.settings.max_lag_events:
        return Health("unhealthy", elapsed_ms, details, f"the read models lack {lag} events")
    return Health("healthy", elapsed_ms, details)
