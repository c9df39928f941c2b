"""A request that changed nothing, kept so that its repeat does not change anything either.

A request with an Idempotency-Key is known again by the id of the event that it made. One that found everything as it
asked made none; so it gets this one, in a stream of its own, which leaves the schedule's version, and with it every
claim and every If-Match, as they are.
"""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from horae.domain.envelope import Event
from horae.domain.ids import derived_id


class RequestAnswered(Event):
    """It was answered with the schedule as it was; its event id tells a repeat, as of every request."""

    name: ClassVar[str] = "request.answered.v1"
    # Not `schedule`: by that name events say whose rows they change, and this one changes none.
    schedule_id: UUID
    #: "pause", "resume", "skip:2026-12-25T09:00:00/0", ...
    operation: str
    #: Of the schedule, as the answer showed it.
    version: int
    request_digest: str | None = None


def request_stream(tenant: str, operation: str, schedule: UUID, key: str) -> UUID:
    """The stream of a request under this Idempotency-Key."""
    return derived_id(tenant, f"answered {operation}:{schedule}", key)
