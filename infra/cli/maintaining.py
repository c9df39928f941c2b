"""`horae migrate`, `horae rebuild`: the database brought to this version, the read models made anew from the log."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from horae.infra import logging
from horae.infra.cli.output import say, show_json, table
from horae.infra.settings import Settings, load

if TYPE_CHECKING:
    from horae.infra.rebuild import RebuildReport, TableReport


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(migrate)
    app.command()(rebuild)


def migrate(
    dsn: str | None = typer.Option(None, "--dsn", help="Owner's connection URI; else the POSTGRES_ settings."),
    data: Path | None = typer.Option(None, "--data", help="Data folder whose master key to use; else ENCRYPTION_KEY."),
    profile: str | None = typer.Option(None, "--profile", help="`stack`: make the topics of Kafka as well."),
    config: Path | None = typer.Option(None, "--config", help="Settings file."),
) -> None:
    """Bring a database of your own to this version, and make Kafka's topics in the stack profile. Safe to repeat."""
    loaded = load({"dsn": dsn, "data": data, "profile": profile}, config)
    logging.configure(loaded.settings.log_level, loaded.settings.log_format, "migrate")
    from horae.infra.processes.alone import run_migrate

    run_migrate(loaded.settings)
    say("The database is at this version.")
    if loaded.settings.profile == "stack":
        from horae.infra.processes.migration import make_topics

        for difference in make_topics(loaded.settings):
            say(f"Note: {difference}", "yellow")
        say("Every topic is there.")


def rebuild(
    dsn: str | None = typer.Option(None, "--dsn", help="Owner's connection URI; else the POSTGRES_ settings."),
    data: Path | None = typer.Option(None, "--data", help="Data folder of an embedded installation."),
    search: bool = typer.Option(False, "--search", help="The search index in Elasticsearch, from the read models."),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Replay the whole log into a shadow copy of the read models, compare the two, and swap them.

    Exits with 1 where the live copy was not what the log says; the new one is in place all the same.
    """
    loaded = load({"dsn": dsn, "data": data})
    logging.configure(loaded.settings.log_level, loaded.settings.log_format, "rebuild")
    if search:
        _rebuild_search(loaded.settings, as_json=as_json)
        return
    from horae.infra.processes.alone import rebuild_read_models

    report = asyncio.run(rebuild_read_models(loaded.settings, embedded=dsn is None))
    if as_json:
        show_json({**dataclasses.asdict(report), "tables": [_shown(each) for each in report.tables]})
    else:
        _say_rebuilt(report)
    if report.differing:
        raise typer.Exit(1)


def _say_rebuilt(report: RebuildReport) -> None:
    say(f"Rebuilt from {report.events} events, up to position {report.position}.")
    words = {True: "as before", False: "DIFFERED: mended", None: "not compared"}
    rows = [
        (t.table, t.rows, _hex(t.checksum), t.live_rows, _hex(t.live_checksum), words[t.same]) for t in report.tables
    ]
    table(("table", "rows", "sum of the log", "live rows", "sum of the live copy", "the live copy was"), rows)
    if report.parked:
        say(f"{report.parked} events could not be applied; the log says which and why.", "yellow")


def _shown(report: TableReport) -> dict[str, Any]:
    sums = {"checksum": _hex(report.checksum), "live_checksum": _hex(report.live_checksum)}
    return {**dataclasses.asdict(report), **sums, "same": report.same}


def _hex(checksum: int | None) -> str | None:
    """Its last 64 bits, which say as much for people, and are a number that no reader of JSON rounds."""
    return None if checksum is None else f"{checksum % 2**64:016x}"


def _rebuild_search(settings: Settings, *, as_json: bool) -> None:
    from horae.infra.processes.reindexing import rebuild_search

    compared = asyncio.run(rebuild_search(settings))
    if as_json:
        show_json([{**dataclasses.asdict(each), "same": each.same} for each in compared])
    else:
        words = {True: "the same", False: "DIFFER"}
        rows = [
            (c.index, c.rows.documents, f"{c.rows.sum:016x}", f"{c.indexed.sum:016x}", c.moving, words[c.same])
            for c in compared
        ]
        table(("index", "documents", "sum of the rows", "sum of the index", "changed meanwhile", "they are"), rows)
    if not all(each.same for each in compared):
        raise typer.Exit(1)
