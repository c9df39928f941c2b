"""What this process has stored a moment ago, so that its own subscription need not read it out of bytes again.

Place in the flow: `append` -> *own events* -> subscription, where both are of one process: there every claim and every
outcome would be decoded by whoever encoded it. Pure memory, for one event loop.
"""

from collections.abc import Sequence

from horae.domain.envelope import NewEvent, Recorded

#: A subscription that is further behind than this decodes what it reads.
CAPACITY = 2_000


class OwnEvents:
    """The latest of them, by position; each is given out once."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._events: dict[int, Recorded] = {}
        self._capacity = capacity

    def __len__(self) -> int:
        return len(self._events)

    def stored(self, events: Sequence[NewEvent], last: int) -> None:
        """One command's events are in the log, the last of them at this position."""
        for event in events:
            # Under a derived id somebody else may have been first, with the same request at another instant.
            if event.meta.event_id.version != 7:
                return
        for position, event in enumerate(events, last - len(events) + 1):
            self._events[position] = event.at(position)
        while len(self._events) > self._capacity:
            del self._events[next(iter(self._events))]

    def take(self, position: int) -> Recorded | None:
        """The event at this position, if it is still known here."""
        return self._events.pop(position, None)
