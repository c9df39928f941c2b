"""A schedule and its occurrences as one log with its due rows, small enough to be driven at random.

What stands here for the projection and the dispatcher is the contract in its plainest form: the `slot` row is moved by
events that carry `next`, occurrence rows by those that put one off.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

from horae.domain import occurrence as o
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.ids import occurrence_id
from tests.domain.makers import NOW, OWNER, SCHEDULE, context, created


@dataclass
class Life:
    """Everything that has happened to one schedule."""

    timing: t.Timing
    now: datetime = NOW
    asked: list[s.ScheduleEvent] = field(default_factory=list)
    asked_at: list[datetime] = field(default_factory=list)
    occurrences: dict[UUID, list[o.AnyOccurrenceEvent]] = field(default_factory=dict)
    #: The series' row: the slot that it waits for.
    slot_row: t.Next | None = None
    #: Rows of single occurrences: when, and the slot to claim (None: a further attempt).
    rows: dict[UUID, tuple[datetime, t.Next | None]] = field(default_factory=dict)
    #: Stretches in which slots are given up because a client paused.
    paused_since: datetime | None = None
    paused: list[tuple[datetime, datetime]] = field(default_factory=list)
    #: How long each stream was when the schedule was cancelled.
    at_cancel: dict[UUID, int] | None = None

    def __post_init__(self) -> None:
        self._asked([created(self.timing)])

    @property
    def schedule(self) -> s.Schedule:
        state: s.Schedule | None = None
        for event in self.asked:
            state = s.evolve(state, SCHEDULE, event)
        assert state is not None
        return state

    @property
    def context(self) -> t.Context:
        return context(self.now, exceptions=self.schedule.out)

    def occurrence(self, id_: UUID) -> o.Occurrence | None:
        state: o.Occurrence | None = None
        for event in self.occurrences.get(id_, []):
            state = o.evolve(state, id_, event)
        return state

    def current(self) -> s.Current:
        """Where the series stands, as a handler finds it."""
        state = self.schedule
        if not state.recurring:
            slot = s.one_off_slot(state, self.context)
            if self._id(slot) in self.occurrences:
                return s.Current(next=None, begun=True)
            return s.Current(next=None if slot.slot in state.exceptions else slot)
        at = self.slot_row if state.status is s.Status.ACTIVE else None
        while at is not None and self._id(at) in self.occurrences:
            at = t.following(state.timing, at, self.context)
        return s.Current(next=at)

    def ask(self, command: s.Command) -> None:
        """A client's command; a refusal stores nothing."""
        self._asked(s.decide(command, self.schedule))

    def do(self, id_: UUID, command: o.Command) -> None:
        """A command on an occurrence."""
        for event in o.decide(command, self.occurrence(id_)):
            self._happened(id_, event)

    def backfill(self) -> None:
        """A client asks for everything that was not sent, pauses included, as the handler carries it out."""
        state, begin, current = self.schedule, self.asked_at[0], self.current().next
        self.ask(s.Backfill(backfill=SCHEDULE, begin=begin, end=self.now, count=1))
        history: list[s.InForce] = []
        then: s.Schedule | None = None
        for at, event in zip(self.asked_at, self.asked, strict=True):
            then = s.evolve(then, SCHEDULE, event)
            history.append(s.InForce(at, then, self.context))
        for slot in s.past_slots(begin, self.now, history):
            if slot.stood == "skipped" or (current is not None and not s.is_before(slot.at, current)):
                continue
            command = o.Backfill(schedule=state, backfill=SCHEDULE, at=slot.at, under=slot.version, due_at=self.now)
            self.do(self._id(slot.at), command)

    def fire(self, at: t.Next, row: o.Row, id_: UUID) -> None:
        """What the dispatcher does with a due row."""
        command = o.Fire(
            schedule=self.schedule,
            at=at,
            row=row,
            origin="slot" if row == "slot" else "trigger",
            owner=OWNER,
            now=self.now,
            context=self.context,
        )
        self.do(id_, command)

    def fire_slot(self) -> None:
        if self.slot_row is not None and self.slot_row.due_at <= self.now:
            self.fire(self.slot_row, "slot", self._id(self.slot_row))

    def open_attempts(self) -> list[UUID]:
        states = ((id_, self.occurrence(id_)) for id_ in self.occurrences)
        return sorted(id_ for id_, state in states if state is not None and state.phase is o.Phase.EXECUTING)

    def _id(self, at: t.Next) -> UUID:
        return occurrence_id(SCHEDULE, at.slot.local, at.slot.fold)

    def _asked(self, events: Iterable[s.ScheduleEvent]) -> None:
        for event in events:
            waiting = self.slot_row
            self.asked.append(event)
            self.asked_at.append(self.now)
            match event:
                case s.ScheduleCreated() | s.ScheduleReplanned():
                    self.slot_row = event.next
                case s.ScheduleResumed():
                    self.slot_row = event.next
                    if self.paused_since is not None:
                        self.paused.append((self.paused_since, self.now))
                        self.paused_since = None
                case s.SchedulePaused():
                    # What was overdue when somebody paused is held back too, and not made up for.
                    overdue = waiting is not None and waiting.due_at <= self.now
                    self.paused_since = waiting.due_at - TICK if overdue and waiting else self.now
                    self.slot_row = None
                case s.ScheduleCancelled():
                    self.slot_row = None
                    self.at_cancel = {id_: len(events) for id_, events in self.occurrences.items()}
                    self.rows = {id_: (self.now, at) for id_, (_, at) in self.rows.items()}
                case s.ScheduleBackfilled():
                    pass
                case s.ScheduleTriggered():
                    self.rows[event.occurrence] = (event.at.due_at, event.at)
                case s.ScheduleChanged() | s.SlotSkipped() | s.SlotUnskipped() | s.SlotChanged():
                    if isinstance(event, s.SlotChanged) and event.at is not None:
                        self.rows[event.occurrence] = (event.at.due_at, event.at)
                    if not event.next_unchanged and self.schedule.status is s.Status.ACTIVE:
                        self.slot_row = event.next
                case s.SlotReplanned():
                    self.rows[event.occurrence] = (event.at.due_at, event.at)

    def _happened(self, id_: UUID, event: o.AnyOccurrenceEvent) -> None:
        self.occurrences.setdefault(id_, []).append(event)
        self.rows.pop(id_, None)
        match event:
            case o.OccurrenceClaimed(moves=True) | o.OccurrenceEnded(moves=True) | o.OccurrenceDeferred(moves=True):
                self.slot_row = event.next
            case o.OccurrenceMissed() | o.SlotPassed():
                self.slot_row = event.next
            case _:
                pass
        match event:
            case o.AttemptFailed() if event.retry_at is not None:
                self.rows[id_] = (event.retry_at, None)
            case o.OccurrenceReplayed():
                self.rows[id_] = (event.due_at, None)
            case o.OccurrenceBackfilled():
                self.rows[id_] = (event.due_at, t.Next(slot=event.slot, due_at=event.due_at, plan=event.plan))
            case _:
                pass

    # --- what must hold ---------------------------------------------------------------------------------------

    def check_one_claim(self) -> None:
        """Whatever happens, an occurrence is claimed once at most, and attempts count up from there."""
        for events in self.occurrences.values():
            assert sum(isinstance(event, o.OccurrenceClaimed) for event in events) <= 1
            attempts = [event.attempt for event in events if isinstance(event, o.AttemptStarted)]
            assert attempts == list(range(2, len(attempts) + 2))
            real = [event for event in events if not isinstance(event, o.SlotPassed | o.DeliveryReported)]
            for before, event in pairwise(real):
                if isinstance(event, o.AttemptStarted):
                    assert isinstance(before, o.AttemptFailed | o.OccurrenceReplayed)

    def check_ends(self) -> None:
        """After its end nothing happens to an occurrence, but that it is replayed, reported on, or passed again; or
        asked for, if nobody had ever claimed it.
        """
        for events in self.occurrences.values():
            over = claimed = False
            for event in events:
                claimed = claimed or isinstance(event, o.OccurrenceClaimed)
                if isinstance(event, o.OccurrenceBackfilled):
                    assert not claimed
                    over = False
                if over:
                    assert isinstance(event, o.OccurrenceReplayed | o.DeliveryReported | o.SlotPassed), event.name
                if isinstance(event, o.OccurrenceEnded | o.OccurrenceMissed):
                    over = True
                if isinstance(event, o.OccurrenceReplayed):
                    over = False

    def check_versions(self) -> None:
        """A state's version is the number of its events."""
        assert self.schedule.version == len(self.asked)
        for id_, events in self.occurrences.items():
            state = self.occurrence(id_)
            assert state is not None
            assert state.version == len(events)

    def check_cancel(self) -> None:
        """After a cancel nothing is claimed and no attempt starts."""
        if self.at_cancel is None:
            return
        for id_, events in self.occurrences.items():
            later = events[self.at_cancel.get(id_, 0) :]
            assert not any(isinstance(event, o.OccurrenceClaimed | o.AttemptStarted) for event in later)

    def check_complete(self) -> None:
        """Every slot that the series has left behind has an outcome, a claim, or a client who took it out."""
        state = self.schedule
        if not state.recurring:
            return
        covered = [
            (event.due_at, event.to_due_at)
            for events in self.occurrences.values()
            for event in events
            if isinstance(event, o.OccurrenceMissed)
        ]
        end = self.slot_row.due_at if self.slot_row is not None else NOW
        for planned in t.preview(state.timing, 100, context(exceptions=state.exceptions), NOW).slots:
            if planned.due_at >= end:
                break
            accounted = (
                self._id(planned) in self.occurrences
                or any(first <= planned.due_at <= last for first, last in covered)
                or any(since < planned.due_at <= until for since, until in self.paused)
            )
            assert accounted, f"{planned.slot} is lost"


HOUR, TICK = timedelta(hours=1), timedelta(microseconds=1)
