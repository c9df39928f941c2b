"""`horae preview`: the coming slots of a timing, computed here, or by the service with its calendars and schedules."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import typer
from pydantic import TypeAdapter, ValidationError
from rich.text import Text

from horae.domain import timing as t
from horae.domain.errors import Invalid
from horae.domain.timing.calendared import calendar_id
from horae.domain.timing.opendays import DEFAULT, built_in
from horae.domain.timing.zones import to_local
from horae.infra.cli.client import connect
from horae.infra.cli.meeting import Conflicts, policy, show_settled
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
    "conflict_shifted": ("moved on", "yellow"),
}
#: What is not sent, and why is not known to this command, is marked so.
_GONE: dict[bool, tuple[str, ...]] = {True: ("gap_skipped",), False: ()}


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
    recipient: str | None = typer.Option(None, "--recipient", help="Whose zone counts, and whose other schedules."),
    conflicts: str | None = Conflicts,
    priority: int = typer.Option(3, "--priority", min=1, max=5, help="For --conflicts highest_priority."),
    url: str | None = typer.Option(None, "--url", help="Ask the service at this address."),
    api_key: str | None = typer.Option(None, "--api-key", help="Ask the service, with this key."),
    data: Path | None = typer.Option(None, "--data", help="Ask the service of this data folder."),
    as_json: bool = typer.Option(False, "--json", help="Print as JSON."),
) -> None:
    """Show when a timing would fire, with every clock change that touches it.

    Works without a running service. With --url, --api-key, --data, --recipient or --conflicts the service is asked,
    which has your calendars, recipients and schedules.
    """
    settings = load().settings
    use_zone_data_of(settings)
    asked = any(given is not None for given in (url, api_key, data, recipient, conflicts))
    usual = "recipient" if recipient is not None else "UTC"
    if timing is not None:
        document = _json(timing)
    else:
        document = _from_options(cron, rrule, every, at, delay, phrase, zone or usual)
        extra = {"starts_at": starts_at, "ends_at": ends_at, "gap": gap, "overlap": overlap}
        document |= {name: value for name, value in extra.items() if value is not None}
    start = _instant(after) if after else None
    if asked:
        body = {"timing": document, "count": count, "priority": priority} | policy(conflicts)
        given = {"recipient": recipient, "after": start.isoformat() if start is not None else None}
        with connect(url or os.environ.get("HORAE_URL"), api_key, data) as api:
            answer = api.post("/v1/timings/preview", body | {k: v for k, v in given.items() if v is not None})
        if as_json:
            show_json(answer)
            return
        _show(_told(answer))
        show_settled(answer["settled"])
        return
    now = SystemClock().now()
    parsed = _parse(document)
    # Bound neither to the present nor to the horizon: what is asked about may begin anywhere.
    context = t.Context(
        now=min(now, start) if start else now,
        schedule_id=_NO_SCHEDULE,
        default_zone=zone or "UTC",
        calendar=built_in(settings.standard) if calendar_id(parsed) == DEFAULT else None,
    )
    normal = _normal(parsed, context)
    result = t.preview(normal, count, context, start)
    if as_json:
        show_json({"timing": normal.model_dump(mode="json", exclude_none=True)} | result.model_dump(mode="json"))
        return
    slots = [_Line(at.slot, (at.plan.branch,), at.plan.reasons, at.plan.zone, at.due_at) for at in result.slots]
    _show([*slots, *(_Line(gone.slot, (), (gone.reason,)) for gone in result.skipped)])


class _Line(NamedTuple):
    """One slot as it is shown; without `due_at` it is not sent."""

    slot: t.Slot
    codes: tuple[str, ...]
    reasons: Sequence[t.Reason]
    zone: str = ""
    due_at: datetime | None = None


def _told(answer: dict[str, Any]) -> list[_Line]:
    """The slots of the service's answer."""
    lines = []
    for item in [*answer["slots"], *answer["skipped"]]:
        slot = t.Slot(local=item["slot"], fold=item["fold"])
        if "due_at" in item:
            reasons = [t.Reason.model_validate(reason) for reason in item["reasons"]]
            due_at = datetime.fromisoformat(item["due_at"])
            lines.append(_Line(slot, (item["branch"],), reasons, item["zone"], due_at))
        else:
            lines.append(_Line(slot, (), [t.Reason.model_validate(item["reason"])]))
    return lines


def _normal(parsed: t.Timing, context: t.Context) -> t.Timing:
    try:
        return t.normalise(parsed, context)
    except Invalid as error:
        if error.field == "timing.calendar.id":
            error.hint = "Calendars are the service's: add --url, --api-key or --data to ask it."
        raise


def _show(lines: Sequence[_Line]) -> None:
    rows: list[tuple[tuple[datetime, int], tuple[object, ...]]] = []
    for line in lines:
        mark, style = _mark([*line.codes, *(reason.code for reason in line.reasons), *_GONE[line.due_at is None]])
        there = (_there(line.due_at, line.zone), line.zone, _utc(line.due_at)) if line.due_at else ("not sent", "", "")
        why = " ".join(reason.text for reason in line.reasons)
        shown = (_clock(line.slot.local), Text(mark, style=style), *there, why)
        rows.append(((line.slot.local, line.slot.fold), shown))
    rows.sort(key=lambda row: row[0])
    if not rows:
        say("The timing has no slot from there on.")
        return
    table(("local time", "mark", "goes out at", "zone", "due (UTC)", "why"), [cells for _, cells in rows])
    marked = Counter(str(cells[1]) for _, cells in rows if str(cells[1]))
    if marked:
        told = ", ".join(f"{mark} ({n})" for mark, n in sorted(marked.items()))
        say(f"{sum(line.due_at is not None for line in lines)} to send; marked: {told}.")


def _mark(codes: Sequence[str]) -> tuple[str, str]:
    """The mark of the first of the codes that has one, and its colour; empty for a slot as any other."""
    return next((_MARKS[code] for code in codes if code in _MARKS), ("", ""))


def _there(due_at: datetime, zone: str) -> str:
    """What the clock of the zone shows when it goes out."""
    local, _ = to_local(due_at.astimezone(UTC).replace(tzinfo=None), zone)
    return _clock(local)


def _from_options(
    cron: str | None,
    rrule: str | None,
    every: str | None,
    at: str | None,
    delay: str | None,
    phrase: str | None,
    zone: str,
) -> dict[str, Any]:
    given = {"--cron": cron, "--rrule": rrule, "--every": every, "--at": at, "--in": delay, "--phrase": phrase}
    chosen = [name for name, value in given.items() if value is not None]
    if len(chosen) != 1:
        raise typer.BadParameter(f"give a timing as JSON, or exactly one of {', '.join(given)}")
    zoned = {"zone": zone}
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
