"""`horae parked`: what the read models could not apply, and applying it after all."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from uuid import UUID

import typer

from horae.infra import logging
from horae.infra.cli.output import say, show_json, table
from horae.infra.settings import Settings, load

_parked = typer.Typer(help="Events that could not be applied, and those that queue behind them.")

_DSN = typer.Option(None, "--dsn", help="Owner's connection URI; else the POSTGRES_ settings.")
_DATA = typer.Option(None, "--data", help="Data folder of an embedded installation.")


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(_parked, name="parked")


@_parked.callback(invoke_without_command=True)
def show(
    context: typer.Context,
    dsn: str | None = _DSN,
    data: Path | None = _DATA,
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """List what is parked; `horae parked replay FAMILY` applies a family's events once the cause is mended."""
    if context.invoked_subcommand is not None:
        return
    from horae.infra.processes.alone import parked_events

    events = asyncio.run(parked_events(_settings(dsn, data), embedded=dsn is None))
    if as_json:
        show_json([dataclasses.asdict(event) for event in events])
    elif not events:
        say("Nothing is parked.")
    else:
        rows = [(event.family, event.position, event.event, event.error or "queues behind it") for event in events]
        table(("family", "position", "event", "error"), rows)


@_parked.command()
def replay(
    family: UUID = typer.Argument(help="Whose events: the first column of `horae parked`."),
    dsn: str | None = _DSN,
    data: Path | None = _DATA,
) -> None:
    """Apply a family's parked events, all of them or none; the service may run meanwhile."""
    from horae.infra.processes.alone import replay_family

    count = asyncio.run(replay_family(_settings(dsn, data), family, embedded=dsn is None))
    say(f"Applied {count} events of {family}; it is up to date.")


def _settings(dsn: str | None, data: Path | None) -> Settings:
    loaded = load({"dsn": dsn, "data": data})
    logging.configure(loaded.settings.log_level, loaded.settings.log_format, "parked")
    return loaded.settings
