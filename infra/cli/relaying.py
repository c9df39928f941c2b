"""`horae relay`: publishes the log to Kafka, for the stack profile; `horae asyncapi`: what lies on the topics.

Place in the flow: loads the settings, then hands over to `infra/processes/alone.py`.
"""

from __future__ import annotations

from pathlib import Path

import typer

from horae.infra import logging
from horae.infra.cli.output import errors
from horae.infra.settings import load


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(relay)
    app.command()(asyncapi)


def relay(
    data: Path | None = typer.Option(None, "--data", help="Folder that holds everything. Default: .horae"),
    dsn: str | None = typer.Option(None, "--dsn", help="Connection URI of the owner's role."),
    clock: str | None = typer.Option(None, "--clock", help="`real`, or `virtual=INSTANT`."),
    log_level: str | None = typer.Option(None, "--log-level", help="debug, info, warning or error."),
    config: Path | None = typer.Option(
        None, "--config", help="Settings file; else HORAE_CONFIG, else ./scheduling-config.yaml."
    ),
) -> None:
    """Run one relay alone, from a given PostgreSQL to KAFKA_BROKERS; of several one works and the others stand by."""
    flags = {"data": data, "dsn": dsn, "clock": clock, "log_level": log_level}
    loaded = load(flags, config)
    logging.configure(loaded.settings.log_level, loaded.settings.log_format, "relay")
    for key in loaded.without_effect:
        errors.print(f"Note: scheduling.{key} is set in the settings file; this version has no part that reads it.")
    from horae.infra.processes.alone import run_relay

    raise typer.Exit(run_relay(loaded.settings))


def asyncapi() -> None:
    """Print the AsyncAPI document of the topics, which docs/asyncapi.yaml holds."""
    from horae.infra.asyncapi import text

    print(text(), end="")
