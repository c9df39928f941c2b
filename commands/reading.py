"""Schedules out of the log: as they are, as they were at an instant or a position, and what each event changed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from horae.commands.context import Answer
from horae.commands.ports import EventStore
from horae.domain import schedule as s
from horae.domain.differences import Difference, differences, facts_of
from horae.domain.envelope import Recorded
from horae.domain.errors import NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One event of a schedule, and what it changed: the fields with their values before and after."""

    version: int
    position: int
    name: str
    at: datetime
    actor: str
    request_id: str | None
    reason: str | None
    changes: tuple[Difference, ...]


class ScheduleHistory:
    """Reads of schedules from the log itself. Every method raises `NotFound` for another tenant's schedule too."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def get(self, tenant: str, schedule: UUID, as_of: datetime | int | None = None) -> Answer[s.Schedule]:
        """The schedule now, at an instant (aware UTC) or after a log position.

        `NotFound` also when it did not exist yet then.
        """
        return answer_of(schedule, await load_schedule(self._store, tenant, schedule, as_of=as_of))

    async def get_many(self, tenant: str, schedules: Collection[UUID]) -> dict[UUID, s.Schedule]:
        """Several as they are now, in one query; unknown ones are absent."""
        streams = await self._store.scoped(tenant).load_many(schedules)
        return {id_: fold_schedule(id_, events) for id_, events in streams.items()}

    async def history(self, tenant: str, schedule: UUID) -> list[HistoryEntry]:
        """Every event of the schedule, oldest first."""
        events = await load_schedule(self._store, tenant, schedule)
        entries: list[HistoryEntry] = []
        state: s.Schedule | None = None
        for event in events:
            before = facts_of(state) if state else {}
            state = _evolve(state, event)
            entries.append(_entry(event, differences(before, facts_of(state))))
        return entries

    async def diff(self, tenant: str, schedule: UUID, older: int, newer: int) -> list[Difference]:
        """What differs between two versions of the schedule's stream. Raises `NotFound` for a version not reached."""
        events = await load_schedule(self._store, tenant, schedule)
        for version in (older, newer):
            if not 1 <= version <= len(events):
                raise NotFound(
                    "The schedule has no such version.",
                    field="version",
                    value=version,
                    hint=f"It has versions 1 to {len(events)}.",
                )
        states = [fold_schedule(schedule, events[:version]) for version in (older, newer)]
        return differences(facts_of(states[0]), facts_of(states[1]))


async def load_schedule(
    store: EventStore, tenant: str, schedule: UUID, *, as_of: datetime | int | None = None
) -> list[Recorded]:
    """The schedule's events, one at least. Raises `NotFound`."""
    reader = store.scoped(tenant)
    if isinstance(as_of, datetime):
        events = await reader.load(schedule, until=as_of)
    else:
        events = await reader.load(schedule, upto_position=as_of)
    if not events or not isinstance(events[0].body, s.ScheduleCreated):
        when = "" if as_of is None else " at that time"
        raise NotFound(
            f"There is no such schedule{when}.", field="id", value=str(schedule), hint="List them: GET /v1/schedules."
        )
    return events


def fold_schedule(schedule: UUID, events: Sequence[Recorded]) -> s.Schedule:
    """The state after `events`, which begin with the creation."""
    state: s.Schedule | None = None
    for event in events:
        state = _evolve(state, event)
    if state is None:
        raise ValueError(f"no events of schedule {schedule}")
    return state


def answer_of(schedule: UUID, events: Sequence[Recorded], *, replayed: bool = False) -> Answer[s.Schedule]:
    """The answer that shows the schedule as `events` leave it."""
    return Answer.of(schedule, events, fold_schedule(schedule, events), replayed=replayed)


def _evolve(state: s.Schedule | None, event: Recorded) -> s.Schedule:
    if not isinstance(event.body, s.ScheduleEvent):
        raise ValueError(f"{event.body.name} is not an event of a schedule")
    return s.evolve(state, event.stream, event.body)


def _entry(event: Recorded, changes: Sequence[Difference]) -> HistoryEntry:
    return HistoryEntry(
        version=event.version,
        position=event.position,
        name=event.body.name,
        at=event.meta.recorded_at,
        actor=event.meta.actor,
        request_id=event.meta.request_id,
        reason=getattr(event.body, "reason", None),
        changes=tuple(changes),
    )
