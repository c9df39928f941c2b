"""`horae run`, `horae api`, `horae worker`: the long-running processes.

Place in the flow: loads the settings, then hands over to `infra/processes`. The heavy parts are imported by the
processes that need them, so that the first line appears at once.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import typer

from horae.infra import logging
from horae.infra.cli import BEGAN
from horae.infra.cli.banner import announce
from horae.infra.cli.output import errors
from horae.infra.setting_sources import SettingsError
from horae.infra.settings import Loaded, load
from horae.infra.zonedata import use_zone_data_of

_Config = typer.Option(None, "--config", help="Settings file; else HORAE_CONFIG, else ./scheduling-config.yaml.")
_Data = typer.Option(None, "--data", help="Folder that holds everything. Default: .horae")
_LogLevel = typer.Option(None, "--log-level", help="debug, info, warning or error.")
_Host = typer.Option(None, "--host", help="Address to listen on. Default: 127.0.0.1")
_Port = typer.Option(None, "--port", help="Port to listen on. Default: 8080")
_Clock = typer.Option(None, "--clock", help="`real`, or `virtual=INSTANT`: time stands still until advanced.")
_Private = typer.Option(
    None, "--allow-private-targets/--refuse-private-targets", help="Let webhooks go to private addresses."
)
_Dsn = typer.Option(None, "--dsn", help="Connection URI of the owner's role; else the POSTGRES_ settings.")
_ApiDsn = typer.Option(None, "--api-dsn", help="Connection URI of the role horae_api.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(run)
    app.command()(api)
    app.command()(worker)


def run(
    port: int | None = _Port,
    host: str | None = _Host,
    data: Path | None = _Data,
    api_key: str | None = typer.Option(None, "--api-key", help="Install this key for the tenant `default`."),
    profile: str | None = typer.Option(None, "--profile", help="`embedded` (the default), or `stack`: through Kafka."),
    clock: str | None = _Clock,
    workers: int | None = typer.Option(None, "--workers", help="Worker processes. Default: 2"),
    allow_private_targets: bool | None = _Private,
    log_level: str | None = _LogLevel,
    config: Path | None = _Config,
) -> None:
    """Run the whole service in the foreground: PostgreSQL, API and worker. Ctrl-C stops it; a new start resumes."""
    flags = {
        "port": port,
        "host": host,
        "data": data,
        "api_key": api_key,
        "profile": profile,
        "clock": clock,
        "workers": workers,
        "allow_private_targets": allow_private_targets,
        "log_level": log_level,
    }
    loaded = _begin(flags, config, "supervisor")
    from horae.infra.processes.supervisor import Supervisor

    if sys.stdout.isatty():
        errors.print("Starting Horae ...")
    # An address that somebody gave is of a cluster that runs already.
    own_kafka = loaded.origins["kafka_brokers"].kind == "default"
    if own_kafka and loaded.settings.profile == "stack" and loaded.settings.kafka_security != "PLAINTEXT":
        raise SettingsError(
            f"HORAE_KAFKA_SECURITY is {loaded.settings.kafka_security}, and the Kafka that `horae run` starts speaks "
            "PLAINTEXT on this machine alone. Name your cluster by KAFKA_BROKERS, or leave the setting out."
        )
    supervisor = Supervisor(loaded.settings, announce, began=BEGAN, own_kafka=own_kafka, say=errors.print)
    asyncio.run(supervisor.run())


def api(
    port: int | None = _Port,
    host: str | None = _Host,
    data: Path | None = _Data,
    dsn: str | None = _Dsn,
    api_dsn: str | None = _ApiDsn,
    clock: str | None = _Clock,
    allow_private_targets: bool | None = _Private,
    log_level: str | None = _LogLevel,
    config: Path | None = _Config,
) -> None:
    """Run the API alone, against a given PostgreSQL that a worker has prepared."""
    flags = {
        "port": port,
        "host": host,
        "data": data,
        "dsn": dsn,
        "api_dsn": api_dsn,
        "clock": clock,
        "allow_private_targets": allow_private_targets,
        "log_level": log_level,
    }
    loaded = _begin(flags, config, "api")
    from horae.infra.processes.alone import run_api

    raise typer.Exit(run_api(loaded.settings))


def worker(
    data: Path | None = _Data,
    dsn: str | None = _Dsn,
    clock: str | None = _Clock,
    allow_private_targets: bool | None = _Private,
    log_level: str | None = _LogLevel,
    config: Path | None = _Config,
) -> None:
    """Run one worker alone, against a given PostgreSQL; of several one works and the others stand by."""
    flags = {
        "data": data,
        "dsn": dsn,
        "clock": clock,
        "allow_private_targets": allow_private_targets,
        "log_level": log_level,
    }
    loaded = _begin(flags, config, "worker")
    from horae.infra.processes.alone import run_worker

    raise typer.Exit(run_worker(loaded.settings))


def _begin(flags: dict[str, Any], config: Path | None, process: str) -> Loaded:
    loaded = load(flags, config)
    logging.configure(loaded.settings.log_level, loaded.settings.log_format, process)
    if loaded.settings.kafka_security != "PLAINTEXT":
        from horae.infra.kafka.security import security_of

        security_of(loaded.settings)  # what is wrong with its files is told now, and not by whoever needs them first
    use_zone_data_of(loaded.settings)
    for key in loaded.without_effect:
        errors.print(f"Note: scheduling.{key} is set in the settings file; this version has no part that reads it.")
    return loaded
