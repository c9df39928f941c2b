"""The notification log as an asynchronous stream of batches of events, on one connection and no thread.

Place in the flow: log -> `RawSubscription` -> *subscription* -> projections and dispatcher (embedded profile).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from horae.domain import codec
from horae.domain.envelope import Recorded, StoredEvent
from horae.infra.eventstore.raw import RawSubscription

MAX_BATCH = 500


class Subscription:
    """Every event later than a position, in order, each once: iterate over `async with store.subscribe(after) as it`.

    Yields non-empty lists of at most `MAX_BATCH` events: whatever is there, without waiting for more. When the
    connection dies it starts again behind the last event that it gave, so consumers notice a pause and nothing else.
    An event that this version cannot decode raises from the iteration, each time, once what came before it was given.
    An iteration step may be cancelled; nothing is lost by it. One consumer per subscription.
    """

    def __init__(self, dsn: str, after: int = 0, known: Callable[[int], Recorded | None] = lambda _: None) -> None:
        """`known`: the event at a position, where it need not be decoded."""
        self._known = known
        self._raw = RawSubscription(dsn, after, MAX_BATCH)
        #: Read and not given: what cannot be decoded, and what follows it.
        self._left: list[StoredEvent] = []

    async def __aenter__(self) -> Self:
        await self._raw.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._raw.__aexit__(*error)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Recorded]:
        rows = self._left or await anext(self._raw)
        events: list[Recorded] = []
        try:
            for row in rows:
                events.append(self._recorded(row))  # noqa: PERF401  what came before a fault counts
        except Exception:
            if not events:
                raise
        finally:
            self._left = rows[len(events) :]
        return events

    def _recorded(self, row: StoredEvent) -> Recorded:
        known = self._known(row.position)
        if known is not None and (known.stream, known.version) == (row.stream, row.version):
            return known
        return codec.load(row.name, row.state, row.stream, row.version, row.position)
