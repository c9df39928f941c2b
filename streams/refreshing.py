"""Looks at the files that calendars subscribe to, each in its interval, and plans anew what that moves.

Place in the flow: read models -> *refresher* -> `commands.subscriptions` -> log; one worker is enough. It goes by the
machine's clock, also where the service's time is virtual: others' servers know no other.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
import structlog

from horae.commands import replanning
from horae.commands.context import Call
from horae.commands.ports import Clock
from horae.commands.schedules import Schedules
from horae.commands.subscriptions import Look, Subscriptions, Validators
from horae.domain.errors import HoraeError
from horae.projections.queries.calendars import SubscribedRow, subscribed_calendars
from horae.streams.metrics import Metrics
from horae.streams.periodic import look_every

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefresherConfig:
    """How often it asks what is due, and how much it does at a time."""

    every_s: float = 5.0
    #: Files that are got at the same time.
    at_once: int = 4
    #: After the first failure in a row; it doubles, up to the calendar's own interval.
    retry_s: float = 300.0

    def validate(self) -> RefresherConfig:
        """Itself. Raises ValueError."""
        if min(self.every_s, self.at_once, self.retry_s) <= 0:
            raise ValueError("all settings of the refresher must be positive")
        return self


@dataclass(slots=True)
class _Known:
    """Of a subscription: since which look, when the next is due (monotonic s), and what its server said last."""

    row: SubscribedRow
    due: float
    validators: Validators | None = None
    failures: int = 0


class Refresher:
    """`pool` reads the read models as the owner; `monotonic` gives seconds, `real_clock` the machine's time."""

    def __init__(
        self,
        config: RefresherConfig,
        pool: asyncpg.Pool[Any],
        subscriptions: Subscriptions,
        schedules: Schedules,
        real_clock: Clock,
        metrics: Metrics,
        monotonic: Callable[[], float],
    ) -> None:
        self._config, self._pool = config.validate(), pool
        self._subscriptions, self._schedules = subscriptions, schedules
        self._real_clock, self._metrics, self._monotonic = real_clock, metrics, monotonic
        self._known: dict[tuple[str, str], _Known] = {}

    async def run(self) -> None:
        """Ask every `every_s` what is due, until cancelled. Survives a database that is away, and faults of its own."""
        await look_every(self._config.every_s, "refresher", self.run_once)

    async def run_once(self) -> Counter[str]:
        """Look at what is due; how many looks ended in what. Raises asyncpg's errors."""
        async with self._pool.acquire() as conn:
            rows = await subscribed_calendars(conn)
        self._learn(rows)
        now = self._monotonic()
        due = [known for known in self._known.values() if known.due <= now]
        gate = asyncio.Semaphore(self._config.at_once)

        async def one(known: _Known) -> str:
            async with gate:
                return await self._look(known)

        counts = Counter(await asyncio.gather(*(one(known) for known in due)))
        self._metrics.failing_calendars.set(sum(known.failures > 0 for known in self._known.values()))
        return counts

    def _learn(self, rows: list[SubscribedRow]) -> None:
        known, now = self._known, self._real_clock.now()
        self._known = {}
        for row in rows:
            key = (row.tenant, row.id)
            old = known.get(key)
            if old is not None and (old.row.url, old.row.every_s) == (row.url, row.every_s):
                self._known[key] = old
            else:
                # What was got lately need not be got again because we have just begun.
                age_s = max(0.0, (now - row.fetched_at) / timedelta(seconds=1))
                due = self._monotonic() + max(0.0, row.every_s - age_s)
                self._known[key] = _Known(row, due, failures=int(row.failing))

    async def _look(self, known: _Known) -> str:
        row = known.row
        call = Call(tenant=row.tenant, actor="refresher")
        try:
            look = await self._subscriptions.refresh(call, row.id, known.validators)
            result = look.result
            known.validators = look.validators
            if result == "changed":
                await self._replan(call, row.id, look)
        except HoraeError as error:
            # The log or the read models are away, or somebody ended the subscription meanwhile.
            log.warning("calendar_not_refreshed", tenant=row.tenant, calendar=row.id, error=str(error))
            result = "failed"
        known.failures = known.failures + 1 if result == "failed" else 0
        pause_s = row.every_s
        if known.failures:
            pause_s = min(row.every_s, self._config.retry_s * 2 ** min(known.failures - 1, 20))
        known.due = self._monotonic() + pause_s
        self._metrics.calendar_refreshes.labels(result).inc()
        return result

    async def _replan(self, call: Call, calendar: str, look: Look) -> None:
        written = look.calendar
        detail = f"{calendar}@{written.answer.version}"
        found = await replanning.replan(self._schedules, call, written.users, "calendar", detail)
        log.info(
            "calendar_refreshed",
            tenant=call.tenant,
            calendar=calendar,
            version=written.answer.version,
            moved=len(found.moved),
            failed=len(found.failed),
        )
