"""Recipients: the person's zone, locale and attributes, as far as schedules need them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from horae.commands import tracing
from horae.commands.context import Answer, Call, event_id_for, find_repeat, meta_of, until_no_conflict
from horae.commands.ports import Clock, EventStore, Ids, Refs
from horae.domain import recipient as r
from horae.domain import timing as t
from horae.domain.draft import check_size
from horae.domain.envelope import NewEvent, Recorded
from horae.domain.errors import NotFound
from horae.domain.ids import recipient_stream, shard_of
from horae.domain.personal import METADATA_LIMIT, refuse_unstorable


@dataclass(frozen=True, slots=True)
class Person:
    """What planning asks of a recipient, as their stream has it at `version`; 0: nobody has set a profile."""

    stream: UUID
    version: int = 0
    zone: str | None = None
    locale: str | None = None
    segment: str | None = None
    #: Set by hand, a time of day.
    best_time: str | None = None

    @classmethod
    def of(cls, stream: UUID, events: Sequence[Recorded]) -> Person:
        """The person of a recipient's stream."""
        state = _fold(events)
        if state is None:
            return cls(stream)
        known = state.profile
        return cls(stream, events[-1].version, known.zone, known.locale, known.segment, known.best_time)

    @property
    def fence(self) -> dict[UUID, int]:
        """What an append expects that was decided on this person's zone: that it is still theirs."""
        return {self.stream: self.version}


@dataclass(frozen=True, slots=True)
class ZoneSet:
    """A zone of a recipient's: the version of their stream that set it, and what it was before; None: unknown."""

    version: int
    before: str | None
    zone: str | None


@dataclass(frozen=True, slots=True)
class RecipientWritten:
    """A recipient after they were put. `look`: their schedules must be looked at, as their zone may be another."""

    answer: Answer[r.Recipient]
    look: bool
    #: The zones that they had, oldest first.
    zones: tuple[ZoneSet, ...] = ()


