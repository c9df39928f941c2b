"""What a consumer hands over: one record of a topic, as bytes, and the shape of whoever takes a batch of them.

Place in the flow: Kafka -> Faust agent (`infra/faust`) -> *arrivals* -> shard feed, commands, search.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from horae.streams import messages
from horae.streams.messages import Record, Unreadable


@dataclass(frozen=True, slots=True)
class Arrival:
    """One record, nothing of it decoded."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]

    def record(self) -> Record | Unreadable:
        """What it says, if it is of `horae-log`."""
        try:
            return messages.read(self.headers, self.value)
        except Unreadable as error:
            return error


Take: TypeAlias = Callable[[Sequence[Arrival]], Awaitable[None]]
"""Handles a batch, those of one partition in order. When it returns they count as done; what it raises is logged and
the same batch is given again, for ever: so poison must be dealt with inside."""
