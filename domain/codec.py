"""Events to bytes and back: stored names, upcasters, and one codec for all.

The state is JSON: {"meta": {...}, "body": {...}}. A stored name is never reused for another shape: a new shape gets
a new version and an upcaster from the old one, and its golden file in `tests/golden/`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, TypeAdapter

from horae.domain import (
    audit,
    calendar,
    engagement,
    feed,
    key,
    model,
    occurrence,
    recipient,
    request,
    schedule,
    zonechange,
)
from horae.domain.conflicts.events import LaneTaken
from horae.domain.envelope import Event, Meta, NewEvent, Recorded

#: Every event that there is.
EVENTS: tuple[type[Event], ...] = (
    schedule.ScheduleCreated,
    schedule.ScheduleChanged,
    schedule.SchedulePaused,
    schedule.ScheduleResumed,
    schedule.ScheduleCancelled,
    schedule.SlotSkipped,
    schedule.SlotUnskipped,
    schedule.SlotChanged,
    schedule.ScheduleTriggered,
    schedule.ScheduleBackfilled,
    schedule.ScheduleReplanned,
    schedule.SlotReplanned,
    occurrence.OccurrenceClaimed,
    occurrence.AttemptStarted,
    occurrence.AttemptFailed,
    occurrence.OccurrenceDeferred,
    occurrence.OccurrenceBackfilled,
    occurrence.OccurrenceMissed,
    occurrence.OccurrenceEnded,
    occurrence.OccurrenceReplayed,
    occurrence.SlotPassed,
    occurrence.DeliveryReported,
    occurrence.OccurrenceEngaged,
    occurrence.OccurrenceUnanswered,
    recipient.RecipientSet,
    engagement.RecipientEngaged,
    engagement.HabitsForgotten,
    model.ModelFitted,
    calendar.CalendarSet,
    key.KeyIssued,
    key.KeyRotated,
    key.KeyRevoked,
    feed.FeedOpened,
    feed.FeedRotated,
    feed.FeedRevoked,
    audit.SlotSilent,
    request.RequestAnswered,
    *zonechange.ZONE_DATA_EVENTS,
    LaneTaken,
)

#: Old stored name -> the function that turns its body into the next version's, and that version's name.
UPCASTERS: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = {}

B = TypeVar("B", bound=Event)


class _Stored(BaseModel, Generic[B]):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)
    meta: Meta
    body: B


_BY_NAME: dict[str, TypeAdapter[Any]] = {event.name: TypeAdapter(_Stored[event]) for event in EVENTS}  # type: ignore[valid-type]


class UnknownEvent(ValueError):
    """The log holds an event of a name that this version does not know: it was written by a newer one. Upgrade."""


def dump(event: NewEvent) -> tuple[str, bytes]:
    """The stored name and the state of an event. Absent optional fields are left out."""
    meta = event.meta.model_dump_json(exclude_none=True)
    body = event.body.model_dump_json(exclude_none=True)
    return event.body.name, f'{{"meta":{meta},"body":{body}}}'.encode()


def load(name: str, state: bytes, stream: UUID, version: int, position: int) -> Recorded:
    """The event as it was stored, brought up to the present shape. Raises `UnknownEvent`."""
    adapter = _BY_NAME.get(name)
    if adapter is None:
        return _load_old(name, state, stream, version, position)
    stored = adapter.validate_json(state)
    return Recorded(stream, version, stored.meta, stored.body, position)


def _load_old(name: str, state: bytes, stream: UUID, version: int, position: int) -> Recorded:
    raw = json.loads(state)
    while name in UPCASTERS:
        upcast, name = UPCASTERS[name]
        raw["body"] = upcast(raw["body"])
    if name not in _BY_NAME:
        raise UnknownEvent(f"event {name!r} at position {position} is unknown to this version")
    stored = _BY_NAME[name].validate_json(json.dumps(raw))
    return Recorded(stream, version, stored.meta, stored.body, position)
