"""Makes the tables of the read models, and knows whether those in a database are the ones that this code fills.

Place in the flow: run once at start, before anything feeds or reads; and by a rebuild, into a shadow schema.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import asyncpg

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]

SCHEMA = "read"

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


async def connect(dsn: str, schema: str = SCHEMA) -> asyncpg.Connection[asyncpg.Record]:
    """A connection that reads and writes the copy of the read models in `schema`."""
    return await asyncpg.connect(dsn, server_settings=_settings(schema))


async def create_pool(
    dsn: str, schema: str = SCHEMA, *, min_size: int = 1, max_size: int = 10
) -> asyncpg.Pool[asyncpg.Record]:
    """A pool of such connections."""
    return await asyncpg.create_pool(dsn, min_size=min_size, max_size=max_size, server_settings=_settings(schema))


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
