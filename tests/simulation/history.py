"""One history: a seed becomes an installation, its clients and everything that goes wrong, and then a verdict.

Place in the simulation: the whole. First trouble, then calm: lines hold, who is dead comes back, and after a while all
that was due must have ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, NoReturn

import structlog

from horae.domain.envelope import Recorded
from horae.projections.projector import Projector
from tests.fakes.event_store import InMemoryEventStore
from tests.fakes.read_models import InMemoryReadModels
from tests.simulation.clients import Client, Front
from tests.simulation.dice import Dice
from tests.simulation.facts import Broken, Verdict, check
from tests.simulation.house import House, Process
from tests.simulation.judge import judge
from tests.simulation.loop import SimulatedLoop, Stuck
from tests.simulation.outside import Outside
from tests.simulation.worker import Locks, Plant, virtual_seconds, work

#: Ordinary days, and the nights in which clocks change, in UTC.
_BEGINNINGS = (
    datetime(2026, 11, 10, 12, 0, tzinfo=UTC),
    datetime(2027, 3, 28, 0, 40, tzinfo=UTC),  # Berlin goes forward
    datetime(2026, 10, 25, 0, 10, tzinfo=UTC),  # Berlin goes back
    datetime(2027, 3, 14, 6, 40, tzinfo=UTC),  # New York goes forward
    datetime(2026, 11, 1, 5, 10, tzinfo=UTC),  # New York goes back
    datetime(2026, 10, 3, 15, 10, tzinfo=UTC),  # Lord Howe goes forward by half an hour
    datetime(2027, 4, 3, 14, 40, tzinfo=UTC),  # Lord Howe goes back by half an hour
)


@dataclass
class Result:
    """What came of one seed."""

    seed: str
    faults: list[str]
    kinds: dict[str, int]
    steps: int
    gates: int
    events: int
    verdict: Verdict
    #: None: every promise was kept.
    broken: str | None = None
    trace: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Scale:
    """How large a history is."""

    clients: int = 4
    operations: int = 4
    #: Seconds of trouble and of calm, times the history's pace; what was due so long before the end must have ended.
    trouble_s: float = 300.0
    calm_s: float = 200.0
    settling_s: float = 120.0


def run(
    seed: str,
    *,
    scale: Scale | None = None,
    allowed: frozenset[str] | None = None,
    clients: frozenset[int] | None = None,
    tracing: bool = False,
    log: list[Recorded] | None = None,
) -> Result:
    """Run one history, always the same. `allowed`: only these faults; `clients`: only these of them.

    `log`: takes what was stored.
    """
    scale = scale or Scale()
    loop = SimulatedLoop(seed)  # type: ignore[abstract]
    dice = Dice(seed, allowed)
    drawn = dice.stream("beginning")
    dice.moods = {kind: drawn.choice((0.0, 1.0, 1.0, 2.5)) for kind in _MOODS}
    pace = drawn.choice((1.0, 1.0, 20.0))
    house = House(loop, dice, drawn.choice(_BEGINNINGS), pace)
    house.tracing = tracing
    plant = Plant(house, InMemoryEventStore(), InMemoryReadModels(), Outside(house), Locks(house))
    history = _History(plant, scale, drawn, clients)
    broken, verdict = None, Verdict()
    with virtual_seconds(loop), _errors_heard(history.errors):
        try:
            verdict = loop.run_until_complete(history.live())
        except (Broken, Stuck, TimeoutError) as error:
            broken = f"{type(error).__name__}: {error}"
        finally:
            dice.calm = True
            loop.drain()
            loop.close()
    if log is not None:
        log += plant.store.log
    return Result(
        seed,
        dice.faults,
        dict(dice.kinds),
        loop.steps,
        house.gates,
        len(plant.store.log),
        verdict,
        broken,
        house.trace,
    )


#: Kinds of trouble whose frequency differs from history to history.
_MOODS = (
    "crash",
    "pause",
    "jump",
    "slow",
    "lost request",
    "lost acknowledgement",
    "late",
    "delayed",
    "repeated",
    "cut",
)


@dataclass
class _History:
    plant: Plant
    scale: Scale
    random: Random
    only: frozenset[int] | None
    clients: list[Client] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    #: Faults are over; whoever dies comes back at once.
    calm: bool = False
    calmed: asyncio.Future[None] = field(init=False)

    async def live(self) -> Verdict:
        house, pace, scale = self.plant.house, self.plant.house.pace, self.scale
        self.calmed = house.loop.create_future()
        front = Front(self.plant)
        workers = self.random.choice((1, 2, 2, 3))
        keepers = [self._keep(f"w{number}", work) for number in range(1, workers + 1)]
        keepers.append(self._keep("api", lambda _plant: front.serve()))
        keepers.append(self._database_crashes())
        tasks = [house.loop.create_task(keeper, context=Context()) for keeper in keepers]
        trouble_s = scale.trouble_s * pace
        asking = []
        for number in range(scale.clients):
            client = Client(f"c{number}", front, Random(f"{house.dice.seed} client {number}"), trouble_s * 0.9)
            if self.only is None or number in self.only:
                self.clients.append(client)
                asking.append(house.loop.create_task(client.live(scale.operations), context=Context()))
        await asyncio.sleep(trouble_s)
        await self._calm_down()
        await asyncio.wait_for(asyncio.gather(*asking), scale.calm_s * pace)
        await asyncio.sleep(scale.calm_s * pace)
        verdict = self._judge()
        await self._replays_to_the_same()
        await self._auditor_agrees()
        for task in tasks:
            task.cancel()
        return verdict

    async def _keep(self, role: str, main: object) -> None:
        """What a supervisor does: start it again when it has died."""
        house = self.plant.house
        while True:
            process = Process(role, house)
            house.processes[role] = process
            died = house.loop.create_future()
            process.last_rites.append(lambda d=died: d.done() or d.set_result(None))  # type: ignore[misc]
            process.start(self._guard(main, process))
            await died
            long = house.dice.random(f"{role} outage") < 0.12
            pause_s = house.dice.between(f"{role} restart", 0.1, (150.0 if long else 15.0) * house.pace)
            # Once it is calm, whoever lies dead comes back at once.
            if not self.calm:
                await asyncio.wait((self.calmed,), timeout=pause_s)

    async def _guard(self, main: object, process: Process) -> None:
        """A process whose main function ends or fails is dead: its supervisor starts another."""
        try:
            await main(self.plant)  # type: ignore[operator]
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - its supervisor sees only that it died
            self.plant.house.note(f"died of {error!r}")
            self.plant.house.loop.unhandled.append({"exception": error})
        process.die()

    async def _database_crashes(self) -> None:
        """Now and then PostgreSQL crashes: sessions end, and the read models lose their latest commits."""
        house = self.plant.house
        while not self.calm:
            await asyncio.sleep(house.dice.between("database", 20.0, 120.0) * house.pace)
            if house.dice.fault("database", {"database crash": 0.25}) is not None:
                lost = int(house.dice.between("database lost", 0, 6))
                house.note(f"the database crashes, {lost} commits are lost")
                self.plant.database.crash(min(lost, len(self.plant.database.undo)))

    async def _calm_down(self) -> None:
        """Nothing goes wrong any more; clocks are right, and who stands still goes on."""
        house = self.plant.house
        house.dice.calm = self.calm = True
        house.note("calm")
        self.calmed.set_result(None)
        restart = self.random.random() < 0.5
        for process in list(house.processes.values()):
            process.clock.offset_s = 0.0
            if restart:
                process.die()

    # --- the verdict ----------------------------------------------------------------------------------------------

    def _judge(self) -> Verdict:
        plant, house = self.plant, self.plant.house
        for context in house.loop.unhandled:
            error = context.get("exception")
            check(False, f"0: something failed unseen: {error!r} {context.get('message', '')}")
        check(not self.errors, f"0: {len(self.errors)} errors were logged, first {self.errors[:1]}")
        settled_by = house.now() - timedelta(seconds=self.scale.settling_s * house.pace)
        verdict = judge(plant.store.log, self.clients, plant.outside.calls, until=house.now(), settled_by=settled_by)
        parked = plant.database.tables["parked"]
        check(not parked, f"1: {len(parked)} events could not be applied")
        return verdict

    async def _replays_to_the_same(self) -> None:
        """A fresh copy that is fed the log from position 0 has the same rows."""
        log = list(self.plant.store.log)
        positions = self.plant.database.positions
        check(
            max(positions.values()) == len(log),
            f"4: the read models stand at {max(positions.values())}, the log at {len(log)}",
        )
        live = {table: dict(rows) for table, rows in self.plant.database.tables.items()}
        fresh = InMemoryReadModels()
        projector, connection = Projector(notify=False), fresh.connect()
        await projector.load(connection)  # type: ignore[arg-type]
        for begin in range(0, len(log), 500):
            await projector.apply(connection, log[begin : begin + 500])  # type: ignore[arg-type]
        for table, rows in fresh.tables.items():
            check(rows == live[table], f"1: a replay gives other rows in {table}")

    async def _auditor_agrees(self) -> None:
        """Where everything has its outcome, a fresh look of an auditor finds nothing silent."""
        role = min(self.plant.auditors)
        process = self.plant.house.processes[role]
        auditor = self.plant.auditors[role]
        task = self.plant.house.loop.create_task(auditor.run_once(), context=process.in_context())
        report = await task
        silent = [(suspect.slot.local, suspect.state) for suspect in report.silent]
        check(not silent, f"4: the auditor calls silent what is not: {silent}")


#: Errors that trouble outside explains; any other is a fault, and breaks the history.
_EXPLAINED = frozenset({"slots_silent", "channel_failed"})


@contextmanager
def _errors_heard(errors: list[str]) -> Iterator[None]:
    """What the product logs as an error is kept in `errors`; the rest is not even written."""

    def hear(_logger: object, _method: str, event: MutableMapping[str, Any]) -> NoReturn:
        if event["event"] not in _EXPLAINED:
            errors.append(f"{event['event']}: {event.get('exc_info') or event}")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(
        processors=[hear],
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)
