"""The shape of a record on the internal topic `horae-log`: one stored event, or a mark.

Place in the flow: relay -> *records* -> workers. A record's value is the event's state as the log holds it; everything
that routes or orders it stands in the headers, so that a worker looks at the value only when it needs it.

`previous` is the position of the event before this one in the same shard: whoever stands before `previous` has missed
something. A mark says how far each shard of its partition goes at a moment, so that whoever lost the end of a partition
notices, and a shard in which nothing happens moves on nevertheless.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

from horae.domain import codec
from horae.domain.envelope import Recorded

LOG_TOPIC = "horae-log"

Headers: TypeAlias = list[tuple[str, bytes]]


class Unreadable(ValueError):
    """A record that is not of this shape; its place in the log is found from the records around it."""


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One stored event. `event` is its stored name, `state` its bytes in the log."""

    position: int
    #: Position of the shard's event before this one; 0: there is none.
    previous: int
    shard: int
    stream: UUID
    version: int
    event: str
    state: bytes
    #: W3C trace context of the request that led to it, if it was traced.
    traceparent: str | None = None

    def headers(self) -> Headers:
        """Everything but the state."""
        found = [
            ("event", self.event.encode()),
            ("position", str(self.position).encode()),
            ("previous", str(self.previous).encode()),
            ("shard", str(self.shard).encode()),
            ("stream", str(self.stream).encode()),
            ("version", str(self.version).encode()),
        ]
        if self.traceparent is not None:
            found.append(("traceparent", self.traceparent.encode()))
        return found

    def recorded(self) -> Recorded:
        """The event itself. Raises what the codec raises for a state that it cannot read."""
        return codec.load(self.event, self.state, self.stream, self.version, self.position)


@dataclass(frozen=True, slots=True)
class Mark:
    """Every event of these shards up to `head` was sent before this; `last`: shard -> position of its last event."""

    head: int
    last: Mapping[int, int]

    def headers(self) -> Headers:
        """So that it is known without a look at the value."""
        return [("mark", b"1")]

    def value(self) -> bytes:
        """JSON."""
        last = {str(shard): position for shard, position in self.last.items()}
        return json.dumps({"head": self.head, "last": last}).encode()


Record: TypeAlias = EventRecord | Mark


def read(headers: Mapping[str, bytes] | Iterable[tuple[str, bytes]], value: bytes | None) -> Record:
    """The record that these headers and this value are. Raises `Unreadable`."""
    found = dict(headers)
    try:
        if "mark" in found:
            said = json.loads(value or b"")
            return Mark(int(said["head"]), {int(shard): int(position) for shard, position in said["last"].items()})
        traceparent = found.get("traceparent")
        return EventRecord(
            position=int(found["position"]),
            previous=int(found["previous"]),
            shard=int(found["shard"]),
            stream=UUID(found["stream"].decode()),
            version=int(found["version"]),
            event=found["event"].decode(),
            state=value or b"",
            traceparent=traceparent.decode() if traceparent is not None else None,
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise Unreadable(f"not a record of {LOG_TOPIC}: {error!r}") from error


def partition_of(shard: int, partitions: int) -> int:
    """Where the shard's events go."""
    return shard % partitions


def shards_of(owned: Iterable[int], partitions: int, shards: int = 64) -> frozenset[int]:
    """The shards whose events come through these partitions."""
    mine = set(owned)
    return frozenset(shard for shard in range(shards) if shard % partitions in mine)
