"""`horae tz`: zones and their clock changes, computed here: these need no service and no key. More is in `rezoning`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import typer
from pydantic import BaseModel

from horae.domain.errors import Invalid
from horae.domain.timing import zonefacts
from horae.domain.timing.zones import canonical, check_zone, tzdata_version
from horae.infra.cli import rezoning
from horae.infra.cli.output import say, show_json, table
from horae.infra.clock import SystemClock
from horae.infra.settings import load
from horae.infra.zonedata import use_zone_data_of

_tz = typer.Typer(no_args_is_help=True)

_Json = typer.Option(False, "--json", help="Print as JSON.")
_At = typer.Option(None, "--at", help="Instant with an offset. Default: now")


def register(app: typer.Typer) -> None:
    """Add the group."""
    rezoning.add_to(_tz)
    app.add_typer(_tz, name="tz")


@_tz.callback()
def _by_the_settings() -> None:
    """Zones: what the clock shows where, when it is changed, and what newer zone data move."""
    use_zone_data_of(load().settings)


@_tz.command("list")
def list_zones(
    country: str | None = typer.Option(None, "--country", help="Only of this country, such as DE."),
    as_json: bool = _Json,
) -> None:
    """List the names of zones."""
    names = zonefacts.zones_of(country)
    if as_json:
        show_json({"tzdata": tzdata_version(), "items": names})
        return
    for name in names:
        print(name)


@_tz.command()
def info(
    zone: str = typer.Argument(help="IANA name, such as Europe/Berlin."), at: str | None = _At, as_json: bool = _Json
) -> None:
    """Describe a zone: offset, daylight-saving time, other names, the clock changes on either side."""
    facts = zonefacts.facts(zone, _instant(at))
    if as_json:
        _show(facts)
        return
    rows = [
        ("zone", zone if facts.canonical == zone else f"{zone}, now {facts.canonical}"),
        ("clock", f"{_clock(facts.local)} {facts.abbreviation} ({facts.offset})"),
        ("daylight-saving time", "yes" if facts.dst else "no"),
        ("last clock change", _change(facts.previous_transition)),
        ("next clock change", _change(facts.next_transition)),
        ("countries", " ".join(facts.countries) or None),
        ("other names", " ".join(facts.aliases) or None),
        ("zone data", facts.tzdata),
    ]
    table(("", ""), rows)


@_tz.command()
def transitions(
    zone: str = typer.Argument(help="IANA name."),
    year: int | None = typer.Option(None, "--year", help="Default: this one."),
    as_json: bool = _Json,
) -> None:
    """List a year's clock changes."""
    asked = year if year is not None else SystemClock().now().year
    found = zonefacts.transitions(zone, asked)
    if as_json:
        items = [change.model_dump(mode="json") for change in found]
        show_json({"zone": zone, "year": asked, "tzdata": tzdata_version(), "items": items})
        return
    if not found:
        say(f"The clocks of {zone} are not changed in {asked}.")
        return
    table(
        ("instant (UTC)", "from", "to", "what"),
        [
            (
                _utc(change.at),
                f"{_clock(change.local_before)} {change.abbreviation_before} ({change.offset_before})",
                f"{_clock(change.local_after)} {change.abbreviation_after} ({change.offset_after})",
                f"{change.kind} of {change.length_s // 60} min",
            )
            for change in found
        ],
    )


@_tz.command()
def convert(
    time: str = typer.Argument(help="An instant with an offset, or a local time (with --from)."),
    to: list[str] = typer.Option(..., "--to", help="IANA name; may be repeated."),
    source: str | None = typer.Option(None, "--from", help="Zone of a local time."),
    fold: int = typer.Option(0, "--fold", min=0, max=1, help="1: the second passing of a time that comes twice."),
    as_json: bool = _Json,
) -> None:
    """Show a time on other clocks."""
    try:
        told = datetime.fromisoformat(time)
    except ValueError:
        raise typer.BadParameter(f"{time!r} is neither 2026-12-01T09:00:00Z nor 2026-12-01T09:00") from None
    found = zonefacts.convert(told, source, fold, [(name, "--to") for name in to])
    if as_json:
        _show(found)
        return
    if found.branch != "normal":
        say(f"{_clock(told.isoformat())} in {source}: {found.branch.replace('_', ' ')}", "yellow")
    shown = ([found.source] if found.source else []) + list(found.targets)
    rows = [(each.zone, _clock(each.local), each.abbreviation, each.offset) for each in shown]
    table(("zone", "local time", "", "offset"), rows)


@_tz.command()
def now(zones: list[str] = typer.Argument(help="IANA names."), as_json: bool = _Json) -> None:
    """Show what time it is."""
    found = zonefacts.convert(SystemClock().now(), None, 0, [(name, "zone") for name in zones])
    if as_json:
        _show(found)
        return
    rows = [(each.zone, _clock(each.local), each.abbreviation, each.offset) for each in found.targets]
    table(("zone", "local time", "", "offset"), rows)


@_tz.command()
def validate(zone: str = typer.Argument(help="What may be a name."), as_json: bool = _Json) -> None:
    """Say whether timings may name it; leaves with 1 if not."""
    hint = None
    try:
        check_zone(zone, "zone")
    except Invalid as refused:
        hint = refused.hint
        if not as_json:
            raise
    valid = hint is None
    if as_json:
        show_json({"zone": zone, "valid": valid, "canonical": canonical(zone) if valid else None, "hint": hint})
    else:
        say(f"{zone} is valid." if canonical(zone) == zone else f"{zone} is valid: an old name of {canonical(zone)}.")
    if not valid:
        raise typer.Exit(1)


def _show(model: BaseModel) -> None:
    document: dict[str, Any] = model.model_dump(mode="json")
    show_json(document)


def _instant(text: str | None) -> datetime:
    if text is None:
        return SystemClock().now()
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not an instant such as 2027-01-01T00:00:00Z") from None
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)


def _change(change: zonefacts.Transition | None) -> str | None:
    if change is None:
        return None
    return f"{_utc(change.at)} UTC: {_clock(change.local_before)} becomes {_clock(change.local_after)}"


def _clock(text: str) -> str:
    return text.replace("T", " ")


def _utc(instant: datetime) -> str:
    return instant.isoformat(" ").replace("+00:00", "")
