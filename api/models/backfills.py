"""Asking for slots of the past, and what became of each."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from pydantic import Field

from horae.api.models.schedules import Request, Shown
from horae.commands.backfills import Include
from horae.domain import timing as t
from horae.domain.schedule import MAX_SLOTS
from horae.domain.timing.values import Instant

EXAMPLES = {
    "a week": {"from": "2026-12-01T00:00:00Z", "to": "2026-12-08T00:00:00Z"},
    "with those of a pause, one a minute": {
        "from": "2026-12-01T00:00:00Z",
        "to": "2026-12-08T00:00:00Z",
        "include": ["paused"],
        "every": "PT1M",
    },
}


class BackfillAsked(Request):
    """A stretch of the past whose slots are to be sent, as far as they were not."""

    from_: Instant = Field(
        alias="from",
        description="Slots due at or after this instant. What lies before the schedule was created has no slots.",
        examples=["2026-12-01T00:00:00Z"],
    )
    to: Instant = Field(
        description=f"And before this one, which has passed. At most {MAX_SLOTS} slots lie between.",
        examples=["2026-12-08T00:00:00Z"],
    )
    include: tuple[Include, ...] = Field(
        default=(),
        max_length=2,
        description="Also those that came due while the schedule was `paused`, or that had been `skipped` by hand.",
        examples=[["paused"]],
    )
    every: t.Duration = Field(
        default=timedelta(0),
        description="How long apart they go out, in the order of their slots; a day at most. Default: all at once.",
        examples=["PT10S"],
    )
    reason: str | None = Field(
        default=None, max_length=500, description="In your words.", examples=["The receiver was down"]
    )


class BackfilledSlot(Shown):
    """A slot that is sent now."""

    slot: str = Field(description="Its local time.", examples=["2026-12-03T09:00:00"])
    fold: int
    occurrence: UUID = Field(description="Ask for it at /v1/occurrences/{id}.")
    was_due_at: datetime = Field(description="When it was due, by the timing of then.")
    due_at: datetime = Field(description="When it goes out now.")


class SlotLeftOut(Shown):
    """A slot that is not sent."""

    slot: str
    fold: int
    occurrence: UUID = Field(description="The id that its occurrence has, or would have.")
    was_due_at: datetime
    why: str = Field(
        description="Where its occurrence stands (`deferred`, `executing`, `retrying`) or how it ended (`delivered`, "
        "`suppressed`, …); `paused` or `skipped`: it was, and `include` does not name that; `moved`: it has an instant "
        "of its own; `to_come`: the series has not come to it yet and will deal with it.",
        examples=["delivered"],
    )


class BackfillShown(Shown):
    """What a backfill came to; with `dry_run`, what it would."""

    schedule: UUID
    backfill: UUID | None = Field(description="Its id, told by each of its occurrences; null: nothing is sent.")
    dry_run: bool
    version: int = Field(description="Of the schedule.")
    position: int = Field(description="Pass it as `min_position` to read your own write.")
    slots: list[BackfilledSlot] = Field(description="Those that are sent now.")
    left_out: list[SlotLeftOut] = Field(description="Those that are not, and why.")
    replayed: bool = False
