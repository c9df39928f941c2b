"""`horae preview`: the coming slots of a timing, computed here; needs no service and no key."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import typer
from pydantic import TypeAdapter, ValidationError
from rich.text import Text

from horae.domain import timing as t
from horae.domain.errors import Invalid
from horae.domain.timing.calendared import calendar_id
from horae.domain.timing.opendays import DEFAULT, built_in
from horae.domain.timing.zones import to_local
from horae.infra.cli.output import say, show_json, table
from horae.infra.clock import SystemClock
from horae.infra.settings import load
from horae.infra.zonedata import use_zone_data_of

#: Previews belong to no schedule; jitter, a hash of the schedule's id, is shown for this one.
_NO_SCHEDULE = UUID(int=0)
#: What a slot is marked with, and in which colour, by the code of what happened to it.
_MARKS = {
    "gap_shifted": ("shifted", "yellow"),
    "overlap_first": ("1st of 2", "cyan"),
    "overlap_second": ("2nd of 2", "magenta"),
    "merged": ("merged", "blue"),
    "calendar_forward": ("moved on", "yellow"),
    "calendar_back": ("moved back", "yellow"),
    "gap_skipped": ("skipped", "red"),
    "calendar_dropped": ("dropped", "red"),
    "calendar_merged": ("merged", "blue"),
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("preview")(preview)


def preview(
    timing: str | None = typer.Argument(None, help="A timing as JSON, as in the API; else use the options."),
    cron: str | None = typer.Option(None, "--cron", help='Five fields, such as "0 9 * * MON-FRI", or six.'),
    rrule: str | None = typer.Option(None, "--rrule", help="RFC 5545, such as FREQ=MONTHLY;BYDAY=-1FR."),
    every: str | None = typer.Option(None, "--every", help='An interval, such as "6 hours".'),
    at: str | None = typer.Option(None, "--at", help="An instant with an offset, or a local time (with --zone)."),
    delay: str | None = typer.Option(None, "--in", help="A delay, such as PT30M."),
    phrase: str | None = typer.Option(None, "--phrase", help='Words, such as "tomorrow at 9 AM".'),
    zone: str | None = typer.Option(None, "--zone", help="IANA zone, such as Europe/Berlin. Default: UTC"),
    starts_at: str | None = typer.Option(None, "--starts-at", help="Date or local time of the beginning."),
    ends_at: str | None = typer.Option(None, "--ends-at", help="Last date or local time."),
    gap: str | None = typer.Option(None, "--gap", help="shift or skip."),
    overlap: str | None = typer.Option(None, "--overlap", help="first, second or both."),
    count: int = typer.Option(10, "--count", "-n", min=1, max=1000, help="How many slots."),
    after: str | None = typer.Option(None, "--after", help="From which instant on. Default: now"),
    as_json: bool = typer.Option(False, "--json", help="Print as JSON."),
) -> None:
    """Show when a timing would fire, with every clock change that touches it. Works without a running service."""
    settings = load().settings
    use_zone_data_of(settings)
    if timing is not None:
        document = _json(timing)
    else:
        document = _from_options(cron, rrule, every, at, delay, phrase, zone)
        extra = {"starts_at": starts_at, "ends_at": ends_at, "gap": gap, "overlap": overlap}
        document |= {name: value for name, value in extra.items() if value is not None}
    start = _instant(after) if after else None
    now = SystemClock().now()
    parsed = _parse(document)
    # Bound neither to the present nor to the horizon: what is asked about may begin anywhere.
    context = t.Context(
        now=min(now, start) if start else now,
        schedule_id=_NO_SCHEDULE,
        default_zone=zone or "UTC",
        calendar=built_in(settings.standard) if calendar_id(parsed) == DEFAULT else None,
    )
    normal = t.normalise(parsed, context)
    result = t.preview(normal, count, context, start)
    if as_json:
        show_json({"timing": normal.model_dump(mode="json", exclude_none=True)} | result.model_dump(mode="json"))
        return
    _show(result)


def _show(result: t.Preview) -> None:
    rows: list[tuple[tuple[datetime, int], tuple[object, ...]]] = []
    for slot in result.slots:
        mark, style = _mark([slot.plan.branch, *(reason.code for reason in slot.plan.reasons)])
        why = " ".join(reason.text for reason in slot.plan.reasons)
        shown = (_clock(slot.slot.local), Text(mark, style=style), _there(slot), slot.plan.zone, _utc(slot.due_at), why)
        rows.append(((slot.slot.local, slot.slot.fold), shown))
    for gone in result.skipped:
        mark, style = _mark([gone.reason.code, "gap_skipped"])
        gone_by = (_clock(gone.slot.local), Text(mark, style=style), "not sent", "", "", gone.reason.text)
        rows.append(((gone.slot.local, gone.slot.fold), gone_by))
    rows.sort(key=lambda row: row[0])
    if not rows:
        say("The timing has no slot from there on.")
        return
    table(("local time", "mark", "goes out at", "zone", "due (UTC)", "why"), [cells for _, cells in rows])
    marked = Counter(str(cells[1]) for _, cells in rows if str(cells[1]))
    if marked:
        told = ", ".join(f"{mark} ({n})" for mark, n in sorted(marked.items()))
        say(f"{len(result.slots)} to send; marked: {told}.")


def _mark(codes: Sequence[str]) -> tuple[str, str]:
    """The mark of the first of the codes that has one, and its colour; empty for a slot as any other."""
    return next((_MARKS[code] for code in codes if code in _MARKS), ("", ""))


def _there(slot: t.Next) -> str:
    """What the clock of the zone shows when it goes out."""
    local, _ = to_local(slot.due_at.astimezone(UTC).replace(tzinfo=None), slot.plan.zone)
    return _clock(local)


def _from_options(
    cron: str | None,
    rrule: str | None,
    every: str | None,
    at: str | None,
    delay: str | None,
    phrase: str | None,
    zone: str | None,
) -> dict[str, Any]:
    given = {"--cron": cron, "--rrule": rrule, "--every": every, "--at": at, "--in": delay, "--phrase": phrase}
    chosen = [name for name, value in given.items() if value is not None]
    if len(chosen) != 1:
        raise typer.BadParameter(f"give a timing as JSON, or exactly one of {', '.join(given)}")
    zoned = {"zone": zone or "UTC"}
    match chosen[0]:
        case "--cron":
            return {"kind": "every", "cron": cron} | zoned
        case "--rrule":
            return {"kind": "every", "rrule": rrule} | zoned
        case "--every":
            return {"kind": "every", "interval": _interval(every or "")} | zoned
        case "--in":
            return {"kind": "in", "delay": delay} | zoned
        case "--phrase":
            return {"kind": "phrase", "text": phrase} | zoned
        case _:
            local = datetime.fromisoformat(at or "").tzinfo is None if _is_time(at or "") else False
            return {"kind": "at", "local": at} | zoned if local else {"kind": "at", "at": at}


def _interval(text: str) -> dict[str, Any]:
    number, _, unit = text.strip().partition(" ")
    if not number.isdigit() or not unit:
        raise typer.BadParameter(f"{text!r} is not an interval such as '6 hours' or '1 days'")
    unit = unit.strip().lower()
    return {"unit": unit if unit.endswith("s") else f"{unit}s", "count": int(number)}


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _json(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"the timing is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise typer.BadParameter("the timing must be a JSON object")
    return document


def _parse(document: dict[str, Any]) -> t.Timing:
    adapter: TypeAdapter[t.Timing] = TypeAdapter(t.Timing)
    try:
        return adapter.validate_python(document)
    except ValidationError as error:
        first = error.errors()[0]
        # The union's tag stands in the path, which says nothing to whoever wrote the timing.
        path = ".".join(str(part) for part in first["loc"] if part != document.get("kind"))
        message = first["msg"].removeprefix("Value error, ")
        raise Invalid(message, field=f"timing.{path}" if path else "timing", value=first.get("input")) from None


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not an instant such as 2027-01-01T00:00:00Z") from None
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)


def _clock(local: datetime) -> str:
    return local.isoformat(" ", "minutes" if not (local.second or local.microsecond) else "auto")


def _utc(instant: datetime) -> str:
    return _clock(instant.astimezone(UTC).replace(tzinfo=None))
