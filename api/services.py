"""What the API stands on: commands, the log's reader, the read models' pool and progress, clocks and settings.

Built by `infra/wiring.py`; the API itself opens nothing and closes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from prometheus_client import CollectorRegistry

from horae.commands.calendars import Calendars
from horae.commands.engagements import Engagements
from horae.commands.feeds import Feeds
from horae.commands.importing import CalendarReader
from horae.commands.keys import Keys
from horae.commands.models import Models
from horae.commands.occurrences import Occurrences
from horae.commands.ports import Clock, EventStore, Ids, Refs, SendTimes
from horae.commands.recipientmoves import RecipientMoves
from horae.commands.recipients import Recipients
from horae.commands.schedules import Schedules
from horae.commands.subscriptions import Subscriptions
from horae.commands.zonechanges import ZoneChanges
from horae.projections.progress import Progress
from horae.projections.search.ports import SearchIndex

if TYPE_CHECKING:
    import asyncpg

    Pool = asyncpg.Pool[asyncpg.Record]


class VirtualTime(Protocol):
    """The installation's virtual clock."""

    def now(self) -> datetime: ...

    @property
    def target(self) -> datetime:
        """How far somebody asked time to move."""
        ...

    async def ask_for(self, target: datetime) -> None:
        """Ask the worker to move time; returns at once."""
        ...

    async def reached(self, instant: datetime) -> None:
        """Return when `now()` is at or after `instant`."""
        ...


@dataclass(frozen=True, slots=True)
class Health:
    """One component's state; `degraded` still serves, `unhealthy` makes the service not ready.

    `absent`: not a part of this installation, and nothing waits for it; `error` says what does its work.
    """

    status: Literal["healthy", "degraded", "unhealthy", "absent"]
    response_ms: float | None = None
    details: Mapping[str, Any] | None = None
    error: str | None = None


Check = Callable[[], Awaitable[Health]]
WorkersStarted = Callable[[Collection[int]], Awaitable[Mapping[int, datetime]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """The settings that the API itself reads."""

    version: str = "0.1.0"
    default_zone: str = "UTC"
    #: Per key; 0: no limit.
    rate_limit_requests: int = 600_000
    rate_limit_window_s: int = 60
    #: Header that may carry the key instead of Authorization.
    api_key_header: str = "X-API-Key"
    #: How long a read with `min_position` waits for the read models.
    settle_timeout_s: float = 10.0
    #: How long POST /v1/clock/advance waits before it answers that time is still moving.
    advance_timeout_s: float = 300.0
    #: More events than this between log and read models, and the service says that it is not ready.
    max_lag_events: int = 20_000
    #: A comment on idle event streams, so that proxies keep them open.
    heartbeat_s: float = 15.0
    #: Event streams that one key may have open at this process.
    event_streams_per_key: int = 50
    metrics_enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that routes use."""

    schedules: Schedules
    occurrences: Occurrences
    recipients: Recipients
    engagements: Engagements
    models: Models
    send_times: SendTimes
    keys: Keys
    calendars: Calendars
    subscriptions: Subscriptions
    zone_changes: ZoneChanges
    recipient_moves: RecipientMoves
    feeds: Feeds
    read_calendar: CalendarReader
    store: EventStore
    #: Of the restricted role `horae_api`, with search_path = read.
    pool: Pool
    progress: Progress
    #: The service's clock (virtual or real).
    clock: Clock
    #: The machine's clock: keys expire and requests are limited by it.
    real_clock: Clock
    ids: Ids
    refs: Refs
    #: None: PostgreSQL searches its own read models.
    search: SearchIndex | None = None
    #: Present on a virtual clock only.
    virtual_time: VirtualTime | None = None
    settings: ApiSettings = field(default_factory=ApiSettings)
    #: Further components for /readyz, such as "executor": the worker's heartbeat.
    checks: Mapping[str, Check] = field(default_factory=dict)
    #: Instruments of this process; the API adds its own.
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    #: The other processes' instruments in Prometheus' text format, for /metrics; empty while none works.
    worker_metrics: Callable[[], Awaitable[str]] | None = None
    #: For how many seconds the log has been longer than the read models, given how far they are.
    lag_seconds: Callable[[int], float] | None = None
    #: When each of these workers (incarnations) started, by the machine's clock; those unknown are left out.
    workers_started: WorkersStarted | None = None
