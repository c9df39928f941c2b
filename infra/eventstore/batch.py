"""Commands on their way to one commit: what they append and expect, and the rows that the SQL function takes.

Pure: no thread, no connection. The writer fills batches from its lanes with `Batch.offer`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from horae.domain import codec
from horae.domain.envelope import NewEvent

#: More events than this are not put into one commit, unless one command alone has more.
MAX_EVENTS_PER_COMMIT = 500


@dataclass(frozen=True, slots=True)
class Row:
    """One event as the log's table holds it, without its position."""

    stream: UUID
    version: int
    event_id: UUID | None
    tenant: str
    shard: int
    topic: str
    state: bytes


@dataclass(frozen=True, slots=True)
class Append:
    """One command's rows and the version that each of its streams, appended to or only expected, must have."""

    rows: tuple[Row, ...]
    expects: Mapping[UUID, int]
    appends_to: frozenset[UUID]


@dataclass(frozen=True, slots=True)
class Stored:
    """The command went through; `position` is its last event's."""

    position: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The command's first expectation that failed; nothing of it was stored."""

    stream: UUID
    expected: int
    actual: int


def make_append(events: Sequence[NewEvent], expects: Mapping[UUID, int]) -> Append:
    """Encode one command. Raises `ValueError` for no events, gaps in versions, or contradicting expectations.

    Encoding happens here, on the caller's side, so that an event that cannot be encoded fails its own command only.
    """
    if not events:
        raise ValueError("append needs at least one event")
    fences = dict(expects)
    heads: dict[UUID, int] = {}
    rows = []
    for event in events:
        before = event.version - 1
        if event.stream not in heads:
            if before < 0 or fences.setdefault(event.stream, before) != before:
                raise ValueError(
                    f"stream {event.stream} begins at version {event.version} but is expected at "
                    f"{fences.get(event.stream, 0)}"
                )
        elif heads[event.stream] != before:
            raise ValueError(f"stream {event.stream}: version {event.version} follows version {heads[event.stream]}")
        heads[event.stream] = event.version
        topic, state = codec.dump(event)
        meta = event.meta
        rows.append(Row(event.stream, event.version, meta.event_id, meta.tenant, meta.shard, topic, state))
    return Append(tuple(rows), fences, frozenset(heads))


class Batch:
    """The commands of one commit, none of which names a stream to which an earlier one appends.

    That lets the SQL check every expectation before it inserts anything, and still gives what running the commands one
    after the other would give. A command that does not fit is kept back, and so is every later one that it could
    affect.
    """

    def __init__(self, max_events: int = MAX_EVENTS_PER_COMMIT) -> None:
        self.commands: list[Append] = []
        self.events = 0
        self._max_events = max_events
        #: Streams that a later command may not name.
        self._appended: set[UUID] = set()
        #: Streams that a later command may not append to: a command that was kept back expects them as they are.
        self._awaited: set[UUID] = set()

    @property
    def full(self) -> bool:
        """Whether nothing more can be taken."""
        return self.events >= self._max_events

    def offer(self, command: Append) -> bool:
        """Take the command, or False: it has to wait for the next commit."""
        fits = not self.commands or self.events + len(command.rows) <= self._max_events
        independent = self._appended.isdisjoint(command.expects) and self._awaited.isdisjoint(command.appends_to)
        self._appended |= command.appends_to
        if not (fits and independent):
            self._awaited |= command.expects.keys()
            return False
        self.commands.append(command)
        self.events += len(command.rows)
        return True


def parameters(commands: Sequence[Append]) -> tuple[list[Any], ...]:
    """The eleven arrays of `log.append`, in its order."""
    rows = [(number, row) for number, command in enumerate(commands) for row in command.rows]
    fences = [(number, *fence) for number, command in enumerate(commands) for fence in command.expects.items()]
    return (
        [number for number, _ in rows],
        [row.stream for _, row in rows],
        [row.version for _, row in rows],
        [row.event_id for _, row in rows],
        [row.tenant for _, row in rows],
        [row.shard for _, row in rows],
        [row.topic for _, row in rows],
        [row.state for _, row in rows],
        [number for number, _, _ in fences],
        [stream for _, stream, _ in fences],
        [version for _, _, version in fences],
    )
