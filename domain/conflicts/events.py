"""The lane: everybody who asks about conflicts among the same schedules writes to one stream, and so one by one.

It holds nothing that is needed to decide: who is there stands in the schedules' own streams. Its head is the fence.
"""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from horae.domain.conflicts.values import Action, Strategy
from horae.domain.envelope import Event
from horae.domain.ids import derived_id


class LaneTaken(Event):
    """A schedule was settled among the others of its lane."""

    name: ClassVar[str] = "lane.taken.v1"
    # Not `schedule`: by that name events say whose rows they change, and this one changes none.
    schedule_id: UUID
    strategy: Strategy
    action: Action


def lane_stream(tenant: str, recipient: str, key: str | None) -> UUID:
    """The stream of those who are compared with each other: of one key, or else of one recipient."""
    return derived_id(tenant, "conflicts of recipient", recipient) if key is None else derived_id(tenant, "lane", key)
