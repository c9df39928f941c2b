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
from typing import Literal, Protocol, TypeVar
from uuid import UUID

from horae.commands.context import Answer, Call, event_id_for, find_repeat, meta_of, until_no_conflict
from horae.commands.ports import Clock, EventStore, Ids, StreamConflict
from horae.domain import occurrence as o
from horae.domain import recipient as r
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.delivery import Failure
from horae.domain.envelope import Event, NewEvent, Recorded
from horae.domain.errors import Busy, NotFound, Unavailable
from horae.domain.ids import recipient_stream

#: How often one due row is planned anew from the log before it is left to the next look at the due index.
REPLANS = 5
_BACKOFF_S, _BACKOFF_MAX_S = 0.02, 2.0

T = TypeVar("T")


class Due(Protocol):
    """What a waiting row of the due index says; the index's own row type fits."""

    @property
    def row(self) -> o.Row: ...
    @property
    def shard(self) -> int: ...
    @property
    def tenant(self) -> str: ...
    @property
    def due_at(self) -> datetime: ...
    @property
    def schedule(self) -> UUID: ...
    @property
    def schedule_version(self) -> int: ...
    @property
    def occurrence(self) -> UUID: ...
    @property
    def occurrence_version(self) -> int: ...
    @property
    def slot(self) -> t.Slot: ...
    @property
    def number(self) -> int | None: ...
    @property
    def zone(self) -> str | None: ...
    @property
    def origin(self) -> o.Origin: ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A due row with the streams that it stands on, as they were in the log a moment ago."""

    due: Due
    schedule: s.Schedule
    #: None as long as the occurrence has no event.
    state: o.Occurrence | None
    #: The slot to fire; None for a further attempt of a claimed occurrence.
    at: t.Next | None
    context: t.Context


@dataclass(frozen=True, slots=True)
class Pass:
    """A rule has no objection."""


@dataclass(frozen=True, slots=True)
class DeferUntil:
    """A rule says: not before `until` (aware UTC)."""

    until: datetime
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Drop:
    """A rule says: not at all."""

    rule: str
    reason: str


Verdict = Pass | DeferUntil | Drop
#: Judges a candidate whose slot has come. Pure, and quick: it runs on the dispatcher's loop.
Rule = Callable[[Candidate], Verdict]


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
    """The commands on occurrences. `default_zone`: the tenants' zone where neither timing nor recipient names one."""

    def __init__(self, store: EventStore, clock: Clock, ids: Ids, default_zone: str = "UTC") -> None:
        self._store, self._clock, self._ids, self._default_zone = store, clock, ids, default_zone

    # --- claiming -------------------------------------------------------------------------------------------------

    async def candidates(self, rows: Sequence[Due], *, fresh: bool = False) -> list[Candidate | None]:
        """What the rows stand on, read in one query (two where recipients' zones matter), in the rows' order.

        None: the row is out of date, and a newer one is on its way. `fresh` also reads the occurrences that the rows
        believe to have no event yet; without it the append finds out.
        """
        wanted = {row.schedule for row in rows}
        wanted |= {row.occurrence for row in rows if fresh or row.occurrence_version > 0}
        streams = await self._store.load_many(wanted)
        zones = await self._recipient_zones(rows, streams)
        return [_candidate(row, streams, zones, self._clock.now(), self._default_zone) for row in rows]

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
            try:
                position = await insist(lambda e=events, x=expects: self._store.append(e, x))  # type: ignore[misc]
            except StreamConflict:
                again = (await insist(lambda c=candidate: self.candidates([c.due], fresh=True)))[0]  # type: ignore[misc]
                if again is None:
                    return None
                candidate = again
                continue
            return candidate, _outcome(candidate, bodies, events, position, owner)
        return None

    def _decide(self, candidate: Candidate, owner: int, rules: Sequence[Rule]) -> list[o.AnyOccurrenceEvent]:
        now, schedule, at = self._clock.now(), candidate.schedule, candidate.at
        if at is None:
            return o.decide(o.StartAttempt(schedule=schedule, owner=owner, now=now), candidate.state)
        due, context = candidate.due, candidate.context
        fire = o.Fire(schedule=schedule, at=at, row=due.row, origin=due.origin, owner=owner, now=now, context=context)
        bodies = o.decide(fire, candidate.state)
        # Rules only judge what would go out: what has ended, is cancelled or missed stays so.
        if not rules or not bodies or not isinstance(bodies[0], o.OccurrenceClaimed):
            return bodies
        command = _overruled(candidate, at, rules)
        return bodies if command is None else o.decide(command, candidate.state)

    async def _recipient_zones(self, rows: Sequence[Due], streams: dict[UUID, list[Recorded]]) -> dict[UUID, str]:
        """The recipients' present zones by schedule, where the series' next slot depends on it."""
        recipients: dict[UUID, list[UUID]] = {}
        for row in rows:
            events = streams.get(row.schedule)
            asked = _asks_for_recipient_zone(events) if events else None
            if asked is not None:
                recipients.setdefault(recipient_stream(row.tenant, asked), []).append(row.schedule)
        if not recipients:
            return {}
        zones: dict[UUID, str] = {}
        for stream, events in (await self._store.load_many(recipients)).items():
            body = events[-1].body
            if isinstance(body, r.RecipientSet) and body.personal.zone is not None:
                zones.update(dict.fromkeys(recipients[stream], body.personal.zone))
        return zones

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
                return await insist(lambda e=events: self._store.append(e))  # type: ignore[misc]
            except StreamConflict:
                state = fold(await insist(lambda: self._store.load(attempt.occurrence.id)))

    async def recover(self, tenant: str, occurrence: UUID, lost_owner: int, actor: str) -> int:
        """End the open attempt of a worker that is gone; the position, or 0 if there is nothing to recover.

        Raises `StreamConflict` when somebody else was quicker (the next look finds it done), `Busy`, `Unavailable`.
        """
        history = await self._store.load(occurrence)
        state = fold(history)
        if state is None:
            return 0
        schedule = fold_schedule(await self._store.load(state.schedule))
        command = o.RecoverLost(schedule=schedule, owner=lost_owner, now=self._clock.now())
        bodies = o.decide(command, state)
        if not bodies:
            return 0
        call = Call(tenant=tenant, actor=actor)
        return await self._store.append(
            self._new_events(
                occurrence, history[0].meta.shard, state, bodies, call, causation_id=history[-1].meta.event_id
            )
        )

    # --- from outside ---------------------------------------------------------------------------------------------

    async def replay(self, call: Call, occurrence: UUID, reason: str | None = None) -> Answer[o.Occurrence]:
        """Ask for a new attempt of a dead-lettered or unknown one.

        Raises `NotFound`, `Conflict`, `IdempotencyMismatch`.
        """

        def command(schedule: s.Schedule) -> o.Command:
            return o.Replay(schedule=schedule, now=self._clock.now(), reason=reason, request_digest=call.digest)

        return await self._from_outside(call, "replay", occurrence, command)

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
            schedule = fold_schedule(await reader.load(state.schedule))
            bodies = o.decide(command(schedule), state)
            first_id = event_id_for(call, self._ids, operation, occurrence)
            shard = history[0].meta.shard
            events = self._new_events(occurrence, shard, state, bodies, call, first_id=first_id)
            position = await self._store.append(events)
            stored = [Recorded(e.stream, e.version, e.meta, e.body, position) for e in events]
            return _answer([*history, *stored])

        return await until_no_conflict(attempt)

    # --- events ---------------------------------------------------------------------------------------------------

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


