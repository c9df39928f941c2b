"""The machines: processes that crash, stand still and come back, each with a clock of its own that may jump.

Place in the simulation: every await at a line to the outside passes `House.gate`, where the dice say what goes wrong.
A process that dies runs no `finally`: its handles are never run again, its sessions end, its lock is free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from tests.simulation.dice import Dice
from tests.simulation.loop import PROCESS, SimulatedLoop

#: A session in a transaction whose client says nothing for so long is ended by the server, seconds.
IDLE_IN_TRANSACTION_S = 5.0


class SkewedClock:
    """A machine's clock as a process reads it: never back within its life, though the machine's own may jump."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.offset_s = 0.0
        self._latest = datetime.min.replace(tzinfo=UTC)

    def now(self) -> datetime:
        self._latest = max(self._latest, self._house.now(self.offset_s))
        return self._latest


@dataclass(eq=False)
class Process:
    """One life of a process; `role` names it over all its lives."""

    role: str
    house: House
    alive: bool = True
    held: list[asyncio.Handle] | None = None
    clock: SkewedClock = field(init=False)
    #: What is done at its death, by the world: sessions end, locks are freed.
    last_rites: list[Callable[[], None]] = field(default_factory=list)
    #: What is done when the server finds it idle in a transaction.
    idle: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = SkewedClock(self.house)

    def start(self, main: Awaitable[None]) -> None:
        """Run `main` as this process."""
        context = copy_context()
        context.run(PROCESS.set, self)
        self.house.loop.create_task(main, name=self.role, context=context)

    def in_context(self) -> Context:
        """A context whose tasks belong to this process."""
        context = copy_context()
        context.run(PROCESS.set, self)
        return context

    def die(self) -> None:
        """As by SIGKILL."""
        if self.alive:
            self.alive = False
            for rite in self.last_rites:
                rite()

    def pause(self, seconds: float) -> None:
        """As by SIGSTOP, for so long."""
        if self.held is not None or not self.alive:
            return
        self.held = []
        outside = Context()
        self.house.loop.call_later(seconds, self.go_on, context=outside)
        if seconds > IDLE_IN_TRANSACTION_S:
            self.house.loop.call_later(IDLE_IN_TRANSACTION_S, self._found_idle, context=outside)

    def go_on(self) -> None:
        """As by SIGCONT."""
        held, self.held = self.held, None
        if held and self.alive:
            self.house.loop.let_go(held)

    def _found_idle(self) -> None:
        if self.held is not None:
            for end in self.idle:
                end()


class House:
    """Time, processes, and the gate at which things go wrong. `begins`: the instant at second 0 of the loop."""

    def __init__(self, loop: SimulatedLoop, dice: Dice, begins: datetime, pace: float) -> None:
        self.loop, self.dice, self.begins = loop, dice, begins
        #: How many seconds of the story one second of ordinary trouble stands for.
        self.pace = pace
        self.processes: dict[str, Process] = {}
        self.gates = 0
        self.trace: list[str] = []
        self.tracing = False

    def now(self, offset_s: float = 0.0) -> datetime:
        """What a right clock would show, and `offset_s` more."""
        return self.begins + timedelta(seconds=self.loop.time() + offset_s)

    def note(self, text: str) -> None:
        """A line of the story, kept only where somebody wants to read it."""
        if self.tracing:
            process = PROCESS.get()
            role = cast("Process", process).role if process is not None else "-"
            self.trace.append(f"{self.now():%H:%M:%S.%f} {role:>4}  {text}")

    def here(self) -> Process | None:
        """The process that the running code belongs to."""
        return cast("Process | None", PROCESS.get())

    async def gate(self, place: str, kinds: Mapping[str, float]) -> str | None:
        """Pass a line: time goes by, and perhaps something goes wrong. Gives a fault that the line itself must act out.

        A crash never returns; a pause returns after it; slowness and clock jumps are dealt with here.
        """
        self.gates += 1
        process = self.here()
        if process is not None:
            place = f"{process.role}.{place}"
        fault = self.dice.fault(place, {**_EVERYWHERE, **kinds})
        delay_s = 0.0005 + 0.004 * self.dice.random(f"{place} latency")
        match fault:
            case "slow":
                delay_s += self.pace * self.dice.random(f"{place} slow") ** 3
            case "crash" if process is not None:
                self.note(f"crash at {place}")
                process.die()
                await asyncio.Event().wait()
            case "pause" if process is not None:
                seconds = self.dice.between(f"{place} pause", 0.2, 12.0 * self.pace)
                self.note(f"pause of {seconds:.2f} s at {place}")
                process.pause(seconds)
            case "jump" if process is not None:
                jump_s = self.dice.between(f"{place} jump", -40.0, 40.0) * self.pace
                process.clock.offset_s = max(-60.0 * self.pace, min(60.0 * self.pace, process.clock.offset_s + jump_s))
                self.note(f"clock jumps by {jump_s:.1f} s")
            case None:
                pass
            case _:
                self.note(f"{fault} at {place}")
        await asyncio.sleep(delay_s)
        return fault if fault in kinds else None

    def outside(self, what: Awaitable[Any]) -> None:
        """Let something go on that no longer belongs to the process that began it."""
        context = Context()
        self.loop.create_task(what, context=context)


_EVERYWHERE: Mapping[str, float] = {"slow": 0.12, "crash": 0.005, "pause": 0.006, "jump": 0.005}
