"""Recipients: the person's zone, locale and attributes, as far as schedules need them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from horae.commands import tracing
from horae.commands.context import Answer, Call, event_id_for, find_repeat, meta_of, until_no_conflict
from horae.commands.ports import Clock, EventStore, Ids, Refs
from horae.domain import recipient as r
from horae.domain.draft import check_size
from horae.domain.envelope import NewEvent, Recorded
from horae.domain.errors import NotFound
from horae.domain.ids import recipient_stream, shard_of
from horae.domain.personal import METADATA_LIMIT, refuse_unstorable


class Recipients:
    """Commands on recipients; reads go through the log, so that they see every write that was answered."""

    def __init__(self, store: EventStore, clock: Clock, ids: Ids, refs: Refs) -> None:
        self._store, self._clock, self._ids, self._refs = store, clock, ids, refs

    @tracing.operation("recipient.put")
    async def put(self, call: Call, profile: r.RecipientProfile) -> Answer[r.Recipient]:
        """Set the whole profile; nothing is stored if it is so already. Raises `Invalid`."""
        _check(profile)
        stream = recipient_stream(call.tenant, profile.id)

        async def attempt() -> Answer[r.Recipient]:
            events = await self._store.scoped(call.tenant).load(stream)
            repeat = find_repeat(call, "put", stream, events)
            if repeat is not None:
                return _answer(stream, events[: repeat.version], replayed=True)
            command = r.Put(recipient_ref=self._refs.recipient_ref(call.tenant, profile.id), profile=profile)
            bodies = r.decide(command, _fold(events))
            if not bodies:
                return _answer(stream, events)
            event = self._event(call, stream, len(events) + 1, bodies[0], self._clock.now())
            position = await self._store.append([event])
            return _answer(stream, [*events, Recorded(stream, event.version, event.meta, event.body, position)])

        return await until_no_conflict(attempt)

    async def get(self, tenant: str, recipient: str) -> Answer[r.Recipient]:
        """The recipient's profile. Raises `NotFound`."""
        stream = recipient_stream(tenant, recipient)
        events = await self._store.scoped(tenant).load(stream)
        if not events:
            raise NotFound("There is no such recipient.", field="recipient", value=recipient, hint="PUT it first.")
        return _answer(stream, events)

    async def zone(self, tenant: str, recipient: str) -> str | None:
        """The zone that the recipient prefers; None if none is known."""
        return (await self.zones(tenant, [recipient])).get(recipient)

    async def zones(self, tenant: str, recipients: Collection[str]) -> dict[str, str]:
        """The zones of those recipients of whom one is known; one query."""
        streams = {recipient_stream(tenant, recipient): recipient for recipient in recipients}
        if not streams:
            return {}
        loaded = await self._store.scoped(tenant).load_many(streams)
        states = {streams[stream]: _fold(events) for stream, events in loaded.items()}
        return {name: s.profile.zone for name, s in states.items() if s is not None and s.profile.zone is not None}

    def _event(self, call: Call, stream: UUID, version: int, body: r.RecipientSet, now: datetime) -> NewEvent:
        meta = meta_of(
            call,
            event_id=event_id_for(call, self._ids, "put", stream),
            shard=shard_of(call.tenant, body.personal.id),
            now=now,
            correlation_id=stream,
        )
        return NewEvent(stream, version, meta, body)


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
    return Answer(
        id=stream,
        version=events[-1].version,
        position=events[-1].position,
        state=state,
        created_at=events[0].meta.recorded_at,
        updated_at=events[-1].meta.recorded_at,
        replayed=replayed,
    )
