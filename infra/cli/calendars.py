"""`horae calendar`: days and hours of work, by the API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from horae.infra.cli.asking import Told, asks
from horae.infra.cli.client import Api
from horae.infra.cli.output import say, table

_calendar = typer.Typer(help="Calendars: days and hours of work, to which timings can keep.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(_calendar, name="calendar")


@_calendar.command("list")
@asks
def list_calendars(api: Api) -> Told:
    """List the calendars that were written."""
    page = api.get("/v1/calendars", limit=500)
    rows = [
        (item["id"], item.get("title"), item["version"], item["updated_at"], _standing(item.get("subscription")))
        for item in page["items"]
    ]
    return Told(page, lambda: table(("id", "title", "version", "changed", "subscribes to"), rows))


@_calendar.command()
@asks
def show(api: Api, calendar: str = typer.Argument(help="Its id.")) -> Told:
    """Show a calendar as JSON, fit for `set`; with --json: with its version and subscription."""
    found = api.get(f"/v1/calendars/{calendar}")
    return Told(found, lambda: print(json.dumps(found["definition"], indent=2, ensure_ascii=False)))


@_calendar.command("set")
@asks
def set_calendar(
    api: Api,
    calendar: str = typer.Argument(help="Its id."),
    definition: str = typer.Argument(help="The whole calendar as JSON, or @FILE."),
) -> Told:
    """Write a calendar; schedules that keep to it are planned anew."""
    text = Path(definition[1:]).read_text(encoding="utf-8") if definition.startswith("@") else definition
    try:
        body = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"the calendar is not JSON: {error}") from None
    return _written(api.put(f"/v1/calendars/{calendar}", body))


@_calendar.command("import")
@asks
def import_days(
    api: Api,
    calendar: str = typer.Argument(help="Its id; made if it is not there."),
    file: Path = typer.Argument(help="An iCalendar file.", exists=True, dir_okay=False),
) -> Told:
    """Make the whole days of an iCalendar file the calendar's own days off."""
    return _written(api.send(f"/v1/calendars/{calendar}/import", file.read_bytes(), "text/calendar"))


@_calendar.command()
@asks
def subscribe(
    api: Api,
    calendar: str = typer.Argument(help="Its id; made if it is not there."),
    address: str = typer.Argument(help="Of an iCalendar file: https, http or webcal."),
    every: str = typer.Option("P1D", "--every", help="From one look to the next, such as PT6H."),
) -> Told:
    """Take a calendar's days from somebody else's file, now and whenever that changes."""
    return _written(api.post(f"/v1/calendars/{calendar}/subscribe", {"url": address, "every": every}))


@_calendar.command()
@asks
def refresh(api: Api, calendar: str = typer.Argument(help="Its id.")) -> Told:
    """Look at the file that a calendar subscribes to, without waiting for the next look."""
    return _written(api.post(f"/v1/calendars/{calendar}/refresh"))


@_calendar.command()
@asks
def unsubscribe(api: Api, calendar: str = typer.Argument(help="Its id.")) -> Told:
    """Look no more; the days stay as they are, as the calendar's own."""
    return _written(api.post(f"/v1/calendars/{calendar}/unsubscribe"))


@_calendar.command("open")
@asks
def check_open(
    api: Api,
    calendar: str = typer.Argument("default", help="Its id."),
    at: str | None = typer.Option(None, "--at", help="An instant, or a local time. Default: now"),
    zone: str | None = typer.Option(None, "--zone", help="Whose clock counts."),
) -> Told:
    """Say whether a time is within business hours, and which is the next."""
    found = api.get(f"/v1/calendars/{calendar}/open", at=at, zone=zone)

    def tell() -> None:
        day = found.get("holiday") or ("a weekend" if found["weekend"] else "a business day")
        say(
            f"{found['local']} in {found['zone']}: {'open' if found['open'] else 'closed'} ({day}, {found['calendar']})"
        )
        if not found["open"]:
            say(f"next open: {found.get('next_open_local') or 'not within a year'}")

    return Told(found, tell)


@_calendar.command()
@asks
def holidays(
    api: Api,
    calendar: str = typer.Argument(help="Its id; or a country such as DE or DE-BY."),
    year: int | None = typer.Option(None, "--year", help="Default: this one."),
) -> Told:
    """List a year's holidays of a calendar or a country."""
    if calendar[:1].isupper():
        country, _, part = calendar.partition("-")
        found = api.get("/v1/holidays", country=country, subdivision=part or None, year=year)
    else:
        found = api.get(f"/v1/calendars/{calendar}/holidays", year=year)
    rows = [(item["date"], item["name"]) for item in found["items"]]
    return Told(found, lambda: table(("date", "holiday"), rows, title=found["source"]))


def _written(answer: dict[str, Any]) -> Told:
    def tell() -> None:
        done, subscription = answer["replanned"], answer.get("subscription")
        whose = f"{len(answer['definition']['days'])} days of its own"
        say(f"{answer['label']}: {f'days from {_standing(subscription)}' if subscription else whose}.")
        say(f"{done['checked']} schedules keep to it; the next slot of {len(done['moved'])} moved.")
        for line in answer.get("passed_over") or []:
            say(f"not taken: {line}", "yellow")
        if done["failed"]:
            say(f"{len(done['failed'])} could not be looked at: repeat the command.", "red")

    return Told(answer, tell)


def _standing(subscription: dict[str, Any] | None) -> str | None:
    if subscription is None:
        return None
    failing = subscription.get("failing_since")
    wrong = f" (failing since {failing}: {subscription['error']})" if failing else ""
    return f"{subscription['url']}{wrong}"
