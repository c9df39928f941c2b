"""Send slots: how many attempts may be under way in all and to each endpoint, and a circuit breaker for each.

Place in the flow: ready queue -> *admission* -> claim. What is not admitted is parked here, unclaimed, so that its
schedule can still be changed or cancelled. Endpoints are known by the channel that a schedule names when it is planned.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from purgatory.domain.model import CLOSED, OPENED, Context, HalfOpenedState

from horae.projections.due import DueRow
from horae.streams.dispatcher.ready import Ready

#: Endpoints at rest that are remembered, for their breaker's count of failures.
_REMEMBERED = 10_000
#: Rows left in the index of which is remembered where they go: about 100 bytes each.
_LEFT = 100_000


@dataclass(slots=True)
class Endpoint:
    """One endpoint's slots, breaker and queue."""

    breaker: Context
    in_flight: int = 0
    #: When the breaker opened last, by the monotonic clock (the library's own note follows the wall clock's jumps).
    opened_at: float = 0.0
    parked: Ready = field(default_factory=Ready)

    @property
    def at_rest(self) -> bool:
        return not (self.in_flight or len(self.parked))


class Endpoints:
    """Admission of attempts. `per_endpoint` slots each; breakers open after `failures` in a row for `reset_s` seconds.

    Breakers run on the machine's clock: an endpoint recovers in real time, whatever the virtual clock says.
    """

    def __init__(
        self,
        per_endpoint: int,
        failures: int,
        reset_s: float,
        on_breaker: Callable[[str, str], None] = lambda _endpoint, _state: None,
        *,
        parked_each: int = 5_000,
        parked_in_all: int = 25_000,
    ) -> None:
        self._per_endpoint, self._failures, self._reset_s = per_endpoint, failures, reset_s
        self._on_breaker = on_breaker
        self._all: dict[str, Endpoint] = {}
        # Those with parked rows and perhaps a free slot; and those whose breaker must be waited for.
        self._freed: set[str] = set()
        self._blocked: set[str] = set()
        self.parked = 0
        self._parked_each, self._parked_in_all = parked_each, parked_in_all
        # Endpoints for which more waits in the due index than was parked.
        self.spilled: set[str] = set()
        # Key -> hash of the row that was left in the index, and its endpoint. Planning tells where a row goes, and is
        # the dear part: without this all that waits for a full endpoint would be planned each time that it is read.
        self._left: dict[UUID, tuple[int, str]] = {}

    def admit(self, name: str | None) -> bool:
        """Take a slot of the endpoint if one is free and the breaker lets through. None: it has no limit of its own."""
        if name is None:
            return True
        endpoint = self._of(name)
        if endpoint.in_flight >= self._limit(endpoint):
            return False
        if endpoint.breaker.state == OPENED:
            # Its time is over (else the limit were 0): this one tries it out.
            endpoint.breaker.set_state(HalfOpenedState())
            self._tell(name, endpoint)
        endpoint.in_flight += 1
        return True

    def force(self, name: str | None) -> None:
        """Count an attempt that was admitted elsewhere: its schedule's channel changed under the claim."""
        if name is not None:
            self._of(name).in_flight += 1

    def may_park(self, name: str | None) -> bool:
        """Is there room to keep one more? If not, it stays in the due index, and the endpoint is `spilled`.

        So an endpoint for which very much waits takes up only its part of the memory.
        """
        assert name is not None
        if len(self._of(name).parked) < self._parked_each and self.parked < self._parked_in_all:
            return True
        self.spilled.add(name)
        return False

    def thirsty(self) -> bool:
        """Is there a spilled endpoint of which little is parked any more?"""
        if self.parked > self._parked_in_all * 3 // 4:
            return False
        return any(len(self._of(name).parked) <= self._parked_each // 2 for name in self.spilled)

    def leave(self, name: str | None, row: DueRow) -> None:
        """The row stays in the index, for want of room here; `known` tells where it goes when it is read again."""
        assert name is not None
        if len(self._left) >= _LEFT:
            self._left.clear()
        self._left[row.key] = hash(row), name

    def known(self, row: DueRow) -> str | None:
        """The endpoint of a row that was left in the index and has not changed since."""
        left = self._left.pop(row.key, None)
        return left[1] if left is not None and left[0] == hash(row) else None

    def park(self, name: str | None, row: DueRow) -> None:
        """Keep a row that was not admitted, until `unpark` finds a slot for it."""
        assert name is not None
        endpoint = self._of(name)
        endpoint.parked.add(row)
        self.parked += 1
        (self._blocked if endpoint.breaker.state == OPENED else self._freed).add(name)

    def give_back(self, name: str | None) -> None:
        """Free the slot of an attempt that did not take place."""
        if name is not None:
            self._free(name, self._of(name))

    def ended(self, name: str | None, error: Exception | None) -> None:
        """Free the slot of an attempt. `error`: it says that the endpoint is in trouble."""
        if name is None:
            return
        endpoint = self._of(name)
        before = endpoint.breaker.state
        if error is not None:
            endpoint.breaker.handle_exception(error)
        else:
            endpoint.breaker.handle_end_request()
        # The library queues notices for listeners that we do not use.
        endpoint.breaker.messages.clear()
        if endpoint.breaker.state != before:
            endpoint.opened_at = time.monotonic()
            self._tell(name, endpoint)
        self._free(name, endpoint)

    def unpark(self, at_most: int, accept: Callable[[DueRow], bool]) -> list[DueRow]:
        """Parked rows for which there is a slot now, to be admitted at once. `accept` drops what it refuses."""
        unparked: list[DueRow] = []
        for name in (*self._freed, *(name for name in self._blocked if not self._waits(self._all[name]))):
            endpoint = self._all[name]
            free = max(0, self._limit(endpoint) - endpoint.in_flight)
            room = min(free, at_most - len(unparked))
            before = len(endpoint.parked)
            unparked += endpoint.parked.take(room, accept) if room else []
            self.parked -= before - len(endpoint.parked)
            if room < free and len(endpoint.parked):
                continue
            self._blocked.discard(name)
            self._freed.discard(name)
            if len(endpoint.parked) and self._waits(endpoint):
                self._blocked.add(name)
        return unparked

    def state(self, name: str) -> str:
        """closed, opened or half-opened."""
        endpoint = self._all.get(name)
        return CLOSED if endpoint is None else str(endpoint.breaker.state)

    # ---------------------------------------------------------------------------------------------------------------

    def _of(self, name: str) -> Endpoint:
        endpoint = self._all.get(name)
        if endpoint is None:
            if len(self._all) >= _REMEMBERED:
                self._forget()
            endpoint = self._all[name] = Endpoint(Context(name, self._failures, self._reset_s))
        return endpoint

    def _forget(self) -> None:
        for name in [n for n, e in self._all.items() if e.at_rest and e.breaker.state == CLOSED]:
            del self._all[name]

    def _waits(self, endpoint: Endpoint) -> bool:
        """Is the breaker open, and its time not over?"""
        return endpoint.breaker.state == OPENED and time.monotonic() < endpoint.opened_at + self._reset_s

    def _limit(self, endpoint: Endpoint) -> int:
        if endpoint.breaker.state == CLOSED:
            return self._per_endpoint
        # After an open breaker's time one attempt finds out how things are.
        return 0 if self._waits(endpoint) else 1

    def _free(self, name: str, endpoint: Endpoint) -> None:
        endpoint.in_flight -= 1
        if len(endpoint.parked):
            (self._blocked if self._waits(endpoint) else self._freed).add(name)

    def _tell(self, name: str, endpoint: Endpoint) -> None:
        endpoint.breaker.messages.clear()
        self._on_breaker(name, str(endpoint.breaker.state))
