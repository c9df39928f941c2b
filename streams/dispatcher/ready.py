"""What is due and waits for a free send slot: pressing work first, tenants in turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from horae.projections.due import DueRow


class Ready:
    """A queue of due rows: by priority, within it round robin among tenants, within a tenant in order of arrival."""

    def __init__(self) -> None:
        self._levels: dict[int, dict[str, deque[DueRow]]] = {}
        self._count = 0

    def __len__(self) -> int:
        """Rows in the queue, including those that are out of date and will be dropped when reached."""
        return self._count

    def add(self, row: DueRow) -> None:
        """Queue it behind its tenant's others."""
        tenants = self._levels.setdefault(row.priority, {})
        queue = tenants.get(row.tenant)
        if queue is None:
            queue = tenants[row.tenant] = deque()
        queue.append(row)
        self._count += 1

    def waiting(self, priority: int, tenant: str) -> int:
        """How many of a tenant's rows wait at one priority."""
        return len(self._levels.get(priority, {}).get(tenant, ()))

    def take(self, at_most: int, accept: Callable[[DueRow], bool]) -> list[DueRow]:
        """The next rows in turn; those that `accept` refuses are dropped."""
        taken: list[DueRow] = []
        for level in sorted(self._levels, reverse=True):
            tenants = self._levels[level]
            while tenants and len(taken) < at_most:
                tenant = next(iter(tenants))
                queue = tenants.pop(tenant)
                row = queue.popleft()
                self._count -= 1
                if queue:
                    # To the end of the row of tenants: the next one's turn.
                    tenants[tenant] = queue
                if accept(row):
                    taken.append(row)
            if tenants:
                break
            del self._levels[level]
        return taken
