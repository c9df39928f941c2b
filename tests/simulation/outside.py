"""The receivers outside: they take releases, refuse them, are slow, or take them and their answer is lost.

Place in the simulation: dispatcher -> *outside*. What really arrived is written down here, apart from what Horae knows.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from horae.domain.delivery import Failure
from horae.streams.channels import Receipt, Release, ReleaseFailed
from tests.simulation.house import House, Process

_REFUSED = Failure(kind="connect", message="connection refused", nothing_arrived=True)
_RESET = Failure(kind="io", message="connection reset by peer")
_BUSY = Failure(kind="http", message="429", status_code=429, nothing_arrived=True, retry_after_s=3.0)
_GONE = Failure(kind="http", message="410", status_code=410, retryable=False)
_BROKEN = Failure(kind="http", message="500", status_code=500)

_TROUBLE = {
    "lost request": 0.05,
    "lost response": 0.06,
    "slow receiver": 0.05,
    "429": 0.04,
    "410": 0.02,
    "500": 0.04,
    "channel bug": 0.01,
}


@dataclass
class Call:
    """One call of a channel, as the receiver's side saw it."""

    release: Release
    #: The worker that called: its incarnation.
    owner: int
    #: Positions of the log at which the call began.
    position: int
    at: datetime
    arrived: bool = False
    #: ok, the failure's name, or None: no answer has reached the worker.
    answer: str | None = None


@dataclass
class Outside:
    """All receivers. `calls` in the order in which they began."""

    house: House
    calls: list[Call] = field(default_factory=list)

    def channel(self, process: Process, owner: int, position: object) -> Line:
        """What one worker has of them; `position()` tells where the log stands."""
        return Line(self, owner, position)


class Line:
    """A channel to all of them."""

    def __init__(self, outside: Outside, owner: int, position: object) -> None:
        self._outside, self._owner, self._position = outside, owner, position

    async def release(self, release: Release) -> Receipt:
        """See `horae.streams.channels.Channel`."""
        house = self._outside.house
        head = self._position() if callable(self._position) else 0
        call = Call(release, self._owner, int(head), house.now())
        self._outside.calls.append(call)
        house.note(f"release {release.occurrence.hex[-6:]} attempt {release.attempt}")
        match await house.gate("channel", _TROUBLE):
            case "lost request":
                return self._fail(call, "lost request", _REFUSED)
            case "429":
                return self._fail(call, "429", _BUSY)
            case "410":
                return self._fail(call, "410", _GONE)
            case "500":
                call.arrived = house.dice.random("500 arrived") < 0.5
                return self._fail(call, "500", _BROKEN)
            case "lost response":
                call.arrived = True
                return self._fail(call, "lost response", _RESET)
            case "slow receiver":
                call.arrived = house.dice.random("slow arrived") < 0.7
                await asyncio.sleep(house.dice.between("slow receiver", 0.1, 3.0) * release.timeout.total_seconds())
                call.arrived = True
            case "channel bug":
                call.arrived = house.dice.random("bug arrived") < 0.5
                raise RuntimeError("a fault in the channel's code")
            case _:
                pass
        call.arrived = True
        await house.gate("answer", {})
        call.answer = "ok"
        return Receipt({"status_code": 204})

    def _fail(self, call: Call, name: str, failure: Failure) -> Receipt:
        call.answer = name
        raise ReleaseFailed(failure)

    async def aclose(self) -> None:
        """Nothing is kept."""
