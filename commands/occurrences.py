"""Occurrences: load -> decide -> append for claims, attempts, results, recovery, replays and callbacks.

Place in the flow: dispatcher and API -> *here* -> domain, log. What a due row says is only a hint: every decision
is taken on streams read from the log and appended under the versions that were read, so that a row that is out of date
can do no harm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeVar
from uuid import UUID

from horae.commands import tracing
from horae.commands.calendars import Resolver, fences
from horae.commands.candidates import (
    NO_CALENDARS,
    Candidate,
    Due,
    Rule,
    calendar_of,
    candidate_of,
    fold,
    fold_schedule,
    overruled,
    recipient_followed,
)
from horae.commands.companions import alone, with_companions
from horae.commands.context import Answer, Call, event_id_for, find_repeat, meta_of, until_no_conflict
from horae.commands.ports import Clock, Companions, EventStore, Ids, StreamConflict
from horae.commands.recipients import Person
from horae.domain import occurrence as o
from horae.domain import schedule as s
from horae.domain.delivery import Failure
from horae.domain.envelope import NewEvent, Recorded
from horae.domain.errors import Busy, NotFound, Unavailable
from horae.domain.ids import recipient_stream
from horae.domain.timing.opendays import USUAL, Standard

__all__ = ["Attempt", "Occurrences", "Settled", "fold", "insist"]

#: How often one due row is planned anew from the log before it is left to the next look at the due index.
REPLANS = 5
_BACKOFF_S, _BACKOFF_MAX_S = 0.02, 2.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that is ours to release: claimed, durable. `occurrence` is the state after that."""

    tenant: str
    shard: int
    schedule: s.Schedule
    occurrence: o.Occurrence
    owner: int
    #: The event that opened the attempt, and its place in the log.
    opened_by: UUID
    position: int


@dataclass(frozen=True, slots=True)
class Settled:
    """Nothing is to be released: it ended, was put off, or passed over."""

    kind: Literal["ended", "deferred", "missed", "passed"]
    position: int
    count: int = 1


