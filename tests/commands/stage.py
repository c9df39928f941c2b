"""A stage for command handlers: the log in memory, a clock to set, ids in a row, a read model of one's own making."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

from horae.commands.context import Call
from horae.commands.keys import Keys
from horae.commands.ports import EventStore, Neighbour
from horae.commands.recipients import Recipients
from horae.commands.schedules import Schedules
from horae.domain import occurrence as o
from horae.domain import timing as t
from horae.domain.channel import NO_KAFKA, Offered
from horae.domain.draft import Draft
from horae.domain.envelope import Meta, NewEvent
from horae.domain.errors import Unavailable
from horae.domain.ids import occurrence_id, uuid7
from horae.domain.timing.opendays import USUAL, Standard
from tests.fakes.event_store import InMemoryEventStore

NOW = datetime(2026, 12, 1, 8, 0, tzinfo=UTC)
TENANT, OTHER = "acme", "globex"
DAILY = t.Every(cron="0 9 * * *", zone="UTC")
NOON = t.At(at=NOW + timedelta(hours=4))


@dataclass
class SettableClock:
    """Stands still until it is set."""

    instant: datetime = NOW

    def now(self) -> datetime:
        return self.instant


class CountedIds:
    """UUIDv7s in a row."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def new(self) -> UUID:
        return uuid7(int(NOW.timestamp() * 1000), next(self._numbers).to_bytes(10, "big"))


class PlainRefs:
    """References that can be read."""

    def recipient_ref(self, tenant: str, recipient: str) -> str:
        return f"{tenant}/{recipient}"

    def signing_secret(self, tenant: str) -> str:
        return "whsec_"


@dataclass
class ReadModel:
    """Says what a test puts into it."""

    pointers: dict[UUID, t.Next | None] = field(default_factory=dict)
    claimed: list[UUID] = field(default_factory=list)
    #: Who goes out at about the same time.
    near: list[Neighbour] = field(default_factory=list)
    away: bool = False

    async def current(self, tenant: str, schedule: UUID, schedule_version: int) -> t.Next | None:
        if self.away:
            raise Unavailable("the read model is behind")
        return self.pointers.get(schedule)

    async def executing(self, tenant: str, schedule: UUID, position: int) -> list[UUID]:
        if self.away:
            raise Unavailable("the read model is behind")
        return list(self.claimed)

    async def around(self, tenant: str, recipient: str, key: str | None, **_: object) -> list[Neighbour]:
        if self.away:
            raise Unavailable("the read model is behind")
        return list(self.near)


@dataclass
class Stage:
    """Everything that the handlers stand on, and the handlers."""

    store: EventStore = field(default_factory=InMemoryEventStore)
    clock: SettableClock = field(default_factory=SettableClock)
    ids: CountedIds = field(default_factory=CountedIds)
    model: ReadModel = field(default_factory=ReadModel)
    offered: Offered = NO_KAFKA
    standard: Standard = USUAL

    @property
    def recipients(self) -> Recipients:
        return Recipients(self.store, self.clock, self.ids, PlainRefs())

    @property
    def schedules(self) -> Schedules:
        return Schedules(
            self.store,
            self.clock,
            self.ids,
            PlainRefs(),
            self.model,
            self.model,
            self.model,
            self.recipients,
            default_zone="UTC",
            offered=self.offered,
            standard=self.standard,
        )

    @property
    def keys(self) -> Keys:
        return Keys(self.store, self.clock, self.ids, lambda size: next(self._secrets).to_bytes(size, "big"))

    def __post_init__(self) -> None:
        self._secrets = count(1)

    async def claim(self, schedule: UUID, at: t.Next, next_: t.Next | None, *, schedule_version: int = 1) -> UUID:
        """What the dispatcher would append: the claim of the schedule's slot `at`."""
        occurrence = occurrence_id(schedule, at.slot.local, at.slot.fold)
        body = o.OccurrenceClaimed(
            schedule=schedule,
            recipient_ref="r",
            priority=2,
            schedule_version=schedule_version,
            origin="slot",
            slot=at.slot,
            due_at=at.due_at,
            plan=at.plan,
            owner=1,
            moves=True,
            next=next_,
        )
        meta = Meta(event_id=self.ids.new(), tenant=TENANT, shard=0, actor="worker:1", recorded_at=self.clock.now())
        await self.store.append([NewEvent(occurrence, 1, meta, body)], {schedule: schedule_version})
        return occurrence


def call(key: str | None = None, digest: str | None = None, tenant: str = TENANT) -> Call:
    return Call(tenant=tenant, actor="key:1", request_id="req-1", idempotency_key=key, digest=digest)


def draft(timing: t.Timing = DAILY, **more: object) -> Draft:
    return Draft.model_validate(
        {"recipient": "user-17", "channel": "log:", "content": {"subject": "Hi"}, "timing": timing, **more}
    )


def slots(schedule: UUID, count_: int = 5) -> list[t.Next]:
    """The daily series' first slots."""
    context = t.Context(now=NOW, schedule_id=schedule)
    return t.preview(t.normalise(DAILY, context), count_, context).slots
