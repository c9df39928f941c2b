"""The schedule and the instants that the specifications of the domain speak of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from horae.domain import occurrence as o
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.delivery import Delivery, Failure
from horae.domain.ids import occurrence_id
from horae.domain.personal import Personal

SCHEDULE = UUID("01932c5b-0000-7000-8000-000000000001")
TRIGGER = UUID("01932c5b-0000-7000-8000-000000000002")
REF = "r_17"
OWNER = 41
#: Tuesday.
NOW = datetime(2026, 12, 1, 8, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

DAILY = t.Every(cron="0 9 * * *", zone="UTC")
AT_NOON = t.At(at=NOW + 4 * HOUR)
PERSONAL = Personal(recipient="user-17", channel="log:", content={"subject": "Hi"}, tags=("onboarding",))


def slot(day: int, hour: int = 9, fold: int = 0) -> t.Slot:
    """A slot in December 2026."""
    return t.Slot(local=datetime(2026, 12, day, hour), fold=fold)  # noqa: DTZ001 - slots are naive


OCCURRENCE = occurrence_id(SCHEDULE, slot(1).local, 0)


def context(now: datetime = NOW, **more: Any) -> t.Context:
    return t.Context(now=now, schedule_id=SCHEDULE, **more)


def created(timing: t.Timing = DAILY, *, now: datetime = NOW, **more: Any) -> s.ScheduleCreated:
    """The event that the real decider makes of an ordinary request."""
    defaults: dict[str, Any] = {
        "schedule": SCHEDULE,
        "recipient_ref": REF,
        "personal": PERSONAL,
        "timing": timing,
        "context": context(now),
        "priority": 2,
        "delivery": Delivery(),
    }
    return s.create(s.Create(**{**defaults, **more}))


def next_on(day: int, hour: int = 9) -> t.Next:
    """The daily series' slot of that day."""
    found = t.find(t.normalise(DAILY, context()), slot(day, hour), context())
    assert found is not None
    return found


def standing(next_: t.Next | None, *, begun: bool = False) -> s.Current:
    return s.Current(next=next_, begun=begun)


# --- occurrences ----------------------------------------------------------------------------------------------

COMMON: dict[str, Any] = {"schedule": SCHEDULE, "recipient_ref": REF, "priority": 2}


def claimed(day: int = 1, **more: Any) -> o.OccurrenceClaimed:
    """The first attempt at the daily series' slot of that day."""
    at = next_on(day)
    facts: dict[str, Any] = {
        **COMMON,
        "schedule_version": 1,
        "origin": "slot",
        "slot": at.slot,
        "due_at": at.due_at,
        "plan": at.plan,
        "owner": OWNER,
        "moves": True,
        "next": next_on(day + 1),
    }
    return o.OccurrenceClaimed(**{**facts, **more})


def failure(**more: Any) -> Failure:
    return Failure(**{"kind": "http", "message": "HTTP 500", "status_code": 500, **more})


def failed(attempt: int = 1, *, retry_at: datetime | None = NOW + HOUR, **more: Any) -> o.AttemptFailed:
    return o.AttemptFailed(**COMMON, attempt=attempt, failure=failure(**more), retry_at=retry_at)


def started(attempt: int, owner: int = OWNER) -> o.AttemptStarted:
    return o.AttemptStarted(**COMMON, schedule_version=1, attempt=attempt, owner=owner)


def ended(outcome: o.Outcome, attempt: int = 1, reason: str = "so") -> o.OccurrenceEnded:
    return o.OccurrenceEnded(**COMMON, outcome=outcome, reason=reason, attempt=attempt)