# --- folding ------------------------------------------------------------------------------------------------------


def fold(events: Sequence[Recorded]) -> o.Occurrence | None:
    """The state of an occurrence's stream; None for an empty one."""
    state: o.Occurrence | None = None
    for event in events:
        assert isinstance(event.body, o.OccurrenceEvent)
        state = o.evolve(state, event.stream, event.body)  # type: ignore[arg-type]
    return state


def fold_schedule(events: Sequence[Recorded]) -> s.Schedule:
    """The state of a schedule's stream. Raises ValueError for an empty one."""
    state: s.Schedule | None = None
    for event in events:
        state = s.evolve(state, event.stream, event.body)  # type: ignore[arg-type]
    if state is None:
        raise ValueError("an occurrence's schedule has no events")
    return state


def sets_pointer(body: Event) -> bool:
    """Does this event of a schedule say anew at which slot its series stands?"""
    match body:
        case s.ScheduleCreated() | s.ScheduleResumed():
            return True
        case s.ScheduleChanged() | s.SlotSkipped() | s.SlotUnskipped():
            return not body.next_unchanged
        case _:
            return False


def moves_series(body: Event) -> int | None:
    """The schedule version under which this event of an occurrence moved the series on; None: it did not."""
    match body:
        case o.OccurrenceClaimed() | o.OccurrenceDeferred() | o.OccurrenceEnded():
            return body.schedule_version if body.moves else None
        case o.OccurrenceMissed() | o.SlotPassed():
            return body.schedule_version
        case _:
            return None


