"""`horae search`: ask the running service by words; `horae indexer`: keep its search index up to date.

Place in the flow: `search` asks the API; `indexer` loads the settings, then hands over to `infra/processes/alone.py`.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import typer
from rich.text import Text

from horae.infra import logging
from horae.infra.cli.client import ApiKey, AsJson, Data, Url, connect
from horae.infra.cli.output import errors, say, show_json, table
from horae.infra.settings import load

_MARKED = re.compile(r"<mark>(.*?)</mark>")
#: Facets that are shown below the hits, each with its first values.
_FACETS, _VALUES = ("status", "tag", "type"), 5


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(search)
    app.command()(indexer)


def search(
    words: list[str] = typer.Argument(help='Words, "phrases", beginnings*; after --, also -without.'),
    kind: str = typer.Option("schedule", "--kind", "-k", help="schedule, occurrence or audit."),
    status: str | None = typer.Option(None, "--status", help="Only those that stand so."),
    tag: str | None = typer.Option(None, "--tag", help="Only those with this tag."),
    sort: str = typer.Option("relevance", "--sort", help="relevance, due or created."),
    limit: int = typer.Option(20, "--limit", "-n", min=1, max=200, help="How many."),
    url: str | None = Url,
    api_key: str | None = ApiKey,
    data: Path | None = Data,
    as_json: bool = AsJson,
) -> None:
    """Find schedules, occurrences, or what happened, by words."""
    with connect(url, api_key, data) as api:
        found = api.get("/v1/search", q=_question(words), kind=kind, status=status, tag=tag, sort=sort, limit=limit)
    if as_json:
        show_json(found)
        return
    if not found["items"]:
        say("Nothing found.")
        return
    table(_HEADS[kind], [(*_row(kind, hit), _fragments(hit)) for hit in found["items"]])
    say(f"{'' if found['exact'] else 'at least '}{found['total']} found by {found['served_by']}", "dim")
    for name in _FACETS:
        counts = found["facets"][name][:_VALUES]
        if len(counts) > 1:
            say(f"{name}: " + ", ".join(f"{c['value']} {c['count']}" for c in counts), "dim")


def indexer(
    data: Path | None = typer.Option(None, "--data", help="Folder that holds everything. Default: .horae"),
    dsn: str | None = typer.Option(None, "--dsn", help="Connection URI of the owner's role."),
    profile: str | None = typer.Option(None, "--profile", help="`stack`: hear from Kafka; else the log is asked."),
    log_level: str | None = typer.Option(None, "--log-level", help="debug, info, warning or error."),
    config: Path | None = typer.Option(
        None, "--config", help="Settings file; else HORAE_CONFIG, else ./scheduling-config.yaml."
    ),
) -> None:
    """Run one indexer alone, from a given PostgreSQL to ELASTICSEARCH_URL; any number share the work."""
    loaded = load({"data": data, "dsn": dsn, "profile": profile, "log_level": log_level}, config)
    logging.configure(loaded.settings.log_level, loaded.settings.log_format, "indexer")
    for key in loaded.without_effect:
        errors.print(f"Note: scheduling.{key} is set in the settings file; this version has no part that reads it.")
    from horae.infra.processes.alone import run_indexer

    raise typer.Exit(run_indexer(loaded.settings))


_HEADS = {
    "schedule": ("id", "status", "recipient", "due", "where"),
    "occurrence": ("id", "status", "recipient", "due", "where"),
    "audit": ("position", "at", "what", "by", "where"),
}


def _row(kind: str, hit: dict[str, Any]) -> tuple[object, ...]:
    source = hit["source"]
    if kind == "audit":
        return (hit["id"], source["created_at"], source["summary"], source["actor"])
    return (hit["id"], source["status"], source["recipient"], source["due_at"])


def _question(words: list[str]) -> str:
    """What the shell took apart: an argument with spaces was a phrase."""
    return " ".join(f'"{word}"' if " " in word and '"' not in word else word for word in words)


def _fragments(hit: dict[str, Any]) -> Text:
    shown = Text()
    for number, highlight in enumerate(hit["highlights"]):
        shown.append(f"{' · ' if number else ''}{highlight['field']}: ", "dim")
        shown.append(coloured(highlight["html"]))
    return shown


def coloured(fragment: str) -> Text:
    """A highlight for a terminal: the hits in colour, everything else as it was written."""
    text = Text()
    for number, part in enumerate(_MARKED.split(fragment)):
        text.append(html.unescape(part), "bold yellow" if number % 2 else "")
    return text
