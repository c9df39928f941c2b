"""Settling a schedule among those that go out at about the same time, where it asks for that.

Place in the flow: creation, change, preview -> *here* -> domain, log. A read model says which schedules may meet it,
their streams in the log say what they are. Whoever asks (and does not merely `allow`) writes a mark to the lane's
stream and expects its head as it was before looking: of two that are decided at the same time one begins again, and
sees the other. Others' slots that give way are fenced by their occurrences and their schedules' heads, as every change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby, islice
from operator import attrgetter
from typing import Any
from uuid import UUID

from horae.commands.calendars import Resolver
from horae.commands.context import Call, meta_of
from horae.commands.othersslots import as_it_comes, differ, moved_slots, others_slots
from horae.commands.ports import EventStore, Ids, Neighbour, Neighbours, SeriesPointers, StreamConflict
from horae.commands.reading import fold_schedule
from horae.commands.recipients import Recipients, needs_recipient
from horae.commands.series import stand
from horae.commands.yielding import give_way, take_in
from horae.domain import conflicts as c
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.envelope import Event, NewEvent
from horae.domain.errors import Conflict
from horae.domain.ids import shard_of
from horae.domain.timing.calendared import calendar_id

#: Of a series so many slots are compared, and none further ahead than this.
LOOK_AHEAD_SLOTS = 100
LOOK_AHEAD = timedelta(days=366)
#: With so many schedules one is compared at most.
MOST_OTHERS = 200
_FOR_EVER = timedelta(days=36_500)
#: A slot's instant under another rule, without jitter, is at most so long before its instant under the one before.
_NEAR = timedelta(days=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """A schedule that asks: `timing` normalised and not shifted, `context` that of its slots.

    `channel` None: not known yet (a preview).
    """

    schedule: UUID
    policy: c.ConflictPolicy
    timing: t.Timing
    context: t.Context
    recipient: str
    priority: int
    channel: str | None = None
    content: Mapping[str, Any] = field(default_factory=dict)
    #: Only slots from this one on are settled; they are looked for from `begin` on.
    since: t.Slot | None = None
    begin: datetime | None = None
    #: Some of its slots are not like the others, so that one content is not all of it.
    differ: bool = False
    #: Only this one is settled: a slot of a series that is moved by itself, where it would go out.
    only: t.Next | None = None

    @property
    def recurring(self) -> bool:
        """Whether it has several slots that are settled."""
        return self.only is None and t.is_recurring(self.timing)


@dataclass(frozen=True, slots=True)
class Settled:
    """What was decided, the events on other streams that belong to it, and what their append must expect."""

    settlement: c.Settlement
    events: list[NewEvent]
    expects: dict[UUID, int]


class Conflicts:
    """Looks at a schedule's lane, decides, and says what has to be written."""

    def __init__(
        self,
        store: EventStore,
        ids: Ids,
        recipients: Recipients,
        calendars: Resolver,
        series: SeriesPointers,
        neighbours: Neighbours,
    ) -> None:
        self._store, self._ids, self._recipients, self._calendars = store, ids, recipients, calendars
        self._series, self._neighbours = series, neighbours

    async def settle(self, call: Call, asking: Asking) -> Settled | None:
        """Decide it as of now, to be appended with the schedule's own event; None: it has no slot to settle.

        Raises `ScheduleConflict`, `Unavailable`, `Conflict` for too many others, and `StreamConflict` when one of them
        is on its way this very moment.
        """
        if next(_slots(asking), None) is None:
            return None
        policy = asking.policy
        lane = c.lane_stream(call.tenant, asking.recipient, policy.key)
        # The head first: whatever is written to the lane from here on makes the append fail.
        head = await self._store.scoped(call.tenant).version(lane)
        settlement, states = await self._decided(call.tenant, asking)
        if settlement.action == "rejected":
            raise c.ScheduleConflict(settlement)
        if policy.strategy == "allow":
            return Settled(settlement, [], {})
        events, expects = await self._others(call, asking, settlement, states)
        shard = shard_of(call.tenant, asking.recipient if policy.key is None else str(lane))
        mark = c.LaneTaken(schedule_id=asking.schedule, strategy=policy.strategy, action=settlement.action)
        events.append(self._event(call, asking, lane, head + 1, shard, mark))
        return Settled(settlement, events, {**expects, lane: head})

    async def of_change(
        self, call: Call, after: s.Schedule, context: t.Context, since: t.Slot | None, since_at: datetime | None
    ) -> Settled | None:
        """The same for a schedule whose slots or policy change: `after` is what it would be. With `since` only the
        slots from there on are settled. None also if it does not ask. Raises what `settle` raises.
        """
        policy = after.definition.conflicts
        if policy is None:
            return None
        seen = as_it_comes(after, context) if since is None else after.as_series(since)
        asking = Asking(
            schedule=after.id,
            policy=policy,
            timing=t.shifted(after.timing, None, since),
            context=replace(context, exceptions=after.out),
            recipient=seen.personal.recipient,
            priority=seen.definition.priority,
            channel=seen.personal.channel,
            content=seen.personal.content,
            differ=differ(after, context),
            since=since,
            begin=max(context.now, since_at - _NEAR) if since_at is not None else None,
        )
        settled = await self.settle(call, asking)
        if since is not None and settled is not None and settled.settlement.action in ("merged", "given_way"):
            raise _all_of_it(settled.settlement, since)
        return settled

    async def of_slot(self, call: Call, after: s.Schedule, context: t.Context, at: t.Next) -> Settled | None:
        """The same for a slot that is moved by itself, to `at`; `after` is the schedule as it would be then."""
        policy, seen = after.definition.conflicts, after.seen_from(at.slot)
        if policy is None:
            return None
        asking = Asking(
            schedule=after.id,
            policy=policy,
            timing=after.timing,
            context=context,
            recipient=seen.personal.recipient,
            priority=seen.definition.priority,
            channel=seen.personal.channel,
            content=seen.personal.content,
            only=at,
        )
        settled = await self.settle(call, asking)
        if settled is not None and settled.settlement.action in ("merged", "given_way"):
            raise _not_there(settled.settlement, at)
        return settled

    async def preview(self, tenant: str, asking: Asking) -> c.Settlement | None:
        """What would be decided now, `rejected` included; None: it has no slot.

        Raises `Unavailable`, and `Conflict` for too many others.
        """
        if next(_slots(asking), None) is None:
            return None
        return (await self._decided(tenant, asking))[0]

    async def _decided(self, tenant: str, asking: Asking) -> tuple[c.Settlement, dict[UUID, s.Schedule]]:
        look, states = await self._look(tenant, asking)
        return await asyncio.to_thread(c.decide, asking.policy, look), states

    async def _look(self, tenant: str, asking: Asking) -> tuple[c.Look, dict[UUID, s.Schedule]]:
        policy, position = asking.policy, await self._store.head()
        ours, complete_until = _coming(asking)
        reach = policy.window + (policy.max_shift if policy.strategy == "shift" else timedelta(0))
        since, until = ours[0].due_at - policy.window, ours[-1].due_at + reach
        near = await self._neighbours.around(
            tenant,
            asking.recipient,
            policy.key,
            since=since,
            until=until,
            position=position,
            limit=MOST_OTHERS + 2,
        )
        near = [each for each in near if each.schedule != asking.schedule]
        if len(near) > MOST_OTHERS:
            raise _too_many(policy)
        states = await self._states(tenant, near)
        contexts = await self._contexts(tenant, asking, states)
        others, others_until = await asyncio.to_thread(others_slots, near, states, contexts, since, until)
        look = c.Look(
            slots=_within(ours, others_until - reach),
            priority=asking.priority,
            channel=asking.channel,
            recurring=asking.recurring,
            differ=asking.differ,
            others=others,
            position=position,
            complete_until=complete_until,
            others_until=others_until,
        )
        if len(look.slots) < len(ours):
            look = replace(look, complete_until=look.slots[-1].due_at)
        return look, states

    async def _states(self, tenant: str, near: Sequence[Neighbour]) -> dict[UUID, s.Schedule]:
        """Those of them that still are to go out."""
        if not near:
            return {}
        loaded = await self._store.scoped(tenant).load_many([each.schedule for each in near])
        states = {schedule: fold_schedule(schedule, events) for schedule, events in loaded.items()}
        return {
            id_: state
            for id_, state in states.items()
            if state.status is s.Status.ACTIVE and (state.next is not None or state.moved)
        }

    async def _contexts(self, tenant: str, asking: Asking, states: Mapping[UUID, s.Schedule]) -> dict[UUID, t.Context]:
        asked_of = {each.personal.recipient for each in states.values() if needs_recipient(each.timing)}
        people = await self._recipients.people(tenant, asked_of)
        calendars = await self._calendars.for_timings(tenant, [each.timing for each in states.values()])
        own = asking.context
        return {
            id_: state.context(
                own.now,
                default_zone=own.default_zone,
                recipient_zone=people[state.personal.recipient].zone if state.personal.recipient in people else None,
                calendar=calendars.get(calendar_id(state.timing) or ""),
            )
            for id_, state in states.items()
        }

    async def _others(
        self, call: Call, asking: Asking, settlement: c.Settlement, states: Mapping[UUID, s.Schedule]
    ) -> tuple[list[NewEvent], dict[UUID, int]]:
        """The events of the schedules that give way, or that takes this one in, and their fences."""
        events: list[NewEvent] = []
        expects: dict[UUID, int] = {}
        given_up = sorted(settlement.given_up, key=attrgetter("schedule"))
        yielding = [(id_, [each.slot for each in group]) for id_, group in groupby(given_up, attrgetter("schedule"))]
        if settlement.into is not None:
            yielding.append((settlement.into, []))
        contexts = await self._contexts(call.tenant, asking, {id_: states[id_] for id_, _ in yielding})
        for id_, slots in yielding:
            state, context = states[id_], contexts[id_]
            current, fence = await stand(self._store.scoped(call.tenant), self._series, call.tenant, state, context)
            moved = moved_slots(state, context.now)
            concerned = set(slots or moved)
            if current.next is None and not (concerned and concerned <= moved.keys()):
                # It has gone out, or is about to end, since the read model was asked: look again.
                raise StreamConflict(id_, state.version, state.version)
            if slots:
                bodies = give_way(asking.schedule, asking.priority, state, context, current, slots)
            else:
                bodies = take_in(asking.schedule, asking.priority, asking.content, state, context, current)
            # A slot that was moved waits by itself: the series' own fence does not hold it.
            expects |= fence
            expects |= {moved[slot]: 0 for slot in concerned & moved.keys()}
            shard = shard_of(call.tenant, state.personal.recipient)
            events += [
                self._event(call, asking, id_, state.version + 1 + index, shard, body)
                for index, body in enumerate(bodies)
            ]
        return events, expects

    def _event(self, call: Call, asking: Asking, stream: UUID, version: int, shard: int, body: Event) -> NewEvent:
        meta = meta_of(
            call, event_id=self._ids.new(), shard=shard, now=asking.context.now, correlation_id=asking.schedule
        )
        return NewEvent(stream, version, meta, body)


