"""The completeness auditor: does every slot of an active schedule end in a recorded outcome?

Place in the flow: read models and log -> *auditor* -> alarm, and an event per silent slot. It shares nothing with the
dispatcher's memory. What looks silent in the read models (an overdue slot, one that no due row will bring, an
occurrence that is stuck) is checked against the log before it counts; and, series by series, the slots that the timing
says should have ended are looked up there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import structlog

from horae.commands.calendars import Resolver
from horae.commands.candidates import (
    NO_CALENDARS,
    KnownCalendars,
    calendar_of,
    fold,
    fold_schedule,
    moves_series,
    sets_pointer,
)
from horae.commands.context import Call, meta_of
from horae.commands.ports import Clock, EventStore
from horae.domain import timing as t
from horae.domain.audit import SlotSilent, silence_event_id, silence_stream
from horae.domain.delivery import MAX_TIMEOUT
from horae.domain.envelope import NewEvent, Recorded
from horae.domain.ids import occurrence_id, shard_of
from horae.domain.occurrence import Phase
from horae.domain.schedule import Schedule, Status
from horae.domain.timing.calendared import calendar_id
from horae.domain.timing.opendays import USUAL, Standard
from horae.domain.timing.zones import place
from horae.projections.audit import (
    MissedRun,
    Series,
    Suspect,
    active_series,
    missed_runs,
    overdue_pointers,
    stuck_occurrences,
    unwatched_pointers,
)
from horae.streams.metrics import Metrics
from horae.streams.periodic import look_every

log = structlog.get_logger(__name__)

_LOWEST = UUID(int=0)
#: A recipient may have moved by that much since the slot was planned.
_ZONES_APART = timedelta(hours=26)
#: No overlap is longer: a run of missed slots may end at an earlier local time than a slot within it.
_OVERLAP = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditorConfig:
    """How late is silent, and how much is looked at."""

    every_s: float = 30.0
    #: A slot that is not even claimed so long after its due instant is silent, seconds.
    silent_after_s: float = 60.0
    #: How far back the slots of a series are looked up, seconds.
    window_s: float = 86_400.0
    #: Series per look; the next look goes on behind them.
    series: int = 200
    #: Slots per series and look.
    slots: int = 100
    #: Silent slots that are named in one report.
    limit: int = 1_000

    def validate(self) -> AuditorConfig:
        """Itself. Raises ValueError."""
        if min(self.every_s, self.silent_after_s, self.window_s, self.series, self.slots, self.limit) <= 0:
            raise ValueError("all settings of the auditor must be positive")
        return self


@dataclass(frozen=True, slots=True)
class Report:
    """What one look found: `silent` by due instant; how many series and slots were compared with the log."""

    at: datetime
    silent: tuple[Suspect, ...]
    series: int = 0
    slots: int = 0


class Auditor:
    """`pool` reads the read models as the owner. `last` is the newest report, None before the first."""

    def __init__(
        self,
        config: AuditorConfig,
        pool: asyncpg.Pool[Any],
        store: EventStore,
        clock: Clock,
        metrics: Metrics,
        default_zone: str = "UTC",
        standard: Standard = USUAL,
    ) -> None:
        self._config, self._pool, self._store = config.validate(), pool, store
        self._clock, self._metrics, self._default_zone = clock, metrics, default_zone
        self._resolver = Resolver(store, standard)
        self._after, self._alarmed, self._told = _LOWEST, set[UUID](), set[UUID]()
        self.last: Report | None = None

    async def run(self) -> None:
        """Look every `every_s`, until cancelled. Survives a database that is away, and faults of its own."""
        await look_every(self._config.every_s, "auditor", self.run_once)

    async def run_once(self) -> Report:
        """Compare what should have ended with what is on record; each silent slot raises one alarm, and is an event.

        Raises `Busy`, `Unavailable` or asyncpg's errors; what could not be told is told by the next look.
        """
        now, config = self._clock.now(), self._config
        before = now - timedelta(seconds=config.silent_after_s)
        async with self._pool.acquire() as conn:
            suspects = await overdue_pointers(conn, before, config.limit)
            suspects += await unwatched_pointers(conn, config.limit)
            suspects += await stuck_occurrences(conn, before, before - MAX_TIMEOUT, config.limit)
            series = await active_series(conn, self._after, config.series)
        self._after = series[-1].schedule if len(series) == config.series else _LOWEST
        silent = await self._confirmed(suspects, before)
        slots, unheard = await self._compare(series, before)
        known = {suspect.occurrence for suspect in silent}
        silent += [suspect for suspect in unheard if suspect.occurrence not in known]
        report = Report(now, tuple(sorted(silent, key=lambda s: s.due_at)), len(series), slots)
        self._raise_alarms(report)
        self.last = report
        await self._tell(report)
        self._metrics.audited()
        return report

    async def _confirmed(self, suspects: Sequence[Suspect], before: datetime) -> list[Suspect]:
        """Those about which the log has no other word: the read models may merely lag."""
        streams = await self._store.load_many({s.schedule for s in suspects} | {s.occurrence for s in suspects})
        unique = {suspect.occurrence: suspect for suspect in suspects}
        return [
            suspect
            for suspect in unique.values()
            if _is_silent(suspect, streams.get(suspect.schedule, []), streams.get(suspect.occurrence, []), before)
        ]

    async def _compare(self, series: Sequence[Series], before: datetime) -> tuple[int, list[Suspect]]:
        """How many slots should have ended in the window, and those of them without a word in the log."""
        asked = await self._store.load_many({each.schedule for each in series})
        kept = {(each.tenant, calendar_of(asked.get(each.schedule, []))) for each in series}
        wanted = {(tenant, named) for tenant, named in kept if named is not None}
        calendars = await self._resolver.resolve(wanted) if wanted else NO_CALENDARS
        expected = [
            (Suspect(each.schedule, each.tenant, _id(each.schedule, at), at.slot, at.due_at, "unheard"), at.plan.zone)
            for each in series
            if each.schedule in asked
            for at in self._slots_of(each, asked[each.schedule], before, calendars)
        ]
        heard = await self._store.load_many({suspect.occurrence for suspect, _ in expected})
        unheard = [(suspect, zone) for suspect, zone in expected if suspect.occurrence not in heard]
        if not unheard:
            return len(expected), []
        earliest = min(suspect.slot.local for suspect, _ in unheard) - _OVERLAP
        async with self._pool.acquire() as conn:
            runs = await missed_runs(conn, list({suspect.schedule for suspect, _ in unheard}), earliest)
        return len(expected), [
            suspect for suspect, zone in unheard if not any(_covers(run, suspect, zone) for run in runs)
        ]

    def _slots_of(
        self, series: Series, asked: Sequence[Recorded], before: datetime, calendars: KnownCalendars
    ) -> list[t.Next]:
        try:
            return self._expected(series, asked, before, calendars)
        except Exception:
            # Such as a zone that newer zone data lack: it must not keep the others from being looked at.
            log.exception("series_cannot_be_audited", schedule=str(series.schedule))
            return []

    def _expected(
        self, series: Series, asked: Sequence[Recorded], before: datetime, calendars: KnownCalendars
    ) -> list[t.Next]:
        """The slots of the window, as far as the series has stood where it stands since then."""
        schedule, timing = fold_schedule(asked), fold_schedule(asked).timing
        pointer = next((event for event in reversed(asked) if sets_pointer(event.body)), None)
        if schedule.status is not Status.ACTIVE or pointer is None or schedule.next is None:
            return []
        if isinstance(timing, t.Every) and any(rule.zone == "recipient" for rule in t.rules_of(timing)):
            before -= _ZONES_APART
        since = max(before - timedelta(seconds=self._config.window_s), schedule.next.due_at - timedelta(microseconds=1))
        context = schedule.context(
            since,
            default_zone=self._default_zone,
            recipient_zone=series.recipient_zone,
            calendar=calendars.get((series.tenant, calendar_id(timing) or "")),
        )
        found: list[t.Next] = []
        at = t.after(timing, since, context)
        while at is not None and at.due_at <= before and len(found) < self._config.slots:
            found.append(at)
            at = t.following(timing, at, context)
        return found

    def _raise_alarms(self, report: Report) -> None:
        new = [suspect for suspect in report.silent if suspect.occurrence not in self._alarmed]
        self._alarmed = {suspect.occurrence for suspect in report.silent}
        self._metrics.silent.set(len(report.silent))
        self._metrics.alarms.inc(len(new))
        if new:
            first = new[0]
            log.error(
                "slots_silent",
                count=len(new),
                schedule=str(first.schedule),
                tenant=first.tenant,
                slot=first.slot.local.isoformat(),
                due_at=first.due_at.isoformat(),
                state=first.state,
            )

    async def _tell(self, report: Report) -> None:
        """Store each silence once, ever: the same event again changes nothing."""
        untold = [suspect for suspect in report.silent if suspect.occurrence not in self._told]
        await asyncio.gather(*(self._store.append([_silence(suspect, report.at)], lane="bulk") for suspect in untold))
        self._told = {suspect.occurrence for suspect in report.silent}


def _silence(suspect: Suspect, now: datetime) -> NewEvent:
    stream = silence_stream(suspect.tenant, suspect.occurrence)
    meta = meta_of(
        Call(tenant=suspect.tenant, actor="auditor"),
        event_id=silence_event_id(suspect.tenant, suspect.occurrence),
        shard=shard_of(suspect.tenant, str(stream)),
        now=now,
        correlation_id=suspect.occurrence,
    )
    body = SlotSilent(
        schedule_id=suspect.schedule,
        occurrence_id=suspect.occurrence,
        slot=suspect.slot,
        due_at=suspect.due_at,
        state=suspect.state,
    )
    return NewEvent(stream, 1, meta, body)


def _id(schedule: UUID, at: t.Next) -> UUID:
    return occurrence_id(schedule, at.slot.local, at.slot.fold)


def _covers(run: MissedRun, suspect: Suspect, zone: str) -> bool:
    """Is the slot one of those missed? By the order of a zone's clocks: local times alone repeat in an overlap."""
    if run.schedule != suspect.schedule:
        return False
    first, at, last = (place(slot.local, slot.fold, zone) for slot in (run.first, suspect.slot, run.last))
    return first <= at <= last


def _is_silent(suspect: Suspect, asked: Sequence[Recorded], heard: Sequence[Recorded], before: datetime) -> bool:
    schedule: Schedule | None = fold_schedule(asked) if asked else None
    if schedule is None or schedule.status is Status.PAUSED:
        return False
    state = fold(heard)
    if suspect.state in ("overdue", "unwatched"):
        pointer = next((event.version for event in reversed(asked) if sets_pointer(event.body)), 0)
        moved = any((moves_series(event.body) or 0) >= pointer for event in heard)
        return schedule.status is Status.ACTIVE and not moved
    if state is None:
        return suspect.state == "waiting"
    if state.phase is Phase.ENDED:
        return False
    if state.phase is Phase.EXECUTING:
        # Its last event opened the attempt.
        return heard[-1].meta.recorded_at <= before - MAX_TIMEOUT
    return state.wake_at is None or state.wake_at <= before
