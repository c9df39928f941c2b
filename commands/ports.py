"""What the command handlers need from outside: the log, a clock, ids, and secrets derived per tenant.

Place in the flow: api -> commands -> *these ports* <- infra. Handlers load and append through them and know nothing of
PostgreSQL. Each port has one contract suite (`tests/contracts/`) that every adapter, fake or real, must pass.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Literal, NamedTuple, Protocol
from uuid import UUID

from horae.domain.envelope import NewEvent, Recorded
from horae.domain.errors import Conflict
from horae.domain.model import ModelFitted
from horae.domain.timing import Best, Choice, Next, Slot

Lane = Literal["fast", "bulk"]
"""`fast`: single commands and claims. `bulk`: imports and bulk creates; they wait behind everything in `fast`."""

NOTHING_EXPECTED: Mapping[UUID, int] = MappingProxyType({})


class StreamConflict(Conflict):
    """A stream is not at the version that the command was decided on. Reload it, decide again, append again."""

    code = "stream_conflict"

    def __init__(self, stream: UUID, expected: int, actual: int) -> None:
        """`expected` and `actual` are stream versions; 0 means that the stream does not exist."""
        super().__init__(
            f"Stream {stream} is at version {actual}, the command expected version {expected}",
            hint="load the stream again and decide on what it holds now",
        )
        self.stream = stream
        self.expected = expected
        self.actual = actual


class EventReader(Protocol):
    """Reads streams, in full or as they were. What is outside the reader's tenant is as if it did not exist."""

    async def load(
        self,
        stream: UUID,
        *,
        after_version: int = 0,
        upto_version: int | None = None,
        until: datetime | None = None,
        upto_position: int | None = None,
    ) -> list[Recorded]:
        """The events of one stream by ascending version; an unknown stream is an empty list.

        `after_version` is left out, `upto_version` and `upto_position` are included. `until` (aware UTC) gives the
        stream as of that instant: the events before the first one that was recorded later. Every event whose append
        had returned is seen.
        Raises `Unavailable` when the log cannot be read.
        """
        ...

    async def load_many(self, streams: Collection[UUID]) -> dict[UUID, list[Recorded]]:
        """The events of many streams in one query, each by ascending version; streams without events are absent."""
        ...

    async def after(self, position: int, limit: int = 500) -> list[Recorded]:
        """At most `limit` events by ascending position, all later than `position`; nothing in between is left out."""
        ...

    async def version(self, stream: UUID) -> int:
        """The stream's head, 0 for an unknown one, without reading its events: they may be many."""
        ...


class EventStore(EventReader, Protocol):
    """The log: appends commands atomically, in one order for everything, and reads it back."""

    async def append(
        self,
        events: Sequence[NewEvent],
        expects: Mapping[UUID, int] = NOTHING_EXPECTED,
        *,
        lane: Lane = "fast",
    ) -> int:
        """Append one command's events, all or nothing; durable when it returns. Gives the position of the last event.

        The events of one stream have consecutive versions (a stream begins at version 1), and that stream is
        implicitly expected at the version before. `expects` adds fences on other streams: stream -> the version that it
        must have (0: it must not exist).
        Idempotent by event id: if exactly these events (same ids at the same versions) are in the log already, their
        position is returned; so a lost acknowledgement is never a conflict with oneself.
        Raises `StreamConflict` (nothing was stored), `Busy` (the queue is full, nothing was stored), `Unavailable` (the
        log could not be reached in time; whether it was stored is unknown, appending the same events again is safe),
        `ValueError` for no events, gaps in the versions, or an expectation that contradicts them.
        """
        ...

    async def head(self) -> int:
        """The position of the last event of the whole log, 0 when it is empty."""
        ...

    def scoped(self, tenant: str) -> EventReader:
        """A reader that sees only `tenant`'s events; for everything that answers a client."""
        ...


class Clock(Protocol):
    """The instant at which a command is decided."""

    def now(self) -> datetime:
        """Aware UTC; on a virtual clock, the virtual instant. Never goes back while a process lives."""
        ...


class Ids(Protocol):
    """New identifiers."""

    def new(self) -> UUID:
        """A UUIDv7: later calls sort later within one process, to the millisecond among processes."""
        ...


class Refs(Protocol):
    """Secrets derived per tenant."""

    def recipient_ref(self, tenant: str, recipient: str) -> str:
        """A stable name for a recipient that may stand outside the personal part: an HMAC keyed per tenant."""
        ...

    def signing_secret(self, tenant: str) -> str:
        """The tenant's webhook signing secret in the Standard Webhooks form: `whsec_` and base64 of the key."""
        ...


