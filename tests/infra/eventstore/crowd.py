"""One process of the crowd in `test_order.py`: `python -m tests.infra.eventstore.crowd ROLE DSN EVENTS`.

A writer appends EVENTS events in commands of one to seven, many at once, and prints how many it stored. A reader
follows the log until it has EVENTS events, and prints every place at which it skipped or repeated a position.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from itertools import islice
from uuid import uuid4

from horae.infra.eventstore import PostgresEventStore
from tests.contracts.event_store import events_of


async def write(store: PostgresEventStore, events: int) -> None:
    """Append from 16 tasks, with sizes that keep the batches irregular."""
    left = iter(range(events))

    async def append_some(size: int) -> int:
        stored = 0
        while chosen := list(islice(left, size)):
            await store.append(events_of(uuid4(), range(1, len(chosen) + 1)))
            stored += len(chosen)
            size = size % 7 + 1
        return stored

    print(sum(await asyncio.gather(*(append_some(task % 7 + 1) for task in range(16)))))


async def poll(store: PostgresEventStore, events: int) -> None:
    """Read page by page, always behind the last position seen, as fast as it goes."""
    position = 0
    while position < events:
        for event in await store.after(position):
            _check(position, event.position)
            position = event.position


async def follow(store: PostgresEventStore, events: int) -> None:
    """Read by subscription."""
    position = 0
    async with store.subscribe() as subscription:
        async for batch in subscription:
            for event in batch:
                _check(position, event.position)
                position = event.position
            if position >= events:
                return


def _check(before: int, position: int) -> None:
    if position != before + 1:
        print(f"{position} came after {before}")


ROLES: dict[str, Callable[[PostgresEventStore, int], Coroutine[None, None, None]]] = {
    "write": write,
    "poll": poll,
    "follow": follow,
}


async def main() -> None:
    """Run one role."""
    role, dsn, events = sys.argv[1:]
    async with PostgresEventStore(dsn) as store:
        await ROLES[role](store, int(events))


if __name__ == "__main__":
    asyncio.run(main())
