"""Answers about newer zone data and recipients' zones: which planned slots they move, and what was moved before."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from horae.api.models.schedules import Replanned, Shown
from horae.domain import timing as t
from horae.domain.schedule import Keep

_BERLIN = "Europe/Berlin"
_TZDATA = "Release of the zone data that the service plans by."


class MoveShown(Shown):
    """A planned slot that is elsewhere by other zone data."""

    schedule_id: UUID
    slot: t.Slot
    zone: str = Field(examples=["America/Vancouver"])
    tzdata: str = Field(description="Release that it was planned by.", examples=["2025c"])
    before: datetime = Field(description="Where that put it.", examples=["2026-11-20T17:00:00Z"])
    after: datetime | None = Field(
        default=None,
        description="Where the newer one puts it; null: there is no such slot any more, nor a later one.",
        examples=["2026-11-20T16:00:00Z"],
    )
    occurrence: UUID | None = Field(
        default=None, description="Of a slot that was moved by itself (`scope=this`): it waits under this id."
    )


class ReportedMove(MoveShown):
    """The same of a change that was made."""

    undone: bool | None = Field(
        default=None, description="Of a change that was undone: whether the slot is back; null: nobody tried."
    )
    left: str | None = Field(default=None, description="Why it is not.", examples=["it is paused"])


class ZoneStatus(Shown):
    """What `tz apply` would move of the slots that were looked at."""

    tzdata: str = Field(description=_TZDATA, examples=["2026f"])
    checked: int = Field(description="So many of this page's slots were planned by another release.")
    items: list[MoveShown] = Field(description="Those of them that move; may be none although more follow.")
    next: str | None = Field(default=None, description="Cursor of the slots that were not looked at yet.")


class ZoneChangeShown(Shown):
    """A change of zone data, or of a recipient's zone, that concerned the tenant's slots."""

    id: UUID = Field(description="Of zone data: the same for all tenants of the installation.")
    at: datetime = Field(description="When it began.")
    tzdata: str = Field(description="Release that plans were brought to.", examples=["2026f"])
    keep: Keep = Field(description="`wall_time`: slots kept their time on the clock; `instant`: their moment.")
    checked: int | None = Field(
        default=None,
        description="Slots planned by another release, or schedules that follow the recipient; null: broken off.",
    )
    zones: dict[str, int] = Field(description="By zone: how many slots it concerned.")
    undone_at: datetime | None = None
    restored: int = Field(description="Slots that are back since.")
    left: int = Field(description="Slots that were not, because they had moved on.")
    zone_before: str | None = Field(
        default=None, description="Of a recipient's zone: the one before; null: none was known.", examples=[_BERLIN]
    )
    zone_after: str | None = Field(default=None, description="The one that they got.", examples=["Asia/Tokyo"])


class ZoneChangeList(Shown):
    """Every change, newest first."""

    tzdata: str = Field(description=_TZDATA, examples=["2026f"])
    items: list[ZoneChangeShown]
    next: str | None = None


class ZoneReport(ZoneChangeShown):
    """One of them with the slots that it concerned, in the order in which it was done."""

    items: list[ReportedMove] = Field(
        description="Under `keep` `instant` they stayed, and `after` is where they would be."
    )
    next: str | None = None


class RecipientMovePreview(Shown):
    """What another zone of the recipient's would move; nothing was stored."""

    checked: int = Field(description="Schedules that follow the recipient's zone.")
    moves: list[MoveShown] = Field(description="The slots that they stand at, and where these would be.")
    failed: list[UUID] = Field(description="Schedules that could not be looked at.")


class RecipientMoveUndone(ZoneChangeShown):
    """A change of a recipient's zone after it was undone."""

    zone: str | None = Field(default=None, description="The zone that they have now.", examples=[_BERLIN])
    replanned: Replanned | None = Field(
        default=None,
        description="What the zone that they have now did to schedules that were not as the change had left them; "
        "null: the read models did not answer in time (set the recipient again), or it had been undone before.",
    )