class SeriesPointers(Protocol):
    """Where the series of recurring schedules stand, as a read model knows it."""

    async def current(self, tenant: str, schedule: UUID, schedule_version: int) -> Next | None:
        """The slot that the schedule's series waits for; None: it has ended, or the schedule is not active.

        Read from a read model that has applied the schedule's event of that version; it may lag behind claims made
        since, which the caller follows up in the log. Raises `Unavailable` when it does not come that far in time.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A message whose moment is to be chosen. `local_now`: naive, in the zone that its window is read in."""

    timing: Best
    local_now: datetime
    recipient: str
    recipient_ref: str
    segment: str | None
    occurrence: UUID
    channel: str
    #: What kind of message it is, in the client's words; None: no word.
    category: str | None


@dataclass(frozen=True, slots=True)
class HourChance:
    """Foretold chance of an answer to a message in one hour, with its 95 % interval."""

    chance: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """What is known of one recipient: 24 hours of a weekday and of a weekend day, and what they rest on.

    `asked`, `answered` and `active` are decayed numbers of times; `model` is the version, 0: none.
    """

    weekday: Sequence[HourChance]
    weekend: Sequence[HourChance]
    asked: float
    answered: float
    active: float
    model: int


class SendTimes(Protocol):
    """The learner, as whoever plans asks it."""

    async def choose(self, tenant: str, asks: Sequence[Ask], now: datetime) -> list[Choice]:
        """A choice for each, in their order, by what the read models have applied. Raises `Unavailable`."""
        ...

    async def habits(self, tenant: str, recipient_ref: str, segment: str | None, now: datetime) -> Habits:
        """What is known of one recipient, who need not be known at all. Raises `Unavailable`."""
        ...


class Fitting(Protocol):
    """Looks at all of a tenant's recipients together."""

    async def fit(self, tenant: str, now: datetime) -> ModelFitted | None:
        """The tenant's next model, by what the read models have applied; None: too little is known."""
        ...


class CalendarUsers(Protocol):
    """Who keeps to which calendar, as a read model knows it."""

    async def schedules_on(self, tenant: str, calendar: str, position: int) -> list[UUID]:
        """The schedules, not cancelled, that keep to the calendar or to one that names it, by itself or through others.

        From a read model that has applied everything up to `position`: what was planned before is among them.
        Raises `Unavailable` when it does not come that far in time.
        """
        ...

    async def calendar_names(self, tenant: str, position: int) -> dict[str, list[str]]:
        """Which calendars of the tenant name which, by id, from a read model that has applied everything up to there.

        Raises `Unavailable` when it does not come that far in time.
        """
        ...


class Neighbour(NamedTuple):
    """A schedule that is to go out, as a read model knows it: `due_at` is its next slot's instant (aware UTC).

    None: its series has ended, and slots that were moved by themselves are left.
    """

    schedule: UUID
    due_at: datetime | None


class Neighbours(Protocol):
    """Which schedules go out at about the same time, to one recipient or under one key."""

    async def around(
        self,
        tenant: str,
        recipient: str,
        key: str | None,
        *,
        since: datetime,
        until: datetime,
        position: int,
        limit: int,
    ) -> list[Neighbour]:
        """At most `limit` active schedules of the recipient, or (with `key`) of anybody that name this key.

        Of one-offs those due between the two instants (excluded), of series those that go on before `until`, or have
        a slot between the two that was moved by itself. By due instant and id (None last), from a read model that has
        applied everything up to `position`. Raises `Unavailable` when it does not come that far in time.
        """
        ...


class Unfetched(Exception):
    """What somebody else serves could not be got: the message says why."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file from elsewhere, and what its server said for the next look (None: nothing)."""

    text: str
    etag: str | None = None
    last_modified: str | None = None


class CalendarSource(Protocol):
    """iCalendar files of others, by URL."""

    async def fetch(self, url: str, etag: str | None = None, last_modified: str | None = None) -> Fetched | None:
        """The file; None: it is still the one that `etag` or `last_modified` names.

        Bounded in time and size; goes to addresses only that webhooks may go to. Raises `Unfetched`.
        """
        ...


class Companion(NamedTuple):
    """An occurrence of a slot, as a read model knows it. `open`: it has begun (or was deferred) and had not ended; else
    it is the latest that was claimed."""

    occurrence: UUID
    slot: Slot
    open: bool


class Companions(Protocol):
    """What was claimed of a schedule's slots."""

    async def claimed(self, schedules: Collection[UUID]) -> Mapping[UUID, Sequence[Companion]]:
        """By schedule: those that have not ended, and that of the latest slot. A schedule without any is absent.

        From the read model that also says which slot comes next, so that whatever moved a series to a slot is in it.
        Raises `Unavailable`.
        """
        ...


class OpenOccurrences(Protocol):
    """Which occurrences are out and not back."""

    async def executing(self, tenant: str, schedule: UUID, position: int) -> list[UUID]:
        """The schedule's occurrences that are claimed and not ended, from a read model that has applied `position`.

        Raises `Unavailable` when the read model does not come that far in time.
        """
        ...
