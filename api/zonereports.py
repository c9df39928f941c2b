"""How changes of zone data, and of recipients' zones, and their reports are shown, page by page.

Place in the flow: commands -> *here* -> routes of zones and recipients.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from horae.api.models.zonechanges import MoveShown, ReportedMove, ZoneChangeList, ZoneChangeShown, ZoneReport
from horae.api.reading import PageQuery
from horae.commands.zonereports import Place, ReportPage
from horae.domain.errors import Invalid
from horae.domain.timing.zones import tzdata_version
from horae.domain.zonechange import Change, Move

_PLACE = re.compile(r"[0-9]{1,9}\.[1-9][0-9]{0,8}\.[0-9]{1,9}\.[0-9]{1,9}")


def move_shown(move: Move) -> MoveShown:
    """A slot that moves, or would."""
    return MoveShown.model_construct(**_facts(move))


def change_shown(change: Change) -> ZoneChangeShown:
    """A change as a whole."""
    return ZoneChangeShown.model_construct(**_told(change))


def changes_shown(changes: Sequence[Change], asked: PageQuery) -> ZoneChangeList:
    """A page of changes (given oldest first), newest first. Raises `Invalid` for a cursor of another list."""
    found = changes[::-1]
    start = 0 if asked.cursor is None else _behind(asked.cursor, found)
    page = found[start : start + asked.limit]
    following = str(page[-1].id) if start + asked.limit < len(found) else None
    return ZoneChangeList.model_construct(
        tzdata=tzdata_version(), items=[change_shown(change) for change in page], next=following
    )


def report_shown(report: ReportPage) -> ZoneReport:
    """A page of a change's slots."""
    following = None if report.after is None else ".".join(map(str, report.after))
    items = [_reported(move, report) for move in report.moves]
    return ZoneReport.model_construct(**_told(report.change), items=items, next=following)


def schedule_of(cursor: str) -> UUID:
    """The schedule that a cursor of `status` names. Raises `Invalid`."""
    try:
        return UUID(cursor)
    except ValueError:
        raise _foreign(cursor) from None


def place_of(cursor: str | None) -> Place:
    """Behind the pages before; more is only ever added behind them. Raises `Invalid`."""
    if cursor is None:
        return Place()
    if _PLACE.fullmatch(cursor) is None:
        raise _foreign(cursor)
    return Place(*map(int, cursor.split(".")))


def _facts(move: Move) -> dict[str, Any]:
    return {name: getattr(move, name) for name in Move.model_fields}


def _reported(move: Move, report: ReportPage) -> ReportedMove:
    left = report.left.get(move.key)
    undone = False if left is not None else True if move.key in report.restored else None
    return ReportedMove.model_construct(**_facts(move), undone=undone, left=left)


def _told(change: Change) -> dict[str, Any]:
    return {
        "id": change.id,
        "at": change.at,
        "tzdata": change.version,
        "keep": change.keep,
        "checked": change.checked,
        "zones": dict(change.zones),
        "undone_at": change.undone_at,
        "restored": change.restored,
        "left": change.left,
        "zone_before": None if change.moved is None else change.moved.before,
        "zone_after": None if change.moved is None else change.moved.zone,
    }


def _behind(cursor: str, changes: Sequence[Change]) -> int:
    """The place behind the change that the page before ended with; newer ones have come in front since."""
    for place, change in enumerate(changes):
        if str(change.id) == cursor:
            return place + 1
    raise _foreign(cursor)


def _foreign(cursor: str) -> Invalid:
    return Invalid(
        "The cursor does not belong to this list.",
        field="cursor",
        value=cursor[:80],
        hint="Pass `next` of the page before.",
    )
