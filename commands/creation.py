"""Asking for schedules: one, or a copy of one; many at once are in `bulk`.

A creation is version 1 of its own stream, so that nothing need be loaded before; a repeated request has the same
stream's id (derived from its idempotency key) and collides with what it repeats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from horae.commands import tracing
from horae.commands.besttimes import About, Chooser, Message
from horae.commands.calendars import Resolver, fences
from horae.commands.conflicts import Asking, Conflicts, Settled
from horae.commands.context import Answer, Call, meta_of, mismatch, until_no_conflict
from horae.commands.ports import Clock, EventStore, Ids, Lane, Refs, SendTimes, StreamConflict
from horae.commands.reading import answer_of, fold_schedule, load_schedule
from horae.commands.recipients import Person, Recipients, needs_recipient
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.channel import NO_KAFKA, Offered
from horae.domain.conflicts import ConflictPolicy, ScheduleConflict, Settlement
from horae.domain.delivery import Retry
from horae.domain.draft import CloneOverrides, Draft, check_draft
from horae.domain.envelope import NewEvent, Recorded
from horae.domain.errors import Invalid
from horae.domain.ids import derived_id, shard_of
from horae.domain.timing.opendays import USUAL, Calendar, Standard

DEFAULT_RETRY = Retry()


class Creation:
    """Create and clone."""

    def __init__(
        self,
        store: EventStore,
        clock: Clock,
        ids: Ids,
        refs: Refs,
        recipients: Recipients,
        conflicts: Conflicts,
        default_zone: str = "UTC",
        default_retry: Retry = DEFAULT_RETRY,
        offered: Offered = NO_KAFKA,
        standard: Standard = USUAL,
        send_times: SendTimes | None = None,
    ) -> None:
        """`default_retry`: for schedules that say nothing about retries. `offered`: the channels that exist here.

        `standard`: what calendars leave out. `send_times` None: nobody learns here, timings `best` take their default.
        """
        self._store, self._clock, self._ids, self._refs = store, clock, ids, refs
        self._recipients, self._default_zone, self._default_retry = recipients, default_zone, default_retry
        self._offered = offered
        self._calendars, self._standard = Resolver(store, standard), standard
        self.chooser = Chooser(send_times, refs)
        #: For those who want to know beforehand.
        self.conflicts = conflicts

    @tracing.operation("schedule.create", tracing.answer_facts)
    async def create(self, call: Call, draft: Draft) -> Answer[s.Schedule]:
        """Ask for a schedule. The same request again (by its idempotency key) gets the first answer.

        Raises `Invalid`, `IdempotencyMismatch`, `Busy`, `Unavailable`; `ScheduleConflict` if it asks for that.
        """
        return await self._create(call, self._new_id(call, "create"), draft)

    @tracing.operation("schedule.clone", tracing.answer_facts)
    async def clone(self, call: Call, schedule: UUID, overrides: CloneOverrides) -> Answer[s.Schedule]:
        """Ask for a new schedule like an existing one, but for `overrides`. Its timing is read anew from now.

        Raises `NotFound` and what `create` raises.
        """
        original = fold_schedule(schedule, await load_schedule(self._store, call.tenant, schedule))
        draft = _draft_of(original).model_copy(update=overrides.changes())
        return await self._create(call, self._new_id(call, f"clone:{schedule}"), draft, cloned_from=schedule)

    async def _create(
        self, call: Call, schedule: UUID, draft: Draft, *, cloned_from: UUID | None = None
    ) -> Answer[s.Schedule]:
        async def attempt() -> Answer[s.Schedule]:
            return await self._create_once(call, schedule, draft, cloned_from)

        # Only a calendar or a recipient that is changed at the same time, and who else asks about conflicts, make it
        # begin again.
        return await until_no_conflict(attempt)

    async def _create_once(
        self, call: Call, schedule: UUID, draft: Draft, cloned_from: UUID | None
    ) -> Answer[s.Schedule]:
        if draft.conflicts is not None and (repeat := await self._repeated(call, schedule)) is not None:
            return repeat
        try:
            ground = await self._ground(call.tenant, schedule, draft, draft.timing)
            new = await self._new(call, schedule, draft, ground, cloned_from)
        except (Invalid, ScheduleConflict):
            # What was right once may be wrong by now (an instant has passed): a repeat still gets the first answer.
            repeat = await self._repeated(call, schedule)
            if repeat is None:
                raise
            return repeat
        return await self._store_new(call, new)

    async def _new(
        self,
        call: Call,
        schedule: UUID,
        draft: Draft,
        ground: Ground,
        cloned_from: UUID | None = None,
        why: t.Reason | None = None,
    ) -> New:
        """The events of a new schedule, settled among others if it asks for that; `draft` as it is to be stored."""
        if draft.conflicts is None:
            event = self._first_event(call, schedule, draft, ground.context, cloned_from, why)
            return New([event], ground.expects)
        settled = await self._settled(call, schedule, draft, draft.conflicts, ground.context)
        settlement = settled.settlement if settled is not None else None
        event = self._first_event(call, schedule, draft, ground.context, cloned_from, why, settlement)
        own = [event, *self._follow_ups(event, ground.context)]
        if settled is None:
            return New(own, ground.expects)
        return New(own, {**ground.expects, **settled.expects}, settled.events)

    async def _settled(
        self, call: Call, schedule: UUID, draft: Draft, policy: ConflictPolicy, context: t.Context
    ) -> Settled | None:
        check_draft(draft)
        self._offered.check(draft.channel)
        asking = Asking(
            schedule=schedule,
            policy=policy,
            timing=t.normalise(draft.timing, context),
            context=context,
            recipient=draft.recipient,
            priority=draft.priority,
            channel=draft.channel,
            content=draft.content,
        )
        return await self.conflicts.settle(call, asking)

    def _follow_ups(self, first: NewEvent, context: t.Context) -> list[NewEvent]:
        """What the settlement means for the schedule itself: events that follow its first in the same append."""
        state = fold_schedule(first.stream, [first.at(0)])
        bodies = s.follow_ups(state, context, s.Current(next=state.next))
        return [
            NewEvent(first.stream, 2 + index, first.meta.model_copy(update={"event_id": self._ids.new()}), body)
            for index, body in enumerate(bodies)
        ]

    def _first_event(
        self,
        call: Call,
        schedule: UUID,
        draft: Draft,
        context: t.Context,
        cloned_from: UUID | None = None,
        why: t.Reason | None = None,
        settled: Settlement | None = None,
    ) -> NewEvent:
        check_draft(draft)
        self._offered.check(draft.channel)
        delivery = draft.delivery
        if "retry" not in delivery.model_fields_set:
            delivery = delivery.model_copy(update={"retry": self._default_retry})
        body = s.create(
            s.Create(
                schedule=schedule,
                recipient_ref=self._refs.recipient_ref(call.tenant, draft.recipient),
                personal=draft.personal(),
                timing=draft.timing,
                context=context,
                priority=draft.priority,
                delivery=delivery,
                expires_after=draft.expires_after,
                cloned_from=cloned_from,
                conflicts=draft.conflicts,
                settled=settled,
                request_digest=call.digest,
                why=why,
            )
        )
        meta = meta_of(
            call,
            event_id=self._ids.new(),
            shard=shard_of(call.tenant, draft.recipient),
            now=context.now,
            correlation_id=schedule,
        )
        return NewEvent(schedule, 1, meta, body)

    async def _store_new(self, call: Call, new: New, *, lane: Lane = "fast") -> Answer[s.Schedule]:
        schedule = new.own[0].stream
        try:
            last = await self._store.append([*new.before, *new.own], new.expects, lane=lane)
        except StreamConflict:
            repeat = await self._repeated(call, schedule)
            if repeat is None:
                raise
            return repeat
        # One command: the events before the last have the positions before its.
        first = last - len(new.own) + 1
        return answer_of(
            schedule,
            [event.at(first + index) for index, event in enumerate(new.own)],
        )

    async def _repeated(self, call: Call, schedule: UUID) -> Answer[s.Schedule] | None:
        if call.idempotency_key is None:
            return None
        reader = self._store.scoped(call.tenant)
        events = await reader.load(schedule, upto_version=1)
        if events and (more := _follow_ups_of(events[0])):
            events = await reader.load(schedule, upto_version=1 + more)
        return repeat_of(call, schedule, events) if events else None

    def _new_id(self, call: Call, operation: str) -> UUID:
        if call.idempotency_key is None:
            return self._ids.new()
        return derived_id(call.tenant, operation, call.idempotency_key)

    async def _ground(self, tenant: str, schedule: UUID, message: Message, timing: t.Timing) -> Ground:
        """What `timing` is decided on, for this message of the schedule."""
        person = None
        if needs_recipient(timing):
            person = (await self._recipients.people(tenant, [message.recipient]))[message.recipient]
        calendar = await self._calendars.for_timing(tenant, timing)
        ground = self._ground_of(tenant, schedule, timing, person, calendar)
        (context,) = await self.chooser.chosen(tenant, [(ground.context, About(message, timing, person))])
        return replace(ground, context=context)

    def _ground_of(
        self, tenant: str, schedule: UUID, timing: t.Timing, person: Person | None, calendar: Calendar | None
    ) -> Ground:
        context = t.Context(
            now=self._clock.now(),
            schedule_id=schedule,
            default_zone=self._default_zone,
            recipient_zone=None if person is None else person.zone,
            calendar=calendar,
            recipient_locale=None if person is None else person.locale,
        )
        # Who moves has planned anew what follows their zone: nothing may be planned by the old one unseen.
        moves = person is not None and s.follows_recipient(timing)
        return Ground(context, fences(tenant, calendar) | (person.fence if person is not None and moves else {}))


@dataclass(frozen=True, slots=True)
class Ground:
    """What a timing is decided on, and what the append expects so that it is still so."""

    context: t.Context
    expects: Mapping[UUID, int]


@dataclass(frozen=True, slots=True)
class New:
    """A schedule's `own` first events, what their append expects, and events of other streams to go `before` them."""

    own: Sequence[NewEvent]
    expects: Mapping[UUID, int]
    before: Sequence[NewEvent] = ()


def repeat_of(call: Call, schedule: UUID, events: Sequence[Recorded]) -> Answer[s.Schedule]:
    """The answer that the schedule's creation, which `events` begin with, got. Raises `IdempotencyMismatch`."""
    answer = answer_of(schedule, events[: 1 + _follow_ups_of(events[0])], replayed=True)
    if answer.state.request_digest != call.digest:
        raise mismatch(call)
    return answer


def _follow_ups_of(first: Recorded) -> int:
    """How many events of the schedule came with its first."""
    settled = first.body.settled if isinstance(first.body, s.ScheduleCreated) else None
    return settled.follow_ups if settled is not None else 0


def _draft_of(state: s.Schedule) -> Draft:
    return Draft.model_construct(
        recipient=state.personal.recipient,
        channel=state.personal.channel,
        content=state.personal.content,
        metadata=state.personal.metadata,
        tags=state.personal.tags,
        timing=state.timing,
        priority=state.definition.priority,
        delivery=state.definition.delivery,
        expires_after=state.definition.expires_after,
        conflicts=state.definition.conflicts,
    )
