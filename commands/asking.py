"""How a schedule is asked for something: load, decide, append, and what the answer tells beside the state.

Reads go through the log, never through a read model: a command sees every command that was answered before it. The one
exception is where a series stands (`series.py`), and that is fenced by the append.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from horae.commands.bulk import BulkCreation
from horae.commands.calendars import Resolver
from horae.commands.conflicts import Conflicts
from horae.commands.context import Answer, Call, event_id_for, find_repeat, meta_of, until_no_conflict
from horae.commands.creation import DEFAULT_RETRY
from horae.commands.ports import Clock, EventStore, Ids, Neighbours, OpenOccurrences, Refs, SendTimes, SeriesPointers
from horae.commands.reading import ScheduleHistory, answer_of, fold_schedule, load_schedule
from horae.commands.recipients import Recipients
from horae.commands.series import stand, status_of_one_off
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.channel import NO_KAFKA, Offered
from horae.domain.delivery import Retry
from horae.domain.envelope import NewEvent
from horae.domain.errors import Unavailable
from horae.domain.ids import shard_of
from horae.domain.request import RequestAnswered, request_stream
from horae.domain.timing.opendays import USUAL, Standard

Decision = tuple[s.Command, Mapping[UUID, int]]
Decider = Callable[[s.Schedule, t.Context], Awaitable[Decision]]


class Asking(BulkCreation, ScheduleHistory):
    """The one way in for everything that is asked of a schedule that is there."""

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
            command, expects = await decider(state, replace(context, exceptions=state.out))
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
            stays = not dry_run and all(getattr(body, "next_unchanged", False) for body in bodies)
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
                    # Of several the last has the request's id: its repeat is answered what all of them left.
                    event_id=first if index == len(bodies) - 1 else self._ids.new(),
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
