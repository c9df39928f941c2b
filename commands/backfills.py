"""Backfill: slots of the past that were not sent, by the timing that was in force when each came due.

Place in the flow: api -> *here* -> domain, log. Everything is read from the log: what was in force (`inforce`), and
what has become of each slot. The schedule's event and one event per slot, in that slot's own stream, are stored
together or not at all; so a slot that is asked for twice is sent once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

from horae.commands import tracing
from horae.commands.asking import Decision
from horae.commands.candidates import fold
from horae.commands.changes import Changes
from horae.commands.context import Answer, Call, meta_of
from horae.commands.inforce import in_force
from horae.commands.ports import NOTHING_EXPECTED
from horae.domain import occurrence as o
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.draft import check_reason
from horae.domain.envelope import NewEvent, Recorded
from horae.domain.errors import Invalid
from horae.domain.ids import occurrence_id, shard_of

Include = Literal["paused", "skipped"]

#: The longest wait between two releases of a backfill.
MAX_EVERY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What is asked for: slots due from `begin` on and before `end` (aware), `every` so long apart.

    `include`: also those that came due while the schedule was paused, or that were taken out by hand.
    """

    begin: datetime
    end: datetime
    include: frozenset[Include] = frozenset()
    every: timedelta = timedelta(0)
    reason: str | None = None

    def check(self, now: datetime) -> None:
        """Raises `Invalid` for a window that ends before it begins, or is not over, and for a pace out of bounds."""
        check_reason(self.reason)
        if self.end <= self.begin:
            raise Invalid(
                "The window ends before it begins.",
                field="to",
                value=self.end.isoformat(),
                hint=f"Give an instant later than `from`, {self.begin.isoformat()}.",
            )
        if self.end > now:
            raise Invalid(
                "The window is not over: what is to come is the series' own to send.",
                field="to",
                value=self.end.isoformat(),
                hint=f"Give {now.isoformat()} at the latest, which is now.",
            )
        if not timedelta(0) <= self.every <= MAX_EVERY:
            raise Invalid(
                "Two releases are a day apart at most.",
                field="every",
                value=t.format_duration(self.every),
                hint="For example PT1S; PT0S sends them all at once.",
            )


