"""Commands on schedules: load -> decide -> append, each a short function.

Reads go through the log, never through a read model: a command sees every command that was answered before it. The one
exception is where a series stands (`series.py`), and that is fenced by the append.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from horae.commands import tracing
from horae.commands.bulk import BulkCreation
from horae.commands.calendars import Resolver
from horae.commands.conflicts import Conflicts
from horae.commands.context import Answer, Call, event_id_for, find_repeat, meta_of, until_no_conflict
from horae.commands.creation import DEFAULT_RETRY
from horae.commands.ports import (
    NOTHING_EXPECTED,
    Clock,
    EventStore,
    Ids,
    Neighbours,
    OpenOccurrences,
    Refs,
    SendTimes,
    SeriesPointers,
)
from horae.commands.reading import ScheduleHistory, answer_of, fold_schedule, load_schedule
from horae.commands.recipients import Recipients
from horae.commands.series import stand, status_of_one_off
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.channel import NO_KAFKA, Offered
from horae.domain.delivery import Retry
from horae.domain.draft import Patch, check_fields, check_reason
from horae.domain.envelope import NewEvent
from horae.domain.errors import Unavailable
from horae.domain.ids import shard_of
from horae.domain.request import RequestAnswered, request_stream
from horae.domain.timing.opendays import USUAL, Standard

Decision = tuple[s.Command, Mapping[UUID, int]]
Cause = Literal["calendar", "zone", "recipient"]
Decider = Callable[[s.Schedule, t.Context], Awaitable[Decision]]


class Schedules(BulkCreation, ScheduleHistory):
    """What clients may do with schedules; creating is in `creation` and `bulk`, reading back in `reading`.

    Every method that changes something answers when its events are durable.
    """

    def __init__(
        self,
        store: EventStore,
        clock: Clock,
        ids: Ids,
        refs: Refs,
        series: SeriesPointers,
        occurrences: OpenOccurrences,
        neighbours: Neighbours,
        recipients: Recipients,
        default_zone: str = "UTC",
        default_retry: Retry = DEFAULT_RETRY,
        offered: Offered = NO_KAFKA,
        standard: Standard = USUAL,
        send_times: SendTimes | None = None,
    ) -> None:
        conflicts = Conflicts(store, ids, recipients, Resolver(store, standard), series, neighbours)
        super().__init__(
            store, clock, ids, refs, recipients, conflicts, default_zone, default_retry, offered, standard, send_times
        )
        self._series, self._occurrences = series, occurrences

    # --- changing ---------------------------------------------------------------------------------------------

    @tracing.operation("schedule.change", tracing.answer_facts)
    async def change(
        self, call: Call, schedule: UUID, patch: Patch, *, if_match: int | None = None, dry_run: bool = False
    ) -> Answer[s.Schedule]:
        """Change the given fields. With `dry_run` nothing is stored: the answer is what it would be.

        Raises `NotFound`, `Invalid`, `VersionMismatch`, `AlreadyClaimed`, `Conflict`, `ScheduleConflict`.
        """
        beside: list[NewEvent] = []
        changes = patch.changes()
        check_fields(changes)
        if patch.channel is not None:
            self._offered.check(patch.channel)

        async def decider(state: s.Schedule, context: t.Context) -> Decision:
            current, expects = s.NOT_READ, NOTHING_EXPECTED
            then, ground = context, None
            if patch.timing is not None:
                ground = await self._ground(call.tenant, schedule, state.personal, patch.timing)
                then = replace(ground.context, exceptions=context.exceptions)
            moves = patch.timing is not None and s.moves(patch.timing, state, then)
            settled = await self.conflicts.of_change(call, state, changes, then, moves=moves)
            if moves or settled is not None or not state.recurring:
                current, expects = await self._stand(call, state, context)
            command = s.Change(
                changes=changes,
                context=then,
                current=current,
                if_match=if_match,
                settled=settled.settlement if settled is not None else None,
                request_digest=call.digest,
            )
            beside[:] = settled.events if settled is not None else ()
            # A change of the content is fenced by the schedule's own head, which every claim expects.
            if not moves and settled is None:
                return command, NOTHING_EXPECTED
            stands_on = ground.expects if ground is not None else {}
            return command, {**expects, **stands_on, **(settled.expects if settled is not None else {})}

        answer = await self._ask(call, "change", schedule, decider, dry_run=dry_run, beside=beside)
        return answer if dry_run else await self._with_claimed(call, answer)

    @tracing.operation("schedule.pause", tracing.answer_facts)
    async def pause(
        self, call: Call, schedule: UUID, *, reason: str | None = None, if_match: int | None = None
    ) -> Answer[s.Schedule]:
        """Let nothing of it fire until it is resumed. Raises `NotFound`, `VersionMismatch`, `Conflict`."""
        check_reason(reason)
        command = s.Pause(if_match=if_match, reason=reason, request_digest=call.digest)
        return await self._with_claimed(call, await self._ask(call, "pause", schedule, _just(command)))

    @tracing.operation("schedule.cancel", tracing.answer_facts)
    async def cancel(
        self, call: Call, schedule: UUID, *, reason: str | None = None, if_match: int | None = None
    ) -> Answer[s.Schedule]:
        """Let nothing of it fire any more. Raises `NotFound`, `VersionMismatch`."""
        check_reason(reason)
        command = s.Cancel(if_match=if_match, reason=reason, request_digest=call.digest)
        return await self._with_claimed(call, await self._ask(call, "cancel", schedule, _just(command)))

    @tracing.operation("schedule.resume", tracing.answer_facts)
    async def resume(
        self, call: Call, schedule: UUID, *, reason: str | None = None, if_match: int | None = None
    ) -> Answer[s.Schedule]:
        """Let it fire again: a series from its first slot after now, a one-off that is overdue at once.

        Raises `NotFound`, `VersionMismatch`, `Conflict`.
        """
        check_reason(reason)

        async def decider(state: s.Schedule, context: t.Context) -> Decision:
            current, expects = s.NOT_READ, NOTHING_EXPECTED
            if not state.recurring:
                current, expects = await self._stand(call, state, context)
            command = s.Resume(
                context=context, current=current, if_match=if_match, reason=reason, request_digest=call.digest
            )
            return command, expects

        return await self._with_one_off(call, await self._ask(call, "resume", schedule, decider))

    @tracing.operation("schedule.trigger", tracing.answer_facts)
    async def trigger(self, call: Call, schedule: UUID, *, reason: str | None = None) -> Answer[s.Schedule]:
        """Release one occurrence now; the cadence does not move. Its id is the newest in `state.triggers`.

        Raises `NotFound`, `Conflict` unless the schedule is active.
        """
        check_reason(reason)
        trigger = self._new_id(call, f"trigger:{schedule}")

        async def decider(_state: s.Schedule, context: t.Context) -> Decision:
            command = s.Trigger(trigger=trigger, context=context, reason=reason, request_digest=call.digest)
            return command, NOTHING_EXPECTED

        return await self._ask(call, "trigger", schedule, decider)

    @tracing.operation("schedule.skip", tracing.answer_facts)
    async def skip(self, call: Call, schedule: UUID, slot: t.Slot) -> Answer[s.Schedule]:
        """Take one slot to come out. Raises `NotFound`, `Invalid` (no such slot), `AlreadyClaimed`, `Conflict`."""

        async def decider(state: s.Schedule, context: t.Context) -> Decision:
            current, expects = await self._stand(call, state, context)
            return s.Skip(slot=slot, context=context, current=current, request_digest=call.digest), expects

        return await self._ask(call, f"skip:{_name(slot)}", schedule, decider)

    @tracing.operation("schedule.unskip", tracing.answer_facts)
    async def unskip(self, call: Call, schedule: UUID, slot: t.Slot) -> Answer[s.Schedule]:
        """Put a skipped slot back. Raises `NotFound`, `Conflict` if it lies in the past."""

        async def decider(state: s.Schedule, context: t.Context) -> Decision:
            current, expects = await self._stand(call, state, context)
            return s.Unskip(slot=slot, context=context, current=current, request_digest=call.digest), expects

        return await self._ask(call, f"unskip:{_name(slot)}", schedule, decider)

    async def replan(self, call: Call, schedule: UUID, cause: Cause, detail: str) -> bool:
        """See whether the next slot is still where it was planned; True: it is not, and was planned anew."""
        moved = False

        async def decider(state: s.Schedule, context: t.Context) -> Decision:
            nonlocal moved
            current, expects = await self._stand(call, state, context)
            command = s.Replan(cause=cause, detail=detail, context=context, current=current)
            moved = bool(s.decide(command, state))
            return command, expects

        await self._ask(replace(call, idempotency_key=None), "replan", schedule, decider)
        return moved

    # --- the one way in ---------------------------------------------------------------------------------------

    async def _ask(
        self,
        call: Call,
        operation: str,
        schedule: UUID,
        decider: Decider,
        *,
        dry_run: bool = False,
        beside: Sequence[NewEvent] = (),
    ) -> Answer[s.Schedule]:
        """`beside`: events of other streams, filled by the decider, that are stored with the schedule's own."""

        key = call.idempotency_key
        note = None if key is None else request_stream(call.tenant, operation, schedule, key)

        async def attempt() -> Answer[s.Schedule]:
            # What was noted is read first, so that the schedule is at least at the version that the note names.
            noted = await self._store.scoped(call.tenant).load(note) if note is not None else []
            events = await load_schedule(self._store, call.tenant, schedule)
            repeat = find_repeat(call, operation, schedule, [*noted, *events])
            if repeat is not None:
                version = repeat.body.version if isinstance(repeat.body, RequestAnswered) else repeat.version
                return answer_of(schedule, events[:version], replayed=True)
            state = fold_schedule(schedule, events)
            ground = await self._ground(call.tenant, schedule, state.personal, state.timing)
            context = ground.context
            command, expects = await decider(state, replace(context, exceptions=state.exceptions))
            bodies = s.decide(command, state)
            new = self._events(call, operation, state, bodies, context.now)
            if not new:
                if note is not None and not dry_run:
                    await self._note(call, operation, note, state, context.now)
                return await self._with_next(call, answer_of(schedule, events))
            # The same request at the same time may find that there is nothing to be done: one of the two is the first.
            stands = {**ground.expects, **expects}
            if note is not None:
                stands[note] = 0
            position = events[-1].position if dry_run else await self._store.append([*beside, *new], stands)
            stored = [event.at(position) for event in new]
            answer = answer_of(schedule, [*events, *stored])
            stays = not dry_run and getattr(bodies[-1], "next_unchanged", False)
            return await self._with_next(call, answer) if stays else answer

        return await until_no_conflict(attempt)

    async def _note(self, call: Call, operation: str, note: UUID, state: s.Schedule, now: datetime) -> None:
        """Keep that this request changed nothing: its repeat must not either, whatever has come between."""
        body = RequestAnswered(
            schedule_id=state.id, operation=operation, version=state.version, request_digest=call.digest
        )
        meta = meta_of(
            call,
            event_id=event_id_for(call, self._ids, operation, state.id),
            shard=shard_of(call.tenant, state.personal.recipient),
            now=now,
            correlation_id=state.id,
        )
        await self._store.append([NewEvent(note, 1, meta, body)], {state.id: state.version})

    def _events(
        self, call: Call, operation: str, state: s.Schedule, bodies: Sequence[s.ScheduleEvent], now: datetime
    ) -> list[NewEvent]:
        first = event_id_for(call, self._ids, operation, state.id)
        shard = shard_of(call.tenant, state.personal.recipient)
        return [
            NewEvent(
                state.id,
                state.version + 1 + index,
                meta_of(
                    call,
                    event_id=self._ids.new() if index else first,
                    shard=shard,
                    now=now,
                    correlation_id=state.id,
                ),
                body,
            )
            for index, body in enumerate(bodies)
        ]

    async def _stand(self, call: Call, state: s.Schedule, context: t.Context) -> tuple[s.Current, Mapping[UUID, int]]:
        return await stand(self._store.scoped(call.tenant), self._series, call.tenant, state, context)

    async def _with_next(self, call: Call, answer: Answer[s.Schedule]) -> Answer[s.Schedule]:
        """The answer with the slot at which the series stands: firing has moved it on without touching the stream."""
        state = answer.state
        if not state.recurring or state.status is not s.Status.ACTIVE:
            return answer
        try:
            current = await self._series.current(call.tenant, answer.id, answer.version)
        except Unavailable:
            # It is stored all the same; an error now would say otherwise.
            return answer
        return replace(answer, state=replace(state, next=current))

    async def _with_claimed(self, call: Call, answer: Answer[s.Schedule]) -> Answer[s.Schedule]:
        # It is stored even where this cannot be told; an error now would say otherwise.
        with contextlib.suppress(Unavailable):
            claimed = await self._occurrences.executing(call.tenant, answer.id, answer.position)
            answer = replace(answer, already_claimed=claimed)
        return await self._with_one_off(call, answer)

    async def _with_one_off(self, call: Call, answer: Answer[s.Schedule]) -> Answer[s.Schedule]:
        """The answer with where a one-off's occurrence stands, which is what a schedule that has begun is shown by."""
        state = answer.state
        if state.recurring:
            return answer
        try:
            ground = await self._ground(call.tenant, answer.id, state.personal, state.timing)
            status = await status_of_one_off(self._store.scoped(call.tenant), state, ground.context)
        except Unavailable:
            # It is stored all the same; an error now would say otherwise.
            return answer
        return replace(answer, one_off=status)


def _just(command: s.Command) -> Decider:
    async def decider(_state: s.Schedule, _context: t.Context) -> Decision:
        return command, NOTHING_EXPECTED

    return decider


def _name(slot: t.Slot) -> str:
    return f"{slot.local.isoformat()}/{slot.fold}"