def _coming(asking: Asking) -> tuple[list[t.Next], datetime | None]:
    """Our slots as far as they are compared, one at least; and up to when they are all, None: for ever."""
    slots = list(islice(_slots(asking), LOOK_AHEAD_SLOTS + 1))
    if not slots:
        raise ValueError(f"the timing of {asking.schedule} has no slot")
    first = slots[0]
    if not asking.recurring:
        return [first], None
    near = [at for at in slots[:LOOK_AHEAD_SLOTS] if at.due_at <= first.due_at + LOOK_AHEAD]
    near.sort(key=attrgetter("due_at"))
    return near, None if len(near) == len(slots) else near[-1].due_at


def _slots(asking: Asking) -> Iterator[t.Next]:
    """Our slots that are settled."""
    since = asking.since
    if asking.only is not None:
        found = iter([asking.only])
    elif not t.is_recurring(asking.timing):
        first = t.first(asking.timing, asking.context)
        found = iter([first] if first is not None else [])
    else:
        found = t.coming(asking.timing, asking.begin or asking.context.now, asking.context)
    for at in found:
        if since is None or (at.slot.local, at.slot.fold) >= (since.local, since.fold):
            yield at


def _within(slots: list[t.Next], until: datetime) -> list[t.Next]:
    return [at for at in slots if at.due_at <= until] or slots[:1]


def _all_of_it(settlement: c.Settlement, since: t.Slot) -> Conflict:
    does = "be merged into another schedule" if settlement.action == "merged" else "give way to other schedules"
    return Conflict(
        f"All that comes from this slot on would {does}, and the slots before it would go with it.",
        field="slot",
        value=since.local.isoformat(),
        hint="Let the series end with `ends_at` and create another schedule, or choose another strategy.",
    )


def _not_there(settlement: c.Settlement, at: t.Next) -> Conflict:
    into, first = settlement.into, settlement.against[0]
    does = f"be merged into schedule {into}" if into is not None else f"give way to schedule {first.schedule}"
    return Conflict(
        f"At {at.due_at:%Y-%m-%dT%H:%M:%SZ} the slot would {does}, and not go out by itself.",
        field="timing",
        value=str(into or first.schedule),
        hint="Choose another time, or skip the slot.",
    )


def _too_many(policy: c.ConflictPolicy) -> Conflict:
    whose = "the recipient" if policy.key is None else f"the key {policy.key}"
    return Conflict(
        f"More than {MOST_OTHERS} schedules of {whose} go out in the time that has to be looked at.",
        field="conflicts",
        value=policy.strategy,
        hint="Name a narrower key, or let it be.",
    )
