"""A change of the zone data, or of a recipient's zone: which planned slots it moved, and that it was undone.

A stream a tenant with every change of the release, a stream a recipient with every one of their zone that moved
anything, and one per change with the slots that it moved, in parts, each appended together with the schedules' own
events. So the report is never ahead of what was done, nor behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from horae.domain import timing as t
from horae.domain.envelope import Event
from horae.domain.ids import derived_id


class Move(BaseModel):
    """A planned slot that the change concerned."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    # Not `schedule`: by this name events say whose rows they change.
    schedule_id: UUID
    slot: t.Slot
    zone: str
    #: Release that it was planned by.
    tzdata: str
    before: datetime
    #: By the release in use; None: there is no such slot any more, nor a later one.
    after: datetime | None = None
    #: Of a slot that was moved by itself: it waits under this id.
    occurrence: UUID | None = None

    @property
    def key(self) -> UUID:
        """By what `SlotsRestored` names it."""
        return self.occurrence or self.schedule_id


class ZoneDataAdopted(Event):
    """From here on plans are by this release, and those made before are brought to it."""

    name: ClassVar[str] = "zone_data.adopted.v1"
    change: UUID
    version: str
    keep: Literal["wall_time", "instant"]


class RecipientMoved(Event):
    """A recipient's zone is another, and slots of the schedules that follow it are brought there."""

    name: ClassVar[str] = "zone_data.recipient_moved.v1"
    change: UUID
    #: Version of the recipient's stream that set the zone.
    recipient_version: int
    #: None: none was known.
    before: str | None = None
    zone: str | None = None
    #: Release of the zone data.
    version: str
    keep: Literal["wall_time", "instant"]


class SlotsMoved(Event):
    """A part of what the change concerned. Under `keep` `instant` they stayed, and `after` is where they would be."""

    name: ClassVar[str] = "zone_data.slots_moved.v1"
    change: UUID
    moves: tuple[Move, ...]


class ZoneDataReported(Event):
    """All planned slots have been looked at."""

    name: ClassVar[str] = "zone_data.reported.v1"
    change: UUID
    #: How many had been planned by another release; or followed the recipient.
    checked: int
    #: Zone -> how many slots it moved.
    zones: dict[str, int]


class SlotsRestored(Event):
    """A part of what the change had moved is where it was.

    Named by the schedule that stands there; a slot that was moved by itself by its occurrence.
    """

    name: ClassVar[str] = "zone_data.slots_restored.v1"
    change: UUID
    restored: tuple[UUID, ...]
    #: Why the others stayed where they are.
    left: dict[UUID, str]


class ZoneDataUndone(Event):
    """The change was taken back, as far as that could be."""

    name: ClassVar[str] = "zone_data.undone.v1"
    change: UUID
    restored: int
    left: int


ZoneDataEvent = ZoneDataAdopted | RecipientMoved | SlotsMoved | ZoneDataReported | SlotsRestored | ZoneDataUndone
ZONE_DATA_EVENTS = (ZoneDataAdopted, RecipientMoved, SlotsMoved, ZoneDataReported, SlotsRestored, ZoneDataUndone)


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a tenant's plans, as its events tell it; `moved`: of a recipient's zone, else of the zone data."""

    id: UUID
    version: str
    keep: Literal["wall_time", "instant"]
    at: datetime
    #: None: it was broken off.
    checked: int | None = None
    zones: tuple[tuple[str, int], ...] = ()
    undone_at: datetime | None = None
    restored: int = 0
    left: int = 0
    moved: RecipientMoved | None = None


def changes_stream(tenant: str) -> UUID:
    """The stream of every change of a tenant's plans."""
    return derived_id(tenant, "zone data", "changes")


def moves_stream(tenant: str, recipient: str) -> UUID:
    """The stream of every change of a recipient's zone that moved anything."""
    return derived_id(tenant, "recipient zones", recipient)


def move_id(tenant: str, recipient: str, version: int) -> UUID:
    """The change that belongs to a version of the recipient that set their zone: the same however often it is asked."""
    return derived_id(tenant, f"recipient zone {version}", recipient)


def slots_stream(tenant: str, change: UUID) -> UUID:
    """The stream of the slots that one of them moved."""
    return derived_id(tenant, "zone data", str(change))


def changes(events: Sequence[tuple[Event, datetime]]) -> list[Change]:
    """What a stream of changes tells, oldest first; each event with the instant at which it was recorded."""
    found: dict[UUID, Change] = {}
    for event, at in events:
        match event:
            case ZoneDataAdopted():
                found[event.change] = Change(event.change, event.version, event.keep, at)
            case RecipientMoved():
                # What was broken off is finished under the same name: told twice only if two did so at once.
                found.setdefault(event.change, Change(event.change, event.version, event.keep, at, moved=event))
            case ZoneDataReported():
                zones = tuple(sorted(event.zones.items()))
                found[event.change] = replace(found[event.change], checked=event.checked, zones=zones)
            case ZoneDataUndone():
                found[event.change] = replace(
                    found[event.change], undone_at=at, restored=event.restored, left=event.left
                )
            case _:
                raise ValueError(f"{event.name} is not an event of this stream")
    return list(found.values())
