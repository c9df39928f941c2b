"""Requests and answers about schedules."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from horae.domain import timing as t
from horae.domain.conflicts import ConflictPolicy, Settlement
from horae.domain.delivery import Delivery, Priority
from horae.domain.draft import ChannelText, CloneOverrides, Draft, Patch, PriorityNumber, RecipientId, Tags
from horae.domain.timing.values import Instant, LocalTime

_TIMING = {"kind": "every", "cron": "0 9 * * MON-FRI", "zone": "Europe/Berlin"}

CREATE_EXAMPLES: dict[str, dict[str, Any]] = {
    "now": {"recipient": "user-17", "channel": "log:", "content": {"subject": "Hi"}, "timing": {"kind": "now"}},
    "at": {
        "recipient": "user-17",
        "channel": "webhook:https://example.com/hook",
        "content": {"subject": "Your appointment"},
        "timing": {"kind": "at", "local": "2027-03-01T09:00", "zone": "Europe/Berlin"},
    },
    "in": {"recipient": "user-17", "channel": "log:", "timing": {"kind": "in", "delay": "PT30M"}},
    "phrase": {
        "recipient": "user-17",
        "channel": "log:",
        "timing": {"kind": "phrase", "text": "tomorrow at 9 AM", "zone": "Asia/Tokyo"},
    },
    "best": {
        "recipient": "user-17",
        "channel": "log:",
        "timing": {"kind": "best", "from": "2027-03-01T08:00", "to": "2027-03-01T20:00", "zone": "recipient"},
    },
    "every": {
        "recipient": "user-17",
        "channel": "webhook:https://example.com/hook",
        "content": {"subject": "Good morning"},
        "priority": 3,
        "timing": _TIMING
        | {"gap": "shift", "overlap": "first", "missed": {"policy": "once", "within": "PT10M"}, "jitter": "PT2M"},
        "delivery": {
            "mode": "at_least_once",
            "timeout": "PT15S",
            "retry": {"strategy": "exponential", "retries": 3, "delay": "PT5S", "factor": 2, "max_delay": "PT5M"},
        },
        "tags": ["onboarding"],
        "metadata": {"type": "digest"},
    },
}


class Request(BaseModel):
    """Base of request bodies: unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Shown(BaseModel):
    """Base of answers."""

    model_config = ConfigDict(frozen=True)


RECIPIENT = "Who gets it: your own id of a person, 1 to 256 characters. It cannot be changed later."
CHANNEL = (
    "`webhook:URL` (a signed POST), `kafka:TOPIC` (a message, where the installation has Kafka) or `log:` (a line in "
    "the release log, for trying out)."
)
CONTENT = "Anything JSON, up to 64 KiB: handed to the channel as it is."
PRIORITY = "1 low, 2 normal, 3 high, 4 urgent, 5 critical; of what is due at once, the more pressing goes first."
EXPIRES = "If it could not be sent within this time after it was due, it is not sent at all (`expired`)."
TAGS = "Up to 32 words of up to 64 characters, to filter by."
METADATA = "Anything JSON, up to 16 KiB, kept with the schedule and not sent. `type` can be filtered by."


CONFLICTS = "What becomes of it where it meets other schedules of the recipient, or of a key. Not given: nobody looks."
_CONFLICTS = {"strategy": "shift", "window": "PT1H"}


class CreateSchedule(Draft):
    """A schedule as asked for."""

    recipient: RecipientId = Field(description=RECIPIENT, examples=["user-17"])
    channel: ChannelText = Field(description=CHANNEL, examples=["webhook:https://example.com/hook", "log:"])
    content: dict[str, Any] = Field(default_factory=dict, description=CONTENT, examples=[{"subject": "Hi"}])
    timing: t.Timing = Field(description="When: told apart by `kind`.", examples=[_TIMING])
    priority: PriorityNumber = Field(default=int(Priority.NORMAL), description=PRIORITY, examples=[2], strict=True)
    delivery: Delivery = Field(default=Delivery(), description="Mode, timeout and retries of a release.")
    expires_after: t.Duration | None = Field(default=None, description=EXPIRES, examples=["PT2H"])
    tags: Tags = Field(default=(), description=TAGS, examples=[["onboarding"]])
    metadata: dict[str, Any] = Field(default_factory=dict, description=METADATA, examples=[{"type": "digest"}])
    conflicts: ConflictPolicy | None = Field(default=None, description=CONFLICTS, examples=[_CONFLICTS])


