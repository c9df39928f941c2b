"""Which schedules go out at about the same time, asked of the read models as the API's role.

Place in the flow: implements `Neighbours` of `commands.ports` over the projections' queries.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from horae.commands.ports import Neighbour, Refs
from horae.domain.ids import shard_of
from horae.infra.standing import PATIENCE_S, lagging
from horae.projections.progress import Progress
from horae.projections.queries import neighbours
from horae.projections.tenancy import tenant_connection

if TYPE_CHECKING:
    import asyncpg


class ReadModelNeighbours:
    """The port on one pool; stateless."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], progress: Progress, refs: Refs) -> None:
        self._pool, self._progress, self._refs = pool, progress, refs

    async def around(
        self,
        tenant: str,
        recipient: str,
        key: str | None,
        *,
        since: datetime,
        until: datetime,
        position: int,
        limit: int,
    ) -> list[Neighbour]:
        """See `Neighbours.around`."""
        # All of a recipient's schedules lie in one shard; those under a key anywhere.
        shard = shard_of(tenant, recipient) if key is None else None
        if not await self._progress.wait(position, PATIENCE_S, shard):
            raise lagging(f"position {position}")
        ref = self._refs.recipient_ref(tenant, recipient)
        async with tenant_connection(self._pool, tenant) as connection:
            found = await neighbours(
                connection, tenant, recipient_ref=ref, key=key, since=since, until=until, limit=limit
            )
        return [Neighbour(*each) for each in found]
