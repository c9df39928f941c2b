"""Asking for schedules: one, a copy of one, or many at once.

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
from horae.commands.context import Answer, Call, digest_of, meta_of, mismatch, until_no_conflict
from horae.commands.ports import NOTHING_EXPECTED, Clock, EventStore, Ids, Lane, Refs, SendTimes, StreamConflict
from horae.commands.reading import answer_of, fold_schedule, load_schedule
from horae.commands.recipients import Person, Recipients
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.channel import NO_KAFKA, Offered
from horae.domain.delivery import Retry
from horae.domain.draft import CloneOverrides, Draft, check_draft
from horae.domain.envelope import NewEvent, Recorded
from horae.domain.errors import HoraeError, Invalid
from horae.domain.ids import derived_id, shard_of
from horae.domain.timing.calendared import calendar_id
from horae.domain.timing.opendays import USUAL, Calendar, Standard
from horae.domain.timing.wherever import AS_ASKED, Wherever, fit

DEFAULT_RETRY = Retry()
#: Creations in one commit of a bulk request.
CHUNK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkItem:
    """One schedule of many. `index` is its place in the request, `key` an idempotency key of its own."""

    index: int
    draft: Draft
    key: str | None = None
    rules: Wherever = AS_ASKED


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkResult:
    """What became of an item: `answer` (created, or replayed), `error`, or `skipped` by its own rules."""

    index: int
    answer: Answer[s.Schedule] | None = None
    error: HoraeError | None = None
    skipped: t.Reason | None = None


#: Of an item of many: created, refused, or not wanted by its own rules.
Outcome = Answer[s.Schedule] | HoraeError | t.Reason


class Creation:
    """Create, clone and bulk create."""

    def __init__(
        self,
        store: EventStore,
        clock: Clock,
        ids: Ids,
        refs: Refs,
        recipients: Recipients,
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
        self._calendars = Resolver(store, standard)
        self.chooser = Chooser(send_times, refs)

    @tracing.operation("schedule.create", tracing.answer_facts)
    async def create(self, call: Call, draft: Draft) -> Answer[s.Schedule]:
        """Ask for a schedule. The same request again (by its idempotency key) gets the first answer.

        Raises `Invalid`, `IdempotencyMismatch`, `Busy`, `Unavailable`.
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

        # Only a calendar or a recipient that is changed at the same time makes it begin again.
        return await until_no_conflict(attempt)

    async def _create_once(
        self, call: Call, schedule: UUID, draft: Draft, cloned_from: UUID | None
    ) -> Answer[s.Schedule]:
        try:
            ground = await self._ground(call.tenant, schedule, draft, draft.timing)
            event = self._first_event(call, schedule, draft, ground.context, cloned_from)
        except Invalid:
            # What was right once may be wrong by now (an instant has passed): a repeat still gets the first answer.
            repeat = await self._repeated(call, schedule)
            if repeat is None:
                raise
            return repeat
        return await self._store_new(call, event, ground.expects)

    def _first_event(
        self,
        call: Call,
        schedule: UUID,
        draft: Draft,
        context: t.Context,
        cloned_from: UUID | None = None,
        why: t.Reason | None = None,
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

    async def _store_new(
        self,
        call: Call,
        event: NewEvent,
        expects: Mapping[UUID, int] = NOTHING_EXPECTED,
        *,
        lane: Lane = "fast",
    ) -> Answer[s.Schedule]:
        try:
            position = await self._store.append([event], expects, lane=lane)
        except StreamConflict:
            repeat = await self._repeated(call, event.stream)
            if repeat is None:
                raise
            return repeat
        return answer_of(event.stream, [Recorded(event.stream, 1, event.meta, event.body, position)])

    async def _repeated(self, call: Call, schedule: UUID) -> Answer[s.Schedule] | None:
        if call.idempotency_key is None:
            return None
        events = await self._store.scoped(call.tenant).load(schedule, upto_version=1)
        return _repeat_of(call, schedule, events) if events else None

    @tracing.operation("schedule.create_many")
    async def bulk_create(self, call: Call, items: Sequence[BulkItem]) -> list[BulkResult]:
        """Ask for many schedules, each for itself: one bad item harms no other. Results are in the items' order.

        An item's idempotency key is its own, or the call's with the item's index. Goes by the bulk lane, `CHUNK` items
        a commit; chunk by chunk, so that a long list cannot crowd out others.
        """
        results: list[BulkResult] = []
        for start in range(0, len(items), CHUNK):
            results += await self._create_chunk(call, items[start : start + CHUNK])
        return results

    async def _create_chunk(self, call: Call, items: Sequence[BulkItem]) -> list[BulkResult]:
        asked_of = {item.draft.recipient for item in items if needs_recipient(item.draft.timing)}
        people = await self._recipients.people(call.tenant, asked_of)
        calendars = await self._calendars.for_timings(call.tenant, [item.draft.timing for item in items])
        asked = [_Asked.of(call, item, self._ids) for item in items]
        keyed = [each.schedule for each in asked if each.call.idempotency_key is not None]
        known = await self._store.scoped(call.tenant).load_many(keyed) if keyed else {}
        grounds = await self._grounds(call.tenant, asked, people, calendars)
        outcomes: dict[int, Outcome] = {}
        events: dict[int, NewEvent] = {}
        expects: dict[UUID, int] = {}
        for place, each in enumerate(asked):
            try:
                if each.schedule in known:
                    outcomes[place] = _repeat_of(each.call, each.schedule, known[each.schedule])
                else:
                    ground = grounds[place]
                    fitted = self._fitted_event(each, ground)
                    if isinstance(fitted, t.Reason):
                        outcomes[place] = fitted
                    else:
                        events[place], expects = fitted, expects | dict(ground.expects)
            except HoraeError as error:
                outcomes[place] = error
        outcomes |= await self._store_chunk(asked, events, expects)
        return [_result(item, outcomes[place]) for place, item in enumerate(items)]

    async def _store_chunk(
        self, asked: Sequence[_Asked], events: dict[int, NewEvent], expects: Mapping[UUID, int]
    ) -> dict[int, Outcome]:
        """All in one append; each for itself if one is a repeat that came in meanwhile, or a calendar has changed."""
        together = {event.stream: place for place, event in reversed(events.items())}
        places = sorted(together.values())
        outcomes: dict[int, Outcome] = {}
        try:
            last = await self._store.append([events[place] for place in places], expects, lane="bulk") if places else 0
        except StreamConflict:
            places = []
        except HoraeError as error:
            outcomes = dict.fromkeys(places, error)
        else:
            # One command: the events before the last have the positions before its.
            for back, place in enumerate(reversed(places)):
                event = events[place]
                recorded = Recorded(event.stream, 1, event.meta, event.body, last - back)
                outcomes[place] = answer_of(event.stream, [recorded])
        for place in sorted(events.keys() - outcomes.keys()):
            each = asked[place]
            try:
                outcomes[place] = await self._create_item(each)
            except HoraeError as error:
                outcomes[place] = error
        return outcomes

    def _fitted_event(self, asked: _Asked, ground: Ground) -> NewEvent | t.Reason:
        """The item's first event, by a timing that its rules have fitted to the recipient; else why there is none."""
        fitted = fit(asked.draft.timing, asked.rules, ground.context)
        if fitted.timing is None:
            assert fitted.why is not None
            return fitted.why
        draft = asked.draft.model_copy(update={"timing": fitted.timing})
        return self._first_event(asked.call, asked.schedule, draft, ground.context, why=fitted.why)

    async def _create_item(self, asked: _Asked) -> Outcome:
        """One item of many by itself, after something that it stands on has changed."""

        async def attempt() -> Outcome:
            ground = await self._ground(asked.call.tenant, asked.schedule, asked.draft, asked.draft.timing)
            repeat = await self._repeated(asked.call, asked.schedule)
            if repeat is not None:
                return repeat
            event = self._fitted_event(asked, ground)
            if isinstance(event, t.Reason):
                return event
            return await self._store_new(asked.call, event, ground.expects, lane="bulk")

        return await until_no_conflict(attempt)

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

    async def _grounds(
        self,
        tenant: str,
        asked: Sequence[_Asked],
        people: Mapping[str, Person],
        calendars: Mapping[str, Calendar],
    ) -> list[Ground]:
        """The same for many, in their order."""
        grounds, wanted = [], []
        for each in asked:
            timing = each.draft.timing
            person = people[each.draft.recipient] if needs_recipient(timing) else None
            calendar = calendars.get(calendar_id(timing) or "")
            ground = self._ground_of(tenant, each.schedule, timing, person, calendar)
            grounds.append(ground)
            wanted.append((ground.context, About(each.draft, timing, person)))
        contexts = await self.chooser.chosen(tenant, wanted)
        return [replace(ground, context=context) for ground, context in zip(grounds, contexts, strict=True)]

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
        moves = person is not None and follows_recipient(timing)
        return Ground(context, fences(tenant, calendar) | (person.fence if person is not None and moves else {}))


@dataclass(frozen=True, slots=True)
class Ground:
    """What a timing is decided on, and what the append expects so that it is still so."""

    context: t.Context
    expects: Mapping[UUID, int]


def _repeat_of(call: Call, schedule: UUID, events: Sequence[Recorded]) -> Answer[s.Schedule]:
    answer = answer_of(schedule, events[:1], replayed=True)
    if answer.state.request_digest != call.digest:
        raise mismatch(call)
    return answer


def needs_recipient(timing: t.Timing) -> bool:
    """May the timing's meaning depend on where the recipient lives, their language, or what is set for them?"""
    if isinstance(timing, t.Now | t.Best):
        return True
    return timing.zone == "recipient" or (isinstance(timing, t.Phrase) and timing.locale is None)


def follows_recipient(timing: t.Timing) -> bool:
    """Does it go on depending on it, so that it is planned anew when they move?"""
    return isinstance(timing, t.Every | t.At | t.Best) and timing.zone == "recipient"


@dataclass(frozen=True, slots=True)
class _Asked:
    """An item of a bulk request as the request that it stands for."""

    call: Call
    schedule: UUID
    draft: Draft
    rules: Wherever

    @classmethod
    def of(cls, call: Call, item: BulkItem, ids: Ids) -> _Asked:
        operation, key = "bulk item", item.key
        if key is None and call.idempotency_key is not None:
            operation, key = "bulk index", f"{call.idempotency_key}:{item.index}"
        if key is None:
            return cls(replace(call, idempotency_key=None, digest=None), ids.new(), item.draft, item.rules)
        document = item.draft.model_dump(mode="json")
        if item.rules != AS_ASKED:
            document |= {"if_past": item.rules.past, "if_no_zone": item.rules.no_zone}
        own = replace(call, idempotency_key=key, digest=digest_of(document))
        return cls(own, derived_id(call.tenant, operation, key), item.draft, item.rules)


def _result(item: BulkItem, outcome: Outcome) -> BulkResult:
    if isinstance(outcome, t.Reason):
        return BulkResult(index=item.index, skipped=outcome)
    if isinstance(outcome, HoraeError):
        return BulkResult(index=item.index, error=outcome)
    return BulkResult(index=item.index, answer=outcome)


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
    )