# --- planning -----------------------------------------------------------------------------------------------------


def _candidate(
    row: Due, streams: dict[UUID, list[Recorded]], zones: dict[UUID, str], now: datetime, default_zone: str
) -> Candidate | None:
    asked = streams.get(row.schedule)
    if not asked:
        return None
    schedule, history = fold_schedule(asked), streams.get(row.occurrence, [])
    state = fold(history)
    zone = zones.get(schedule.id, row.zone)
    context = schedule.context(now, default_zone=default_zone, recipient_zone=zone)
    if row.row == "slot":
        pointer = _pointer(asked)
        if pointer is None or row.occurrence_version > 0:
            return None
        version, named = pointer
        moved = [moved for event in history if (moved := moves_series(event.body)) is not None]
        # A row that was written before the pointer was last set names a slot at which the series no longer stands; and
        # an event that moved the series since then has dealt with this slot.
        if row.schedule_version < version or any(under >= version for under in moved):
            return None
        at = named if named is not None and named.slot == row.slot else _at(row, schedule, context)
        return Candidate(row, schedule, state, at, context)
    if state is not None and state.wake_at is not None and state.wake_at > now and schedule.status is s.Status.ACTIVE:
        # The row is older than the last attempt, which has put off the next.
        return None
    if state is not None and state.phase is not o.Phase.DEFERRED:
        return Candidate(row, schedule, state, None, context)
    at = schedule.triggers.get(row.occurrence) or _deferred_at(row, asked, history, context)
    return Candidate(row, schedule, state, at, context)


def _pointer(asked: Sequence[Recorded]) -> tuple[int, t.Next | None] | None:
    """The version of the schedule's last event that says where the series stands, and the slot that it names."""
    for event in reversed(asked):
        if sets_pointer(event.body):
            return event.version, event.body.next  # type: ignore[attr-defined]
    return None


def _at(row: Due, schedule: s.Schedule, context: t.Context) -> t.Next:
    """The slot that the row names, with its plan as it was made: in the recipient's zone of then."""
    then = schedule.context(context.now, default_zone=context.default_zone, recipient_zone=row.zone)
    found = t.find(schedule.timing, row.slot, then)
    if found is not None:
        return found.model_copy(update={"number": row.number, "due_at": row.due_at})
    zone, source = t.zone_of(schedule.timing, then)
    reason = t.Reason(
        code="replanned", text="The zone data no longer has this slot; it keeps the instant planned before."
    )
    plan = t.Plan(zone=zone, zone_source=source, tzdata=t.tzdata_version(), branch="normal", reasons=(reason,))
    return t.Next(slot=row.slot, number=row.number, due_at=row.due_at, plan=plan)


def _deferred_at(row: Due, asked: Sequence[Recorded], history: Sequence[Recorded], context: t.Context) -> t.Next:
    """The slot of a deferred occurrence, by the timing that it was planned with."""
    deferred = next((e.body for e in reversed(history) if isinstance(e.body, o.OccurrenceDeferred)), None)
    version = deferred.schedule_version if deferred is not None else len(asked)
    at = _at(row, fold_schedule(asked[:version]), context)
    return at if deferred is None else at.model_copy(update={"due_at": deferred.due_at, "number": deferred.number})


def _asks_for_recipient_zone(asked: Sequence[Recorded]) -> str | None:
    """The recipient, if the schedule's series follows the zone that they prefer."""
    for event in reversed(asked):
        if isinstance(event.body, s.ScheduleCreated | s.ScheduleChanged):
            timing = event.body.definition.timing
            follows = isinstance(timing, t.Every) and timing.zone == "recipient"
            return event.body.personal.recipient if follows else None
    return None


def _overruled(candidate: Candidate, at: t.Next, rules: Sequence[Rule]) -> o.Defer | o.Suppress | None:
    due, schedule, context = candidate.due, candidate.schedule, candidate.context
    for rule in rules:
        match rule(candidate):
            case DeferUntil(until, name, reason):
                return o.Defer(
                    schedule=schedule, at=at, row=due.row, origin=due.origin, until=until, rule=name, reason=reason,
                    context=context,
                )  # fmt: skip
            case Drop(name, reason):
                return o.Suppress(
                    schedule=schedule, at=at, row=due.row, origin=due.origin, rule=name, reason=reason, context=context
                )
            case Pass():
                continue
    return None


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
    return Answer(
        id=state.id,
        version=state.version,
        position=history[-1].position,
        state=state,
        created_at=history[0].meta.recorded_at,
        updated_at=history[-1].meta.recorded_at,
        replayed=replayed,
    )


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
