"""`horae backfill`: send slots of the past that were not sent, or see first which those would be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from rich.text import Text

from horae.infra.cli.client import ApiKey, AsJson, Data, Url, connect
from horae.infra.cli.output import say, show_json, table


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("backfill")(backfill)


def backfill(
    schedule: str = typer.Argument(help="The schedule's id."),
    begin: str = typer.Option(..., "--from", help="Slots due at or after this instant, with an offset."),
    end: str = typer.Option(..., "--to", help="And before this one, which has passed."),
    include: list[str] = typer.Option([], "--include", help="Also what was paused or skipped; may be repeated."),
    every: str | None = typer.Option(None, "--every", help="How long apart they go out, such as PT10S."),
    reason: str | None = typer.Option(None, "--reason", help="In your words."),
    dry_run: bool = typer.Option(False, "--dry-run", "-n", help="Send nothing, only tell."),
    key: str | None = typer.Option(None, "--idempotency-key", help="Makes a repeat of this command tell the same."),
    url: str | None = Url,
    api_key: str | None = ApiKey,
    data: Path | None = Data,
    as_json: bool = AsJson,
) -> None:
    """Send the slots of a stretch of the past that were not sent, by the timing of then. Repeated, it sends no more."""
    body: dict[str, Any] = {"from": begin, "to": end, "include": include, "reason": reason}
    body |= {"every": every} if every is not None else {}
    path = f"/v1/schedules/{schedule}/backfill" + ("?dry_run=true" if dry_run else "")
    with connect(url, api_key, data) as api:
        answer = api.post(path, body, headers={"Idempotency-Key": key} if key else None)
    if as_json:
        show_json(answer)
    else:
        _show(answer)


def _show(answer: dict[str, Any]) -> None:
    told = [(at["was_due_at"], _row(at, Text("sent", style="green"), at["due_at"])) for at in answer["slots"]]
    told += [(at["was_due_at"], _row(at, Text(at["why"], style="dim"), None)) for at in answer["left_out"]]
    if told:
        table(("", "local time", "was due", "goes out"), [row for _, row in sorted(told, key=lambda each: each[0])])
    would = "would be sent" if answer["dry_run"] else "are sent"
    said = f"{len(answer['slots'])} slots {would}, {len(answer['left_out'])} are not."
    say(f"{said} Backfill {answer['backfill']}." if answer["backfill"] else said, "bold")


def _row(at: dict[str, Any], mark: Text, goes_out: str | None) -> tuple[object, ...]:
    second = " (second)" if at["fold"] else ""
    return (mark, at["slot"].replace("T", " ") + second, at["was_due_at"], goes_out)
