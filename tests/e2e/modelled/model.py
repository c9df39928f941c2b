"""Schedules as a client may expect them after reading the documentation: plain, slow, and nothing of the product.

Time is a number that `Model.advance` moves; whatever is due on the way fires then. What a request would be refused for
is raised as `Refused` with its status.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from tests.e2e.modelled.timings import FAR, Timed
from tests.simulation.calendar import Expected

Key = tuple[datetime, int] | str
"""A slot by local time and fold, or the id of what was triggered by hand."""
SHOWN = {"retrying": "executing", "delivered": "completed", "dead_lettered": "failed"}


class Refused(Exception):
    """The request changes nothing and is answered with `status`."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, order=True)
class Release:
    """What a receiver sees."""

    schedule: str
    slot: str
    due_at: datetime
    attempt: int
    released_at: datetime
    content: int


@dataclass
class Occurrence:
    """One slot, or one trigger, of which there is a first word."""

    due_at: datetime
    slot: Expected
    origin: Literal["slot", "trigger"]
    status: str = "waiting"
    attempts: int = 0
    #: Failed attempts since it began, or was replayed.
    failed: int = 0
    wake_at: datetime | None = None
    lives_from: datetime | None = None


@dataclass
class Schedule:
    """One schedule and what became of it."""

    id: str
    timed: Timed
    channel: str
    content: int
    retries: int
    delay: timedelta
    expires_after: timedelta | None
    #: Slots due up to then are dealt with, or were never meant.
    cursor: datetime
    version: int = 1
    phase: Literal["active", "paused", "cancelled"] = "active"
    exceptions: set[tuple[datetime, int]] = field(default_factory=set)
    occurrences: dict[Key, Occurrence] = field(default_factory=dict)
    #: Of a one-off: the occurrence of its slot, once there is one.
    own: Occurrence | None = None
    fired: int = 0

    # --- where it stands ---

    def coming(self, count: int = 1) -> list[Expected]:
        """The next slots, by the timing and what was taken out of it."""
        slots = self.timed.slots(self.cursor, self.cursor + FAR)
        return [slot for slot in slots if (slot.local, slot.fold) not in self.exceptions][:count]

    @property
    def next(self) -> Expected | None:
        """The slot that it waits for."""
        if self.phase != "active" or self.own is not None:
            return None
        if not self.timed.recurring:
            assert self.timed.once is not None
            return None if self._skipped(self.timed.once) else self.timed.once
        return next(iter(self.coming()), None)

    @property
    def status(self) -> str:
        """As clients are shown it once nothing is due."""
        if self.own is not None:
            waits = self.own.status in ("waiting", "retrying") and self.phase != "active"
            return self.phase if waits else SHOWN.get(self.own.status, self.own.status)
        if self.phase != "active":
            return self.phase
        if self.next is not None:
            return "pending"
        busy = any(each.status in ("waiting", "retrying") for each in self.occurrences.values())
        return "executing" if busy and self.timed.recurring else "completed"

    def _skipped(self, slot: Expected) -> bool:
        return (slot.local, slot.fold) in self.exceptions

    @property
    def begun(self) -> bool:
        """A one-off that is on its way or done, so that nothing can move it."""
        once = self.timed.once
        return once is not None and (once.local, once.fold) in self.occurrences

    # --- what clients do ---

    def check(self, if_match: int | None, *, open_: bool = True) -> None:
        if if_match not in (None, self.version):
            raise Refused(412)
        if open_ and self.phase == "cancelled":
            raise Refused(409)

    def to(self, phase: Literal["active", "paused", "cancelled"], now: datetime, if_match: int | None) -> None:
        """Pause, resume or cancel."""
        self.check(if_match, open_=phase != "cancelled")
        if self.phase == phase:
            return
        if phase == "active":
            # What fell due in the pause is not made up for.
            self.cursor = now
        self.phase = phase
        self.version += 1

    def reword(self, content: int, if_match: int | None) -> None:
        self.check(if_match)
        if self.begun:
            raise Refused(409)
        if content != self.content:
            self.content, self.version = content, self.version + 1

    def retime(self, timed: Timed, now: datetime, if_match: int | None) -> None:
        if timed.ended(now):
            raise Refused(422)
        self.check(if_match)
        if self.begun:
            raise Refused(409)
        same = self.timed.same_rule(timed)
        if same:
            timed = replace(timed, anchor=self.timed.anchor)
        if (timed.sent, timed.once) == (self.timed.sent, self.timed.once):
            return
        if self.timed.recurring and self.phase == "active" and self.next is None:
            raise Refused(409)
        if timed.once is not None and (timed.once.local, timed.once.fold) in self.occurrences:
            # The series has had it: it would be the same occurrence.
            raise Refused(409)
        exceptions = self.exceptions if same else set()
        if timed.ended(now, exceptions):
            raise Refused(422)
        self.timed, self.exceptions, self.cursor, self.own = timed, exceptions, now, None
        self.version += 1

    def skip(self, slot: Expected) -> None:
        self.check(None)
        if not self.has(slot):
            raise Refused(422)
        if self._skipped(slot):
            return
        if self.phase == "active" and (self.next is None or slot.due_at < self.next.due_at):
            raise Refused(409)
        self.exceptions.add((slot.local, slot.fold))
        self.version += 1

    def unskip(self, slot: Expected, now: datetime) -> None:
        self.check(None)
        if not self._skipped(slot):
            return
        if not self.has(slot):
            raise Refused(422)
        if slot.due_at <= now:
            raise Refused(409)
        self.exceptions.discard((slot.local, slot.fold))
        self.version += 1

    def has(self, slot: Expected) -> bool:
        """Is it one of the timing's, skipped or not?"""
        return slot in self.timed.slots(slot.due_at - timedelta(seconds=1), slot.due_at)

    def trigger(self, occurrence: str, now: datetime, slot: Expected) -> None:
        if self.phase != "active":
            raise Refused(409)
        self.occurrences[occurrence] = Occurrence(now, slot, "trigger", wake_at=now)
        self.version += 1

    def replay(self, key: Key, now: datetime) -> None:
        occurrence = self.occurrences[key]
        if occurrence.status != "dead_lettered" or self.phase == "cancelled":
            raise Refused(409)
        occurrence.status, occurrence.failed = "retrying", 0
        occurrence.wake_at = occurrence.lives_from = now


