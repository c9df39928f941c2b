"""Requests and answers about occurrences, dead letters and recipients, and the record that explains a decision."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StringConstraints

from horae.api.models.schedules import Replanned, Request, Shown
from horae.domain.draft import RecipientId
from horae.domain.timing.opendays import ClockTime
from horae.domain.timing.values import Instant, Reason


class MissedRun(Shown):
    """Several slots that were missed in one run, told by one event."""

    count: int
    to: str = Field(description="Local time of the last slot of the run.")
    to_fold: int = 0


class OccurrenceShown(Shown):
    """One slot of a schedule, and what became of it."""

    id: UUID = Field(description="Also the `webhook-id` of its release.")
    schedule: UUID
    recipient: str
    channel: str
    slot: str = Field(description="Intended local time, without a zone.")
    fold: int
    number: int | None = None
    origin: str = Field(description="`slot` of the timing, `trigger` by hand, or `backfill` of a slot that had passed")
    status: str = Field(
        description="waiting, deferred, executing, retrying, or its outcome: delivered, dead_lettered, suppressed, "
        "expired, missed, cancelled, unknown",
        examples=["delivered"],
    )
    reason: str | None = Field(default=None, description="Why it ended so.")
    due_at: datetime
    zone: str | None = None
    claimed_at: datetime | None = None
    ended_at: datetime | None = None
    attempts: int = 0
    next_attempt_at: datetime | None = None
    late_ms: float | None = Field(default=None, description="From the due instant to the first attempt.")
    duration_ms: float | None = Field(default=None, description="Of the last attempt.")
    priority: int
    reasons: list[Reason] = Field(default_factory=list, description="Each decision that moved or chose the instant.")
    last_failure: dict[str, Any] | None = None
    response: dict[str, Any] | None = Field(default=None, description="What the channel answered.")
    reported: dict[str, Any] | None = Field(default=None, description="A provider's last word on the delivery.")
    engagement: dict[str, Any] | None = Field(
        default=None, description="When its recipient first opened, clicked, ...; `answered` as soon as that is known."
    )
    missed: MissedRun | None = None
    version: int
    position: int


class OccurrenceList(Shown):
    """A page of occurrences."""

    items: list[OccurrenceShown]
    next: str | None = None


class OccurrenceWritten(Shown):
    """An occurrence as a command left it."""

    id: UUID
    schedule: UUID
    version: int
    position: int
    status: str
    attempts: int
    next_attempt_at: datetime | None = None
    replayed: bool = False


class ReplayShown(Shown):
    """What became of each dead letter that was asked to be replayed."""

    replayed: int
    refused: int
    position: int | None = None
    items: list[ReplayItem]
    more: bool = Field(description="True: more match than one request replays; send it again.")


class ReplayItem(Shown):
    """One of them."""

    id: UUID
    status: int = Field(description="The status that a single request would have got.", examples=[202])
    error: dict[str, Any] | None = None


class ReplayFilter(Request):
    """Which dead letters to replay; nothing given: all."""

    schedule: UUID | None = Field(default=None, description="Only those of this schedule.")
    ended_to: Instant | None = Field(
        default=None, description="Only those that ended before this instant.", examples=["2027-01-01T00:00:00Z"]
    )
    ended_from: Instant | None = Field(
        default=None, description="Only those that ended at or after this instant.", examples=["2026-12-01T00:00:00Z"]
    )
    limit: int = Field(default=100, ge=1, le=1000, strict=True, description="At most so many.", examples=[100])
    reason: str | None = Field(default=None, max_length=500, examples=["The receiver is repaired"])


DeliveryStatus = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:-]+$")]


class Callback(Request):
    """A provider's word on what became of a release."""

    status: DeliveryStatus = Field(description="In the provider's words.", examples=["delivered"])
    at: Instant | None = Field(default=None, description="When; default: now.", examples=["2027-01-04T08:00:03Z"])
    detail: dict[str, Any] | None = Field(
        default=None, description="Whatever else it says, up to 16 KiB.", examples=[{"provider_id": "m-1"}]
    )


