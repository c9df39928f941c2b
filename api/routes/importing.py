"""Schedules out of a calendar file: VEVENTs in, one result per event and attendee out, as `horae import` makes them.

Place in the flow: file -> `read_calendar` -> the items of a bulk request -> the dates that are left out. An item has
the key that the CLI gives it, so that a file comes in once, by whichever way; broken off, it is simply sent again.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from horae.api import openapi
from horae.api.auth import caller_of
from horae.api.bodies import query, read
from horae.api.models.bulk import BulkItemShown, FileQuery, ImportItemShown, ImportShown
from horae.api.reading import services_of
from horae.api.routes.bulk import Raw, stored
from horae.api.views import call_of, respond
from horae.commands.bulk import CHUNK
from horae.commands.context import Call, digest_of
from horae.commands.importing import ImportFileError, Item, Reject, asking, policy_of
from horae.domain import timing as t
from horae.domain.errors import AlreadyClaimed, Conflict, Invalid
from horae.domain.key import Scope
from horae.domain.timing import contentlines

router = APIRouter(tags=["schedules"])

MEDIA_TYPE = "text/calendar"
#: Bytes of one file.
FILE_LIMIT = 4 * 1024 * 1024
#: Of one file: schedules, and dates that are left out of their series.
MAX_ITEMS, MAX_LEFT_OUT = 2_000, 5_000
#: A settlement that ends the schedule as it is made: it has no slots to leave out.
_ENDED = ("merged", "given_way")
_EXAMPLE = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//example//EN
BEGIN:VEVENT
UID:stand-up@example.com
DTSTAMP:20261101T000000Z
DTSTART;TZID=Europe/Berlin:20270104T090000
RRULE:FREQ=WEEKLY;BYDAY=MO
SUMMARY:Stand-up
ATTENDEE:mailto:ann@example.com
END:VEVENT
END:VCALENDAR
"""


@router.post(
    "/v1/schedules/import",
    **openapi.operation(
        "Import a calendar",
        answer=ImportShown,
        query=FileQuery,
        scope=Scope.WRITE,
        bodies={MEDIA_TYPE: {"schema": {"type": "string"}, "example": _EXAMPLE}},
    ),
)
async def import_calendar(request: Request) -> Response:
    """Events of an iCalendar file (RFC 5545) become schedules; a bad one is refused, the others are stored.

    UTF-8, up to 4 MiB, 50,000 lines, 2,000 events and 50 VTIMEZONEs; 503 where too many others' files wait.
    The same file again adds nothing; nor does `horae import` of it.
    """
    caller = caller_of(request, Scope.WRITE)
    asked = query(request, FileQuery)
    entries = await _entries(request, asked, await read(request, limit=FILE_LIMIT, types=(MEDIA_TYPE,)))
    call = call_of(request, caller)
    shown: list[ImportItemShown] = []
    for start in range(0, len(entries), CHUNK):
        shown += await _stored(request, call, start, entries[start : start + CHUNK])
    return respond(
        ImportShown.model_construct(
            created=sum(item.id is not None and not item.replayed for item in shown),
            replayed=sum(item.replayed for item in shown),
            rejected=sum(item.error is not None for item in shown),
            position=max((item.position for item in shown if item.position is not None), default=None),
            items=shown,
        )
    )


async def _entries(request: Request, asked: FileQuery, raw: bytes) -> list[Item | Reject]:
    """What the file comes to. Raises `Invalid` for what cannot be read, or is more than one request may bring."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Invalid("The file is not UTF-8.", field="body", hint="Save it as UTF-8.") from None
    try:
        policy = None if asked.conflicts is None else policy_of(asked.conflicts)
    except ValueError as error:
        raise Invalid(str(error), field="conflicts", value=asked.conflicts, hint="Name a strategy.") from None
    reader = services_of(request).read_calendar
    try:
        async with request.app.state.importing.turn("calendar files"):
            await asyncio.to_thread(contentlines.check, text, events=MAX_ITEMS)
            entries = await asyncio.to_thread(reader, text, channel=asked.channel, all_day_at=asked.all_day_at)
    except ImportFileError as error:
        raise Invalid(str(error), field="body", hint="Send VEVENTs within a VCALENDAR.") from None
    _check_count("schedules", len(entries), MAX_ITEMS)
    _check_count("dates to leave out", sum(len(each.skips) for each in entries if isinstance(each, Item)), MAX_LEFT_OUT)
    return entries if policy is None else list(asking(entries, policy))


def _check_count(what: str, count: int, most: int) -> None:
    if count > most:
        raise Invalid(
            f"The file has {count} {what}, at most {most} are taken at once.",
            field="body",
            hint="Send it in parts, or use `horae import`.",
        )


async def _stored(request: Request, call: Call, start: int, entries: list[Item | Reject]) -> list[ImportItemShown]:
    """The entries from the place `start` on: created, with the dates left out that their events leave out."""
    results = await stored(request, call, [_raw(start + at, entry) for at, entry in enumerate(entries)])
    return [await _completed(request, call, each, result) for each, result in zip(entries, results, strict=True)]


def _raw(index: int, entry: Item | Reject) -> Raw:
    if isinstance(entry, Reject):
        return index, Invalid(entry.reason, field=entry.place, hint=entry.hint or None)
    return index, {**entry.body, "idempotency_key": entry.idempotency_key}


async def _completed(request: Request, call: Call, entry: Item | Reject, result: BulkItemShown) -> ImportItemShown:
    missing: list[str] = []
    if isinstance(entry, Item):
        if result.error is not None and result.error.get("field"):
            result.error["field"] = entry.place(str(result.error["field"]))
        if result.id is not None and (result.settled is None or result.settled.action not in _ENDED):
            missing = [at for at in entry.skips if not await _left_out(request, call, entry, result.id, at)]
    known: dict[str, Any] = {name: getattr(result, name) for name in BulkItemShown.model_fields}
    return ImportItemShown.model_construct(**known, event=entry.row, uid=entry.label or None, not_left_out=missing)


async def _left_out(request: Request, call: Call, item: Item, schedule: UUID, slot: str) -> bool:
    """Whether the series goes on without the slot; false: it never had it."""
    # As the CLI asks for it, so that either knows the other's request again.
    digest = digest_of(["POST", f"/v1/schedules/{schedule}/skip", {"slot": slot, "fold": 0}])
    own = replace(call, idempotency_key=item.skip_key(slot), digest=digest)
    try:
        await services_of(request).schedules.skip(own, schedule, t.Slot(local=datetime.fromisoformat(slot)))
    except Invalid:
        return False
    except (AlreadyClaimed, Conflict):
        # It lies behind the series, like most exceptions of an old calendar, or the schedule was cancelled since.
        return True
    return True
