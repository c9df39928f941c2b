"""Makes a database ready for this version: migrations, read models, what the installation decided once, the first key.

Place in the flow: run by the supervisor (or by a worker that runs alone) before anything feeds or reads.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any

import asyncpg
import structlog

from horae.commands.context import Call
from horae.commands.keys import Keys
from horae.domain.key import Scope
from horae.infra.clock import SystemClock
from horae.infra.eventstore import PostgresEventStore
from horae.infra.ids import NewIds
from horae.infra.postgres import migrate
from horae.infra.secrets import fingerprint
from horae.infra.setting_sources import SettingsError
from horae.infra.settings import Settings
from horae.projections import schema

DEFAULT_TENANT = "default"

_log = structlog.get_logger(__name__)


async def prepare(settings: Settings, api_key: str | None) -> None:
    """Bring the database of `settings.dsn` up to date; `api_key` becomes an admin key of the tenant `default`.

    Safe to repeat, and to run from several processes. Raises `MigrationError`; `SettingsError` when the master key or
    the clock is another than the one that the database was made with.
    """
    dsn = settings.owner_dsn()
    for name in await asyncio.to_thread(migrate, dsn):
        _log.info("migrated", migration=name)
    connection = await asyncpg.connect(dsn)
    try:
        await _keep_master_key(connection, settings)
        await _keep_clock(connection, settings)
        await _read_models(connection, dsn)
    finally:
        await connection.close()
    if api_key is not None:
        await _install_key(dsn, api_key)


async def _read_models(connection: asyncpg.Connection[asyncpg.Record], dsn: str) -> None:
    installed = await schema.install(connection)
    if installed is schema.Installed.OUTDATED:
        from horae.infra.rebuild import rebuild

        _log.info("read_models_outdated", action="rebuilding")
        await rebuild(dsn)


async def _keep_master_key(connection: asyncpg.Connection[asyncpg.Record], settings: Settings) -> None:
    assert settings.encryption_key is not None
    ours = fingerprint(bytes.fromhex(settings.encryption_key.get_secret_value()))
    if await _decide_once(connection, "master_key", ours) != ours:
        raise SettingsError(
            "The master key is not the one that this database was made with: recipients and signatures would not "
            "match. Give the old ENCRYPTION_KEY, or put the old master-key file back."
        )


async def _keep_clock(connection: asyncpg.Connection[asyncpg.Record], settings: Settings) -> None:
    kind = "virtual" if settings.virtual else "real"
    decided = await _decide_once(connection, "clock", kind)
    if decided != kind:
        way = "add --clock virtual" if decided == "virtual" else "leave --clock out"
        raise SettingsError(
            f"This data lives on {'a virtual' if decided == 'virtual' else 'the real'} clock, and the two cannot be "
            f"mixed: {way}, or choose another folder with --data."
        )
    if not settings.virtual:
        return
    if settings.virtual_start is None and not await connection.fetchval("SELECT EXISTS (SELECT FROM sys.clock)"):
        raise SettingsError("A virtual clock needs its first instant: --clock virtual=2027-01-01T00:00:00Z")
    # A clock that stands later already stays: time does not go back at a restart.
    if settings.virtual_start is not None:
        await connection.execute(
            "INSERT INTO sys.clock (now, target) VALUES ($1, $1) ON CONFLICT DO NOTHING", settings.virtual_start
        )


async def _decide_once(connection: asyncpg.Connection[asyncpg.Record], key: str, value: Any) -> Any:
    """What the installation decided the first time that it was asked."""
    await connection.execute(
        "INSERT INTO sys.settings (key, value) VALUES ($1, $2::text::jsonb) ON CONFLICT DO NOTHING",
        key,
        json.dumps(value),
    )
    return json.loads(await connection.fetchval("SELECT value::text FROM sys.settings WHERE key = $1", key))


async def _install_key(dsn: str, text: str) -> None:
    async with PostgresEventStore(dsn, readers=1) as store:
        keys = Keys(store, SystemClock(), NewIds(), secrets.token_bytes)
        call = Call(tenant=DEFAULT_TENANT, actor="supervisor")
        await keys.adopt(call, text, label="first key", scope=Scope.ADMIN)
