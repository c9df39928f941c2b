"""`horae change`: change a schedule through the running service, or see first what would move, fall and be added."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import typer
from rich.text import Text

from horae.infra.cli.client import ApiKey, AsJson, Data, Url, connect
from horae.infra.cli.meeting import show_settled
from horae.infra.cli.output import say, show_json, table
from horae.infra.cli.schedules import read_json

_STYLES = {"moved": "yellow", "dropped": "red", "added": "green", "changed": "cyan"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("change")(change)


def change(
    schedule: str = typer.Argument(help="The schedule's id."),
    timing: str | None = typer.Option(None, "--timing", help="The new timing as JSON, as in the API."),
    cron: str | None = typer.Option(None, "--cron", help="A new cron expression; with --zone."),
    at: str | None = typer.Option(None, "--at", help="A new instant, with an offset."),
    zone: str = typer.Option("recipient", "--zone", help="IANA zone, for --cron."),
    content: str | None = typer.Option(None, "--content", help="New content as JSON."),
    fields: str | None = typer.Option(None, "--set", help='Other fields as JSON, such as {"priority": 4}.'),
    scope: str = typer.Option("all", "--scope", help="all, following (--slot and those after it), or this."),
    slot: str | None = typer.Option(None, "--slot", help="The slot of this or following, as a preview lists it."),
    fold: int = typer.Option(0, "--fold", min=0, max=1, help="1 for the second passing of a repeated local time."),
    exceptions: str | None = typer.Option(None, "--exceptions", help="keep or drop skipped and changed slots."),
    dry_run: bool = typer.Option(False, "--dry-run", "-n", help="Change nothing, only tell."),
    slots: int = typer.Option(100, "--slots", min=1, max=1000, help="How many slots are compared at most."),
    version: int | None = typer.Option(None, "--if-match", help="Only if the schedule is at this version."),
    url: str | None = Url,
    api_key: str | None = ApiKey,
    data: Path | None = Data,
    as_json: bool = AsJson,
) -> None:
    """Change a schedule: all that is to come, from a slot on, or one slot. With --dry-run: what that would come to."""
    body: dict[str, Any] = read_json(fields, "--set") if fields is not None else {}
    given = [
        read_json(timing, "--timing") if timing is not None else None,
        {"kind": "every", "cron": cron, "zone": zone} if cron else None,
        {"kind": "at", "at": at} if at else None,
    ]
    chosen = [each for each in given if each is not None]
    if len(chosen) > 1:
        raise typer.BadParameter("give only one of --timing, --cron, --at")
    body |= {"timing": chosen[0]} if chosen else {}
    body |= {"content": read_json(content, "--content")} if content is not None else {}
    asked = {"scope": scope, "slot": slot, "fold": fold or None, "exceptions": exceptions}
    asked |= {"dry_run": "true", "slots": slots} if dry_run else {}
    headers = {"If-Match": f'"{version}"'} if version is not None else None
    with connect(url, api_key, data) as api:
        answer = api.patch(f"/v1/schedules/{schedule}", body, params=asked, headers=headers)
    if as_json:
        show_json(answer)
    elif dry_run:
        _show(answer, _settled(answer["after"], slot, fold, scope))
    else:
        say(f"{answer['id']}  version {answer['version']}  due {answer.get('next_due_at')}")
        if body.keys() & {"timing", "conflicts"}:
            show_settled(_settled(answer, slot, fold, scope))


def _settled(schedule: dict[str, Any], slot: str | None, fold: int, scope: str) -> dict[str, Any] | None:
    """How the schedule, or the one slot that was changed, stands among others."""
    if scope != "this" or slot is None:
        whole: dict[str, Any] | None = schedule["settled"]
        return whole
    named = (datetime.fromisoformat(slot), fold)
    own = (at for at in schedule["changes"] if (datetime.fromisoformat(at["slot"]), at["fold"]) == named)
    return next((at["settled"] for at in own), None)


def _show(answer: dict[str, Any], settled: dict[str, Any] | None) -> None:
    found, rows = answer["difference"], []
    for mark in ("moved", "changed"):
        for pair in found[mark]:
            note = ", ".join(pair["changed"])
            moved = pair["after"]["due_at"] if mark == "moved" else None
            rows.append((pair["before"]["due_at"], _row(mark, pair["before"], pair["before"]["due_at"], moved, note)))
    rows += [(at["due_at"], _row("dropped", at, at["due_at"], "not sent", "")) for at in found["dropped"]]
    for at in found["added"]:
        note = "; ".join(reason["text"] for reason in at["reasons"])
        rows.append((at["due_at"], _row("added", at, None, at["due_at"], note)))
    rows.sort(key=lambda row: row[0])
    counts = found["counts"]
    upto = f"Up to {found['until']}" if found["until"] else "To the end"
    said = ", ".join(f"{counts[name]} {name}" for name in ("moved", "dropped", "added", "changed", "kept"))
    if rows:
        table(("", "local time", "zone", "due before", "due after", "note"), [row for _, row in rows])
    say(f"Nothing was changed. {upto}: {said}.", "bold")
    show_settled(settled)
    for name, words in (("exceptions_kept", "still skipped or changed"), ("exceptions_fallen", "as the series has it")):
        if answer[name]:
            say(f"{words.capitalize()}: {', '.join(slot['slot'] for slot in answer[name])}.")


def _row(mark: str, at: dict[str, Any], before: str | None, after: str | None, note: str) -> tuple[object, ...]:
    style = _STYLES[mark]
    second = " (second)" if at["fold"] else ""
    return (Text(mark, style=style), at["slot"].replace("T", " ") + second, at["zone"], before, after, note)
