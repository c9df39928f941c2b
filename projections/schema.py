"""Makes the tables of the read models, and knows whether those in a database are the ones that this code fills.

Place in the flow: run once at start, before anything feeds or reads; and by a rebuild, into a shadow schema.
"""

from __future__ import annotations

import asyncio
import hashlib
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
    _Pool = asyncpg.Pool[asyncpg.Record]
else:
    _Pool = asyncpg.Pool

SCHEMA = "read"

#: How long pools wait, in seconds, unless they are told otherwise: for a free connection, for one that is made, and for
#: the answer to a statement.
PATIENCE_S = 30.0

#: Raise when the projector writes other rows from the same events, so that installations rebuild.
RULES = 1

_SCRIPT = Path(__file__).parent / "schema.sql"


class Installed(StrEnum):
    """What `install` found."""

    #: Made just now; empty, to be fed from position 0.
    FRESH = "fresh"
    #: As this code fills them.
    CURRENT = "current"
    #: Made by other code: rebuild before feeding or reading.
    OUTDATED = "outdated"


def fingerprint() -> str:
    """Of the tables' definitions and the projector's rules."""
    return hashlib.sha256(f"{RULES}\n{_SCRIPT.read_text(encoding='utf-8')}".encode()).hexdigest()


async def connect(
    dsn: str, schema: str = SCHEMA, *, patience_s: float | None = None
) -> asyncpg.Connection[asyncpg.Record]:
    """A connection that reads and writes the copy of the read models in `schema`.

    `patience_s` bounds each statement; None: whatever it takes, for work that takes long and is watched by somebody.
    """
    return await asyncpg.connect(dsn, server_settings=_settings(schema), command_timeout=patience_s)


class Pool(_Pool):
    """Connections that nobody waits for without end: `TimeoutError` when none is free in time."""

    def __init__(self, *args: Any, patience_s: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self._patience_s = patience_s

    async def _acquire(self, timeout: float | None) -> Any:
        # The library's own way to wait for so long starts a task for each connection that is asked for.
        async with asyncio.timeout(self._patience_s if timeout is None else timeout):
            return await super()._acquire(None)  # type: ignore[misc]


async def create_pool(
    dsn: str,
    schema: str = SCHEMA,
    *,
    min_size: int = 1,
    max_size: int = 10,
    patience_s: float = PATIENCE_S,
    statement_s: float | None = None,
) -> Pool:
    """A pool of such connections, for statements that are short: each ends after `patience_s`, on both sides.

    `statement_s`: after so long instead, for a pool of those that take long; connections are waited for as ever.

    A connection is given back as it is but for an open transaction, which is rolled back: settings are made for one
    transaction (`SET LOCAL`, `set_config(..., true)`) and locks are taken for one, or on a connection of one's own.
    """
    if statement_s is None:
        statement_s = patience_s
    timeout_ms = max(1, round(statement_s * 1000))
    pool = Pool(
        dsn,
        patience_s=patience_s,
        min_size=min_size,
        max_size=max_size,
        max_queries=50_000,
        max_inactive_connection_lifetime=300.0,
        reset=_leave_as_it_is,
        loop=None,
        connection_class=asyncpg.Connection,
        record_class=asyncpg.Record,
        timeout=patience_s,
        command_timeout=statement_s,
        server_settings={**_settings(schema), "statement_timeout": str(timeout_ms)},
    )
    await pool
    return pool


async def _leave_as_it_is(_: object) -> None:
    """Nothing to reset, and so no question to the server each time that a connection is given back."""


def _settings(schema: str) -> dict[str, str]:
    return {"search_path": schema, "timezone": "UTC", "application_name": "horae"}


async def install(conn: Connection, schema: str = SCHEMA) -> Installed:
    """Make the tables in `schema` if there are none. `conn` belongs to the owner role."""
    async with conn.transaction():
        # One at a time: two processes may start together.
        await conn.execute("SELECT pg_advisory_xact_lock(7235418830166531)")
        await conn.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
        if await conn.fetchval("SELECT to_regclass($1)", f"{schema}.built_by") is None:
            await create(conn, schema)
            return Installed.FRESH
        found = await conn.fetchval(f'SELECT fingerprint FROM "{schema}".built_by')
    return Installed.CURRENT if found == fingerprint() else Installed.OUTDATED


async def create(conn: Connection, schema: str) -> None:
    """Make the tables in an existing, empty schema, within the caller's transaction."""
    await conn.execute(f'SET LOCAL search_path = "{schema}"')
    await conn.execute(_SCRIPT.read_text(encoding="utf-8"))
    await conn.execute("INSERT INTO built_by (fingerprint) VALUES ($1)", fingerprint())
    await conn.execute(f'GRANT USAGE ON SCHEMA "{schema}" TO horae_api')


def partition_of(slot: datetime) -> tuple[str, str]:
    """Name and DDL of the occurrences' partition for the month of `slot` (naive local)."""
    year, month = slot.year, slot.month
    after = (year + 1, 1) if month == 12 else (year, month + 1)
    name = f"occurrences_{year:04d}_{month:02d}"
    # Attached, not created in place: that one would lock out the readers of all months. The parent's policies guard
    # reads through the parent only: directly, a partition is nobody's but the owner's.
    return name, (
        f"CREATE TABLE {name} (LIKE occurrences INCLUDING DEFAULTS INCLUDING CONSTRAINTS) "
        f"WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05); "
        f"REVOKE ALL ON {name} FROM horae_api; ALTER TABLE {name} ENABLE ROW LEVEL SECURITY; "
        f"ALTER TABLE occurrences ATTACH PARTITION {name} "
        f"FOR VALUES FROM ('{year:04d}-{month:02d}-01') TO ('{after[0]:04d}-{after[1]:02d}-01');"
    )
