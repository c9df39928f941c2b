"""How far a search engine's documents are, and how far the rows are that they are made from; per shard.

Place in the flow: indexer -> *positions* -> PostgreSQL. For the owner's role.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from horae.projections.schema import Connection

_MOVE = """
WITH wanted AS (
    SELECT p.shard, n.next FROM sys.search_positions AS p
    JOIN unnest($1::smallint[], $2::bigint[], $3::bigint[]) AS n (shard, old, next)
        ON p.shard = n.shard AND p.position = n.old
    ORDER BY p.shard FOR UPDATE OF p
), moved AS (
    UPDATE sys.search_positions AS p SET position = w.next FROM wanted AS w WHERE p.shard = w.shard RETURNING 1
)
SELECT count(*) FROM moved
"""
_APPLIED = "SELECT shard, position FROM positions WHERE projection = 'core'"


async def load(conn: Connection) -> dict[int, int]:
    """Shard -> position up to which its events are in the documents."""
    rows = await conn.fetch("SELECT shard, position FROM sys.search_positions")
    return {row["shard"]: row["position"] for row in rows}


class PositionMoved(Exception):
    """Somebody else moved one of the shards: nothing was moved, load the positions again."""


async def move(conn: Connection, moves: Mapping[int, tuple[int, int]]) -> None:
    """Shard -> from where to where; all or nothing. Raises `PositionMoved`."""
    async with conn.transaction():
        old, new = [old for old, _ in moves.values()], [new for _, new in moves.values()]
        if await conn.fetchval(_MOVE, list(moves), old, new) != len(moves):
            raise PositionMoved


async def rewind(conn: Connection, before: Mapping[int, int]) -> None:
    """Shard -> position behind which everything is to be indexed again: its rows were changed after the fact."""
    await conn.execute(
        "UPDATE sys.search_positions AS p SET position = n.position "
        "FROM unnest($1::smallint[], $2::bigint[]) AS n (shard, position) "
        "WHERE p.shard = n.shard AND p.position > n.position",
        list(before),
        list(before.values()),
    )


async def applied(conn: Connection) -> dict[int, int]:
    """Shard -> position up to which its events are in the read models."""
    found = {row["shard"]: row["position"] for row in await conn.fetch(_APPLIED)}
    whole = found.pop(-1, 0)
    return {shard: max(position, whole) for shard, position in found.items()}
