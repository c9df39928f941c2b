"""API and worker without a supervisor, and the maintenance that opens a database by itself.

Place in the flow: CLI -> *here* -> the same processes as under `horae run`, against another's PostgreSQL.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from horae.infra.postgres import Cluster
from horae.infra.processes.assignment import Assignment
from horae.infra.processes.installation import Installation, InUseError
from horae.infra.processes.preparation import prepare
from horae.infra.secrets import master_key
from horae.infra.setting_sources import SettingsError
from horae.infra.settings import Settings


def run_api(settings: Settings) -> int:
    """Serve until SIGTERM; the database must have been prepared by a worker. Gives the exit code."""
    if settings.api_dsn is None:
        raise SettingsError("The setting api_dsn is not set. Give --api-dsn or HORAE_API_DSN, a URI of role horae_api.")
    from horae.infra.processes.api_process import run

    return run(Assignment(_with_key(settings)))


def run_worker(settings: Settings) -> int:
    """Prepare the database, then work or stand by until SIGTERM. Gives the exit code."""
    complete = _with_key(settings)
    given = settings.api_key.get_secret_value() if settings.api_key else None
    asyncio.run(prepare(complete, given))
    from horae.infra.processes.worker_process import run

    return run(Assignment(complete))


async def rebuild_read_models(settings: Settings, *, embedded: bool) -> dict[str, Any]:
    """Rebuild; of an embedded installation that does not run, its PostgreSQL is started for the while."""
    from horae.infra.rebuild import rebuild

    if not embedded or not (Installation(settings.data).postgres / "data").exists():
        return _facts(await rebuild(settings.owner_dsn()))
    installation = Installation(settings.data)
    try:
        installation.lock()
    except InUseError:
        raise InUseError(
            f"`horae run` is running on {installation.folder}. Stop it first; its next start resumes."
        ) from None
    cluster = Cluster(installation.postgres)
    with contextlib.ExitStack() as stack:
        stack.callback(cluster.stop)
        await asyncio.to_thread(cluster.start)
        return _facts(await rebuild(cluster.dsn()))


def _facts(result: Any) -> dict[str, Any]:
    return dataclasses.asdict(result) if dataclasses.is_dataclass(result) else {"result": str(result)}  # type: ignore[arg-type]


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