@dataclass(frozen=True, slots=True)
class SentNow:
    """A slot as it had been due, and when it is sent now."""

    occurrence: UUID
    at: t.Next
    due_at: datetime


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A slot of the window that is not sent, and why: where its occurrence stands or how it ended, or how the slot
    stood when it came due ("paused", "skipped", "moved"), or "to_come": the series has not come to it yet.
    """

    occurrence: UUID
    at: t.Next
    why: str


@dataclass(frozen=True, slots=True)
class Backfilled:
    """What became of a window, slot by slot; `answer` is the schedule after it. `backfill` None: nothing is sent."""

    answer: Answer[s.Schedule]
    backfill: UUID | None
    slots: tuple[SentNow, ...]
    left_out: tuple[LeftOut, ...]


class Backfills(Changes):
    """Answers when the events are durable."""

    @tracing.operation("schedule.backfill")
    async def backfill(self, call: Call, schedule: UUID, window: Window, *, dry_run: bool = False) -> Backfilled:
        """Send the slots of the window that were not sent. With `dry_run` nothing is stored: what would be sent.

        Raises `NotFound`, `Invalid`, `Conflict` unless the schedule recurs and is active.
        """
        backfill = self._new_id(call, f"backfill:{schedule}")
        beside: list[NewEvent] = []
        found: list[SentNow | LeftOut] = []

        async def decider(state: s.Schedule, context: t.Context) -> Decision:
            # Not before it is known whose schedule it is: to others there is none, whatever they ask.
            window.check(context.now)
            beside.clear()
            found[:] = await self._judged(call, state, context, window)
            due_at = context.now
            for place, each in enumerate(found):
                if isinstance(each, _Wanted):
                    beside.append(self._asked_for(call, state, each, backfill, due_at, context.now))
                    found[place] = SentNow(each.occurrence, each.at, due_at)
                    due_at += window.every
            command = s.Backfill(
                backfill=backfill,
                begin=window.begin.astimezone(UTC),
                end=window.end.astimezone(UTC),
                count=len(beside),
                include=tuple(sorted(window.include)),
                every=window.every,
                reason=window.reason,
                request_digest=call.digest,
            )
            return command, NOTHING_EXPECTED

        answer = await self._ask(call, "backfill", schedule, decider, dry_run=dry_run, beside=beside)
        if answer.replayed:
            found = await self._as_answered(call, answer, window, backfill)
        slots = tuple(each for each in found if isinstance(each, SentNow))
        left_out = tuple(each for each in found if isinstance(each, LeftOut))
        return Backfilled(answer, backfill if slots and not dry_run else None, slots, left_out)

    async def _judged(
        self, call: Call, state: s.Schedule, context: t.Context, window: Window
    ) -> list[SentNow | LeftOut]:
        """Every slot of the window: to be sent (`_Wanted`), or why not."""
        slots = await self._past_slots(call, state, window)
        current, _ = await self._stand(call, state, context)
        streams = await self._happened(call, state.id, slots)
        judged: list[SentNow | LeftOut] = []
        for slot in slots:
            id_, at = _occurrence(state.id, slot), slot.at
            happened = fold(streams.get(id_, []))
            why = o.what_keeps(happened)
            if why is None and (slot.stood == "moved" or id_ in state.moved):
                why = "moved"
            if why is None and current.next is not None and not s.is_before(at, current.next):
                why = "to_come"
            if why is None and slot.stood in ("paused", "skipped") and slot.stood not in window.include:
                why = slot.stood
            judged.append(LeftOut(id_, at, why) if why is not None else _Wanted(id_, at, at.due_at, slot, happened))
        return judged

    async def _as_answered(
        self, call: Call, answer: Answer[s.Schedule], window: Window, backfill: UUID
    ) -> list[SentNow | LeftOut]:
        """What the same request asked for before, as the slots' streams have it."""
        slots = await self._past_slots(call, answer.state, window)
        streams = await self._happened(call, answer.id, slots)
        told: list[SentNow | LeftOut] = []
        for slot in slots:
            id_ = _occurrence(answer.id, slot)
            history = streams.get(id_, [])
            own = [
                e.body for e in history if isinstance(e.body, o.OccurrenceBackfilled) and e.body.backfill == backfill
            ]
            why = o.what_keeps(fold(history)) or slot.stood
            told.append(SentNow(id_, slot.at, own[0].due_at) if own else LeftOut(id_, slot.at, why))
        return told

    async def _happened(
        self, call: Call, schedule: UUID, slots: Sequence[s.PastSlot]
    ) -> Mapping[UUID, Sequence[Recorded]]:
        wanted = {_occurrence(schedule, slot) for slot in slots}
        return await self._store.scoped(call.tenant).load_many(wanted) if wanted else {}

    async def _past_slots(self, call: Call, state: s.Schedule, window: Window) -> list[s.PastSlot]:
        begin, end = window.begin, window.end
        then = await in_force(self._store, call.tenant, state, begin, end, self._default_zone, self._standard)
        return s.past_slots(begin, end, then)

    def _asked_for(
        self, call: Call, state: s.Schedule, each: _Wanted, backfill: UUID, due_at: datetime, now: datetime
    ) -> NewEvent:
        command = o.Backfill(
            schedule=state.seen_from(each.at.slot),
            backfill=backfill,
            at=each.at,
            under=each.slot.version,
            due_at=due_at,
        )
        (body,) = o.decide(command, each.happened)
        meta = meta_of(
            call,
            event_id=self._ids.new(),
            shard=shard_of(call.tenant, state.personal.recipient),
            now=now,
            correlation_id=state.id,
        )
        return NewEvent(each.occurrence, (each.happened.version if each.happened else 0) + 1, meta, body)


@dataclass(frozen=True, slots=True)
class _Wanted(SentNow):
    """One that is to be sent, with what has become of it so far."""

    slot: s.PastSlot
    happened: o.Occurrence | None


def _occurrence(schedule: UUID, slot: s.PastSlot) -> UUID:
    return occurrence_id(schedule, slot.at.slot.local, slot.at.slot.fold)
