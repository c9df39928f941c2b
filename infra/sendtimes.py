"""The learner behind its ports: reads the habits and the model, and lets the domain choose and fit.

Place in the flow: implements `SendTimes` and `Fitting` of `commands.ports` over the projections' queries. numpy is
imported with the first question; a fit runs beside the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import asyncpg

from horae.api.services import Health
from horae.commands.ports import Ask, Habits, HourChance
from horae.domain.errors import Unavailable
from horae.domain.model import ModelFitted
from horae.domain.timing.best import Choice
from horae.projections import queries
from horae.projections.away import DATABASE_AWAY
from horae.projections.tenancy import tenant_connection

if TYPE_CHECKING:
    from horae.domain.learning.choice import Rules
    from horae.domain.learning.stored import Model
    from horae.projections.schema import Connection

#: A fit looks at so many recipients at most: more would not tell more, and take longer.
SAMPLE = 3_000
#: So long whoever plans waits for the learner; then the default time is taken.
PATIENCE_S = 5.0
#: So long a question that had no answer counts against the learner, unless a later one has one.
TROUBLE_S = 60.0
_CHANNELS = {"webhook": 0, "kafka": 1, "log": 2}
#: Models that are kept ready.
_KEPT = 64


class PostgresSendTimes:
    """Both ports on one pool. `default`: the time of day where too little is known; `rules` None: the domain's own.

    `patience_s`: how long a question may take.
    """

    def __init__(
        self,
        pool: asyncpg.Pool[asyncpg.Record],
        default: str = "09:00",
        rules: Rules | None = None,
        *,
        patience_s: float = PATIENCE_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._patience_s, self._monotonic = patience_s, monotonic
        self._pool, self._default, self._rules = pool, default, rules
        self._models: dict[str, Model] = {}
        #: Questions since the start, and those of them that had no answer.
        self._asked = self._failed = 0
        #: What went wrong with the last question, and when (monotonic).
        self._trouble: tuple[str, float] | None = None

    async def health(self) -> Health:
        """Whether it can be asked: its tables can be read, and the last question had an answer or is long ago."""
        began = time.perf_counter()
        trouble = None
        try:
            async with self._reading("") as conn:
                await queries.habits_of(conn, "", [])
                await queries.model_of(conn, "")
        except Unavailable as error:
            trouble = str(error)
        except Exception as error:  # noqa: BLE001  whatever it is, plans fall back, and here it is told
            trouble = f"{type(error).__name__}: {error}"
        trouble = f"the learner cannot be asked: {trouble}" if trouble is not None else self._lately()
        details = {"asked": self._asked, "failed": self._failed, "models": len(self._models)}
        response_ms = round((time.perf_counter() - began) * 1000, 3)
        if trouble is not None:
            return Health("degraded", response_ms, details, f"{trouble}; meanwhile `best` takes the default time")
        return Health("healthy", response_ms, details)

    def _lately(self) -> str | None:
        """What was wrong with the last question, unless that is long ago: nobody may have asked since it was mended."""
        if self._trouble is None or (ago_s := self._monotonic() - self._trouble[1]) > TROUBLE_S:
            return None
        return f"a question {ago_s:.0f} s ago had no answer: {self._trouble[0]}"

    async def choose(self, tenant: str, asks: Sequence[Ask], now: datetime) -> list[Choice]:
        """See `SendTimes.choose`."""
        self._asked += 1
        try:
            chosen = await self._choose(tenant, asks, now)
        except Exception as error:
            self._failed += 1
            self._trouble = (f"{type(error).__name__}: {error}", self._monotonic())
            raise
        self._trouble = None
        return chosen

    async def _choose(self, tenant: str, asks: Sequence[Ask], now: datetime) -> list[Choice]:
        from horae.domain.learning.asking import Wish, pick
        from horae.domain.learning.choice import Rules
        from horae.domain.learning.dice import word
        from horae.projections.habits import counts_of

        async with self._reading(tenant) as conn:
            rows = await queries.habits_of(conn, tenant, [ask.recipient_ref for ask in asks])
            model = await self.model(conn, tenant)
        counts = counts_of([rows.get(ask.recipient_ref) for ask in asks], [model.segment(ask.segment) for ask in asks])
        wishes = [
            Wish(
                timing=ask.timing,
                now=ask.local_now,
                person=word(tenant, ask.recipient_ref),
                message=word(str(ask.occurrence)),
                channel=_CHANNELS.get(ask.channel, 3),
                category=0 if ask.category is None else 1 + word(ask.category) % 3,
            )
            for ask in asks
        ]
        return pick(counts, model, wishes, int(now.timestamp()), self._rules or Rules(), self._default)

    async def habits(self, tenant: str, recipient_ref: str, segment: str | None, now: datetime) -> Habits:
        """See `SendTimes.habits`."""
        from horae.domain.learning.hours import HOURS
        from horae.domain.learning.week import week_of
        from horae.projections.habits import counts_of

        async with self._reading(tenant) as conn:
            rows = await queries.habits_of(conn, tenant, [recipient_ref])
            model = await self.model(conn, tenant)
        counts = counts_of([rows.get(recipient_ref)], [model.segment(segment)])
        week = week_of(counts, model, int(now.timestamp()))
        hours = [
            HourChance(*(round(float(value), 4) for value in values))
            for values in zip(week.chance, week.low, week.high, strict=True)
        ]
        return Habits(
            weekday=hours[:HOURS],
            weekend=hours[HOURS:],
            asked=round(week.asked, 2),
            answered=round(week.answered, 2),
            active=round(week.active, 2),
            model=model.version,
        )

    async def fit(self, tenant: str, now: datetime) -> ModelFitted | None:
        """See `Fitting.fit`."""
        from horae.domain.learning.fitting import fitted
        from horae.projections.habits import calibration_of, counts_of

        async with self._reading(tenant) as conn:
            rows = await queries.habits_sample(conn, tenant, SAMPLE)
            calibrations = [calibration_of(row) for row in await queries.calibrations_of(conn, tenant)]
            before = await self.model(conn, tenant)
        if not rows:
            return None
        upto = max(row["position"] for row in rows)
        names = [row["segment"] for row in rows]
        return await asyncio.to_thread(lambda: fitted(counts_of(rows), names, calibrations, before, now, upto))

    async def model(self, conn: Connection, tenant: str) -> Model:
        """The tenant's present model, kept until there is a newer one."""
        from horae.domain.learning.stored import Model, model_of

        row = await queries.model_of(conn, tenant)
        if row is None:
            return Model()
        kept = self._models.get(tenant)
        if kept is None or kept.version != row["version"]:
            if len(self._models) >= _KEPT:
                self._models.clear()
            kept = self._models[tenant] = model_of(ModelFitted.model_validate_json(row["model"]), row["version"])
        return kept

    @asynccontextmanager
    async def _reading(self, tenant: str) -> AsyncIterator[Connection]:
        try:
            async with asyncio.timeout(self._patience_s), tenant_connection(self._pool, tenant) as conn:
                yield conn
        except DATABASE_AWAY as error:
            raise Unavailable(f"The learner's read models are away: {error}.", hint="Send it again.") from error
