"""The due index as the dispatcher reads it: in pages, ahead of time."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Protocol

import asyncpg

from horae.projections import due
from horae.projections.due import DueRow, Queue
from horae.streams.dispatcher.horizon import BEGINNING, Edge


class DueSource(Protocol):
    """Reads the due index; what is held by a pause is left out."""

    async def page(self, shards: Collection[int], after: Edge, until: datetime, limit: int) -> list[DueRow]:
        """At most `limit` rows later than `after` and due at or before `until`, ascending by (due_at, key).

        Raises `OSError` or `asyncpg` errors when the index is away.
        """
        ...

    async def queues(self, at: datetime, after: Queue | None, limit: int) -> tuple[list[Queue], Queue | None]:
        """See `projections.due.queues`. Raises as `page` does."""
        ...

    async def fronts(self, after: Mapping[Queue, Edge], at: datetime, each: int) -> list[DueRow]:
        """See `projections.due.load_queues`. Raises as `page` does."""
        ...

    async def next_due_at(self, after: datetime | None = None) -> datetime | None:
        """The earliest due instant in any shard, later than `after` if given; None: nothing waits."""
        ...


class PostgresDueSource:
    """The index in PostgreSQL; `pool`'s connections have the read models' search_path."""

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        self._pool = pool

    async def page(self, shards: Collection[int], after: Edge, until: datetime, limit: int) -> list[DueRow]:
        """See `DueSource`."""
        async with self._pool.acquire() as conn:
            return await due.load_horizon(conn, shards, until, after=None if after == BEGINNING else after, limit=limit)

    async def queues(self, at: datetime, after: Queue | None, limit: int) -> tuple[list[Queue], Queue | None]:
        """See `DueSource`."""
        async with self._pool.acquire() as conn:
            return await due.queues(conn, at, after, limit)

    async def fronts(self, after: Mapping[Queue, Edge], at: datetime, each: int) -> list[DueRow]:
        """See `DueSource`."""
        async with self._pool.acquire() as conn:
            return await due.load_queues(conn, after, at, each)

    async def next_due_at(self, after: datetime | None = None) -> datetime | None:
        """See `DueSource`."""
        async with self._pool.acquire() as conn:
            return await due.next_due_at(conn, after=after)
