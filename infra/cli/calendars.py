"""`horae calendar`: days and hours of work, by the API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from horae.infra.cli.client import ApiKey, AsJson, Data, Url, connect
from horae.infra.cli.output import say, show_json, table

_calendar = typer.Typer(help="Calendars: days and hours of work, to which timings can keep.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(_calendar, name="calendar")


@_calendar.command("list")
def list_calendars(
    url: str | None = Url, api_key: str | None = ApiKey, data: Path | None = Data, as_json: bool = AsJson
) -> None:
    """List the calendars that were written."""
    with connect(url, api_key, data) as api:
        page = api.get("/v1/calendars", limit=500)
    if as_json:
        show_json(page)
        return
    rows = [(item["id"], item.get("title"), item["version"], item["updated_at"]) for item in page["items"]]
    table(("id", "title", "version", "changed"), rows)


@_calendar.command()
def show(
    calendar: str = typer.Argument(help="Its id."),
    url: str | None = Url,
    api_key: str | None = ApiKey,
    data: Path | None = Data,
) -> None:
    """Show a calendar as JSON, fit for `set`."""
    with connect(url, api_key, data) as api:
        show_json(api.get(f"/v1/calendars/{calendar}")["definition"])


@_calendar.command("set")
def set_calendar(
    calendar: str = typer.Argument(help="Its id."),
    definition: str = typer.Argument(help="The whole calendar as JSON, or @FILE."),
    url: str | None = Url,
    api_key: str | None = ApiKey,
    data: Path | None = Data,
    as_json: bool = AsJson,
) -> None:
    """Write a calendar; schedules that keep to it are planned anew."""
    text = Path(definition[1:]).read_text(encoding="utf-8") if definition.startswith("@") else definition
    try:
        body = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"the calendar is not JSON: {error}") from None
    with connect(url, api_key, data) as api:
        _tell(api.put(f"/v1/calendars/{calendar}", body), as_json)


@_calendar.command("import")
def import_days(
    calendar: str = typer.Argument(help="Its id; made if it is not there."),
    file: Path = typer.Argument(help="An iCalendar file.", exists=True, dir_okay=False),
    url: str | None = Url,
    api_key: str | None = ApiKey,
    data: Path | None = Data,
    as_json: bool = AsJson,
) -> None:
    """Make the whole days of an iCalendar file the calendar's own days off."""
    with connect(url, api_key, data) as api:
        answer = api.send(f"/v1/calendars/{calendar}/import", file.read_bytes(), "text/calendar")
    _tell(answer, as_json)


@_calendar.command("open")
def check_open(
    calendar: str = typer.Argument("default", help="Its id."),
    at: str | None = typer.Option(None, "--at", help="An instant, or a local time. Default: now"),
    zone: str | None = typer.Option(None, "--zone", help="Whose clock counts."),
    url: str | None = Url,
    api_key: str | None = ApiKey,
    data: Path | None = Data,
    as_json: bool = AsJson,
) -> None:
    """Say whether a time is within business hours, and which is the next."""
    with connect(url, api_key, data) as api:
        found = api.get(f"/v1/calendars/{calendar}/open", at=at, zone=zone)
    if as_json:
        show_json(found)
        return
    day = found.get("holiday") or ("a weekend" if found["weekend"] else "a business day")
    say(f"{found['local']} in {found['zone']}: {'open' if found['open'] else 'closed'} ({day}, {found['calendar']})")
    if not found["open"]:
        say(f"next open: {found.get('next_open_local') or 'not within a year'}")


@_calendar.command()
def holidays(
    calendar: str = typer.Argument(help="Its id; or a country such as DE or DE-BY."),
    year: int | None = typer.Option(None, "--year", help="Default: this one."),
    url: str | None = Url,
    api_key: str | None = ApiKey,
    data: Path | None = Data,
    as_json: bool = AsJson,
) -> None:
    """List a year's holidays of a calendar or a country."""
    with connect(url, api_key, data) as api:
        if calendar[:1].isupper():
            country, _, part = calendar.partition("-")
            found = api.get("/v1/holidays", country=country, subdivision=part or None, year=year)
        else:
            found = api.get(f"/v1/calendars/{calendar}/holidays", year=year)
    if as_json:
        show_json(found)
        return
    table(("date", "holiday"), [(item["date"], item["name"]) for item in found["items"]], title=found["source"])


def _tell(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show_json(answer)
        return
    done = answer["replanned"]
    say(f"{answer['label']}: {len(answer['definition']['days'])} days of its own.")
    say(f"{done['checked']} schedules keep to it; the next slot of {len(done['moved'])} moved.")
    for line in answer.get("passed_over") or []:
        say(f"not taken: {line}", "yellow")
    if done["failed"]:
        say(f"{len(done['failed'])} could not be looked at: repeat the command.", "red")