class Decision(Shown):
    """One decision on the way of an occurrence."""

    code: str = Field(description="Stable word for programs.", examples=["claimed"])
    text: str = Field(description="One sentence for people.")
    at: datetime | None = Field(default=None, description="When it was recorded.")
    actor: str | None = Field(default=None, description="Who decided.", examples=["worker:12"])
    position: int | None = Field(default=None, description="Its event's place in the log.")
    event: str | None = None
    facts: dict[str, Any] = Field(default_factory=dict)


class Explanation(Shown):
    """Why something went out when it did, or why it did not: every decision, in order, from the log itself."""

    schedule: UUID
    occurrence: UUID | None = None
    slot: str
    fold: int
    zone: str | None = None
    due_at: datetime | None = None
    was_due_at: datetime | None = Field(
        default=None,
        description="Of one that a backfill asked for: when it had been due, by the timing of then; `due_at` is when "
        "it was due for that backfill.",
    )
    verdict: str = Field(
        description="An outcome (delivered, dead_lettered, suppressed, expired, missed, cancelled, unknown), a state "
        "(waiting, deferred, executing, retrying), or why nothing is on record: not_yet_due, paused, skipped, "
        "cancelled, replaced, gap_skipped, before_start, after_end, not_a_slot",
        examples=["delivered"],
    )
    released: bool = Field(description="True: at least one attempt to release it was started.")
    story: list[str] = Field(description="The same in plain sentences, with local times.")
    decisions: list[Decision]


class RecipientBody(Request):
    """What is known of a recipient."""

    zone: str | None = Field(
        default=None, description='Zone that `"zone": "recipient"` means.', examples=["Europe/Berlin"], max_length=64
    )
    locale: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$")] | None = Field(
        default=None, description="Language of phrases.", examples=["de-DE"], max_length=35
    )
    attributes: dict[str, Any] = Field(
        default_factory=dict, description="Anything JSON, up to 16 KiB.", examples=[{"plan": "pro"}]
    )
    segment: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = Field(
        default=None,
        description="Whose habits stand in for theirs while too little is known of them.",
        examples=["night shift"],
    )
    best_time: ClockTime | None = Field(
        default=None,
        description="Set by hand: what has the timing `best` goes out at this local time, or as near as it may.",
        examples=["18:30"],
    )


class RecipientShown(Shown):
    """A recipient."""

    id: RecipientId
    zone: str | None = None
    locale: str | None = None
    attributes: dict[str, Any] = Field(default_factory=dict)
    segment: str | None = None
    best_time: str | None = None
    version: int
    position: int
    created_at: datetime
    updated_at: datetime
    replanned: Replanned | None = Field(
        default=None,
        description="Of a change of the zone: the schedules that follow it. null then: the read models did not answer "
        "in time, and the slots that were planned already keep their instants.",
    )


class ZoneHad(Shown):
    """A zone that a recipient preferred, from an instant until the next one."""

    zone: str | None = Field(default=None, description="null: none was known.", examples=["Europe/Berlin"])
    since: datetime


class ZonesHad(Shown):
    """Where a recipient lived."""

    items: list[ZoneHad] = Field(description="Oldest first; the last one holds.")


class TimelineShown(Shown):
    """What a recipient got, or (`pending`) the coming slot of one of their schedules."""

    due_at: datetime
    schedule: UUID
    occurrence: UUID = Field(description="The id that the occurrence has, or will have.")
    slot: str
    fold: int
    status: str = Field(examples=["delivered"])
    channel: str
    priority: int
    reason: str | None = None
    ended_at: datetime | None = None


class Timeline(Shown):
    """A recipient's past and coming occurrences by due instant."""

    items: list[TimelineShown]
    next: str | None = None
