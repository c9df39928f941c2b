"""Which documents change when events are applied.

Place in the flow: indexer -> *here*: pure; what is in the documents comes from the read models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from horae.domain import schedule as s
from horae.domain.envelope import Recorded
from horae.domain.occurrence import OccurrenceEvent
from horae.projections.fold import by_itself


@dataclass(slots=True)
class Touched:
    """What events touch."""

    schedules: set[UUID] = field(default_factory=set)
    occurrences: set[UUID] = field(default_factory=set)
    #: Those whose occurrences' documents change with them.
    changed: set[UUID] = field(default_factory=set)


def touched_by(events: Sequence[Recorded]) -> Touched:
    """The documents, besides their own, that these events change."""
    found = Touched()
    for event in events:
        body = event.body
        if isinstance(body, OccurrenceEvent):
            found.schedules.add(body.schedule)
            found.occurrences.add(event.stream)
        elif body.name.startswith("schedule."):
            found.schedules.add(event.stream)
            if isinstance(body, s.ScheduleChanged):
                found.changed.add(event.stream)
            elif isinstance(body, s.ScheduleTriggered):
                found.occurrences.add(body.occurrence)
            found.occurrences.update(by_itself(body))
    return found
