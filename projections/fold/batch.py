"""The rows of one batch while events are folded into them: what every handler of an event works on.

Place in the flow: `tables` fills in the prior rows, `Fold` calls a handler per event, `tables` writes what was touched.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from horae.domain.envelope import Recorded
from horae.domain.timing import Timing
from horae.projections.due import DueRow
from horae.projections.rows import Occurrence, Standing


class Unapplicable(ValueError):
    """An event that contradicts what came before it. Its family is parked; nothing else waits for it."""


@dataclass(slots=True)
class Rows:
    """The rows of one batch: prior ones as read, then as folded."""

    standings: dict[UUID, Standing] = field(default_factory=dict)
    occurrences: dict[UUID, Occurrence] = field(default_factory=dict)
    #: Of prior standings: what their slot's due row depended on; None: they had none.
    slot_before: dict[UUID, tuple[Any, ...] | None] = field(default_factory=dict)
    #: Due rows of occurrences as they were stored: of the batch's, and of what waits under schedules clients touched.
    due_before: dict[UUID, DueRow] = field(default_factory=dict)
    #: Rows of `schedules` to be written, in the order of its statement's parameters.
    schedules: dict[UUID, tuple[Any, ...]] = field(default_factory=dict)
    #: Of other schedules, whose timing alone is to be written: id, timing, calendar, position, settled.
    retimed: dict[UUID, tuple[Any, ...]] = field(default_factory=dict)
    tags: dict[UUID, tuple[str, ...]] = field(default_factory=dict)
    #: What schedules are found by: where it stands, and the text.
    words: dict[UUID, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    #: Of schedules whose definition the batch makes or changes.
    timings: dict[UUID, Timing] = field(default_factory=dict)
    recipients: dict[tuple[str, str], tuple[Any, ...]] = field(default_factory=dict)
    calendars: dict[tuple[str, str], tuple[Any, ...]] = field(default_factory=dict)
    keys_issued: list[tuple[Any, ...]] = field(default_factory=list)
    keys_rotated: list[tuple[Any, ...]] = field(default_factory=list)
    keys_revoked: list[tuple[Any, ...]] = field(default_factory=list)
    feeds_opened: list[tuple[Any, ...]] = field(default_factory=list)
    feeds_rotated: list[tuple[Any, ...]] = field(default_factory=list)
    feeds_revoked: list[tuple[Any, ...]] = field(default_factory=list)
    #: What is known of recipients, as stored; (tenant, recipient_ref) -> a row of `habits`.
    habits: dict[tuple[str, str], Any] = field(default_factory=dict)
    #: Those of whom anything is known by now; those whom the batch met (last position), and those it forgot.
    known: set[tuple[str, str]] = field(default_factory=set)
    met: dict[tuple[str, str], int] = field(default_factory=dict)
    forgotten: set[tuple[str, str]] = field(default_factory=set)
    #: What there is to learn from, in the order of the log.
    facts: list[Any] = field(default_factory=list)
    told: list[Any] = field(default_factory=list)
    #: Answers awaited, as stored; and what the batch made of them (None: awaited no more).
    awaited_before: set[UUID] = field(default_factory=set)
    awaited: dict[UUID, Any] = field(default_factory=dict)
    models: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    #: Schedules and occurrences that an event touched; the others were only read.
    touched: set[UUID] = field(default_factory=set)

    def standing(self, event: Recorded, schedule_id: UUID) -> Standing:
        """The schedule's row, marked as touched by this event."""
        standing = self.standings.get(schedule_id)
        if standing is None:
            raise Unapplicable(f"{event.body.name} at position {event.position}: schedule {schedule_id} is unknown")
        standing.position = event.position
        self.touched.add(schedule_id)
        return standing

    def occurrence(self, event: Recorded) -> Occurrence:
        """The occurrence's row, raised to the event's version."""
        row = self.occurrences.get(event.stream)
        if row is None:
            raise Unapplicable(f"{event.body.name} at position {event.position}: occurrence {event.stream} is unknown")
        row.version, row.position = event.version, event.position
        self.touched.add(row.id)
        return row


def json_text(value: object) -> str:
    """A value as a JSON column takes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