class Recipients:
    """Commands on recipients; reads go through the log, so that they see every write that was answered."""

    def __init__(self, store: EventStore, clock: Clock, ids: Ids, refs: Refs) -> None:
        self._store, self._clock, self._ids, self._refs = store, clock, ids, refs

    @tracing.operation("recipient.put")
    async def put(self, call: Call, profile: r.RecipientProfile) -> RecipientWritten:
        """Set the whole profile; nothing is stored if it is so already. Raises `Invalid`.

        Who asks for what is so already finishes what was broken off: there, too, schedules are to be looked at.
        """
        _check(profile)
        stream = recipient_stream(call.tenant, profile.id)

        async def attempt() -> RecipientWritten:
            events = await self._store.scoped(call.tenant).load(stream)
            repeat = find_repeat(call, "put", stream, events)
            if repeat is not None:
                answer = _answer(stream, events[: repeat.version], replayed=True)
                return RecipientWritten(answer, look=True, zones=zones_of(events))
            return await self._set(call, stream, events, profile)

        return await until_no_conflict(attempt)

    async def take_back(self, call: Call, recipient: str, version: int) -> RecipientWritten:
        """Give them the zone that they had before `version` of their stream set another, unless it is another by now.

        Raises `NotFound`.
        """
        call = replace(call, idempotency_key=None)
        stream = recipient_stream(call.tenant, recipient)

        async def attempt() -> RecipientWritten:
            events = await self._store.scoped(call.tenant).load(stream)
            known, zones = _fold(events), zones_of(events)
            if known is None:
                raise _unknown(recipient)
            if not zones or zones[-1].version != version:
                return RecipientWritten(_answer(stream, events), look=True, zones=zones)
            profile = known.profile.model_copy(update={"zone": zones[-1].before})
            return await self._set(call, stream, events, profile)

        return await until_no_conflict(attempt)

    async def _set(
        self, call: Call, stream: UUID, events: list[Recorded], profile: r.RecipientProfile
    ) -> RecipientWritten:
        before = _fold(events)
        bodies = r.decide(
            r.Put(recipient_ref=self._refs.recipient_ref(call.tenant, profile.id), profile=profile), before
        )
        if not bodies:
            return RecipientWritten(_answer(stream, events), look=True, zones=zones_of(events))
        event = self._event(call, stream, len(events) + 1, bodies[0], self._clock.now())
        position = await self._store.append([event])
        events = [*events, event.at(position)]
        look = profile.zone != (before.profile.zone if before is not None else None)
        return RecipientWritten(_answer(stream, events), look, zones_of(events))

    async def looked_over(self, tenant: str, profile: r.RecipientProfile) -> tuple[ZoneSet, ...]:
        """Refuse what `put` would refuse, and tell the zones that they had. Raises `Invalid`."""
        _check(profile)
        events = await self._store.scoped(tenant).load(recipient_stream(tenant, profile.id))
        r.decide(r.Put(recipient_ref=self._refs.recipient_ref(tenant, profile.id), profile=profile), _fold(events))
        return zones_of(events)

    async def get(self, tenant: str, recipient: str) -> Answer[r.Recipient]:
        """The recipient's profile. Raises `NotFound`."""
        stream = recipient_stream(tenant, recipient)
        events = await self._store.scoped(tenant).load(stream)
        if not events:
            raise _unknown(recipient)
        return _answer(stream, events)

    async def zones(self, tenant: str, recipient: str) -> list[tuple[str | None, datetime]]:
        """The zones that they had, oldest first, each with the instant from which on. Raises `NotFound`."""
        events = await self._store.scoped(tenant).load(recipient_stream(tenant, recipient))
        if not events:
            raise _unknown(recipient)
        told: list[tuple[str | None, datetime]] = []
        for event in events:
            if isinstance(event.body, r.RecipientSet):
                zone = event.body.personal.zone
                if not told or told[-1][0] != zone:
                    told.append((zone, event.meta.recorded_at))
        return told

    async def zone(self, tenant: str, recipient: str) -> str | None:
        """The zone that the recipient prefers; None if none is known."""
        return (await self.people(tenant, [recipient]))[recipient].zone

    async def people(self, tenant: str, recipients: Collection[str]) -> dict[str, Person]:
        """All of those recipients, also of whom nothing is known; one query."""
        streams = {recipient: recipient_stream(tenant, recipient) for recipient in recipients}
        if not streams:
            return {}
        loaded = await self._store.scoped(tenant).load_many(streams.values())
        return {name: Person.of(stream, loaded.get(stream, ())) for name, stream in streams.items()}

    def _event(self, call: Call, stream: UUID, version: int, body: r.RecipientSet, now: datetime) -> NewEvent:
        meta = meta_of(
            call,
            event_id=event_id_for(call, self._ids, "put", stream),
            shard=shard_of(call.tenant, body.personal.id),
            now=now,
            correlation_id=stream,
        )
        return NewEvent(stream, version, meta, body)


def needs_recipient(timing: t.Timing) -> bool:
    """May the timing's meaning depend on where the recipient lives, their language, or what is set for them?"""
    if isinstance(timing, t.Now | t.Best):
        return True
    zones = {rule.zone for rule in t.rules_of(timing)} if isinstance(timing, t.Every) else {timing.zone}
    return "recipient" in zones or (isinstance(timing, t.Phrase) and timing.locale is None)


def zones_of(events: Sequence[Recorded]) -> tuple[ZoneSet, ...]:
    """Every zone that a recipient's stream sets, oldest first; nobody's is known at first."""
    found: list[ZoneSet] = []
    for event in events:
        if isinstance(event.body, r.RecipientSet):
            before, zone = found[-1].zone if found else None, event.body.personal.zone
            if zone != before:
                found.append(ZoneSet(event.version, before, zone))
    return tuple(found)


def _unknown(recipient: str) -> NotFound:
    return NotFound("There is no such recipient.", field="recipient", value=recipient, hint="PUT it first.")


def _check(profile: r.RecipientProfile) -> None:
    refuse_unstorable(profile.id, "id")
    refuse_unstorable(profile.attributes, "attributes")
    check_size(profile.attributes, "attributes", METADATA_LIMIT)


def _fold(events: Sequence[Recorded]) -> r.Recipient | None:
    state: r.Recipient | None = None
    for event in events:
        if isinstance(event.body, r.RecipientSet):
            state = r.evolve(state, event.body)
    return state


def _answer(stream: UUID, events: Sequence[Recorded], *, replayed: bool = False) -> Answer[r.Recipient]:
    state = _fold(events)
    if state is None:
        raise ValueError(f"stream {stream} is not a recipient's")
    return Answer.of(stream, events, state, replayed=replayed)
