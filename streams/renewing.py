"""Looks once at every slot on a calendar after business hours, weekend, country or holidays have become others.

Place in the flow: settings, read models -> *renewer* -> `commands.calendarplans` -> log; one worker is enough. By what
all was planned last is noted in the database when everything has been looked at: a start with the same reads one row,
and what was broken off begins anew, passing by what has moved.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

import asyncpg
import structlog

from horae.commands.calendarplans import CalendarPlans, Renewed
from horae.commands.context import Call
from horae.projections import queries
from horae.streams.periodic import until_done

log = structlog.get_logger(__name__)


class Renewer:
    """`planned_by`: what calendars are read by now, see `calendarplans.planned_by`; `pool` is the owner's."""

    def __init__(self, planned_by: str, pool: asyncpg.Pool[Any], plans: CalendarPlans, retry_s: float = 10.0) -> None:
        self._planned_by, self._pool, self._plans, self._retry_s = planned_by, pool, plans, retry_s
        #: Whom a whole round could not look at, by tenant; None: no round has come to its end yet.
        self._left: dict[str, set[UUID]] | None = None

    async def run(self) -> None:
        """Until all has been looked at. Survives a database that is away, and faults of its own."""
        await until_done(self._retry_s, "renewer", self.run_once)

    async def run_once(self) -> bool:
        """True: nothing is left to look at. Raises asyncpg's errors, `Unavailable`.

        After a whole round only those are looked at again that failed: what does not move has no event that says that
        it was looked at, and one schedule's fault is no reason to look at a million.
        """
        async with self._pool.acquire() as conn:
            before = await queries.calendars_planned_by(conn)
        if before == self._planned_by:
            return True
        await self._plans.caught_up()
        failed: dict[str, set[UUID]] = {}
        for tenant in await self._tenants():
            only = None if self._left is None else self._left[tenant]
            found = await self._plans.renew(Call(tenant=tenant, actor="calendars"), only)
            if found.failed:
                failed[tenant] = set(found.failed)
            if found.checked:
                self._tell(tenant, before, found)
        self._left = failed
        if failed:
            return False
        async with self._pool.acquire() as conn:
            await queries.note_calendars_planned_by(conn, self._planned_by)
        return True

    async def _tenants(self) -> Collection[str]:
        if self._left is not None:
            return self._left.keys()
        async with self._pool.acquire() as conn:
            return await queries.tenants(conn)

    def _tell(self, tenant: str, before: str | None, found: Renewed) -> None:
        log.info(
            "calendars_renewed",
            tenant=tenant,
            before=before,
            now=self._planned_by,
            checked=found.checked,
            moved=found.moved,
            failed=len(found.failed),
            such_as=[str(schedule) for schedule in found.failed[:3]],
        )