class Occurrences:
    """The commands on occurrences. `default_zone`: the tenants' zone where neither timing nor recipient names one.

    `ended` is told each outcome that was stored here. `companions`: whoever claims needs them.
    """

    def __init__(
        self,
        store: EventStore,
        clock: Clock,
        ids: Ids,
        default_zone: str = "UTC",
        ended: Callable[[str], None] = lambda _: None,
        standard: Standard = USUAL,
        companions: Companions | None = None,
    ) -> None:
        self._store, self._clock, self._ids, self._default_zone = store, clock, ids, default_zone
        self._ended, self._companions = ended, companions
        self._calendars = Resolver(store, standard)

    # --- claiming -------------------------------------------------------------------------------------------------

    async def candidates(self, rows: Sequence[Due], *, fresh: bool = False) -> list[Candidate | None]:
        """What the rows stand on, read in one query (two where recipients' zones matter), in the rows' order.

        None: the row is out of date, and a newer one is on its way. `fresh` also reads the occurrences that the rows
        believe to have no event yet; without it the append finds out.
        """
        wanted = {row.schedule for row in rows}
        wanted |= {row.occurrence for row in rows if fresh or row.occurrence_version > 0}
        streams = await self._store.load_many(wanted)
        people = await self._followed(rows, streams)
        kept = {(row.tenant, calendar_of(streams.get(row.schedule, []))) for row in rows}
        named = {(tenant, calendar) for tenant, calendar in kept if calendar is not None}
        calendars = await self._calendars.resolve(named) if named else NO_CALENDARS
        now = self._clock.now()
        found = [candidate_of(row, streams, people, now, self._default_zone, calendars) for row in rows]
        return found if self._companions is None else await with_companions(self._store, self._companions, found)

    async def claim(
        self, candidate: Candidate, owner: int, rules: Sequence[Rule] = ()
    ) -> tuple[Candidate, Attempt | Settled] | None:
        """Claim it, or start its next attempt, or record why it is not sent; None: there is nothing (more) to do.

        Also gives the candidate that it was decided on, which is another than the given one if that had been
        overtaken. Returns when the events are durable. While the log is busy or away the same events are offered again
        (a claim that is stored without our knowing would never be released); cancel the call to give up.
        """
        for _ in range(REPLANS):
            bodies = self._decide(candidate, owner, rules)
            if not bodies:
                return None
            events = self._events(
                candidate.due, candidate.state, bodies, Call(tenant=candidate.due.tenant, actor=_actor(owner))
            )
            expects = {candidate.schedule.id: candidate.schedule.version}
            # Calendars that change and recipients who move have series planned anew by where these stand: none may
            # have moved on by what was before unseen.
            expects |= fences(candidate.due.tenant, candidate.context.calendar)
            expects |= {} if candidate.person is None else candidate.person.fence
            expects |= {} if candidate.beside is None else {candidate.beside.id: candidate.beside.version}
            try:
                position = await insist(lambda e=events, x=expects: self._store.append(e, x))  # type: ignore[misc]
            except StreamConflict:
                again = (await insist(lambda c=candidate: self.candidates([c.due], fresh=True)))[0]  # type: ignore[misc]
                if again is None:
                    return None
                candidate = again
                continue
            self._tell_outcome(bodies)
            return candidate, _outcome(candidate, bodies, events, position, owner)
        return None

    def _decide(self, candidate: Candidate, owner: int, rules: Sequence[Rule]) -> list[o.AnyOccurrenceEvent]:
        now, schedule, at = self._clock.now(), candidate.schedule, candidate.at
        if at is None:
            again = o.StartAttempt(schedule=schedule, owner=owner, now=now, overtaken_by=candidate.overtaken_by)
            return o.decide(again, candidate.state)
        due, context = candidate.due, candidate.context
        fire = o.Fire(schedule=schedule, at=at, row=due.row, origin=due.origin, owner=owner, now=now, context=context)
        bodies = o.decide(fire, candidate.state)
        # Rules only judge what would go out: what has ended, is cancelled or missed stays so.
        if not bodies or not isinstance(bodies[0], o.OccurrenceClaimed):
            return bodies
        command = overruled(candidate, at, (alone, *rules))
        return bodies if command is None else o.decide(command, candidate.state)

    async def _followed(self, rows: Sequence[Due], streams: dict[UUID, list[Recorded]]) -> dict[UUID, Person]:
        """The recipients as they are now by schedule, where the series' next slot depends on their zone."""
        recipients: dict[UUID, UUID] = {}
        for row in rows:
            events = streams.get(row.schedule)
            asked = recipient_followed(events) if events else None
            if asked is not None:
                recipients[row.schedule] = recipient_stream(row.tenant, asked)
        if not recipients:
            return {}
        loaded = await self._store.load_many(set(recipients.values()))
        return {schedule: Person.of(stream, loaded.get(stream, ())) for schedule, stream in recipients.items()}

    # --- results --------------------------------------------------------------------------------------------------

    async def delivered(
        self, attempt: Attempt, started_at: datetime, duration_ms: float, response: dict[str, object] | None
    ) -> int:
        """Record that the channel took it; the position, or 0 if the attempt was taken from us meanwhile."""
        command = o.RecordDelivered(
            schedule=attempt.schedule,
            attempt=attempt.occurrence.attempt,
            started_at=started_at,
            duration_ms=duration_ms,
            response=response,
        )
        return await self._record(attempt, command)

    async def failed(self, attempt: Attempt, failure: Failure, started_at: datetime, duration_ms: float) -> int:
        """Record that it was not taken, or that nobody knows; plans the retry or ends it. As `delivered`."""
        command = o.RecordFailed(
            schedule=attempt.schedule,
            attempt=attempt.occurrence.attempt,
            failure=failure,
            started_at=started_at,
            duration_ms=duration_ms,
            now=self._clock.now(),
        )
        return await self._record(attempt, command)

    async def _record(self, attempt: Attempt, command: o.RecordDelivered | o.RecordFailed) -> int:
        """A result is never lost: the same events are offered until the log has them, or another end of the attempt."""
        state: o.Occurrence | None = attempt.occurrence
        call = Call(tenant=attempt.tenant, actor=_actor(attempt.owner))
        while True:
            bodies = o.decide(command, state)
            if not bodies:
                return 0
            events = self._new_events(
                attempt.occurrence.id, attempt.shard, state, bodies, call, causation_id=attempt.opened_by
            )
            try:
                position = await insist(lambda e=events: self._store.append(e))  # type: ignore[misc]
                self._tell_outcome(bodies)
                return position
            except StreamConflict:
                state = fold(await insist(lambda: self._store.load(attempt.occurrence.id)))

    async def recover(
        self, tenant: str, occurrence: UUID, lost_owner: int, actor: str, *, attempt: int | None = None
    ) -> int:
        """End the open attempt of a worker that is gone; the position, or 0 if there is nothing to recover.

        `attempt`: only if it is this one, which a worker that lives has lost hold of.
        Raises `StreamConflict` when somebody else was quicker (the next look finds it done), `Busy`, `Unavailable`.
        """
        history = await self._store.load(occurrence)
        state = fold(history)
        if state is None:
            return 0
        schedule = fold_schedule(await self._store.load(state.schedule)).seen_from(state.slot)
        command = o.RecoverLost(schedule=schedule, owner=lost_owner, attempt=attempt, now=self._clock.now())
        bodies = o.decide(command, state)
        if not bodies:
            return 0
        call = Call(tenant=tenant, actor=actor)
        position = await self._store.append(
            self._new_events(
                occurrence, history[0].meta.shard, state, bodies, call, causation_id=history[-1].meta.event_id
            )
        )
        self._tell_outcome(bodies)
        return position

    # --- from outside ---------------------------------------------------------------------------------------------

    @tracing.operation("schedule.replay")
    async def replay(self, call: Call, occurrence: UUID, reason: str | None = None) -> Answer[o.Occurrence]:
        """Ask for a new attempt of a dead-lettered or unknown one.

        Raises `NotFound`, `Conflict`, `IdempotencyMismatch`.
        """

        def command(schedule: s.Schedule) -> o.Command:
            return o.Replay(schedule=schedule, now=self._clock.now(), reason=reason, request_digest=call.digest)

        return await self._from_outside(call, "replay", occurrence, command)

    @tracing.operation("schedule.report_delivery")
    async def report_delivery(
        self, call: Call, occurrence: UUID, status: str, at: datetime, detail: dict[str, object] | None = None
    ) -> Answer[o.Occurrence]:
        """Store a provider's word on a release.

        Raises `NotFound`, `Conflict` (it was never released), `IdempotencyMismatch`.
        """

        def command(schedule: s.Schedule) -> o.Command:
            return o.ReportDelivery(schedule=schedule, status=status, at=at, detail=detail, request_digest=call.digest)

        return await self._from_outside(call, "report", occurrence, command)

    async def _from_outside(
        self, call: Call, operation: str, occurrence: UUID, command: Callable[[s.Schedule], o.Command]
    ) -> Answer[o.Occurrence]:
        reader = self._store.scoped(call.tenant)

        async def attempt() -> Answer[o.Occurrence]:
            history = await reader.load(occurrence)
            # A caller may give the id of any stream of theirs: a schedule's is not an occurrence's.
            state = fold(history) if history and isinstance(history[0].body, o.OccurrenceEvent) else None
            if state is None:
                raise NotFound(
                    "There is no such occurrence, or it has not begun yet.",
                    field="occurrence",
                    value=str(occurrence),
                    hint="Use an occurrence_id from a release or from the schedule's occurrences.",
                )
            repeat = find_repeat(call, operation, occurrence, history)
            if repeat is not None:
                return _answer(history[: repeat.version], replayed=True)
            schedule = fold_schedule(await reader.load(state.schedule)).seen_from(state.slot)
            bodies = o.decide(command(schedule), state)
            first_id = event_id_for(call, self._ids, operation, occurrence)
            shard = history[0].meta.shard
            events = self._new_events(occurrence, shard, state, bodies, call, first_id=first_id)
            position = await self._store.append(events)
            stored = [event.at(position) for event in events]
            return _answer([*history, *stored])

        return await until_no_conflict(attempt)

    # --- events ---------------------------------------------------------------------------------------------------

    def _tell_outcome(self, bodies: Sequence[o.AnyOccurrenceEvent]) -> None:
        if isinstance(bodies[-1], o.OccurrenceEnded):
            self._ended(bodies[-1].outcome)

    def _events(
        self, due: Due, state: o.Occurrence | None, bodies: Sequence[o.AnyOccurrenceEvent], call: Call
    ) -> list[NewEvent]:
        return self._new_events(due.occurrence, due.shard, state, bodies, call)

    def _new_events(
        self,
        occurrence: UUID,
        shard: int,
        state: o.Occurrence | None,
        bodies: Sequence[o.AnyOccurrenceEvent],
        call: Call,
        *,
        first_id: UUID | None = None,
        causation_id: UUID | None = None,
    ) -> list[NewEvent]:
        version, now, events = (state.version if state else 0), self._clock.now(), []
        for body in bodies:
            version += 1
            event_id = first_id or self._ids.new()
            first_id = None
            meta = meta_of(
                call,
                event_id=event_id,
                shard=shard,
                now=now,
                correlation_id=occurrence,
                causation_id=causation_id,
            )
            events.append(NewEvent(occurrence, version, meta, body))
            causation_id = event_id
        return events


