"""Calendars: written by clients, and given to whoever plans by them.

Place in the flow: api -> *here* -> domain, log. Calendars are read from the log, never from a read model; which
calendars and schedules a change concerns is a read model's to say, and every schedule is decided on its own stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

from horae.commands import tracing
from horae.commands.context import Answer, Call, event_id_for, find_repeat, meta_of, until_no_conflict
from horae.commands.ports import CalendarUsers, Clock, EventStore, Ids
from horae.domain import calendar as c
from horae.domain import timing as t
from horae.domain.envelope import NewEvent, Recorded
from horae.domain.errors import NotFound
from horae.domain.ids import shard_of
from horae.domain.timing import publicdays
from horae.domain.timing.calendared import calendar_id
from horae.domain.timing.opendays import DEFAULT, USUAL, Calendar, CalendarDefinition, Day, Standard, built_in

#: Calendars that are remembered with what was reckoned of their days.
_REMEMBERED = 256


class Streams(Protocol):
    """Reads many streams at once."""

    async def load_many(self, streams: Collection[UUID]) -> dict[UUID, list[Recorded]]:
        """See `EventReader.load_many`."""
        ...


class Scoped(Protocol):
    """Gives readers of one tenant's events each."""

    def scoped(self, tenant: str) -> Streams:
        """See `EventStore.scoped`."""
        ...


class Assembler:
    """Puts calendars together with those that they name, and remembers them with what was reckoned of their days."""

    def __init__(self, standard: Standard = USUAL) -> None:
        self._standard, self._built_in = standard, built_in(standard)
        self._kept: dict[tuple[str, str], Calendar] = {}

    def together(
        self, wanted: Collection[tuple[str, str]], states: Mapping[tuple[str, str], c.State]
    ) -> dict[tuple[str, str], Calendar]:
        """(tenant, id) -> the calendar, from `states` that hold these and all that they name, as far as written.

        One that nobody has written is absent, but for the built-in one.
        """
        made: dict[tuple[str, str], Calendar | None] = {}
        return {key: calendar for key in wanted if (calendar := self._put_together(key, states, made)) is not None}

    def _put_together(
        self,
        key: tuple[str, str],
        states: Mapping[tuple[str, str], c.State],
        made: dict[tuple[str, str], Calendar | None],
    ) -> Calendar | None:
        """Each calendar once, however many name it: `made` has those that are done."""
        if key in made:
            return made[key]
        made[key] = None  # writing refuses rings; were there one, it would end here
        tenant, named = key
        state = states.get(key)
        if state is None:
            made[key] = self._built_in if named == DEFAULT else None
            return made[key]
        definition = state.definition
        plus, minus, plus_hours, minus_hours = (
            tuple(other for each in side if (other := self._put_together((tenant, each), states, made)) is not None)
            for side in (
                definition.plus,
                definition.minus,
                definition.plus_hours or (),
                definition.minus_hours or (),
            )
        )
        calendar = Calendar(
            named,
            state.version,
            definition,
            plus,
            minus,
            self._standard,
            plus_hours=plus_hours,
            minus_hours=minus_hours,
        )
        made[key] = calendar = self._remembered(tenant, calendar)
        return calendar

    def _remembered(self, tenant: str, calendar: Calendar) -> Calendar:
        kept = self._kept.get((tenant, calendar.label))
        if kept is not None:
            return kept
        if len(self._kept) >= _REMEMBERED:
            self._kept.clear()
        self._kept[tenant, calendar.label] = calendar
        return calendar


