"""The learner's clock: silence becomes an event when a message's attribution window is over, and models are fitted.

Place in the flow: read models (what is awaited) -> *here* -> commands -> log. Counting is the projector's; this only
says what the passing of time means. One works at a time; several would do no harm: what is decided twice is stored
once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import structlog

from horae.commands.context import Call
from horae.commands.engagements import Engagements
from horae.commands.models import Models
from horae.commands.ports import Clock
from horae.projections import queries
from horae.streams.metrics import Metrics
from horae.streams.periodic import look_every

if TYPE_CHECKING:
    from horae.projections.schema import Connection

log = structlog.get_logger(__name__)

ACTOR = "learner"


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerConfig:
    """How often it looks, and how much it does at once."""

    #: Windows are long: nobody waits for the second in which one ends.
    every_s: float = 30.0
    #: Windows that are closed with one append.
    batch: int = 400
    #: How old a tenant's model may be before it is fitted anew, if there is anything new to fit it to.
    refit_after: timedelta = timedelta(hours=24)

    def validate(self) -> LearnerConfig:
        """Itself. Raises ValueError."""
        if self.every_s <= 0 or self.batch <= 0 or self.refit_after <= timedelta(0):
            raise ValueError("all settings of the learner's clock must be positive")
        return self


@dataclass(slots=True)
class LearnerCounts:
    """Since it was made."""

    closed: int = 0
    fits: int = 0


class Learner:
    """`pool` reads the read models as the owner."""

    def __init__(
        self,
        config: LearnerConfig,
        pool: asyncpg.Pool[Any],
        engagements: Engagements,
        models: Models,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._config, self._pool, self._clock = config.validate(), pool, clock
        self._metrics = metrics
        #: What was told of a tenant's model: when it was fitted, its version, people and trust.
        self._told: dict[str, tuple[datetime, int, int, float]] = {}
        self._engagements, self._models = engagements, models
        #: When a tenant was last looked at in vain, by position: nothing new, or too little.
        self._looked: dict[str, datetime] = {}
        self.counts = LearnerCounts()

    async def run(self) -> None:
        """Look every `every_s`, until cancelled. Survives a database that is away, and faults of its own."""
        try:
            await look_every(self._config.every_s, "learner", self._all)
        finally:
            # Another one learns from now on, and tells how well. Whoever does so again reads the models anew.
            self._metrics.accuracy.clear()
            self._told.clear()

    async def _all(self) -> None:
        while await self.run_once():
            pass

    async def next_at(self) -> datetime | None:
        """When the next window ends; None: nothing is awaited."""
        async with self._pool.acquire() as conn:
            return await queries.next_window(conn)

    async def run_once(self) -> int:
        """Close what is over, at most a batch of it, and fit what is old; the last position, 0: there was nothing."""
        position = await self._close()
        return max(position, await self._fit())

    async def _close(self) -> int:
        async with self._pool.acquire() as conn:
            found = await queries.due_windows(conn, self._clock.now(), self._config.batch)
        by_tenant: dict[str, list[UUID]] = defaultdict(list)
        for occurrence, tenant in found:
            by_tenant[tenant].append(occurrence)
        position = 0
        for tenant, occurrences in by_tenant.items():
            closed = await self._engagements.close(Call(tenant=tenant, actor=ACTOR), occurrences)
            self.counts.closed += len(occurrences) if closed else 0
            position = max(position, closed)
        return position

    async def _fit(self) -> int:
        async with self._pool.acquire() as conn:
            tenants = await queries.learning_tenants(conn)
            await self._tell(conn, {row["tenant"]: row["fitted_at"] for row in tenants if row["fitted_at"]})
        now, position = self._clock.now(), 0
        for row in tenants:
            last = max(filter(None, (row["fitted_at"], self._looked.get(row["tenant"]))), default=None)
            if last is not None and now - last < self._config.refit_after:
                continue
            self._looked[row["tenant"]] = now
            event = await self._models.fit(Call(tenant=row["tenant"], actor=ACTOR))
            if event is not None:
                self.counts.fits += 1
                position = max(position, event.position)
                log.info("model_fitted", tenant=row["tenant"], version=event.version)
        return position

    async def _tell(self, conn: Connection, fitted: Mapping[str, datetime]) -> None:
        """Tell how well the present models foretell. They are large: only those that are new are read."""
        new = [tenant for tenant, at in fitted.items() if tenant not in self._told or self._told[tenant][0] != at]
        for row in await queries.trust_in_models(conn, new) if new else ():
            tenant = row["tenant"]
            self._told[tenant] = (fitted[tenant], row["version"], row["people"], row["trust"])
        if new:
            people: Counter[int] = Counter()
            trusted: dict[int, float] = defaultdict(float)
            for _, version, count, trust in self._told.values():
                people[version] += count
                trusted[version] += count * trust
            self._metrics.accuracy.clear()
            for version, count in people.items():
                self._metrics.accuracy.labels(str(version), "all").set(trusted[version] / max(1, count))
