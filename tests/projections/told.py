"""A log told by hand: events of ordinary schedules, at consecutive positions, through the codec."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from horae.domain import codec, ids
from horae.domain import occurrence as o
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.delivery import Delivery, Failure
from horae.domain.envelope import Event, Meta, NewEvent, Recorded
from horae.domain.personal import Personal

NOW = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
PLAN = t.Plan(zone="Europe/Berlin", zone_source="recipient", tzdata="2026f", branch="normal")
DAILY = t.Every(cron="0 9 * * *", zone="Europe/Berlin")
ONCE = t.At(at=NOW)


def at(due_at: datetime = NOW) -> t.Next:
    """The slot that is due then."""
    return t.Next(slot=t.Slot(local=due_at.replace(tzinfo=None)), due_at=due_at, plan=PLAN)


@dataclass
class Told:
    """Grows by one event per call; each call gives the id of the stream."""

    tenant: str = "acme"
    log: list[Recorded] = field(default_factory=list)
    now: datetime = NOW
    versions: dict[UUID, int] = field(default_factory=dict)

    def tell(self, stream: UUID, body: Event) -> UUID:
        version = self.versions[stream] = self.versions.get(stream, 0) + 1
        position = len(self.log) + 1
        meta = Meta(
            event_id=UUID(int=position),
            tenant=self.tenant,
            shard=ids.shard_of(self.tenant, str(getattr(body, "schedule", stream))),
            actor="key:1",
            recorded_at=self.now,
        )
        topic, state = codec.dump(NewEvent(stream, version, meta, body))
        self.log.append(codec.load(topic, state, stream, version, position))
        return stream

    def created(
        self,
        number: int = 1,
        timing: t.Timing = DAILY,
        next_: t.Next | None = None,
        recipient: str = "user-17",
        **personal: Any,
    ) -> UUID:
        who = Personal(**{"recipient": recipient, "channel": "log:", **personal})
        definition = s.Definition(timing=timing, priority=3, delivery=Delivery())
        body = s.ScheduleCreated(
            recipient_ref=f"ref-{recipient}", personal=who, definition=definition, next=next_ or at()
        )
        return self.tell(UUID(int=number), body)

    def facts(self, schedule: UUID, recipient: str = "user-17") -> dict[str, Any]:
        return {"schedule": schedule, "recipient_ref": f"ref-{recipient}", "priority": 3}

    def claimed(self, schedule: UUID, slot: t.Next | None = None, next_: t.Next | None = None, **more: Any) -> UUID:
        slot = slot or at()
        facts: dict[str, Any] = {
            **self.facts(schedule),
            "schedule_version": self.versions[schedule],
            "origin": "slot",
            "slot": slot.slot,
            "due_at": slot.due_at,
            "plan": slot.plan,
            "owner": 7,
            "moves": True,
            "next": next_,
        }
        id_ = ids.occurrence_id(schedule, slot.slot.local, slot.slot.fold)
        return self.tell(id_, o.OccurrenceClaimed(**{**facts, **more}))

    def failed(self, schedule: UUID, occurrence: UUID, retry_in_s: float | None = 5, attempt: int = 1) -> UUID:
        retry_at = None if retry_in_s is None else self.now + timedelta(seconds=retry_in_s)
        failure = Failure(kind="http", message="HTTP 500", status_code=500)
        started: dict[str, Any] = {"started_at": self.now, "duration_ms": 20.0}
        return self.tell(
            occurrence,
            o.AttemptFailed(
                **self.facts(schedule),
                attempt=attempt,
                failure=failure,
                retry_at=retry_at,
                **started,
            ),
        )

    def ended(self, schedule: UUID, occurrence: UUID, outcome: o.Outcome = o.Outcome.DELIVERED, **more: Any) -> UUID:
        facts: dict[str, Any] = {"attempt": 1, "reason": f"so: {outcome}", **self.facts(schedule), **more}
        return self.tell(occurrence, o.OccurrenceEnded(outcome=outcome, **facts))
