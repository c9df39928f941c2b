"""Schedules as they stand, and what the zone data in use and the zones of now make of the slots that are planned.

Place in the flow: read by `zonechanges` and `recipientmoves`, before they decide and again in each attempt to append.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from horae.commands.calendars import Resolver, fences
from horae.commands.ports import Clock, EventStore, SeriesPointers
from horae.commands.reading import fold_schedule
from horae.commands.recipients import Person
from horae.commands.series import stand
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain import zonechange as z
from horae.domain.envelope import Recorded
from horae.domain.ids import occurrence_id, recipient_stream
from horae.domain.timing.calendared import calendar_id
from horae.domain.timing.opendays import Standard


@dataclass(frozen=True, slots=True)
class Looked:
    """A schedule, and what moves of it: first what was moved by itself, last the slot at which it stands."""

    state: s.Schedule
    rezoned: tuple[s.Rezoned | s.RezonedSlot, ...]

    @property
    def moves(self) -> list[z.Move]:
        """The same for a report."""
        return [
            z.Move(
                schedule_id=self.state.id,
                slot=each.event.before.slot,
                zone=each.event.before.plan.zone,
                tzdata=each.event.before.plan.tzdata,
                before=each.event.before.due_at,
                after=None if each.after is None else each.after.due_at,
                occurrence=each.event.occurrence if isinstance(each.event, s.SlotReplanned) else None,
            )
            for each in self.rezoned
        ]

    @property
    def unbegun(self) -> dict[UUID, int]:
        """What an append must expect so that nobody claims what was moved by itself meanwhile."""
        return {each.event.occurrence: 0 for each in self.rezoned if isinstance(each.event, s.SlotReplanned)}


@dataclass(frozen=True, slots=True)
class Standing:
    """A schedule out of the log, with its events and where it stands."""

    events: Sequence[Recorded]
    state: s.Schedule
    context: t.Context
    current: s.Current


@dataclass(frozen=True, slots=True)
class Unasked:
    """Stands for a zone that is not another one than the recipient has."""


UNASKED = Unasked()


@dataclass(frozen=True, slots=True)
class _Read:
    events: Sequence[Recorded]
    state: s.Schedule
    context: t.Context
    #: Whom it follows, if anybody.
    person: Person | None


class Looking:
    """Reads of one installation; stateless but for the calendars that it remembers."""

    def __init__(
        self, store: EventStore, clock: Clock, pointers: SeriesPointers, default_zone: str, standard: Standard
    ) -> None:
        self._store, self._clock, self._pointers, self._default_zone = store, clock, pointers, default_zone
        self._calendars = Resolver(store, standard)

    async def at(self, tenant: str, currents: Mapping[UUID, t.Next | None]) -> list[Standing]:
        """The schedules, standing where a read model has them; None: where, does not matter."""
        return [
            Standing(each.events, each.state, each.context, s.Current(next=currents[each.state.id]))
            for each in await self._read(tenant, list(currents))
        ]

    async def fenced(
        self, tenant: str, schedules: Sequence[UUID], zone: str | Unasked | None = UNASKED
    ) -> tuple[list[Standing], dict[UUID, int]]:
        """The schedules, and what an append must expect so that they stand there still.

        `zone`: as if this were the recipients'.
        """
        reader = self._store.scoped(tenant)
        found: list[Standing] = []
        expects: dict[UUID, int] = {}
        for each in await self._read(tenant, schedules, zone):
            current, fence = await stand(reader, self._pointers, tenant, each.state, each.context)
            found.append(Standing(each.events, each.state, each.context, current))
            followed = {} if each.person is None else each.person.fence
            expects |= {**fences(tenant, each.context.calendar), **followed, **fence}
        return found, expects

    async def look(
        self, tenant: str, change: UUID, keep: s.Keep, standing: Sequence[Standing], cause: s.RezoneCause = "zone"
    ) -> list[Looked]:
        """What the zone data in use, or their recipients' zones, make of them."""
        handled = await self._handled(tenant, standing)
        looked: list[Looked] = []
        for each in standing:
            command = s.Rezone(
                change=change,
                cause=cause,
                keep=keep,
                context=each.context,
                current=each.current,
                handled=handled.get(each.state.id, ()),
            )
            own = s.rezone(command, each.state)
            moved = s.rezone_moved(command, each.state)
            looked.append(Looked(each.state, (*moved, own) if own is not None else tuple(moved)))
        return looked

    async def _handled(self, tenant: str, standing: Sequence[Standing]) -> dict[UUID, set[t.Slot]]:
        """By schedule: slots that lie ahead again by the data in use, or were moved by themselves, and have been dealt
        with."""
        again: dict[UUID, tuple[UUID, t.Slot]] = {}
        for each in standing:
            current, id_ = each.current.next, each.state.id
            for occurrence, moved in each.state.moved.items():
                if moved.due_at > each.context.now:
                    again[occurrence] = id_, moved.slot
            for slot in s.coming_again(each.state, current, each.context) if current is not None else ():
                again[occurrence_id(id_, slot.local, slot.fold)] = id_, slot
        found: dict[UUID, set[t.Slot]] = {}
        for occurrence in await self._store.scoped(tenant).load_many(again) if again else ():
            id_, slot = again[occurrence]
            found.setdefault(id_, set()).add(slot)
        return found

    async def _read(self, tenant: str, schedules: Sequence[UUID], zone: str | Unasked | None = UNASKED) -> list[_Read]:
        streams = await self._store.scoped(tenant).load_many(schedules)
        states = [fold_schedule(id_, streams[id_]) for id_ in schedules if id_ in streams]
        people = await self._people(tenant, states)
        calendars = await self._calendars.for_timings(tenant, [state.timing for state in states])
        now = self._clock.now()
        read: list[_Read] = []
        for state in states:
            person = people.get(state.id)
            if person is not None and not isinstance(zone, Unasked):
                person = replace(person, zone=zone)
            context = state.context(
                now,
                default_zone=self._default_zone,
                recipient_zone=None if person is None else person.zone,
                calendar=calendars.get(calendar_id(state.timing) or ""),
            )
            read.append(_Read(streams[state.id], state, context, person))
        return read

    async def _people(self, tenant: str, states: Sequence[s.Schedule]) -> dict[UUID, Person]:
        """By schedule: the recipients of those that follow their zone; one query."""
        streams = {
            state.id: recipient_stream(tenant, state.personal.recipient) for state in states if s.has_followers(state)
        }
        loaded = await self._store.scoped(tenant).load_many(set(streams.values())) if streams else {}
        return {id_: Person.of(stream, loaded.get(stream, ())) for id_, stream in streams.items()}