def _outcome(
    candidate: Candidate, bodies: Sequence[o.AnyOccurrenceEvent], events: Sequence[NewEvent], position: int, owner: int
) -> Attempt | Settled:
    match bodies[0]:
        case o.OccurrenceClaimed() | o.AttemptStarted() as body:
            due = candidate.due
            state = o.evolve(candidate.state, due.occurrence, body)
            return Attempt(due.tenant, due.shard, candidate.schedule, state, owner, events[0].meta.event_id, position)
        case o.OccurrenceMissed() as body:
            return Settled("missed", position, body.count)
        case o.SlotPassed():
            return Settled("passed", position)
        case o.OccurrenceDeferred():
            return Settled("deferred", position)
        case _:
            return Settled("ended", position)


def _answer(history: Sequence[Recorded], *, replayed: bool = False) -> Answer[o.Occurrence]:
    state = fold(history)
    assert state is not None
    return Answer.of(state.id, history, state, replayed=replayed)


def _actor(owner: int) -> str:
    return f"worker:{owner}"


async def insist(call: Callable[[], Awaitable[T]]) -> T:
    """Call until the log answers; a full queue and a log that is away are waited for, longer each time (to 2 s)."""
    wait_s = _BACKOFF_S
    while True:
        try:
            return await call()
        except Busy as busy:
            await asyncio.sleep(max(wait_s, min(busy.retry_after_s, _BACKOFF_MAX_S)))
        except Unavailable:
            await asyncio.sleep(wait_s)
        wait_s = min(wait_s * 2, _BACKOFF_MAX_S)