class ChangeSchedule(Patch):
    """The fields to change; what is not given stays. A given field replaces the old value as a whole."""

    channel: ChannelText | None = Field(default=None, description=CHANNEL, examples=["log:"])
    content: dict[str, Any] | None = Field(default=None, description=CONTENT, examples=[{"subject": "Hello"}])
    timing: t.Timing | None = Field(
        default=None,
        description="A new timing starts a new series of slots; the same timing leaves the slots alone.",
        examples=[{"kind": "at", "at": "2027-03-01T09:00:00Z"}],
    )
    priority: PriorityNumber | None = Field(default=None, description=PRIORITY, examples=[4], strict=True)
    delivery: Delivery | None = Field(default=None, description="Mode, timeout and retries of a release.")
    expires_after: t.Duration | None = Field(default=None, description=EXPIRES + " null: never.", examples=["PT2H"])
    tags: Tags | None = Field(default=None, description=TAGS, examples=[["onboarding"]])
    metadata: dict[str, Any] | None = Field(default=None, description=METADATA, examples=[{"type": "digest"}])
    conflicts: ConflictPolicy | None = Field(
        default=None,
        description=CONFLICTS + " It is looked anew when this or the timing changes. null: no more.",
        examples=[_CONFLICTS],
    )


class CloneSchedule(CloneOverrides):
    """What the clone has otherwise than its original; nothing given: the same again."""

    recipient: RecipientId | None = Field(default=None, description="Who gets the clone's.", examples=["user-18"])
    timing: t.Timing | None = Field(
        default=None,
        description="Needed when the original's only instant has passed.",
        examples=[{"kind": "in", "delay": "PT1H"}],
    )


class Reasoned(Request):
    """Why it is done; kept in the history and told by explain."""

    reason: str | None = Field(
        default=None, max_length=500, description="In your words.", examples=["Customer asked for a break"]
    )


class SlotNamed(Request):
    """One slot of a series, as the preview lists it."""

    slot: LocalTime = Field(description="Its local time, without a zone.", examples=["2027-01-04T09:00"])
    fold: int = Field(default=0, ge=0, le=1, description="1 for the second passing of a repeated local time.")


class NextShown(Shown):
    """A slot and how its instant came about."""

    slot: str = Field(description="Intended local time, without a zone.", examples=["2027-01-04T09:00:00"])
    fold: int = Field(description="1 for the second passing of a local time that a clock change repeats.")
    number: int | None = Field(default=None, description="Ordinal in the series, when its timing has a `count`.")
    due_at: datetime = Field(description="When it goes out.", examples=["2027-01-04T08:00:00Z"])
    zone: str = Field(examples=["Europe/Berlin"])
    zone_source: str = Field(description="timing, recipient, tenant or instant", examples=["timing"])
    tzdata: str = Field(description="Version of the zone data.", examples=["2026f"])
    branch: str = Field(description="normal, gap_shifted, overlap_first or overlap_second", examples=["normal"])
    calendar: str | None = Field(
        default=None, description="The calendar that was asked, with its version.", examples=["munich@3 holidays 0.109"]
    )
    jitter_s: float = Field(default=0.0, description="Seconds by which `due_at` was spread.")
    reasons: tuple[t.Reason, ...] = Field(default=(), description="Each decision that moved or chose the instant.")


class ChangedSlot(Shown):
    """A slot that was changed by itself."""

    slot: str = Field(description="Its local time in the series.", examples=["2027-01-04T09:00:00"])
    fold: int = 0
    due_at: datetime | None = Field(default=None, description="Where it was moved to; null: where the series has it.")
    changed: tuple[str, ...] = Field(description="What else it has for itself.", examples=[["content"]])
    settled: Settlement | None = Field(
        default=None, description="How it stood there among others, where the schedule asks about conflicts."
    )


ScheduleStatus = Literal[
    "pending", "executing", "completed", "failed", "cancelled", "paused", "suppressed", "expired", "missed", "unknown"
]
_STATUS = (
    "`pending`: waits for its next slot · `executing`: a release is under way · `completed` or `failed`: nothing more "
    "will come, by how the last one ended · `paused` · `cancelled` · of one-offs also `suppressed`, `expired`, "
    "`missed`, `unknown`"
)