class Resolver:
    """Gives calendars, with those that they name, as the log has them now."""

    def __init__(self, log: Scoped, standard: Standard = USUAL) -> None:
        """`log` is read as each tenant whose calendars are asked for: the API's role sees nothing otherwise.

        `standard`: what calendars leave out.
        """
        self._log, self._assembler, self._standard = log, Assembler(standard), standard

    async def resolve(self, wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], Calendar]:
        """(tenant, id) -> the calendar; one that nobody has written is absent, but for the built-in one."""
        return await self.together(wanted, await self.states(wanted))

    async def together(
        self, wanted: Collection[tuple[str, str]], states: Mapping[tuple[str, str], c.State]
    ) -> dict[tuple[str, str], Calendar]:
        """The same from `states`, which hold these and all that they name, as far as they are written."""
        countries = {self._standard.country, *(state.definition.country for state in states.values())}
        if countries != {None} and not publicdays.ready():
            # Seconds of importing, once, beside the loop on which others wait.
            await asyncio.to_thread(publicdays.prepare)
        return self._assembler.together(wanted, states)

    async def states(self, wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], c.State]:
        """(tenant, id) -> these and all that they name, by themselves or through others, as far as they are written."""
        states: dict[tuple[str, str], c.State] = {}
        asked: set[tuple[str, str]] = set()
        open_ = set(wanted)
        while open_:
            asked |= open_
            streams = {c.calendar_stream(*key): key for key in open_}
            loaded: dict[UUID, list[Recorded]] = {}
            for tenant in {tenant for tenant, _ in open_}:
                theirs = [stream for stream, key in streams.items() if key[0] == tenant]
                loaded |= await self._log.scoped(tenant).load_many(theirs)
            found = {streams[stream]: fold(events) for stream, events in loaded.items()}
            states |= {key: state for key, state in found.items() if state is not None}
            open_ = {
                (tenant, named)
                for (tenant, _), state in found.items()
                if state is not None
                for named in state.definition.named
            } - asked
        return states

    async def of(self, tenant: str, calendar: str) -> Calendar | None:
        """One of them; None: nobody has written it."""
        return (await self.resolve([(tenant, calendar)])).get((tenant, calendar))

    async def for_timings(self, tenant: str, timings: Sequence[t.Timing]) -> dict[str, Calendar]:
        """The calendars that these timings keep to, by id."""
        wanted = {(tenant, named) for timing in timings if (named := calendar_id(timing)) is not None}
        if not wanted:
            return {}
        return {named: calendar for (_, named), calendar in (await self.resolve(wanted)).items()}

    async def for_timing(self, tenant: str, timing: t.Timing | None) -> Calendar | None:
        """The calendar that a timing keeps to; None: none, or nobody has written it."""
        named = calendar_id(timing)
        return None if named is None else await self.of(tenant, named)


def fold(events: Sequence[Recorded]) -> c.State | None:
    """The state of a calendar's stream; None for an empty one."""
    state: c.State | None = None
    for event in events:
        if isinstance(event.body, c.CalendarSet):
            state = c.evolve(state, event.body)
    return state


def fences(tenant: str, calendar: Calendar | None) -> dict[UUID, int]:
    """What an append expects that was decided on this calendar: that none of its parts has changed meanwhile."""
    if calendar is None:
        return {}
    return {c.calendar_stream(tenant, part.id): part.version for part in calendar.family.values()}


@dataclass(frozen=True, slots=True)
class CalendarWritten:
    """A calendar after it was written. `users`: the schedules that keep to it, by itself or through others."""

    answer: Answer[c.State]
    users: list[UUID]


#: A calendar and where its days come from; `keep`: as before.
Written = tuple[CalendarDefinition, c.Subscription | Literal["keep"] | None]


