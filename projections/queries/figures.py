"""Numbers over the whole installation, for health and metrics; allowed to the API's role."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from horae.projections.statements import statements

if TYPE_CHECKING:
    from horae.projections.schema import Connection

_SQL = statements("queries")


class StandingCount(NamedTuple):
    """How many schedules of all tenants have this status and priority."""

    status: str
    priority: int
    schedules: int


async def applied_position(conn: Connection) -> int:
    """The position of the log up to which everything is in the read models."""
    position: int | None = await conn.fetchval(_SQL["applied_position"])
    return position or 0


async def count_standings(conn: Connection) -> list[StandingCount]:
    """Schedules by status and priority. Reads a whole index (about 0.1 s per million schedules): once per scrape."""
    return [StandingCount(*record) for record in await conn.fetch(_SQL["count_standings"])]