@dataclass
class Model:
    """All schedules of an example, on one clock."""

    now: datetime
    #: What the receiver answers: 204, 425 (try again) or 410 (never again).
    answers: int = 204
    schedules: dict[str, Schedule] = field(default_factory=dict)
    released: list[Release] = field(default_factory=list)

    def advance(self, to: datetime) -> None:
        """Let everything that is due up to `to` happen, each at its instant."""
        while True:
            due = [(at, schedule, key) for schedule in self.schedules.values() for at, key in self._due(schedule)]
            at, schedule, key = min(due, key=lambda each: each[0], default=(None, None, None))
            if at is None or schedule is None or max(at, self.now) > to:
                break
            self.now = max(at, self.now)
            self._fire(schedule) if key is None else self._attempt(schedule, schedule.occurrences[key])
        self.now = to

    @property
    def restless(self) -> bool:
        """Is something due at this very moment?"""
        return any(at <= self.now for schedule in self.schedules.values() for at, _ in self._due(schedule))

    def _due(self, schedule: Schedule) -> list[tuple[datetime, Key | None]]:
        found: list[tuple[datetime, Key | None]] = []
        if schedule.next is not None:
            found.append((schedule.next.due_at, None))
        if schedule.phase != "paused":
            for key, occurrence in schedule.occurrences.items():
                if occurrence.wake_at is not None:
                    cancelled = schedule.phase == "cancelled"
                    found.append((min(self.now, occurrence.wake_at) if cancelled else occurrence.wake_at, key))
        return found

    def _fire(self, schedule: Schedule) -> None:
        """The schedule's own next slot has come."""
        slot = schedule.next
        assert slot is not None
        key = (slot.local, slot.fold)
        before = schedule.occurrences.get(key)
        occurrence = before or Occurrence(slot.due_at, slot, "slot")
        schedule.cursor = slot.due_at
        if not schedule.timed.recurring:
            schedule.own = occurrence
        if before is None:
            # Else it has fired under another timing: what is done is not done again.
            schedule.occurrences[key] = occurrence
            self._attempt(schedule, occurrence)

    def _attempt(self, schedule: Schedule, occurrence: Occurrence) -> None:
        expires, occurrence.wake_at = schedule.expires_after, None
        if schedule.phase == "cancelled":
            occurrence.status = "cancelled"
        elif expires is not None and self.now > (occurrence.lives_from or occurrence.due_at) + expires:
            occurrence.status = "expired"
        else:
            schedule.fired += occurrence.attempts == 0
            occurrence.attempts += 1
            slot = occurrence.slot.local.isoformat()
            self.released.append(
                Release(schedule.id, slot, occurrence.due_at, occurrence.attempts, self.now, schedule.content)
            )
            self._answered(schedule, occurrence, 204 if schedule.channel == "log:" else self.answers)

    def _answered(self, schedule: Schedule, occurrence: Occurrence, status: int) -> None:
        if status == 204:
            occurrence.status = "delivered"
        elif status == 425 and occurrence.failed < schedule.retries:
            occurrence.failed += 1
            occurrence.status, occurrence.wake_at = "retrying", self.now + schedule.delay
        else:
            occurrence.status = "dead_lettered"

    def shown(self, schedule: Schedule) -> dict[str, Any]:
        """What GET tells of it."""
        coming = schedule.next
        return {
            "version": schedule.version,
            "status": schedule.status,
            "next_due_at": None if coming is None else f"{coming.due_at:%Y-%m-%dT%H:%M:%SZ}",
            "content": {"n": schedule.content},
            "fired": schedule.fired,
            "skipped": [{"slot": local.isoformat(), "fold": fold} for local, fold in sorted(schedule.exceptions)],
        }
