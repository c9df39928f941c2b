"""The auditor's word: a slot should have ended and nothing was heard of it.

Each silent slot has a stream of its own with this one event, so that the alarm neither stands in the way of a claim
(which expects the occurrence's stream empty) nor is told twice, whoever finds the silence and however often.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from horae.domain import timing as t
from horae.domain.envelope import Event
from horae.domain.ids import derived_id


class SlotSilent(Event):
    """Found silent at the time of recording. What becomes of the slot after all is told in its occurrence's stream."""

    name: ClassVar[str] = "audit.slot_silent.v1"
    # Not `schedule` and `occurrence`: by these names events say whose rows they change, and this one changes none.
    schedule_id: UUID
    occurrence_id: UUID
    slot: t.Slot
    due_at: datetime
    #: overdue, unwatched (no due row will bring it), unheard, or the status in which the occurrence is stuck.
    state: str


def silence_stream(tenant: str, occurrence: UUID) -> UUID:
    """The stream of the silence about an occurrence."""
    return derived_id(tenant, "silent slot", str(occurrence))


def silence_event_id(tenant: str, occurrence: UUID) -> UUID:
    """Always the same, so that telling it again is no conflict."""
    return derived_id(tenant, "silent slot event", str(occurrence))