class Calendars:
    """Commands on calendars."""

    def __init__(
        self, store: EventStore, clock: Clock, ids: Ids, users: CalendarUsers, standard: Standard = USUAL
    ) -> None:
        self._store, self._clock, self._ids, self._users = store, clock, ids, users
        self.resolver = Resolver(store, standard)

    @tracing.operation("calendar.put")
    async def put(
        self, call: Call, calendar: str, definition: CalendarDefinition, *, if_match: int | None = None
    ) -> CalendarWritten:
        """Write the whole calendar; nothing is stored if it is so already. Raises `Invalid`, `VersionMismatch`."""
        return await self.write(call, calendar, lambda _: (definition, "keep"), if_match=if_match)

    @tracing.operation("calendar.set_days")
    async def set_days(self, call: Call, calendar: str, days: tuple[Day, ...]) -> CalendarWritten:
        """Write the days of its own in place of those it has; the rest stays as it is then. Raises `Invalid`."""

        def written(state: c.State | None) -> Written:
            return (state.definition if state else CalendarDefinition()).model_copy(update={"days": days}), "keep"

        return await self.write(call, calendar, written)

    async def write(
        self,
        call: Call,
        calendar: str,
        written: Callable[[c.State | None], Written],
        *,
        if_match: int | None = None,
        operation: str = "put",
    ) -> CalendarWritten:
        """Store what `written` makes of the calendar as it is; made again if somebody changes it meanwhile."""
        stream = c.calendar_stream(call.tenant, calendar)

        async def attempt() -> Answer[c.State]:
            events = await self._store.scoped(call.tenant).load(stream)
            repeat = find_repeat(call, operation, stream, events)
            if repeat is not None:
                return _answer(stream, events[: repeat.version], replayed=True)
            state = fold(events)
            definition, subscription = written(state)
            nameable = await self._nameable(call.tenant, calendar, definition)
            command = c.Set(
                id=calendar,
                definition=definition,
                known=nameable.known,
                names=nameable.names,
                if_match=if_match,
                request_digest=call.digest,
                subscription=subscription,
            )
            bodies = c.decide(command, state)
            if not bodies:
                return _answer(stream, events)
            meta = meta_of(
                call,
                event_id=event_id_for(call, self._ids, operation, stream),
                shard=shard_of(call.tenant, str(stream)),
                now=self._clock.now(),
                correlation_id=stream,
            )
            event = NewEvent(stream, len(events) + 1, meta, bodies[0])
            position = await self._store.append([event], nameable.expects)
            return _answer(stream, [*events, event.at(position)])

        return await self._with_users(call, calendar, await until_no_conflict(attempt))

    async def repeated(self, call: Call, calendar: str, operation: str) -> CalendarWritten | None:
        """What the same request stored before; None: it is new. Raises `IdempotencyMismatch`."""
        stream = c.calendar_stream(call.tenant, calendar)
        events = await self._store.scoped(call.tenant).load(stream) if call.idempotency_key is not None else []
        repeat = find_repeat(call, operation, stream, events)
        if repeat is None:
            return None
        return await self._with_users(call, calendar, _answer(stream, events[: repeat.version], replayed=True))

    async def _with_users(self, call: Call, calendar: str, answer: Answer[c.State]) -> CalendarWritten:
        # Also of a repeat, and where nothing differed: whoever asks again finishes what was broken off.
        return CalendarWritten(answer, await self._users.schedules_on(call.tenant, calendar, answer.position))

    async def get(self, tenant: str, calendar: str) -> Answer[c.State]:
        """The calendar as it was written. Raises `NotFound`."""
        stream = c.calendar_stream(tenant, calendar)
        events = await self._store.scoped(tenant).load(stream)
        if not events:
            raise NotFound("There is no such calendar.", field="id", value=calendar, hint="PUT it first.")
        return _answer(stream, events)

    async def resolve(self, tenant: str, calendar: str) -> Calendar:
        """The calendar with those that it names. Raises `NotFound`."""
        found = await self.resolver.of(tenant, calendar)
        if found is None:
            raise NotFound("There is no such calendar.", field="id", value=calendar, hint="PUT it first.")
        return found

    async def _nameable(self, tenant: str, calendar: str, definition: CalendarDefinition) -> _Nameable:
        """What it may name. Nothing is put together for that: whether it is too much is not known yet."""
        wanted = {(tenant, named) for named in definition.named}
        if not wanted:
            return _Nameable(set(), {}, {})
        names: dict[str, Collection[str]] = {**await self._users.calendar_names(tenant, await self._store.head())}
        states = {key[1]: state for key, state in (await self.resolver.states(wanted)).items()}
        below = {id_: state.definition.named for id_, state in states.items()}
        names |= below
        known: set[str] = set()
        expects: dict[UUID, int] = {}
        for _, named in wanted:
            reached = _reached(named, below)
            if calendar in reached or (named not in states and named != DEFAULT):
                continue
            known.add(named)
            for part in reached:
                expects[c.calendar_stream(tenant, part)] = states[part].version if part in states else 0
        return _Nameable(known, names, expects)


@dataclass(frozen=True, slots=True)
class _Nameable:
    """The calendars that may be named: they are there and do not lead back; who names whom; what keeps it so."""

    known: set[str]
    names: Mapping[str, Collection[str]]
    expects: dict[UUID, int]


def _reached(calendar: str, names: Mapping[str, Collection[str]]) -> set[str]:
    found: set[str] = set()
    ahead = [calendar]
    while ahead:
        each = ahead.pop()
        if each not in found:
            found.add(each)
            ahead += names.get(each, ())
    return found


def _answer(stream: UUID, events: Sequence[Recorded], *, replayed: bool = False) -> Answer[c.State]:
    state = fold(events)
    if state is None:
        raise ValueError(f"stream {stream} is not a calendar's")
    return Answer.of(stream, events, state, replayed=replayed)
