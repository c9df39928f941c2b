"""One event of every kind with every field filled, of which the golden files are made. Nothing here is computed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from horae.domain import audit as a
from horae.domain import calendar as c
from horae.domain import conflicts as x
from horae.domain import engagement as e
from horae.domain import feed as f
from horae.domain import key as k
from horae.domain import model as m
from horae.domain import occurrence as o
from horae.domain import recipient as r
from horae.domain import request as q
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain import zonechange as z
from horae.domain.delivery import Delivery, Failure, Mode, Retry, Strategy
from horae.domain.envelope import Event, Meta, NewEvent
from horae.domain.personal import Personal
from horae.domain.timing.opendays import BusinessDay, CalendarDefinition, OnCalendar
from tests.domain.older import older

AT = datetime(2026, 12, 1, 8, 0, 0, 123000, tzinfo=UTC)
STREAM, OTHER = UUID("01932c5b-0000-7000-8000-000000000001"), UUID("01932c5b-0000-8000-8000-000000000002")
META = Meta(
    event_id=UUID("01932c5b-0000-7000-8000-00000000000a"),
    tenant="acme",
    shard=17,
    actor="key:01932c5b",
    request_id="req-1",
    correlation_id=STREAM,
    causation_id=OTHER,
    recorded_at=AT,
)
SLOT = t.Slot(local=datetime(2026, 10, 25, 2, 30), fold=1)  # noqa: DTZ001 - slots are naive
PLAN = t.Plan(
    zone="Europe/Berlin",
    zone_source="recipient",
    tzdata="2026f",
    branch="overlap_second",
    jitter_s=2.5,
    reasons=(t.Reason(code="overlap_second", text="02:30 comes twice on that day: the second is taken."),),
)
NEXT = t.Next(slot=SLOT, number=3, due_at=AT, plan=PLAN)
PERSONAL = Personal(
    recipient="user-17",
    channel="webhook:https://example.com/hook",
    content={"subject": "Grüße ☀", "nothing": None, "n": 1.5, "list": [1, "a", {"deep": True}]},
    metadata={"type": "digest"},
    tags=("onboarding",),
)
EVERY = t.Every(
    cron="30 2 * * SUN",
    zone="recipient",
    starts_at=datetime(2026, 10, 1, 0, 0),  # noqa: DTZ001 - local
    ends_at="2027-03-31",
    count=9,
    gap="shift",
    overlap="second",
    missed=t.Missed(policy="skip", within=timedelta(minutes=10)),
    jitter=timedelta(minutes=5),
    anchor=t.Resolved(local=SLOT.local, fold=1, zone="Europe/Berlin", zone_source="recipient"),
)
DEFINITION = s.Definition(
    timing=EVERY,
    priority=3,
    delivery=Delivery(
        mode=Mode.AT_MOST_ONCE,
        timeout=timedelta(seconds=15),
        retry=Retry(strategy=Strategy.JITTERED, retries=5, delay=timedelta(seconds=1), factor=1.5),
    ),
    expires_after=timedelta(hours=2),
)
_HOURS = [{"start": "09:00", "end": "12:00"}, {"start": "13:00", "end": "24:00"}]
CALENDAR = CalendarDefinition.model_validate(
    {
        "title": "München",
        "hours": {"mon": _HOURS},
        "weekend": ["sat", "sun"],
        "country": "DE",
        "subdivision": "BY",
        "days": [
            {"date": "2026-12-24", "until": "2026-12-31", "name": "closed for the year", "yearly": True},
            {"date": "2026-12-05", "open": True, "hours": _HOURS},
        ],
        "plus": ["company"],
        "minus": ["banks"],
    }
)
FAILURE = Failure(
    kind="http",
    message="HTTP 503",
    status_code=503,
    nothing_arrived=True,
    retryable=True,
    retry_after_s=120.0,
)
COMMON = {"schedule": STREAM, "recipient_ref": "r_17", "priority": 3}

CHANGED = s.ScheduleChanged(
    personal=PERSONAL,
    definition=DEFINITION,
    changed=("content", "timing"),
    next_unchanged=False,
    next=NEXT,
    replaced=SLOT,
    request_digest="d1",
)

SAMPLES: tuple[Event, ...] = (
    s.ScheduleCreated(
        recipient_ref="r_17",
        personal=PERSONAL,
        definition=DEFINITION,
        next=NEXT,
        cloned_from=OTHER,
        request_digest="d1",
    ),
    CHANGED.model_copy(
        update={
            "since": SLOT,
            "since_at": AT,
            "carried": (s.Carried(was=SLOT, now=SLOT, moved=True),),
            "withdrawn": (OTHER,),
        }
    ),
    s.SchedulePaused(reason="holidays", request_digest="d1"),
    s.ScheduleResumed(next=NEXT, reason="back", request_digest="d1"),
    s.ScheduleCancelled(reason="left", request_digest="d1"),
    s.SlotSkipped(slot=SLOT, occurrence=OTHER, due_at=AT, next_unchanged=False, next=NEXT, request_digest="d1"),
    s.SlotUnskipped(slot=SLOT, occurrence=OTHER, next_unchanged=False, next=NEXT, request_digest="d1"),
    s.SlotChanged(
        slot=SLOT,
        occurrence=OTHER,
        changed=("content",),
        personal=PERSONAL,
        priority=3,
        delivery=DEFINITION.delivery,
        expires_after=timedelta(hours=2),
        at=NEXT,
        timing=t.At(local=SLOT.local, zone="recipient"),
        next_unchanged=False,
        next=NEXT,
        request_digest="d1",
    ),
    s.ScheduleTriggered(trigger=STREAM, occurrence=OTHER, at=NEXT, reason="now", request_digest="d1"),
    s.ScheduleBackfilled(
        backfill=OTHER, begin=AT, end=AT, count=5, include=("paused",), every_s=1.5, reason="it", request_digest="d1"
    ),
    s.ScheduleReplanned(cause="zone", detail="zone data 2025c to 2026c", before=NEXT, next=NEXT, change=OTHER),
    s.SlotReplanned(cause="recipient", detail="Asia/Tokyo", occurrence=OTHER, before=NEXT, at=NEXT, change=OTHER),
    o.OccurrenceClaimed(
        **COMMON,
        schedule_version=2,
        origin="slot",
        slot=SLOT,
        number=3,
        due_at=AT,
        plan=PLAN,
        owner=41,
        moves=True,
        next=NEXT,
    ),
    o.AttemptStarted(**COMMON, schedule_version=2, attempt=2, owner=42),
    o.AttemptFailed(**COMMON, attempt=1, failure=FAILURE, started_at=AT, duration_ms=12.5, retry_at=AT),
    o.OccurrenceDeferred(
        **COMMON,
        schedule_version=2,
        origin="trigger",
        slot=SLOT,
        number=3,
        due_at=AT,
        until=AT,
        rule="quiet_hours",
        reason="it is night",
        moves=True,
        next=NEXT,
    ),
    o.OccurrenceBackfilled(
        **COMMON, schedule_version=2, backfill=OTHER, slot=SLOT, number=3, was_due_at=AT, due_at=AT, plan=PLAN
    ),
    o.OccurrenceMissed(
        **COMMON,
        schedule_version=2,
        slot=SLOT,
        due_at=AT,
        to=SLOT,
        to_due_at=AT,
        count=4,
        policy="once",
        next=NEXT,
    ),
    o.OccurrenceEnded(
        **COMMON,
        outcome=o.Outcome.DELIVERED,
        reason="the channel accepted it",
        attempt=1,
        started_at=AT,
        duration_ms=12.5,
        response={"status_code": 204},
        schedule_version=2,
        origin="slot",
        slot=SLOT,
        number=3,
        due_at=AT,
        plan=PLAN,
        moves=True,
        next=NEXT,
    ),
    o.OccurrenceReplayed(**COMMON, due_at=AT, reason="fixed", request_digest="d1"),
    o.SlotPassed(**COMMON, schedule_version=2, slot=SLOT, next=NEXT),
    o.DeliveryReported(**COMMON, status="bounced", at=AT, detail={"code": 550}, request_digest="d1"),
    o.OccurrenceEngaged(
        **COMMON,
        kind=e.Kind.CLICKED,
        at=AT,
        machine="declared",
        answers=True,
        sent_at=AT,
        zone="Europe/Berlin",
        foretold=(1.0, -0.5),
        request_digest="d2",
    ),
    o.OccurrenceUnanswered(**COMMON, sent_at=AT, zone="Europe/Berlin", foretold=(1.0, -0.5)),
    e.RecipientEngaged(recipient_ref="ref", kind=e.Kind.ACTIVE, at=AT, zone="Europe/Berlin", machine="declared"),
    e.HabitsForgotten(recipient_ref="ref"),
    m.ModelFitted(
        people=2,
        asked=10.5,
        answered=2.25,
        everybody=(0.5,),
        everybody_covariance=((0.25,),),
        segments=(m.SegmentCurve(name="", mean=(0.5,), covariance=((0.25,),), profile=(0.125,)),),
        between=((0.25,),),
        between_active=((0.5,),),
        gain=(0.75,),
        dispersion=0.875,
        trust=1.0,
        calibration=(0.0, 1.0),
        upto=17,
        fitted_at=AT,
    ),
    r.RecipientSet(
        recipient_ref="r_17",
        personal=r.RecipientProfile(id="user-17", zone="Europe/Berlin", locale="de-DE", attributes={"plan": None}),
    ),
    c.CalendarSet(
        id="munich",
        definition=CALENDAR,
        subscription=c.Subscription(
            url="https://example.com/days.ics",
            every_s=86_400,
            year=2026,
            fetched_at=AT,
            etag='"1"',
            last_modified="Tue, 01 Dec 2026 08:00:00 GMT",
            passed_over=1,
            failing_since=AT,
            error="the server answered 500",
        ),
        request_digest="d1",
    ),
    k.KeyIssued(
        sha256="ab" * 32,
        prefix="hk_abcdefg",
        label="app",
        scope=k.Scope.WRITE,
        expires_at=AT,
        rotated_from=OTHER,
        request_digest="d1",
    ),
    k.KeyRotated(successor=OTHER, expires_at=AT),
    k.KeyRevoked(reason="leaked"),
    f.FeedOpened(
        sha256="ab" * 32,
        prefix="hf_abcdefg",
        label="team",
        recipient_ref="r_17",
        personal=f.FeedOwner(recipient="user-17"),
        request_digest="d1",
    ),
    f.FeedRotated(sha256="cd" * 32, prefix="hf_hijklmn", old_until=AT, request_digest="d1"),
    f.FeedRevoked(reason="lost"),
    a.SlotSilent(schedule_id=STREAM, occurrence_id=OTHER, slot=SLOT, due_at=AT, state="overdue"),
    q.RequestAnswered(schedule_id=STREAM, operation="pause", version=2, request_digest="d1"),
    z.ZoneDataAdopted(change=OTHER, version="2026c", keep="wall_time"),
    z.RecipientMoved(change=OTHER, recipient_version=2, before="UTC", zone="GMT", version="2026c", keep="instant"),
    z.SlotsMoved(
        change=OTHER,
        moves=(
            z.Move(schedule_id=STREAM, slot=SLOT, zone="America/Vancouver", tzdata="2025c", before=AT, after=AT),
            z.Move(schedule_id=OTHER, slot=SLOT, zone="Africa/Casablanca", tzdata="2026b", before=AT, occurrence=OTHER),
        ),
    ),
    z.ZoneDataReported(change=OTHER, checked=17, zones={"Africa/Casablanca": 1, "America/Vancouver": 1}),
    z.SlotsRestored(change=OTHER, restored=(STREAM,), left={OTHER: "it is paused"}),
    z.ZoneDataUndone(change=OTHER, restored=1, left=1),
    x.LaneTaken(schedule_id=STREAM, strategy="shift", action="shifted"),
)

_RESOLVED = t.Resolved(local=SLOT.local, fold=1, zone="Europe/Berlin", zone_source="recipient")
_TIMINGS: dict[str, t.Timing] = {
    "now": t.Now(resolved=_RESOLVED),
    "at": t.At(at=AT),
    "local": t.At(local=SLOT.local, zone="recipient"),
    "in": t.In(delay=t.Span(months=1, days=2, clock=timedelta(minutes=30)), zone="recipient", resolved=_RESOLVED),
    "delay": t.In(
        delay=t.Span(clock=timedelta(hours=6)), zone="recipient", resolved=_RESOLVED.model_copy(update={"instant": AT})
    ),
    "phrase": t.Phrase(text="tomorrow at 9 AM", zone="Asia/Tokyo", locale="en-GB", understood=_RESOLVED),
    "rrule": t.Every(rrule="FREQ=MONTHLY;BYDAY=-1FR", zone="Europe/Berlin"),
    "interval": t.Every(interval=t.Interval(unit="hours", count=6), zone="UTC"),
    "calendar": t.Every(
        business_day=BusinessDay(nth=-1, at="09:00", months=(3, 12)),
        calendar=OnCalendar(id="munich", business_hours_only=True, skip_weekends=True, skip_holidays=True, move="back"),
        zone="Europe/Berlin",
    ),
    "then": t.Every(
        cron="0 9 * * *",
        zone="UTC",
        then=t.Then(since=SLOT, timing=t.Every(cron="0 10 * * *", zone="UTC", starts_at=SLOT.local)),
    ),
}

#: Further golden files, by name: the stored name, `+`, and what is special about it.
VARIANTS: dict[str, Event] = {
    f"schedule.created.v1+{kind}": s.ScheduleCreated(
        recipient_ref="r_17",
        personal=PERSONAL,
        definition=DEFINITION.model_copy(update={"timing": timing}),
        next=NEXT,
    )
    for kind, timing in _TIMINGS.items()
} | {
    # As clients write it, and as all were before calendars could subscribe.
    "calendar.set.v1+written": c.CalendarSet(id="munich", definition=CALENDAR, request_digest="d1"),
    "calendar.set.v1+sum": c.CalendarSet(id="a", definition=CalendarDefinition(plus_hours=("b",), minus_hours=("c",))),
}
SETTLED = x.Settlement(
    strategy="highest_priority",
    action="partly_given_way",
    window=timedelta(hours=1),
    position=4711,
    checked_until=AT,
    others=1,
    against=(x.Against(schedule=OTHER, slot=SLOT, due_at=AT, other_slot=SLOT, other_due_at=AT, priority=2),),
    shifted_by=timedelta(minutes=30),
    into=OTHER,
    skipped=(SLOT,),
    given_up=(x.GivenUp(schedule=OTHER, slot=SLOT),),
    why="every field is filled here",
)
_ASKING = DEFINITION.model_copy(
    update={
        "conflicts": x.ConflictPolicy(strategy="shift", window=timedelta(hours=2), key="room-12"),
        "timing": t.At(at=AT, shifted_by=timedelta(minutes=30)),
    }
)
VARIANTS |= {
    "schedule.created.v1+settled": s.ScheduleCreated(
        recipient_ref="r_17", personal=PERSONAL, definition=_ASKING, next=NEXT, settled=SETTLED
    ),
    "schedule.changed.v1+settled": s.ScheduleChanged(
        personal=PERSONAL,
        definition=_ASKING,
        changed=("content",),
        next_unchanged=True,
        settled=SETTLED,
        for_schedule=OTHER,
    ),
    "schedule.cancelled.v1+settled": s.ScheduleCancelled(reason="Merged.", for_schedule=OTHER),
    "schedule.slot_skipped.v1+settled": s.SlotSkipped(
        slot=SLOT, occurrence=OTHER, due_at=AT, next_unchanged=True, for_schedule=OTHER
    ),
    "schedule.slot_changed.v1+settled": s.SlotChanged(
        slot=SLOT,
        occurrence=OTHER,
        changed=(),
        personal=PERSONAL,
        priority=3,
        delivery=DEFINITION.delivery,
        at=NEXT,
        settled=SETTLED,
        next_unchanged=True,
    ),
}
VARIANTS |= older(SAMPLES)
VARIANTS["schedule.changed.v1"] = CHANGED
VARIANTS["schedule.changed.v1+since"] = next(body for body in SAMPLES if isinstance(body, s.ScheduleChanged))
GOLDENS: dict[str, Event] = {body.name: body for body in SAMPLES} | VARIANTS


def sample(body: Event) -> NewEvent:
    """The event as it would be appended."""
    return NewEvent(STREAM, 1, META, body)
