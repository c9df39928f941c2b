"""Answers to changes that are only tried: what would move, fall and be added."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from horae.api.models.schedules import NextShown, ScheduleShown, Shown, SlotNamed


class SlotMoved(Shown):
    """A slot that goes out before and after the change, otherwise."""

    before: NextShown
    after: NextShown
    changed: tuple[str, ...] = Field(description="What it would carry otherwise.", examples=[["content"]])


class SlotCounts(Shown):
    """How many slots of the stretch that is compared."""

    moved: int = Field(description="Same slot, another instant.")
    dropped: int = Field(description="Would not go out any more.")
    added: int = Field(description="Would go out in addition.")
    changed: int = Field(description="Same slot and instant, other content.")
    kept: int = Field(description="As before in every way.")


class SlotDifference(Shown):
    """Which slots a change would move, drop and add. A slot is known by its local time, however its instant moves."""

    since: datetime = Field(description="Slots that go out after this instant,")
    until: datetime | None = Field(description="and up to this one; null: all there are.")
    counts: SlotCounts
    moved: list[SlotMoved]
    dropped: list[NextShown]
    added: list[NextShown]
    changed: list[SlotMoved]


class DryRun(Shown):
    """What a change would do; nothing was stored."""

    changed: tuple[str, ...] = Field(description="Fields that would differ.", examples=[["timing"]])
    before: ScheduleShown
    after: ScheduleShown
    slots_before: list[NextShown] = Field(description="The next slots as they stand.")
    slots_after: list[NextShown] = Field(description="The next slots after the change.")
    difference: SlotDifference = Field(description="Slot by slot.")
    exceptions_kept: list[SlotNamed] = Field(description="Skipped and changed slots that outlive the change.")
    exceptions_fallen: list[SlotNamed] = Field(description="Those that do not.")
