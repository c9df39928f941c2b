"""API and worker without a supervisor, and the maintenance that opens a database by itself.

Place in the flow: CLI -> *here* -> the same processes as under `horae run`, against another's PostgreSQL.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
from pydantic import SecretStr

from horae.domain.errors import Invalid, Unavailable
from horae.domain.key import Scope
from horae.infra.postgres import Cluster, dsn_of
from horae.infra.processes.assignment import Assignment
from horae.infra.processes.installation import Installation, InUseError
from horae.infra.processes.preparation import prepare
from horae.infra.rebuild import RebuildReport, rebuild
from horae.infra.secrets import master_key
from horae.infra.setting_sources import SettingsError
from horae.infra.settings import Settings
from horae.infra.telemetry import traced
from horae.projections import schema
from horae.projections.parked import ParkedEvent, list_parked
from horae.streams.replaying import replay_parked

T = TypeVar("T")


def run_api(settings: Settings) -> int:
    """Serve until SIGTERM; the database must have been prepared by a worker. Gives the exit code."""
    if settings.api_dsn is None:
        raise SettingsError("The setting api_dsn is not set. Give --api-dsn or HORAE_API_DSN, a URI of role horae_api.")
    from horae.infra.processes.api_process import run

    with traced(settings, "api"):
        return run(Assignment(_with_key(settings)))


def run_worker(settings: Settings) -> int:
    """Prepare the database, then work or stand by until SIGTERM. Gives the exit code."""
    complete = _with_key(settings)
    given = settings.api_key.get_secret_value() if settings.api_key else None
    asyncio.run(prepare(complete, given))
    from horae.infra.processes.worker_process import run

    with traced(settings, "worker"):
        return run(Assignment(complete))


def run_migrate(settings: Settings) -> None:
    """Bring the database to this version, as a job before the processes start; waits for a database that still starts.

    Safe to repeat and to run from several machines at once. Raises `MigrationError`, `SettingsError`; `Unavailable`
    when no database answers within the settings' patience.
    """
    complete = _with_key(settings)
    given = settings.api_key.get_secret_value() if settings.api_key else None

    async def work() -> None:
        await _until_it_answers(complete.owner_dsn(), settings.postgres_connection_timeout_ms / 1000)
        await prepare(complete, given)

    asyncio.run(work())


def run_relay(settings: Settings) -> int:
    """Prepare the database, then publish the log to Kafka or stand by until SIGTERM. Gives the exit code."""
    complete = _with_key(settings)
    asyncio.run(prepare(complete, None))
    from horae.infra.processes.relay_process import run

    with traced(settings, "relay"):
        return run(Assignment(complete))


def run_indexer(settings: Settings) -> int:
    """Prepare the database, then index into Elasticsearch until SIGTERM. Gives the exit code."""
    complete = _with_key(settings)
    asyncio.run(prepare(complete, None))
    from horae.infra.processes.indexer_process import run

    with traced(settings, "indexer"):
        return run(Assignment(complete))


#: What a tenant may be called: it appears in logs, metrics and derived secrets.
_TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_APPLIED_WITHIN_S = 10.0
_ASK_AGAIN_S = 0.5


async def issue_tenant_key(
    settings: Settings, tenant: str, *, label: str, scope: Scope, expires_at: datetime | None = None
) -> dict[str, Any]:
    """Issue a key of any tenant, which need not exist before: whoever holds the owner's password runs the installation.

    Needs the running database; with a worker the key works when this answers. Raises `Invalid`.
    """
    from horae.commands.context import Call
    from horae.commands.keys import Keys
    from horae.infra.clock import SystemClock
    from horae.infra.eventstore import PostgresEventStore
    from horae.infra.ids import NewIds
    from horae.projections.progress import Progress

    if not _TENANT.fullmatch(tenant):
        raise Invalid(
            f"{tenant!r} is no name of a tenant.",
            field="tenant",
            value=tenant,
            hint="Use up to 63 small letters, digits, - and _, such as `acme`.",
        )
    dsn = dsn_of(Installation(settings.data).postgres) or settings.owner_dsn()
    progress = Progress(dsn)
    await progress.start()
    try:
        async with PostgresEventStore(dsn, readers=1) as store:
            keys = Keys(store, SystemClock(), NewIds(), secrets.token_bytes)
            issued = await keys.issue(Call(tenant=tenant, actor="cli"), label=label, scope=scope, expires_at=expires_at)
        # Without a worker it works as soon as there is one.
        await progress.wait(issued.answer.position, _APPLIED_WITHIN_S)
    finally:
        await progress.stop()
    return {"tenant": tenant, "id": str(issued.answer.id), "key": issued.text, "label": label, "scope": scope.value}


async def rebuild_read_models(settings: Settings, *, embedded: bool) -> RebuildReport:
    """Rebuild, while the service runs or not."""
    return await on_database(settings, rebuild, embedded=embedded)


async def parked_events(settings: Settings, *, embedded: bool) -> list[ParkedEvent]:
    """Every event that could not be applied or queues behind one, by position, while the service runs or not."""

    async def look(dsn: str) -> list[ParkedEvent]:
        conn = await schema.connect(dsn)
        try:
            return await list_parked(conn)
        finally:
            await conn.close()

    return await on_database(settings, look, embedded=embedded)


async def record_log(settings: Settings, file: Path, *, until: int | None, embedded: bool) -> int:
    """Write the log to a new file that only its owner can read, while the service runs or not; gives how many events.

    When it fails there is no file.
    """
    from horae.infra.logfile import created, record

    async def write(dsn: str) -> int:
        with created(file) as lines:
            return await record(dsn, lines, until=until)

    return await on_database(settings, write, embedded=embedded)


async def replay_family(settings: Settings, family: UUID, *, embedded: bool) -> int:
    """Apply a family's parked events, while the service runs or not; gives how many. Raises `NotFound`, `Conflict`."""
    from horae.infra.eventstore import PostgresEventStore

    async def replay(dsn: str) -> int:
        conn = await schema.connect(dsn)
        try:
            async with PostgresEventStore(dsn, readers=1) as store:
                return await replay_parked(store, conn, family)
        finally:
            await conn.close()

    return await on_database(settings, replay, embedded=embedded)


