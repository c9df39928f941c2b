"""An operator's work on the zone data of a whole installation, tenant by tenant, while the service runs or not.

Place in the flow: `horae tz status|apply|undo` -> *here* -> `commands.zonechanges`, with the owner's connection.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import asyncpg

from horae.commands.context import Call
from horae.commands.ports import Clock
from horae.commands.zonechanges import Survey, Undone, ZoneChanges
from horae.domain.errors import Conflict, NotFound
from horae.domain.schedule import Keep
from horae.domain.timing.zones import tzdata_version
from horae.domain.zonechange import Change
from horae.infra.clock import SystemClock, VirtualClock
from horae.infra.eventstore import PostgresEventStore
from horae.infra.ids import NewIds
from horae.infra.incarnation import Lives
from horae.infra.processes.alone import on_database
from horae.infra.readiness import SILENCE_S
from horae.infra.settings import Settings
from horae.infra.standing import ReadModelStanding
from horae.projections import queries, schema
from horae.projections.progress import Progress

T = TypeVar("T")

_ACTOR = "cli"
_VERSION = re.compile(r'^horae_zone_data_info\{version="([^"]+)"\} 1', re.MULTILINE)
_BEATS = "SELECT incarnation, metrics FROM sys.heartbeats WHERE beat_at > clock_timestamp() - make_interval(secs => $1)"


@dataclass(frozen=True, slots=True)
class Applied:
    """What a change did; `id` None: nothing moves, and nothing was stored."""

    id: UUID | None
    tenants: list[Survey]


@dataclass(frozen=True, slots=True)
class Status:
    """How the plans stand to the release in use."""

    #: Releases that the running workers plan by; empty: none runs.
    running: list[str]
    tenants: list[Survey]
    #: (tenant, change), oldest first.
    changes: list[tuple[str, Change]]


@dataclass(frozen=True, slots=True)
class _House:
    """What is needed of an installation."""

    zones: ZoneChanges
    tenants: list[str]
    running: list[str]

    def check_running(self) -> None:
        """Refuse to plan by another release than the workers do."""
        others = [version for version in self.running if version != tzdata_version()]
        if others:
            raise Conflict(
                f"The workers plan by zone data {', '.join(others)}, and this command by {tzdata_version()}.",
                field="TIMEZONE_DATA_SOURCE",
                value=tzdata_version(),
                hint="Start the service anew with the setting that this command has, then repeat it.",
            )


async def status(settings: Settings, *, embedded: bool) -> Status:
    """What would move, and what was moved before; nothing is stored."""

    async def look(house: _House) -> Status:
        surveys = [await house.zones.survey(tenant) for tenant in house.tenants]
        changes = [(tenant, change) for tenant in house.tenants for change in await house.zones.changes(tenant)]
        return Status(house.running, surveys, sorted(changes, key=lambda pair: pair[1].at))

    return await _in_house(settings, look, embedded=embedded)


async def apply(settings: Settings, keep: Keep, *, embedded: bool) -> Applied:
    """Bring every tenant's plans to the release in use. Raises `Conflict` if the workers use another."""
    change = NewIds().new()

    async def work(house: _House) -> Applied:
        house.check_running()
        surveys = [await house.zones.apply(Call(tenant=tenant, actor=_ACTOR), change, keep) for tenant in house.tenants]
        return Applied(change if any(survey.moves for survey in surveys) else None, surveys)

    return await _in_house(settings, work, embedded=embedded)


async def undo(settings: Settings, change: UUID | None, *, embedded: bool) -> list[Undone]:
    """Take a change back, of all tenants; by default the newest that still stands. Raises `NotFound`, `Conflict`."""

    async def work(house: _House) -> list[Undone]:
        standing = [
            (tenant, each)
            for tenant in house.tenants
            for each in await house.zones.changes(tenant)
            if each.undone_at is None
        ]
        wanted = change or max((each.id for _, each in standing), default=None)
        concerned = [tenant for tenant, each in standing if each.id == wanted]
        if wanted is None or not concerned:
            raise NotFound(
                "There is no such change of zone data that could be undone.",
                field="change",
                value=None if change is None else str(change),
                hint="`horae tz status` lists them.",
            )
        return [await house.zones.undo(Call(tenant=tenant, actor=_ACTOR), wanted) for tenant in concerned]

    return await _in_house(settings, work, embedded=embedded)


async def _in_house(settings: Settings, work: Callable[[_House], Awaitable[T]], *, embedded: bool) -> T:
    async def opened(dsn: str) -> T:
        async with _open(dsn, settings) as house:
            return await work(house)

    return await on_database(settings, opened, embedded=embedded)


@asynccontextmanager
async def _open(dsn: str, settings: Settings) -> AsyncIterator[_House]:
    async with AsyncExitStack() as stack:
        pool = await schema.create_pool(dsn, min_size=1, max_size=4)
        stack.push_async_callback(pool.close)
        async with pool.acquire() as connection:
            tenants = await queries.tenants(connection)
            virtual = await _virtual(connection)
            beats = await connection.fetch(_BEATS, SILENCE_S)
        # Of one that has ended the last word stays for a while.
        gone = await Lives(pool).gone({beat["incarnation"] for beat in beats})
        beats = [beat for beat in beats if beat["incarnation"] not in gone]
        clock: Clock = await stack.enter_async_context(VirtualClock(dsn)) if virtual else SystemClock()
        store = await stack.enter_async_context(PostgresEventStore(dsn))
        progress = Progress(dsn)
        await progress.start()
        stack.push_async_callback(progress.stop)
        standing = ReadModelStanding(pool, progress, store)
        ids = NewIds()
        zones = ZoneChanges(store, clock, ids, standing, standing, settings.default_zone, settings.standard)
        running = {found[1] for beat in beats if (found := _VERSION.search(beat["metrics"] or ""))}
        yield _House(zones, tenants, sorted(running))


async def _virtual(connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record]) -> bool:
    decided = await connection.fetchval("SELECT value::text FROM sys.settings WHERE key = 'clock'")
    return decided is not None and json.loads(decided) == "virtual"
