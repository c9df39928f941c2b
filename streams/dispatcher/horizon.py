"""The due rows that are held in memory: those up to an edge in time that moves ahead of the clock.

Place in the flow: due index -> *horizon* -> ready queue. Invariant: every row of the index at or before `edge` is here
or was taken from here; whatever lies beyond is read when the edge moves. So memory grows with what is due soon, not
with the number of schedules, and at most to `capacity`: when that is reached, the edge moves back.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

from horae.projections.due import DueRow

#: A place in the index's order: (due_at, key).
Edge = tuple[datetime, UUID]

BEGINNING: Edge = (datetime.min.replace(tzinfo=UTC), UUID(int=0))
_LAST_KEY = UUID(int=(1 << 128) - 1)


class Horizon:
    """Rows by key and in order of time. Not for several threads."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.edge: Edge = BEGINNING
        self._rows: dict[UUID, DueRow] = {}
        self._heap: list[tuple[datetime, int, DueRow]] = []
        self._sequence = 0
        # Rows that were taken and may still be in the index until the projection has caught up.
        self._taken: dict[UUID, DueRow] = {}
        self._loading: tuple[Edge, set[UUID]] | None = None
        # Where the edge was drawn in to while a page was being read.
        self._drawn: Edge | None = None

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def room(self) -> int:
        """How many more rows fit."""
        return max(0, self.capacity - len(self._rows))

    # --- what the projection says ---------------------------------------------------------------------------------

    def changed(self, key: UUID, row: DueRow | None) -> None:
        """From now on `row` (or nothing) waits under `key`."""
        self._taken.pop(key, None)
        reach = self.edge
        if self._loading is not None:
            # The page that is being read may be older than this change.
            self._loading[1].add(key)
            reach = max(reach, self._loading[0])
        self._rows.pop(key, None)
        if row is None or row.held or (row.due_at, row.key) > reach:
            return
        if not self.room:
            self._draw_in(row)
            return
        self._put(row)

    def begin_load(self, until: datetime) -> None:
        """A page up to `until` is about to be read: changes up to there count from now on."""
        self._loading, self._drawn = ((until, _LAST_KEY), set()), None

    def end_load(self, page: Iterable[DueRow], edge: Edge) -> int:
        """Take in the page; everything up to `edge` has been read now. Gives how many rows were new."""
        changed = self._loading[1] if self._loading is not None else set()
        self._loading = None
        new = 0
        for row in page:
            key = row.key
            if key in changed or self._rows.get(key) == row or self._taken.get(key) == row:
                continue
            self._put(row)
            new += 1
        self.edge = edge if self._drawn is None else min(edge, self._drawn)
        return new

    def abandon_load(self) -> None:
        """The page could not be read."""
        self._loading = None

    def adopt(self, row: DueRow, above: int = 0) -> bool:
        """Take in a row from outside what is followed; False: there was no room.

        `above`: there is room for so many more than `capacity`.
        """
        if row.key in self._rows or self._taken.get(row.key) == row:
            return True
        if len(self._rows) >= self.capacity + above:
            return False
        self._put(row)
        return True

    def let_go(self, shards: frozenset[int]) -> None:
        """Others look after these shards now: hold nothing of them but what was taken."""
        for key in [key for key, row in self._rows.items() if row.shard in shards]:
            del self._rows[key]

    def rewind(self) -> None:
        """Read the index anew from its beginning (rows that are held already are recognised)."""
        self.edge = BEGINNING
        self._taken.clear()
        if self._loading is not None:
            # The end of the page that is being read would move the edge on, past what was never read.
            self._drawn = BEGINNING

    # --- what the dispatcher takes --------------------------------------------------------------------------------

    def pop_due(self, now: datetime) -> list[DueRow]:
        """The rows that have come due since the last call, in order of time; they stay `current` until taken."""
        heap, rows, due = self._heap, self._rows, []
        while heap and heap[0][0] <= now:
            row = heapq.heappop(heap)[2]
            if rows.get(row.key) is row:
                due.append(row)
        return due

    def next_due(self) -> datetime | None:
        """The earliest instant in memory that has not been popped."""
        heap, rows = self._heap, self._rows
        while heap and rows.get(heap[0][2].key) is not heap[0][2]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def is_current(self, row: DueRow) -> bool:
        """Is this still what waits under its key?"""
        return self._rows.get(row.key) is row

    def take(self, row: DueRow) -> bool:
        """Take it out to act upon it; False: it is no longer what waits."""
        if self._rows.get(row.key) is not row:
            return False
        del self._rows[row.key]
        self._taken[row.key] = row
        return True

    def give_back(self, row: DueRow) -> bool:
        """Undo `take`; False: the projection has named another row meanwhile."""
        if self._taken.get(row.key) is not row:
            return False
        del self._taken[row.key]
        self._rows[row.key] = row
        return True

    # ---------------------------------------------------------------------------------------------------------------

    def _put(self, row: DueRow) -> None:
        self._rows[row.key] = row
        self._sequence += 1
        heapq.heappush(self._heap, (row.due_at, self._sequence, row))

    def _draw_in(self, row: DueRow) -> None:
        """No room for `row`: from just before it on, the index is to be read again."""
        before = (row.due_at, UUID(int=max(0, row.key.int - 1)))
        self.edge = min(self.edge, before)
        self._drawn = before if self._drawn is None else min(self._drawn, before)
