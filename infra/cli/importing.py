"""`horae import`: a file of schedules into the service, with a progress bar, and a file of what was refused.

Place in the flow: file -> infra/importing -> bulk requests of the API. Run it again after a break: nothing is doubled.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from horae.commands.importing import ImportFileError, Item, Reject, asking, policy_of
from horae.infra.cli.client import ApiKey, AsJson, Data, Url, connect
from horae.infra.cli.output import console, errors, fail, say, show_json, table
from horae.infra.importing.calendar import read_calendar
from horae.infra.importing.sending import Accepted, Report, check, send
from horae.infra.importing.table import read_table
from horae.infra.importing.text import decode
from horae.infra.settings import load

#: Actions in words, where their names are none.
_ACTIONS = {
    "none": "meet nobody",
    "given_way": "gave way",
    "partly_given_way": "gave way in part",
    "kept": "went first",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import")(import_)


def import_(
    file: Path = typer.Argument(..., exists=True, dir_okay=False, readable=True, help="A .csv or .ics file."),
    channel: str = typer.Option("log:", help="Channel of rows that name none."),
    encoding: str | None = typer.Option(None, help="Encoding of the file; else its mark, UTF-8, or a guess."),
    rejects: Path | None = typer.Option(None, help="Where refused rows go; else FILE.rejects.csv."),
    conflicts: str | None = typer.Option(
        None,
        help="What becomes of schedules that come too close to others, where the row does not say: allow, reject, "
        "shift, merge, highest_priority; or JSON with a window.",
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only say what would be taken; nothing is sent."),
    now: datetime | None = typer.Option(None, formats=["%Y-%m-%dT%H:%M:%SZ"], help="The present of a dry run."),
    url: str | None = Url,
    api_key: str | None = ApiKey,
    data: Path | None = Data,
    as_json: bool = AsJson,
) -> None:
    """Import schedules from a CSV or iCalendar file. A second import of the same file adds nothing."""
    try:
        entries = list(_read(file, channel, encoding))
        if conflicts is not None:
            entries = list(asking(entries, _policy(conflicts)))
    except ImportFileError as error:
        fail(f"{file}: {error}")
    if dry_run:
        report = _check(entries, now)
    else:
        with connect(url, api_key, data) as api, _bar(len(entries), as_json) as progress:
            task = progress.add_task("importing", total=len(entries))
            report = send(api, entries, lambda done: progress.advance(task, done))
    where = rejects or file.with_name(f"{file.name}.rejects.csv")
    if report.rejected:
        _write_rejects(where, report.rejected)
    if as_json:
        show_json(_document(report, where, dry_run))
    else:
        _tell(report, where, dry_run)


def _read(file: Path, channel: str, encoding: str | None) -> Iterator[Item | Reject]:
    decoded = decode(file.read_bytes(), encoding)
    if decoded.guessed:
        errors.print(f"The file is not UTF-8; it was read as {decoded.encoding}. If that is wrong, give --encoding.")
    if file.suffix.lower() in (".ics", ".ical", ".ifb"):
        return read_calendar(decoded.text, channel=channel)
    return read_table(decoded.text, channel=channel)


def _policy(text: str) -> dict[str, Any]:
    try:
        return policy_of(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--conflicts") from None


def _check(entries: list[Item | Reject], now: datetime | None) -> Report:
    report = Report()
    present = now.replace(tzinfo=UTC) if now else datetime.now(UTC)
    for verdict in check(entries, now=present, default_zone=load({}).settings.default_zone):
        if isinstance(verdict, Accepted):
            report.accepted.append(verdict)
        else:
            report.rejected.append(verdict)
    return report


def _bar(total: int, quiet: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=errors, disable=quiet or total == 0)


def _write_rejects(path: Path, rejected: list[Reject]) -> None:
    # With the mark, so that spreadsheets read it as UTF-8.
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "line", "label", "column", "reason", "hint", "as it was"])
        for reject in rejected:
            as_it_was = " | ".join(reject.raw)
            cells = [reject.row, reject.line, reject.label, reject.place, reject.reason, reject.hint, as_it_was]
            writer.writerow(cells)


def _settled(report: Report) -> list[tuple[Accepted, Any]]:
    """Those that asked about conflicts, with what was decided."""
    return [(each, each.settled) for each in report.accepted if each.settled is not None]


def _unasked(report: Report) -> int:
    """How many of a dry run's rows would ask the service about conflicts."""
    return sum("conflicts" in each.item.body for each in report.accepted)


def _document(report: Report, where: Path, dry_run: bool) -> dict[str, object]:
    return {
        "rows": report.rows,
        "accepted": report.rows - len({reject.row for reject in report.rejected}),
        "created": report.created,
        "replayed": len(report.accepted) - report.created,
        "rejected": [
            {"row": r.row, "line": r.line, "label": r.label, "column": r.place, "reason": r.reason, "hint": r.hint}
            for r in report.rejected
        ],
        "rejects_file": str(where) if report.rejected else None,
        "settled": [{"row": each.item.row, "id": each.id} | settled for each, settled in _settled(report)],
        "conflicts_not_looked_at": _unasked(report) if dry_run else 0,
    }


def _tell(report: Report, where: Path, dry_run: bool) -> None:
    would = "would be " if dry_run else ""
    there = len(report.accepted) - report.created
    say(f"{report.rows} rows: {len(report.accepted)} {would}accepted, {len(report.rejected)} {would}rejected", "bold")
    if there:
        say(f"{there} of them were there already; {report.created} are new.")
    if settled := Counter(what["action"] for _, what in _settled(report)):
        told = ", ".join(f"{count} {_ACTIONS.get(action, action)}" for action, count in settled.most_common())
        say(f"Of those that asked about conflicts: {told}.")
    if dry_run and (unasked := _unasked(report)):
        say(f"{unasked} ask about conflicts, which only the service can look at: a dry run does not.", "yellow")
    if not report.rejected:
        return
    counts = Counter(reject.place for reject in report.rejected)
    example = {reject.place: reject for reject in reversed(report.rejected)}
    table(
        ["column", "rows", "for example", "what to do"],
        [
            (place, count, f"row {example[place].row}: {example[place].reason}", example[place].hint)
            for place, count in counts.most_common()
        ],
    )
    console.print(f"Each with its reason: {where}", style="dim")
