"""`horae replay`: live through a recorded log again, up to a position; `horae record`: write the log to a file."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import typer

from horae.infra.cli.output import fail, say, show_json, table

_DSN = typer.Option(None, "--dsn", help="Owner's connection URI; else the POSTGRES_ settings.")
_DATA = typer.Option(None, "--data", help="Data folder of an embedded installation.")
_UNTIL = typer.Option(None, "--until", min=1, metavar="POSITION", help="The last event to take; without it all.")


def register(app: typer.Typer) -> None:
    """Add both commands."""
    app.command()(replay)
    app.command()(record)


def replay(
    log: Path = typer.Argument(help="A file that `horae record` wrote."),
    until: int | None = _UNTIL,
    zone: str = typer.Option("UTC", "--zone", help="The installation's default zone."),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Live through a recorded log in memory: what stood where at POSITION, and would today's code decide the same?

    Nothing is sent and nothing is stored. Exits with 1 if anything is found.
    """
    from horae.infra.logfile import read
    from horae.infra.replaying import Replay

    if not log.is_file():
        fail(f"There is no file {log}.", "Write one with `horae record FILE`.")
    with log.open(encoding="utf-8") as lines:
        replayed = Replay(zone).run(read(lines, until=until))
    at = replayed.at
    overdue = [row for row in replayed.due() if at is not None and row.due_at <= at and not row.held]
    if as_json:
        show_json(
            {
                "position": replayed.position,
                "at": at.isoformat() if at else None,
                "events": dict(replayed.events),
                "schedules": replayed.statuses(),
                "occurrences": replayed.outcomes(),
                "waiting": len(replayed.due()),
                "overdue": [str(row.key) for row in overdue],
                "under_way": [str(occurrence) for occurrence, _, _ in replayed.under_way()],
                "decided_again": replayed.decided,
                "findings": [dataclasses.asdict(finding) for finding in replayed.findings],
            }
        )
    else:
        say(f"Replayed {sum(replayed.events.values())} events up to position {replayed.position}, recorded at {at}.")
        table(("schedules", ""), sorted(replayed.statuses().items()))
        table(("occurrences", ""), sorted(replayed.outcomes().items()))
        say(f"{len(replayed.due())} wait, {len(overdue)} of them overdue; {len(replayed.under_way())} are under way.")
        say(f"{replayed.decided} decisions taken again, {len(replayed.findings)} findings.")
        if replayed.findings:
            rows = [(f.position, f.event, f.stream, f.problem) for f in replayed.findings]
            table(("position", "event", "stream", "problem"), rows)
    if replayed.findings:
        raise typer.Exit(1)


def record(
    file: Path = typer.Argument(help="Where to; must not exist yet."),
    until: int | None = _UNTIL,
    dsn: str | None = _DSN,
    data: Path | None = _DATA,
) -> None:
    """Write the event log to a file, one JSON line per event, for `horae replay`. It holds personal data."""
    from horae.infra import logging
    from horae.infra.processes.alone import record_log
    from horae.infra.settings import load

    if file.exists():
        fail(f"{file} exists already.", "Choose another name, or remove it.")
    settings = load({"dsn": dsn, "data": data}).settings
    logging.configure(settings.log_level, settings.log_format, "record")
    count = asyncio.run(record_log(settings, file, until=until, embedded=dsn is None))
    say(f"Wrote {count} events to {file}. They hold personal data: keep it as you keep the database.")