async def on_database(settings: Settings, work: Callable[[str], Awaitable[T]], *, embedded: bool) -> T:
    """Work with the owner's URI; an embedded PostgreSQL that does not run is started for the while."""
    if not embedded or not (Installation(settings.data).postgres / "data").exists():
        return await work(settings.owner_dsn())
    installation = Installation(settings.data)
    try:
        installation.lock()
    except InUseError:
        dsn = dsn_of(installation.postgres)
        if dsn is None:
            raise
        return await work(dsn)
    cluster = Cluster(installation.postgres)
    with contextlib.ExitStack() as stack:
        stack.callback(cluster.stop)
        await asyncio.to_thread(cluster.start)
        return await work(cluster.dsn())


async def _until_it_answers(dsn: str, patience_s: float) -> None:
    """Return when the database takes connections; what it refuses for a reason that waiting mends not is raised."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            connection = await asyncpg.connect(dsn, timeout=patience_s)
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError) as error:
            if time.monotonic() >= deadline:
                raise Unavailable(
                    f"PostgreSQL does not answer ({error or type(error).__name__}).",
                    hint="Does it run, and do HORAE_DSN or the POSTGRES_ settings point to it?",
                ) from error
            await asyncio.sleep(_ASK_AGAIN_S)
        except asyncpg.PostgresError as error:
            raise SettingsError(f"PostgreSQL refuses the owner's role: {error}") from None
        else:
            await connection.close()
            return


def _with_key(settings: Settings) -> Settings:
    """The settings with the master key filled in: ENCRYPTION_KEY, or the one in an existing data folder."""
    configured = settings.encryption_key.get_secret_value() if settings.encryption_key else None
    folder: Path | None = settings.data.absolute()
    if not configured and not (settings.data / "master-key").exists():
        folder = None  # a key of our own would not fit the other processes'
    key = master_key(configured, folder)
    return settings.model_copy(
        update={
            "encryption_key": SecretStr(key.hex()),
            "dsn": SecretStr(settings.owner_dsn()),
            "data": settings.data.absolute(),
        }
    )
