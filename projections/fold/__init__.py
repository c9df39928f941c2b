"""Events to rows: what each event changes. No clock, no zone data, no randomness: the same log gives the same rows.

Place in the flow: `projector` gives a batch's prior rows, calls `Fold.apply` for each event in order, and
writes what changed.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from horae.domain.audit import SlotSilent
from horae.domain.conflicts import LaneTaken
from horae.domain.envelope import Event, Recorded
from horae.domain.request import RequestAnswered
from horae.domain.undecodable import Undecodable
from horae.domain.zonechange import ZONE_DATA_EVENTS
from horae.projections.fold import habits, occurrences, people, schedules, varying
from horae.projections.fold.batch import Rows, Unapplicable
from horae.projections.fold.varying import by_itself

__all__ = ["Fold", "Unapplicable", "by_itself", "family"]

#: Told to subscribers and kept in the log; no row depends on them.
_WITHOUT_ROWS = frozenset({SlotSilent, RequestAnswered, LaneTaken, *ZONE_DATA_EVENTS})
_HANDLERS: dict[type[Event], Any] = {
    **schedules.HANDLERS,
    **varying.HANDLERS,
    **occurrences.HANDLERS,
    **people.HANDLERS,
    **habits.HANDLERS,
}


class Fold(Rows):
    """The rows of one batch: prior ones as read, then as folded."""

    __slots__ = ()

    def apply(self, event: Recorded) -> None:
        """Fold one event in. Raises `Unapplicable` (or another error of bad data)."""
        handler = _HANDLERS.get(type(event.body))
        if handler is None:
            if type(event.body) in _WITHOUT_ROWS:
                return
            if isinstance(event.body, Undecodable):
                raise Unapplicable(f"{event.body.stored_name} at position {event.position}: {event.body.error}")
            raise Unapplicable(f"no projection knows {event.body.name}")
        handler(self, event, event.body)


def family(event: Recorded) -> UUID:
    """What shares rows with this event: the schedule of a schedule's or occurrence's event, else its own stream."""
    owner = getattr(event.body, "schedule", None)
    return owner if isinstance(owner, UUID) else event.stream