class ScheduleShown(Shown):
    """A schedule as it stands."""

    id: UUID
    version: int = Field(description="Of the asking, also in ETag; firing does not change it.", examples=[1])
    position: int = Field(description="Place in the log; pass it as `min_position` to read your own write.")
    status: str = Field(description=_STATUS, examples=["pending"])
    next_due_at: datetime | None = Field(default=None, description="When the next one goes out.")
    next: NextShown | None = Field(default=None, description="The next slot.")
    recipient: str
    channel: str
    content: dict[str, Any]
    timing: t.Timing
    priority: int
    delivery: Delivery
    expires_after: t.Duration | None = None
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = Field(default_factory=dict)
    cloned_from: UUID | None = None
    conflicts: ConflictPolicy | None = Field(default=None, description="What it asked for about conflicts.")
    settled: Settlement | None = Field(default=None, description="What was decided by that when it last asked.")
    created_at: datetime
    updated_at: datetime
    fired: int | None = Field(default=None, description="Occurrences claimed so far (not in answers to writes).")
    missed: int | None = Field(default=None, description="Slots missed so far (not in answers to writes).")
    executed_at: datetime | None = Field(default=None, description="When the last occurrence ended.")
    failure_reason: str | None = Field(default=None, description="Why the last one failed.")
    skipped: tuple[SlotNamed, ...] | None = Field(default=None, description="Slots taken out by hand.")
    later: tuple[SlotNamed, ...] | None = Field(
        default=None,
        description="Slots from which on more than the timing was changed; what is shown holds for the next slot.",
    )
    changes: tuple[ChangedSlot, ...] | None = Field(default=None, description="Slots that were changed by themselves.")
    already_claimed: list[UUID] | None = Field(
        default=None, description="Occurrences that were on their way before the change: those it could not reach."
    )
    replayed: bool = Field(default=False, description="True: this very request was answered before, under its key.")


class ScheduleList(Shown):
    """A page of schedules."""

    items: list[ScheduleShown]
    next: str | None = Field(default=None, description="Cursor of the next page; null: this was the last.")


class Triggered(Shown):
    """One occurrence was asked for by hand."""

    schedule: UUID
    occurrence: UUID = Field(description="Ask for it at /v1/occurrences/{id}.")
    version: int
    position: int
    due_at: datetime
    replayed: bool = False


class FieldDiff(Shown):
    """One field in two versions."""

    field: str = Field(examples=["timing.cron"])
    before: Any = None
    after: Any = None


class BlamedDiff(FieldDiff):
    """One field in two versions, and who changed it last between them."""

    version: int | None = None
    at: datetime | None = None
    actor: str | None = None


class HistoryEntry(Shown):
    """One event of a schedule."""

    version: int
    position: int
    event: str = Field(examples=["schedule.changed.v1"])
    at: datetime
    actor: str = Field(
        description="key:ID, cli, or worker:NUMBER", examples=["key:0193a0e0-7d1e-7000-8000-000000000000"]
    )
    request_id: str | None = None
    reason: str | None = None
    changes: list[FieldDiff] = Field(description="Fields with their values before and after.")


class History(Shown):
    """Everything that was asked of a schedule, oldest first."""

    items: list[HistoryEntry]
    next: str | None = None


class Diff(Shown):
    """What differs between two versions, and who changed it."""

    from_version: int
    to_version: int
    changes: list[BlamedDiff]


class PreviewShown(Shown):
    """The coming slots."""

    slots: list[NextShown]
    skipped: list[SkippedShown] = Field(default_factory=list, description="Times passed over in the same stretch.")


class SkippedShown(Shown):
    """A time that the rule names but that is not sent."""

    slot: str
    fold: int
    reason: t.Reason


class Replanned(Shown):
    """What a change of a calendar or of a recipient's zone did to the schedules that are planned by it."""

    checked: int = Field(description="Schedules that were looked at.")
    moved: list[UUID] = Field(description="Those whose next slot goes out at another instant now, or not at all.")
    failed: list[UUID] = Field(description="Those that could not be looked at; send the same request again.")
    change: UUID | None = Field(
        default=None,
        description="Of a recipient's zone: names the report, `/v1/recipients/{id}/moves/{change}`; null: none moved.",
    )


class TimingPreview(Request):
    """A timing to try, whatever the present and the horizon."""

    timing: t.Timing = Field(description="As in a schedule.", examples=[_TIMING])
    count: int = Field(default=10, ge=1, le=1000, strict=True, description="How many slots.", examples=[5])
    after: Instant | None = Field(
        default=None, description="Slots due after this instant; default: now.", examples=["2027-03-27T00:00:00Z"]
    )
    recipient: RecipientId | None = Field(
        default=None, description="Whose zone `recipient` means, and among whose schedules `conflicts` looks."
    )
    conflicts: ConflictPolicy | None = Field(
        default=None, description="Tell what would become of it among others; needs `recipient`.", examples=[_CONFLICTS]
    )
    priority: PriorityNumber = Field(
        default=int(Priority.NORMAL), description="For `highest_priority`.", examples=[2], strict=True
    )


class TimingPreviewShown(PreviewShown):
    """What a timing comes to."""

    valid: Literal[True] = True
    understood: t.Timing = Field(description="The timing as it was understood, with what was filled in.")
    description: str = Field(
        description="The timing in a sentence.", examples=["every weekday at 09:00 in Europe/Berlin"]
    )
    settled: Settlement | None = Field(
        default=None, description="What would be decided now about `conflicts`; the slots are shown as they would be."
    )
