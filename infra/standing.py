"""What commands ask of the read models: where a series stands, who keeps to a calendar, and what is on its way.

Place in the flow: implements `SeriesPointers`, `OpenOccurrences` and `CalendarUsers` of `commands.ports`, and
`PlansOfOthers`, `PlansOnCalendars` and `Followers`, over the projections' queries, as the API's role. The read models
follow the log within milliseconds; whoever asks waits for them, but not for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from horae.commands.calendarplans import PlanOnCalendar
from horae.commands.ports import EventStore
from horae.domain.errors import Unavailable
from horae.domain.timing import Next
from horae.projections.progress import Progress
from horae.projections.queries import (
    calendar_names,
    current_slot,
    list_occurrences,
    planned_by_others,
    planned_on_calendars,
    schedules_following,
    schedules_on,
)
from horae.projections.tenancy import tenant_connection

if TYPE_CHECKING:
    import asyncpg

#: How long a command waits for the read models before it is refused.
PATIENCE_S = 10.0
_PAGE = 200
_ON_THEIR_WAY = ("executing", "retrying")


class ReadModelStanding:
    """These ports on one pool; stateless."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], progress: Progress, store: EventStore) -> None:
        self._pool, self._progress, self._store = pool, progress, store

    async def current(self, tenant: str, schedule: UUID, schedule_version: int) -> Next | None:
        """See `SeriesPointers.current`."""
        async with tenant_connection(self._pool, tenant) as connection:
            pointer = await current_slot(connection, tenant, schedule)
        if pointer is None or pointer.version < schedule_version:
            await self._reach_version(tenant, schedule, schedule_version)
            async with tenant_connection(self._pool, tenant) as connection:
                pointer = await current_slot(connection, tenant, schedule)
        if pointer is None or pointer.version < schedule_version:
            raise lagging(f"schedule {schedule} at version {schedule_version}")
        return pointer.next

    async def executing(self, tenant: str, schedule: UUID, position: int) -> list[UUID]:
        """See `OpenOccurrences.executing`."""
        await self._reach(position, await self._shard(tenant, position))
        found: list[UUID] = []
        cursor: str | None = None
        async with tenant_connection(self._pool, tenant) as connection:
            while True:
                page = await list_occurrences(
                    connection, tenant, schedule, status=_ON_THEIR_WAY, cursor=cursor, limit=_PAGE
                )
                found += [row.id for row in page.items]
                cursor = page.next
                if cursor is None:
                    return found

    async def schedules_on(self, tenant: str, calendar: str, position: int) -> list[UUID]:
        """See `CalendarUsers.schedules_on`."""
        await self._reach(position)
        async with tenant_connection(self._pool, tenant) as connection:
            return await schedules_on(connection, tenant, calendar)

    async def calendar_names(self, tenant: str, position: int) -> dict[str, list[str]]:
        """See `CalendarUsers.calendar_names`."""
        await self._reach(position)
        async with tenant_connection(self._pool, tenant) as connection:
            return await calendar_names(connection, tenant)

    async def caught_up(self) -> None:
        """See `PlansOnCalendars.caught_up`."""
        await self._reach(await self._store.head())

    async def planned_on_calendars(self, tenant: str, after: PlanOnCalendar | None, limit: int) -> list[PlanOnCalendar]:
        """See `PlansOnCalendars.planned_on_calendars`."""
        behind = None if after is None else (after.calendar, after.schedule)
        async with tenant_connection(self._pool, tenant) as connection:
            return [PlanOnCalendar(*row) for row in await planned_on_calendars(connection, tenant, behind, limit)]

    async def planned_by_others(
        self, tenant: str, version: str, after: UUID | None, limit: int
    ) -> list[tuple[UUID, Next | None, int]]:
        """See `PlansOfOthers.planned_by_others`."""
        if after is None:
            await self._reach(await self._store.head())
        async with tenant_connection(self._pool, tenant) as connection:
            return await planned_by_others(connection, tenant, version, after, limit)

    async def following(self, tenant: str, recipient_ref: str, position: int, shard: int) -> list[UUID]:
        """See `Followers.following`."""
        await self._reach(position, shard)
        async with tenant_connection(self._pool, tenant) as connection:
            return await schedules_following(connection, tenant, recipient_ref)

    async def _reach_version(self, tenant: str, schedule: UUID, version: int) -> None:
        if not self._progress.sharded:
            await self._reach(await self._store.head())
            return
        for event in (await self._store.scoped(tenant).load(schedule, upto_version=version))[-1:]:
            await self._reach(event.position, event.meta.shard)

    async def _shard(self, tenant: str, position: int) -> int | None:
        """The shard of the tenant's event at this position, where it is worth knowing."""
        if not self._progress.sharded or self._progress.applied >= position:
            return None
        written = await self._store.scoped(tenant).after(position - 1, 1)
        return written[0].meta.shard if written and written[0].position == position else None

    async def _reach(self, position: int, shard: int | None = None) -> None:
        if not await self._progress.wait(position, PATIENCE_S, shard):
            raise lagging(f"position {position}")


def lagging(what: str) -> Unavailable:
    """The error of one who has waited long enough for the read models."""
    return Unavailable(
        f"The read models have not come to {what} within {PATIENCE_S:g} s.", hint="Send the request again in a moment."
    )
