"""Requests and answers about many schedules at once."""

from __future__ import annotations

from datetime import datetime, time
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, RootModel, field_validator

from horae.api.models.schedules import CreateSchedule, Request, Shown
from horae.domain import timing as t
from horae.domain.conflicts import Settlement
from horae.domain.draft import Draft, RecipientId
from horae.domain.personal import CHANNEL_LIMIT
from horae.domain.timing import wherever
from horae.domain.timing.wherever import NoZone, Past


class BulkItemShown(Shown):
    """The result of one item, in the order in which they came."""

    index: int
    status: int = Field(description="The status that a single request would have got.", examples=[201])
    id: UUID | None = None
    version: int | None = None
    position: int | None = None
    next_due_at: datetime | None = None
    replayed: bool = False
    skipped: t.Reason | None = Field(
        default=None, description="Why nothing was created, as `if_past` or `if_no_zone` asks."
    )
    settled: Settlement | None = Field(default=None, description="What was decided among others, where it asked.")
    error: dict[str, Any] | None = Field(default=None, description="The problem document of a refused item.")


class BulkShown(Shown):
    """The results of a bulk request."""

    created: int
    replayed: int
    skipped: int = Field(default=0, description="Not wanted by their own `if_past` or `if_no_zone`.")
    rejected: int
    position: int | None = Field(default=None, description="Of the last item that was stored.")
    items: list[BulkItemShown]


class FileQuery(BaseModel):
    """What a calendar file does not say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channel: str = Field(
        min_length=1, max_length=CHANNEL_LIMIT, description="Over which its events go out.", examples=["log:"]
    )
    all_day_at: time = Field(default=time(9), description="When all-day events go out, by the recipient's clock.")
    conflicts: str | None = Field(
        default=None, max_length=400, description="What becomes of conflicts: a strategy's name, or the JSON of one."
    )

    @field_validator("all_day_at")
    @classmethod
    def _is_on_a_wall(cls, at: time) -> time:
        if at.tzinfo is not None or at.microsecond:
            raise ValueError("it is told by the recipient's clock: write 09:00, without an offset or fractions")
        return at


class ImportItemShown(BulkItemShown):
    """The result of one event for one of its attendees."""

    event: int = Field(description="Which VEVENT of the file, from 1 on.")
    uid: str | None = Field(default=None, description="Its UID.")
    not_left_out: list[str] = Field(
        default_factory=list, description="Dates that an EXDATE leaves out and that the series does not have."
    )


class ImportShown(Shown):
    """The results of an import."""

    created: int
    replayed: int = Field(description="There already, from an earlier import.")
    rejected: int
    position: int | None = Field(default=None, description="Of the last event that was stored.")
    items: list[ImportItemShown]


class Wherever(Request):
    """What becomes of those for whom the time has passed, and of those whose zone nobody knows."""

    if_past: Past = Field(
        default="refuse",
        description="When the one-off's time has passed where the recipient is: `now` sends at once, `next_day` at the "
        "same time of the next day to come, `skip` not at all; `refuse` is an error.",
    )
    if_no_zone: NoZone = Field(
        default="default",
        description='When the timing says `"zone": "recipient"` and no zone is known of them: `default` takes the '
        "default zone, `skip` creates nothing.",
    )

    def rules(self) -> wherever.Wherever:
        """As the domain has them."""
        return wherever.Wherever(self.if_past, self.if_no_zone)


class BulkSchedule(CreateSchedule, Wherever):
    """One schedule of many."""

    idempotency_key: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        description="Makes a repeat of this item harmless wherever it stands; else the request's key and its place.",
        examples=["order-4711-reminder"],
    )

    def draft(self) -> Draft:
        """The schedule alone: the same under another key is the same."""
        return Draft.model_construct(**{name: getattr(self, name) for name in Draft.model_fields})


class Everybody(Wherever):
    """One schedule for many recipients, each with their own: the same local time wherever they are, or one instant."""

    recipients: tuple[RecipientId, ...] = Field(min_length=1, description="Each gets a schedule.")
    schedule: dict[str, Any] = Field(description="What each gets: a schedule without `recipient`.")


class BulkSchedules(RootModel[list[BulkSchedule] | Everybody]):
    """Many schedules, or one for many recipients."""
