"""Engagement: taken in by the batch, closed by the clock where nothing came, and forgotten on request.

Place in the flow: api, the attribution clock -> *here* -> domain, log. Everything is decided on streams read from the
log; a batch goes to the log as one append, so that thousands a second can be taken.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from horae.commands import tracing
from horae.commands.candidates import fold
from horae.commands.context import Call, digest_of, meta_of, mismatch, until_no_conflict
from horae.commands.ports import Clock, EventStore, Ids, Lane, Refs, StreamConflict
from horae.commands.recipients import Recipients
from horae.domain import occurrence as o
from horae.domain.engagement import (
    HabitsForgotten,
    Kind,
    RecipientEngaged,
    engagement_stream,
    habits_stream,
    machine_of,
)
from horae.domain.envelope import Event, NewEvent, Recorded
from horae.domain.errors import HoraeError, Invalid, NotFound
from horae.domain.ids import is_same_request, request_event_id, shard_of
from horae.domain.occurrence.answering import check_instant

#: Reports in one append.
CHUNK = 400
_OPERATION = "engagement"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One engagement as reported. `id` is the reporter's own: a repeat of it is stored once."""

    index: int
    id: str
    kind: Kind
    at: datetime
    #: One of the two: the occurrence that it is about, or the recipient who was seen.
    occurrence: UUID | None = None
    recipient: str | None = None
    #: Who asked for it, as the reporter was told (a user agent).
    agent: str | None = None
    #: The reporter knows that it was a machine.
    machine: bool = False

    def digest(self) -> str:
        """Tells the same report from another one under the same id."""
        about = str(self.occurrence) if self.occurrence is not None else self.recipient
        return digest_of([self.kind.value, self.at.isoformat(), about, self.agent, self.machine])


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of a report: stored at `position`, or `error`."""

    index: int
    position: int = 0
    #: True: the same report had come before.
    repeated: bool = False
    #: Why it was taken for a machine's doing.
    machine: str | None = None
    #: True: it is the first answer to its message, from which is learnt.
    answers: bool = False
    error: HoraeError | None = None


@dataclass(slots=True)
class _Stream:
    """A stream that this batch appends to, as far as it has come."""

    version: int
    events: list[Recorded]
    state: o.Occurrence | None
    shard: int = 0
    ids: dict[UUID, Event] = field(default_factory=dict)

    @classmethod
    def of(cls, events: Sequence[Recorded]) -> _Stream:
        occurrence = bool(events) and isinstance(events[0].body, o.OccurrenceEvent)
        return cls(
            version=len(events),
            events=list(events),
            state=fold(events) if occurrence else None,
            shard=events[0].meta.shard if events else 0,
            ids={event.meta.event_id: event.body for event in events},
        )


class Engagements:
    """Commands on engagement. `default_zone`: in which clocks are read where nobody knows better."""

    def __init__(
        self,
        store: EventStore,
        clock: Clock,
        ids: Ids,
        refs: Refs,
        recipients: Recipients,
        default_zone: str = "UTC",
    ) -> None:
        self._store, self._clock, self._ids, self._refs = store, clock, ids, refs
        self._recipients, self._default_zone = recipients, default_zone

    @tracing.operation("engagement.take")
    async def take(self, call: Call, reports: Sequence[Report]) -> list[Taken]:
        """Store what was reported, in the reports' order; each stands for itself. Raises `Busy`, `Unavailable`."""
        taken: list[Taken] = []
        for start in range(0, len(reports), CHUNK):
            chunk = reports[start : start + CHUNK]
            taken += await until_no_conflict(lambda chunk=chunk: self._take(call, chunk))  # type: ignore[misc]
        return taken

    async def _take(self, call: Call, reports: Sequence[Report]) -> list[Taken]:
        wanted = {stream_of(call.tenant, report) for report in reports}
        loaded = await self._store.scoped(call.tenant).load_many(wanted)
        streams = {stream: _Stream.of(loaded.get(stream, ())) for stream in wanted}
        seen = {report.recipient for report in reports if report.recipient is not None and report.occurrence is None}
        people = await self._recipients.people(call.tenant, seen)
        zones = {name: person.zone for name, person in people.items() if person.zone is not None}
        now = self._clock.now()
        new: list[NewEvent] = []
        taken: dict[int, Taken] = {}
        places: dict[int, int] = {}
        for report in reports:
            stream = stream_of(call.tenant, report)
            try:
                body = self._decided(call, report, streams[stream], zones, now)
            except HoraeError as error:
                taken[report.index] = Taken(index=report.index, error=error)
                continue
            event_id = request_event_id(call.tenant, _OPERATION, report.id, report.digest())
            known = streams[stream].ids.get(event_id)
            machine, answers = _told(known or body)
            taken[report.index] = Taken(
                index=report.index, repeated=known is not None, machine=machine, answers=answers
            )
            if known is None:
                places[report.index] = len(new)
                new.append(self._event(call, report, stream, streams[stream], body, event_id, now))
        last = await self._store.append(new, lane="bulk") if new else 0
        return [_placed(taken[report.index], places.get(report.index), last, len(new)) for report in reports]

    def _decided(self, call: Call, report: Report, stream: _Stream, zones: Mapping[str, str], now: datetime) -> Event:
        """What the report comes to, whether it is a repeat or not. Raises what is wrong with it."""
        event_id = request_event_id(call.tenant, _OPERATION, report.id, report.digest())
        if event_id in stream.ids:
            return stream.ids[event_id]
        if any(is_same_request(event_id, known) for known in stream.ids):
            raise mismatch(replace(call, idempotency_key=report.id))
        if report.occurrence is None:
            return self._activity(call, report, zones, now)
        if stream.state is None:
            raise NotFound(
                "There is no such occurrence, or it has not begun yet.",
                field="occurrence_id",
                value=str(report.occurrence),
                hint="Send the occurrence_id of a release.",
            )
        about = stream.events[0].body
        assert isinstance(about, o.OccurrenceEvent)
        command = o.Engage(
            about=about,
            kind=report.kind,
            at=report.at,
            now=now,
            default_zone=self._default_zone,
            agent=report.agent,
            machine=report.machine,
        )
        (body,) = o.decide(command, stream.state)
        return body

    def _activity(self, call: Call, report: Report, zones: Mapping[str, str], now: datetime) -> RecipientEngaged:
        recipient = report.recipient
        if recipient is None:
            raise Invalid(
                "It names neither an occurrence nor a recipient.", field="occurrence_id", hint="Give one of the two."
            )
        check_instant(report.at, now)
        return RecipientEngaged(
            recipient_ref=self._refs.recipient_ref(call.tenant, recipient),
            kind=report.kind,
            at=report.at,
            zone=zones.get(recipient, self._default_zone),
            machine=machine_of(report.kind, report.at, None, report.agent, declared=report.machine),
        )

    def _event(
        self, call: Call, report: Report, id_: UUID, stream: _Stream, body: Event, event_id: UUID, now: datetime
    ) -> NewEvent:
        stream.version += 1
        stream.ids[event_id] = body
        if isinstance(body, o.OccurrenceEngaged):
            stream.state = o.evolve(stream.state, id_, body)
        else:
            stream.shard = shard_of(call.tenant, report.recipient or "")
        meta = meta_of(call, event_id=event_id, shard=stream.shard, now=now, correlation_id=id_)
        return NewEvent(id_, stream.version, meta, body)

    async def close(self, call: Call, occurrences: Collection[UUID], lane: Lane = "bulk") -> int:
        """Record of these (of the call's tenant) that nobody answered in time, where that is so; the last position.

        0: there was nothing to record, or somebody else was quicker; whoever asks looks again.
        """
        now, new = self._clock.now(), []
        for id_, events in (await self._store.load_many(occurrences)).items():
            stream = _Stream.of(events)
            if stream.state is None:
                continue
            about = stream.events[0].body
            assert isinstance(about, o.OccurrenceEvent)
            command = o.CloseWindow(about=about, now=now, default_zone=self._default_zone)
            for body in o.decide(command, stream.state):
                meta = meta_of(call, event_id=self._ids.new(), shard=stream.shard, now=now, correlation_id=id_)
                new.append(NewEvent(id_, stream.version + 1, meta, body))
        try:
            return await self._store.append(new, lane=lane) if new else 0
        except StreamConflict:
            return 0

    @tracing.operation("recipient.forget_habits")
    async def forget(self, call: Call, recipient: str) -> int:
        """Forget what was learnt of the recipient; the position."""
        stream = habits_stream(call.tenant, recipient)

        async def attempt() -> int:
            events = await self._store.scoped(call.tenant).load(stream)
            now = self._clock.now()
            shard = shard_of(call.tenant, recipient)
            meta = meta_of(call, event_id=self._ids.new(), shard=shard, now=now, correlation_id=stream)
            body = HabitsForgotten(recipient_ref=self._refs.recipient_ref(call.tenant, recipient))
            return await self._store.append([NewEvent(stream, len(events) + 1, meta, body)])

        return await until_no_conflict(attempt)


def stream_of(tenant: str, report: Report) -> UUID:
    """The stream that holds the report."""
    return report.occurrence if report.occurrence is not None else engagement_stream(tenant, report.id)


def _told(body: Event) -> tuple[str | None, bool]:
    match body:
        case o.OccurrenceEngaged():
            return body.machine, body.answers
        case RecipientEngaged():
            return body.machine, False
        case _:
            return None, False


def _placed(taken: Taken, place: int | None, last: int, count: int) -> Taken:
    """With its position: one append's events stand side by side."""
    return taken if place is None else replace(taken, position=last - (count - 1 - place))
