"""An event store in memory, for specifications of what stands on the port."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
from typing import Literal
from uuid import UUID

from horae.commands.ports import NOTHING_EXPECTED, EventReader, StreamConflict
from horae.domain import codec
from horae.domain.envelope import NewEvent, Recorded
from horae.infra.eventstore.batch import make_append


@dataclass
class InMemoryEventStore:
    """Passes the contract of the real one, codec included. For one event loop."""

    log: list[Recorded] = field(default_factory=list)

    async def append(
        self,
        events: Sequence[NewEvent],
        expects: Mapping[UUID, int] = NOTHING_EXPECTED,
        *,
        lane: Literal["fast", "bulk"] = "fast",
    ) -> int:
        command = make_append(events, expects)
        for stream, expected in command.expects.items():
            actual = sum(event.stream == stream for event in self.log)
            if actual != expected:
                ids = {(event.stream, event.version): (event.meta.event_id, event.position) for event in self.log}
                stored = [ids.get((row.stream, row.version)) for row in command.rows]
                if all(s is not None and s[0] == row.event_id for s, row in zip(stored, command.rows, strict=True)):
                    return max(s[1] for s in stored if s is not None)
                raise StreamConflict(stream, expected, actual)
        for row in command.rows:
            self.log.append(codec.load(row.topic, row.state, row.stream, row.version, len(self.log) + 1))
        return len(self.log)

    async def load(
        self,
        stream: UUID,
        *,
        upto_version: int | None = None,
        until: datetime | None = None,
        upto_position: int | None = None,
    ) -> list[Recorded]:
        return await _Reader(self.log).load(stream, upto_version=upto_version, until=until, upto_position=upto_position)

    async def load_many(self, streams: Collection[UUID]) -> dict[UUID, list[Recorded]]:
        return await _Reader(self.log).load_many(streams)

    async def after(self, position: int, limit: int = 500) -> list[Recorded]:
        return await _Reader(self.log).after(position, limit)

    async def shard_events(self, shards: Collection[int], after: int, upto: int, limit: int = 500) -> list[Recorded]:
        found = [event for event in self.log if after < event.position <= upto and event.meta.shard in shards]
        return found[:limit]

    async def head(self) -> int:
        return len(self.log)

    def scoped(self, tenant: str) -> EventReader:
        return _Reader(self.log, tenant)


class _Reader:
    def __init__(self, log: list[Recorded], tenant: str | None = None) -> None:
        self._log = log
        self._tenant = tenant

    @property
    def _events(self) -> list[Recorded]:
        return [event for event in self._log if self._tenant in (None, event.meta.tenant)]

    async def load(
        self,
        stream: UUID,
        *,
        upto_version: int | None = None,
        until: datetime | None = None,
        upto_position: int | None = None,
    ) -> list[Recorded]:
        found = (
            event
            for event in self._events
            if event.stream == stream
            and (upto_version is None or event.version <= upto_version)
            and (upto_position is None or event.position <= upto_position)
        )
        return list(takewhile(lambda event: until is None or event.meta.recorded_at <= until, found))

    async def load_many(self, streams: Collection[UUID]) -> dict[UUID, list[Recorded]]:
        found: dict[UUID, list[Recorded]] = {}
        for event in self._events:
            if event.stream in streams:
                found.setdefault(event.stream, []).append(event)
        return found

    async def after(self, position: int, limit: int = 500) -> list[Recorded]:
        return [event for event in self._events if event.position > position][:limit]
