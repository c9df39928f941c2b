"""A recorded log, lived through again in memory: what stood where, and would today's code decide the same?

Place in the flow: log file -> *replay* -> a report. The real fold makes the rows and the due index; each time the log
says that a slot was claimed, missed, passed over or ended unclaimed, the real planning and deciding is asked again,
with the due row, the streams and the clock of that moment. No process, no database, no channel: nothing is sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from horae.commands.calendars import Assembler
from horae.commands.candidates import (
    NO_CALENDARS,
    Candidate,
    KnownCalendars,
    calendar_of,
    candidate_of,
    recipient_followed,
)
from horae.commands.recipients import Person
from horae.domain import calendar as c
from horae.domain import occurrence as o
from horae.domain.envelope import Event, Recorded
from horae.domain.errors import Invalid
from horae.domain.ids import recipient_stream
from horae.projections.due import DueRow
from horae.projections.fold import Fold, Unapplicable


@dataclass(frozen=True, slots=True)
class Finding:
    """Something at this position is not as it should be, or not as today's code would have it."""

    position: int
    stream: UUID
    event: str
    problem: str


@dataclass(slots=True)
class Replay:
    """The log up to the last event that was `take`n. `default_zone`: the installation's."""

    default_zone: str = "UTC"
    position: int = 0
    #: By the clock of the last event.
    at: datetime | None = None
    events: Counter[str] = field(default_factory=Counter)
    #: Decisions that were taken again.
    decided: int = 0
    findings: list[Finding] = field(default_factory=list)
    _fold: Fold = field(default_factory=Fold)
    _streams: dict[UUID, list[Recorded]] = field(default_factory=dict)
    #: (tenant, id) -> the calendar as it is written at this position.
    _calendars: dict[tuple[str, str], c.State] = field(default_factory=dict)
    _assembler: Assembler = field(default_factory=Assembler)

    def run(self, log: Iterable[Recorded]) -> Replay:
        """Take every event. Raises `Invalid` where the file leaves something out."""
        for event in log:
            self.take(event)
        return self

    def take(self, event: Recorded) -> None:
        """Live through one more event. Raises `Invalid`."""
        stream = self._streams.setdefault(event.stream, [])
        if event.position != self.position + 1 or event.version != len(stream) + 1:
            raise Invalid(
                f"The log goes on at position {self.position + 1}, version {len(stream) + 1} of its stream.",
                field="position",
                value=event.position,
                hint="A replay needs the whole log from its first event: record it anew.",
            )
        if isinstance(event.body, o.OccurrenceEvent):
            self._check(event, stream)
        elif isinstance(event.body, c.CalendarSet):
            written = (event.meta.tenant, event.body.id)
            self._calendars[written] = c.evolve(self._calendars.get(written), event.body)
        stream.append(event)
        try:
            self._fold.apply(event)
        except Unapplicable as error:
            self._find(event, str(error))
        self.position, self.at = event.position, event.meta.recorded_at
        self.events[event.body.name] += 1

    # --- what stands where ----------------------------------------------------------------------------------------

    def due(self) -> list[DueRow]:
        """What waits, by due instant; as the due index says at this position."""
        standings = self._fold.standings
        rows = [standing.due() for standing in standings.values()]
        rows += [row.due(standings[row.schedule]) for row in self._fold.occurrences.values()]
        return sorted((row for row in rows if row is not None), key=lambda row: (row.due_at, row.key))

    def under_way(self) -> list[tuple[UUID, int, int | None]]:
        """Attempts that are open: occurrence, number, the owner's incarnation."""
        rows = self._fold.occurrences.values()
        return [(row.id, row.attempts, row.owner) for row in rows if row.status == "executing"]

    def statuses(self) -> dict[str, int]:
        """How many schedules stand where, as clients see it."""
        return dict(Counter(standing.status for standing in self._fold.standings.values()))

    def outcomes(self) -> dict[str, int]:
        """How many occurrences there are of each status."""
        return dict(Counter(row.status for row in self._fold.occurrences.values()))

    # --- was it right, and would it be so again -------------------------------------------------------------------

    def _check(self, event: Recorded, history: list[Recorded]) -> None:
        body = event.body
        asked = self._streams.get(body.schedule, []) if isinstance(body, o.OccurrenceEvent) else []
        if not asked:
            self._find(event, "its schedule is not in the log")
            return
        if isinstance(body, o.OccurrenceClaimed | o.AttemptStarted):
            head, phase = len(asked), self._fold.standings[body.schedule].phase
            if body.schedule_version != head:
                self._find(event, f"it stands on version {body.schedule_version} of the schedule, whose head is {head}")
            if phase != "active":
                self._find(event, f"the schedule is {phase}")
            if isinstance(body, o.OccurrenceClaimed) and any(isinstance(e.body, o.OccurrenceClaimed) for e in history):
                self._find(event, "the occurrence was claimed before")
        if _decides_a_slot(body):
            self._decide_again(event, asked, history)

    def _decide_again(self, event: Recorded, asked: list[Recorded], history: list[Recorded]) -> None:
        row = self._row_of(event.stream, asked[0].stream)
        if row is None:
            self._find(event, "no due row named this slot")
            return
        now = event.meta.recorded_at
        streams = {asked[0].stream: asked, event.stream: history}
        people, calendars = self._followed(asked, event.meta.tenant), self._kept_to(asked, event.meta.tenant)
        candidate = candidate_of(row, streams, people, now, self.default_zone, calendars)
        if candidate is None or candidate.at is None:
            self._find(event, "today's planning calls the due row out of date")
            return
        self.decided += 1
        bodies = o.decide(_fire(candidate, event.body, now), candidate.state)
        again, said = (_essence(bodies[0]) if bodies else {}), _essence(event.body)
        changed = sorted(name for name in said.keys() | again.keys() if said.get(name) != again.get(name))
        if changed:
            told = "; ".join(f"{name}: {said.get(name)!r} then, {again.get(name)!r} now" for name in changed[:3])
            self._find(event, f"decided otherwise today: {told}")

    def _row_of(self, occurrence: UUID, schedule: UUID) -> DueRow | None:
        """The due row under which the slot waited a moment before."""
        standing, waiting = self._fold.standings[schedule], self._fold.occurrences.get(occurrence)
        if waiting is not None and (row := waiting.due(standing)) is not None:
            return row
        row = standing.due()
        return row if row is not None and row.occurrence == occurrence else None

    def _followed(self, asked: list[Recorded], tenant: str) -> dict[UUID, Person]:
        followed = recipient_followed(asked)
        if followed is None:
            return {}
        stream = recipient_stream(tenant, followed)
        return {asked[0].stream: Person.of(stream, self._streams.get(stream, []))}

    def _kept_to(self, asked: list[Recorded], tenant: str) -> KnownCalendars:
        named = calendar_of(asked)
        return NO_CALENDARS if named is None else self._assembler.together([(tenant, named)], self._calendars)

    def _find(self, event: Recorded, problem: str) -> None:
        self.findings.append(Finding(event.position, event.stream, event.body.name, problem))


def _decides_a_slot(body: Event) -> bool:
    """Was this decided when a slot came due? What a rule deferred or suppressed is not: rules are not in the log."""
    match body:
        case o.OccurrenceClaimed() | o.OccurrenceMissed() | o.SlotPassed():
            return True
        case o.OccurrenceEnded():
            return body.attempt == 0 and body.slot is not None and body.outcome is not o.Outcome.SUPPRESSED
        case _:
            return False


def _fire(candidate: Candidate, body: Any, now: datetime) -> o.Fire:
    due = candidate.due
    assert candidate.at is not None
    return o.Fire(
        schedule=candidate.schedule,
        at=candidate.at,
        row=due.row,
        origin=due.origin,
        owner=getattr(body, "owner", 0),
        now=now,
        context=candidate.context,
    )


def _essence(body: Event) -> dict[str, Any]:
    """The decision without its words: reasons say how late it was, which took its time to be written down."""
    kept = {"event": body.name, **body.model_dump(mode="json", exclude_none=True)}
    for at in (kept, kept.get("next") or {}):
        at.pop("plan", None)
    return kept
