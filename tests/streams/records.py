"""Records of a log as the relay would send them, and a log in memory to heal from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from horae.domain import codec
from horae.domain.envelope import NewEvent, Recorded
from horae.projections.due import ALL_SHARDS
from horae.streams.messages import EventRecord, Mark


def records_of(log: Sequence[Recorded], last: dict[int, int] | None = None) -> list[EventRecord]:
    """One per event, in order; `last` positions of the shards before it, which is kept up to date."""
    last = {} if last is None else last
    records = []
    for event in log:
        name, state = codec.dump(NewEvent(event.stream, event.version, event.meta, event.body))
        shard = event.meta.shard
        records.append(EventRecord(event.position, last.get(shard, 0), shard, event.stream, event.version, name, state))
        last[shard] = event.position
    return records


def mark_at(log: Sequence[Recorded], head: int, shards: Iterable[int] = ALL_SHARDS) -> Mark:
    """The mark of these shards when the log went to `head`."""
    last = dict.fromkeys(shards, 0)
    for event in log:
        if event.position <= head and event.meta.shard in last:
            last[event.meta.shard] = event.position
    return Mark(head, last)
