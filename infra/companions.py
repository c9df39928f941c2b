"""What was claimed of a schedule's slots, asked of the read models as the worker's role.

Place in the flow: implements `Companions` of `commands.ports` over the due index's queries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from horae.commands.ports import Companion
from horae.domain.errors import Unavailable
from horae.projections import due
from horae.projections.away import DATABASE_AWAY

if TYPE_CHECKING:
    import asyncpg

#: So long the read models may take; what is due is looked at again.
_PATIENCE_S = 5.0


class ReadModelCompanions:
    """The port on one pool, whose connections see every tenant."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def claimed(self, schedules: Collection[UUID]) -> Mapping[UUID, Sequence[Companion]]:
        """See `Companions.claimed`."""
        found: dict[UUID, list[Companion]] = {}
        try:
            async with asyncio.timeout(_PATIENCE_S), self._pool.acquire() as connection:
                for schedule, occurrence, slot, is_open in await due.claimed(connection, schedules):
                    found.setdefault(schedule, []).append(Companion(occurrence, slot, is_open))
        except DATABASE_AWAY as error:
            raise Unavailable(
                "The read models do not say what is under way.", field="schedule", value=len(schedules),
                hint="It is tried again.",
            ) from error  # fmt: skip
        return found
