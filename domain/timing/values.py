"""The timings that a client may ask for, and what is computed from them: slots, plans and the reasons for each.

Values only: what a timing *means* is in `series` (recurring) and `moments` (once), reached through the package.
Events hold these models, so parsing stays lenient: whether a timing makes sense is judged once, by `normalise`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from horae.domain.timing.best import Best, Choice
from horae.domain.timing.durations import CalendarDuration, Duration
from horae.domain.timing.opendays import BusinessDay, Calendar, OnCalendar
from horae.domain.timing.written import (
    FIRST_YEAR,
    LAST_YEAR,
    RESOLVED,
    ZONE_DESCRIPTION,
    Instant,
    LocalBound,
    LocalTime,
    ShiftedBy,
    Text,
    Value,
    Zone,
)

__all__ = ["FIRST_YEAR", "LAST_YEAR", "Best", "Choice", "Instant", "LocalBound", "LocalTime", "Text", "Value", "Zone"]

MAX_COUNT = 20_000  # numbering a slot walks there from the beginning

GapPolicy = Literal["shift", "skip"]
MonthEnd = Literal["clamp", "skip"]
OverlapPolicy = Literal["first", "second", "both"]
Unit = Literal["minutes", "hours", "days", "weeks", "months", "years"]
ZoneSource = Literal["timing", "recipient", "tenant", "instant"]
Branch = Literal["normal", "gap_shifted", "overlap_first", "overlap_second"]


# --- the slot and its plan ------------------------------------------------------------------------------------------


class Slot(Value):
    """One intended wall-clock time of a timing: with the schedule, the identity of an occurrence."""

    local: LocalTime = Field(description="The intended local time, without a zone.", examples=["2026-12-01T09:00:00"])
    fold: int = Field(
        default=0, ge=0, le=1, description="1 for the second passing of a local time that a clock change repeats."
    )


class Reason(Value):
    """One decision on the way to a due instant."""

    code: str = Field(description="Stable word for programs.", examples=["gap_shifted"])
    text: str = Field(
        description="One sentence for people.",
        examples=["02:30 does not exist on that day in Europe/Berlin: moved on by 1 h."],
    )


class Plan(Value):
    """Why an occurrence is due when it is."""

    zone: str = Field(description="IANA zone that the local time was read in.", examples=["Europe/Berlin"])
    zone_source: ZoneSource = Field(description="Who named the zone; `instant` when none was needed.")
    tzdata: str = Field(description="Version of the zone database used.", examples=["2026f"])
    branch: Branch = Field(description="How the local time met the clock changes of its zone.")
    calendar: str | None = Field(
        default=None, description="The calendar that was asked, with its version.", examples=["munich@3 holidays 0.109"]
    )
    jitter_s: float = Field(default=0.0, description="Seconds added to spread load; the same in preview and release.")
    reasons: tuple[Reason, ...] = Field(default=(), description="Every decision that moved or chose the instant.")
    choice: Choice | None = Field(default=None, description="Of a timing `best`: what was chosen within the window.")


class Next(Value):
    """A slot with its due instant."""

    slot: Slot
    number: int | None = Field(default=None, description="Ordinal in the series, from 1; only when `count` is set.")
    due_at: Instant = Field(description="The instant at which it goes out.")
    plan: Plan


class SkippedSlot(Value):
    """A time that the rule names but that is not sent, and why."""

    slot: Slot
    reason: Reason


class Preview(Value):
    """The coming slots of a timing, and those passed over between them."""

    slots: list[Next] = Field(description="In order of time.")
    skipped: list[SkippedSlot] = Field(default_factory=list, description="Passed over within the same stretch of time.")


# --- timings --------------------------------------------------------------------------------------------------------


class Resolved(Value):
    """What a relative timing came to, seen once from the moment it was accepted."""

    local: LocalTime = Field(description="The wall-clock time it came to.", examples=["2026-12-01T09:00:00"])
    fold: int = Field(default=0, ge=0, le=1)
    zone: str = Field(examples=["Asia/Tokyo"])
    zone_source: ZoneSource
    instant: Instant | None = Field(
        default=None,
        description="The moment itself, of what is no time on a clock (at once, hours of delay): it stays where it is "
        "whatever later zone data say of the local time.",
    )


class Now(Value):
    """Release at once."""

    kind: Literal["now"] = "now"
    resolved: Resolved | None = Field(default=None, description=RESOLVED)
    shifted_by: ShiftedBy = None


class At(Value):
    """Release once, at an instant (`at`) or at a wall-clock time (`local` with `zone`): exactly one of the two."""

    kind: Literal["at"] = "at"
    at: Instant | None = Field(
        default=None,
        description="RFC 3339 instant with an offset, at most five years ahead.",
        examples=["2026-12-01T09:00:00Z"],
    )
    local: LocalTime | None = Field(
        default=None,
        description="Wall-clock time in `zone`. One that a clock change skips moves forward by as much; of one that it "
        "repeats, the first is taken (give `at` for the other).",
        examples=["2026-12-01T09:00"],
    )
    zone: Zone | None = Field(
        default=None, description=ZONE_DESCRIPTION + " Only with `local`.", examples=["recipient", "Europe/Berlin"]
    )
    shifted_by: ShiftedBy = None


class In(Value):
    """Release once, after a delay counted from the moment the request is accepted."""

    kind: Literal["in"] = "in"
    delay: CalendarDuration = Field(
        description="ISO 8601, more than zero and at most five years. Hours, minutes and seconds are elapsed time; "
        "days and longer follow the calendar of `zone` (P1D: the same time tomorrow).",
        examples=["PT30M", "P1D"],
    )
    zone: Zone = Field(default="recipient", description=ZONE_DESCRIPTION, examples=["recipient"])
    resolved: Resolved | None = Field(default=None, description=RESOLVED)
    shifted_by: ShiftedBy = None


class Phrase(Value):
    """Release once, at a time told in words; `understood` says how the words were read."""

    kind: Literal["phrase"] = "phrase"
    text: Text = Field(
        min_length=1,
        max_length=200,
        description="The words, read in `zone` and `locale`, preferring the future.",
        examples=["tomorrow at 9 AM", "in 30 minutes", "next friday 18:00"],
    )
    zone: Zone = Field(default="recipient", description=ZONE_DESCRIPTION, examples=["Asia/Tokyo"])
    locale: Text | None = Field(
        default=None,
        min_length=2,
        max_length=20,
        description="Language of the words. Default: the recipient's, else English.",
        examples=["en", "de", "en-GB"],
    )
    understood: Resolved | None = Field(default=None, description=RESOLVED)
    shifted_by: ShiftedBy = None


class Interval(Value):
    """A fixed distance between slots."""

    unit: Unit = Field(description="Minutes and hours are elapsed time; days and longer keep the wall-clock time.")
    count: int = Field(default=1, ge=1, le=1_000_000, description="How many units between two slots.")
    month_end: MonthEnd | None = Field(
        default=None,
        description="Of months and years that lack the day: `clamp` (default) takes the month's last one (31 January, "
        "then 28 February, then 31 March), `skip` leaves the month out.",
    )


#: What becomes of a slot beside an earlier occurrence that has not ended.
Concurrency = Literal["allow", "skip", "latest"]


#: So many slots that came too late are made up for by the policy `all`, unless it says how many.
CATCH_UP = 100
MAX_CATCH_UP = 1_000


class Missed(Value):
    """What becomes of slots that could not be released in time."""

    policy: Literal["skip", "once", "all"] = Field(
        default="once",
        description="Of slots later than `within`: `skip` none is sent, `once` the newest, `all` every one of the "
        "newest `limit`.",
    )
    within: Duration = Field(
        default=timedelta(days=1), description="Lateness up to which a slot is simply sent late.", examples=["PT10M"]
    )
    limit: int | None = Field(
        default=None,
        ge=1,
        le=MAX_CATCH_UP,
        description=f"With `all`: how many of the slots that came too late are sent at most, the newest ones; null: "
        f"{CATCH_UP}. Older ones end `missed`.",
        examples=[20],
    )

    @property
    def most(self) -> int:
        """How many slots that came too late are sent, by the policy `all`."""
        return self.limit or CATCH_UP


class Every(Value):
    """Release again and again by one rule: exactly one of `cron`, `rrule`, `interval` and `business_day`."""

    kind: Literal["every"] = "every"
    cron: Text | None = Field(
        default=None,
        max_length=100,
        description="Five fields: minute hour day-of-month month day-of-week; or six, the second first. Names, lists, "
        "ranges, steps, `L` as last day, `L-3` as three days before it, `15W` and `LW` as nearest weekday, `5#2` as "
        "second Friday, `5L` as last Friday, `?` as `*`, and @hourly to @yearly. With both day fields given either "
        "matches; with one that starts with `*`, both must.",
        examples=["0 9 * * MON-FRI"],
    )
    rrule: Text | None = Field(
        default=None,
        max_length=20_000,
        description="RFC 5545 recurrence rule, without DTSTART (that is `starts_at`); or several lines RRULE, RDATE "
        "and EXDATE: the times of any rule and date, less those left out.",
        examples=["FREQ=MONTHLY;BYDAY=-1FR", "RRULE:FREQ=WEEKLY;BYDAY=MO\nEXDATE:20261228T090000"],
    )
    interval: Interval | None = Field(
        default=None, description="A fixed distance between slots.", examples=[{"unit": "hours", "count": 6}]
    )
    business_day: BusinessDay | None = Field(
        default=None, description="A business day of every month.", examples=[{"nth": -1, "at": "09:00"}]
    )
    calendar: OnCalendar | None = Field(
        default=None,
        description="The calendar that it keeps to, and what becomes of slots that this closes.",
        examples=[{"id": "munich", "skip_weekends": True, "skip_holidays": True, "move": "forward"}],
    )
    zone: Zone = Field(default="recipient", description=ZONE_DESCRIPTION, examples=["Europe/Berlin"])
    starts_at: LocalBound | None = Field(
        default=None,
        description="Date or local time in `zone` from which the series counts; may lie in the past. Without it the "
        "series begins after the moment of acceptance.",
        examples=["2026-12-01"],
    )
    ends_at: LocalBound | None = Field(
        default=None,
        description="Last date (its whole day) or local time, both included.",
        examples=["2027-03-31"],
    )
    count: int | None = Field(
        default=None, ge=1, le=MAX_COUNT, description="End after that many slots, counted from the series' beginning."
    )
    gap: GapPolicy | None = Field(
        default=None,
        description="For a local time that a clock change skips: `shift` (default) moves it forward by as much, `skip` "
        "drops it. Not for rules that follow the clock (hour `*` or `*/n`, FREQ=HOURLY and finer, minutes, hours).",
    )
    overlap: OverlapPolicy | None = Field(
        default=None,
        description="For a local time that a clock change repeats: `first` (default), `second` or `both`. Not for "
        "rules that follow the clock.",
    )
    missed: Missed = Field(default_factory=Missed, description="What becomes of slots that could not go out in time.")
    concurrency: Concurrency | None = Field(
        default=None,
        description="Where a slot comes due while an earlier occurrence of the schedule is under way (claimed, and its "
        "attempts go on): `allow` (default) sends it as well, `skip` suppresses it, `latest` sends it and starts no "
        "further attempt of the earlier one.",
    )
    jitter: Duration | None = Field(
        default=None,
        description="Spread releases over this long after the slot, by a fixed hash of the occurrence; at most a day.",
        examples=["PT5M"],
    )
    anchor: Resolved | None = Field(
        default=None, description="The moment of acceptance, when there is no `starts_at`. " + RESOLVED
    )
    shifted_by: ShiftedBy = None
    then: Then | None = Field(default=None, description="What it goes on with from a slot on, if changed from there.")


class Then(Value):
    """How a series goes on from a slot on: the slots before are the one rule's, it and those after it the other's."""

    since: Slot = Field(description="Where the rule before gives way: read by that rule's clock.")
    timing: Every = Field(description="The rule from there on; it counts from there unless its `starts_at` says else.")
    after: Instant | None = Field(default=None, description="In another zone: its slots lie after this instant.")


Every.model_rebuild()

Timing = Annotated[Now | At | In | Phrase | Every | Best, Field(discriminator="kind")]
"""What a client may ask for; a closed union told apart by `kind`."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a timing is read against: the present, whose schedule it is, zones, skipped slots, calendar, and language.

    `calendar` None: the built-in one, if the timing asks for any. `choice` None: nobody was asked for the best moment.
    """

    now: datetime
    schedule_id: UUID
    default_zone: str = "UTC"
    recipient_zone: str | None = None
    exceptions: frozenset[Slot] = field(default_factory=frozenset)
    calendar: Calendar | None = None
    recipient_locale: str | None = None
    choice: Choice | None = None
