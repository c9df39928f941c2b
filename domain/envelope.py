"""The envelope of every event: who, for whom, when, why, and where it belongs.

An event's body is a frozen pydantic model with a stored name that survives renames; an upcaster per old
version lives in `codec.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """Base of frozen values: two of the same content are equal, unknown fields are refused."""

    # Errors end in logs: they name the field, never what somebody wrote there.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Event(Value):
    """Base of event bodies: past-tense facts."""

    #: The stored name, with its version: "schedule.created.v1".
    name: ClassVar[str]


class Meta(Value):
    """What every event carries beside its body."""

    event_id: UUID
    tenant: str
    #: 0 to 63, see `ids.shard_of`.
    shard: int
    #: Who did it: "key:<id>", "worker:<incarnation>", "cli".
    actor: str
    request_id: str | None = None
    #: The request or the occurrence's chain that all of this belongs to.
    correlation_id: UUID | None = None
    #: The event that led to this one.
    causation_id: UUID | None = None
    #: By the service's clock (virtual or real), aware UTC.
    recorded_at: datetime
    #: W3C trace context of what led to it, where that was traced and sampled; stored only then.
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that a decider made and that is not stored yet; `version` counts from 1 in its stream."""

    stream: UUID
    version: int
    meta: Meta
    body: Event

    def at(self, position: int) -> Recorded:
        """The same event as it is stored there."""
        return Recorded(self.stream, self.version, self.meta, self.body, position)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A stored event; `position` is its place in the notification log, the only cursor in the system."""

    stream: UUID
    version: int
    meta: Meta
    body: Event
    position: int


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A row of the log as it lies there, not decoded: for those who pass events on and must not die of one."""

    position: int
    stream: UUID
    version: int
    shard: int
    #: The stored name.
    name: str
    state: bytes
