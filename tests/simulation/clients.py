"""Clients: each asks for one schedule, changes its mind, and repeats what was not answered under the same key.

Place in the simulation: client -> API process (the real command handlers) -> log. What a client was told is kept, and
held against the log by the judge.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg

from horae.commands.context import Answer, Call, digest_of
from horae.commands.occurrences import Occurrences
from horae.commands.ports import Neighbour
from horae.commands.recipients import Recipients
from horae.commands.schedules import Schedules
from horae.domain import timing as t
from horae.domain.delivery import Delivery, Mode, Retry, Strategy
from horae.domain.draft import Draft, Patch
from horae.domain.errors import Busy, HoraeError, Unavailable
from horae.projections.queries import applied_position, current_slot
from tests.simulation.calendar import Wish
from tests.simulation.house import House, Process
from tests.simulation.lines import LineToReadModels, LineToStore
from tests.simulation.worker import Plant, SeededIds

TENANT = "acme"


class Refs:
    """Names and secrets that need no key."""

    def recipient_ref(self, tenant: str, recipient: str) -> str:
        return f"{tenant}/{recipient}"

    def signing_secret(self, tenant: str) -> str:
        return f"whsec_{tenant}"


class Standing:
    """What commands ask of the read models, over a line that breaks; see `infra/standing.py`."""

    def __init__(self, house: House, rows: LineToReadModels) -> None:
        self._house, self._rows = house, rows

    async def current(self, tenant: str, schedule: UUID, schedule_version: int) -> t.Next | None:
        """See `SeriesPointers.current`."""
        for _ in range(6):
            async with self._rows.acquire() as connection:
                pointer = await current_slot(connection, tenant, schedule)
            if pointer is not None and pointer.version >= schedule_version:
                return pointer.next
            await asyncio.sleep(0.5)
        raise Unavailable("the read models lag")

    async def executing(self, tenant: str, schedule: UUID, position: int) -> list[UUID]:
        """See `OpenOccurrences.executing`."""
        for _ in range(6):
            async with self._rows.acquire() as connection:
                if await applied_position(connection) >= position:
                    rows = connection.table("occurrences").values()
                    statuses = ("executing", "retrying")
                    return [r["id"] for r in rows if r["schedule"] == schedule and r["status"] in statuses]
            await asyncio.sleep(0.5)
        raise Unavailable("the read models lag")

    async def around(
        self,
        tenant: str,
        recipient: str,
        key: str | None,
        *,
        since: datetime,
        until: datetime,
        position: int,
        limit: int,
    ) -> list[Neighbour]:
        """See `Neighbours.around`."""
        for _ in range(6):
            async with self._rows.acquire() as connection:
                if await applied_position(connection) >= position:
                    waiting = {
                        row["schedule"]
                        for row in connection.table("due").values()
                        if row["row"] == "occurrence" and since < row["due_at"] < until
                    }
                    found = [
                        Neighbour(row["id"], row["due_at"])
                        for row in connection.table("standings").values()
                        if row["tenant"] == tenant
                        and (
                            row["recipient_ref"] == f"{tenant}/{recipient}"
                            if key is None
                            else row["conflict_key"] == key
                        )
                        and (
                            row["id"] in waiting
                            or (
                                row["due_at"] is not None
                                and row["due_at"] < until
                                and (row["recurring"] or row["due_at"] > since)
                            )
                        )
                    ]
                    return sorted(found, key=lambda each: (each.due_at or until, each.schedule))[:limit]
            await asyncio.sleep(0.5)
        raise Unavailable("the read models lag")


@dataclass(frozen=True)
class Services:
    """What an API process has."""

    process: Process
    schedules: Schedules
    occurrences: Occurrences


@dataclass
class Front:
    """Where clients reach the API: the process that lives at present."""

    plant: Plant
    services: Services | None = None
    lives: int = 0

    async def serve(self) -> None:
        """One life of an API process."""
        house = self.plant.house
        process = cast("Process", house.here())
        self.lives += 1
        store, rows = LineToStore(house, self.plant.store), LineToReadModels(house, self.plant.database)
        ids, standing, refs = SeededIds(house, f"api {self.lives}"), Standing(house, rows), Refs()
        recipients = Recipients(store, process.clock, ids, refs)
        schedules = Schedules(store, process.clock, ids, refs, standing, standing, standing, recipients)
        self.services = Services(process, schedules, Occurrences(store, process.clock, ids))
        await asyncio.Event().wait()

    async def ask(self, request: Callable[[Services], Awaitable[Any]], patience_s: float) -> Any:
        """Send one request. Raises what it raises; `ConnectionResetError`, `TimeoutError` where nobody answers."""
        services = self.services
        loop = self.plant.house.loop
        if services is None or not services.process.alive:
            raise ConnectionResetError
        answer: asyncio.Future[Any] = loop.create_future()

        def reset() -> None:
            if not answer.done():
                answer.set_exception(ConnectionResetError())

        async def handle() -> None:
            try:
                result = await request(services)
            except Exception as error:  # noqa: BLE001 - whatever it is, the client is told
                if not answer.done():
                    answer.set_exception(error)
            else:
                if not answer.done():
                    answer.set_result(result)

        services.process.last_rites.append(reset)
        loop.create_task(handle(), context=services.process.in_context())
        try:
            async with asyncio.timeout(patience_s):
                return await answer
        finally:
            services.process.last_rites.remove(reset)


@dataclass
class Told:
    """What a client was told about one request."""

    operation: str
    key: str
    schedule: UUID | None
    #: None: it gave up without an answer; "ok", or the error's code.
    result: str | None = None
    answer: Answer[Any] | None = None
    #: The log's head when the request was first sent, and when the answer came.
    asked_at: int = 0
    answered_at: int = 0
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass
class Client:
    """One client and its one schedule."""

    name: str
    front: Front
    random: Random
    #: When clients stop asking, in seconds of the loop.
    until_s: float
    wishes: list[Wish] = field(default_factory=list)
    draft: Draft | None = None
    schedule: UUID | None = None
    told: list[Told] = field(default_factory=list)
    _keys: int = 0

    @property
    def house(self) -> House:
        return self.front.plant.house

    async def live(self, operations: int) -> None:
        """Ask for a schedule, and then for changes."""
        random, house = self.random, self.house
        await asyncio.sleep(random.uniform(0.0, 0.15) * self.until_s)
        wish = a_wish(random, house.now(), house.pace)
        self.draft = a_draft(random, wish, self.name, house.pace)
        created = await self._ask("create", None, lambda s, call: s.schedules.create(call, self._draft()), wish=wish)
        if created.answer is None:
            return
        self.schedule = created.answer.id
        self.wishes.append(wish)
        for _ in range(operations):
            left_s = self.until_s - house.loop.time()
            await asyncio.sleep(min(random.expovariate(operations / self.until_s), left_s + 1.0))
            if house.loop.time() > self.until_s:
                return
            await self._change()

    def _draft(self) -> Draft:
        assert self.draft is not None
        return self.draft

    async def _change(self) -> None:
        id_, random = self.schedule, self.random
        assert id_ is not None
        operation = random.choice(
            (
                "pause",
                "resume",
                "resume",
                "trigger",
                "trigger",
                "skip",
                "unskip",
                "retime",
                "reword",
                "cancel",
                "replay",
            )
        )
        match operation:
            case "pause":
                await self._ask("pause", id_, lambda s, call: s.schedules.pause(call, id_))
            case "resume":
                await self._ask("resume", id_, lambda s, call: s.schedules.resume(call, id_))
            case "cancel" if random.random() < 0.5:
                await self._ask("cancel", id_, lambda s, call: s.schedules.cancel(call, id_))
            case "trigger":
                await self._ask("trigger", id_, lambda s, call: s.schedules.trigger(call, id_))
            case "skip" | "unskip":
                await self._skip(operation)
            case "retime":
                wish = a_wish(random, self.house.now(), self.house.pace, recurring=self.wishes[-1].recurring)
                patch = Patch(timing=wish.timing())
                told = await self._ask("retime", id_, lambda s, call: s.schedules.change(call, id_, patch), wish=wish)
                if told.result == "ok":
                    self.wishes.append(wish)
            case "replay":
                await self._replay()
            case _:
                patch = Patch(content={"text": f"{self.name} {self._keys}"})
                await self._ask("reword", id_, lambda s, call: s.schedules.change(call, id_, patch))

    async def _skip(self, operation: str) -> None:
        id_, house, random = self.schedule, self.house, self.random
        assert id_ is not None
        if operation == "unskip":
            skipped = [told.detail["slot"] for told in self.told if told.operation == "skip" and told.result == "ok"]
            if not skipped:
                return
            slot = random.choice(skipped)
            await self._ask("unskip", id_, lambda s, call: s.schedules.unskip(call, id_, slot), slot=slot)
            return
        coming = self.wishes[-1].slots(house.now(), house.now() + timedelta(minutes=40))
        if coming:
            chosen = random.choice(coming[:5])
            slot = t.Slot(local=chosen.local, fold=chosen.fold)
            await self._ask("skip", id_, lambda s, call: s.schedules.skip(call, id_, slot), slot=slot)

    async def _replay(self) -> None:
        rows = self.front.plant.database.tables["occurrences"].values()
        dead = [r["id"] for r in rows if r["schedule"] == self.schedule and r["status"] in ("dead_lettered", "unknown")]
        if dead:
            id_ = self.random.choice(sorted(dead))
            await self._ask("replay", self.schedule, lambda s, call: s.occurrences.replay(call, id_), occurrence=id_)

    async def _ask(
        self, operation: str, schedule: UUID | None, request: Callable[[Services, Call], Awaitable[Any]], **detail: Any
    ) -> Told:
        self._keys += 1
        key = f"{self.name}-{self._keys}"
        head = self.front.plant.store.log
        told = Told(operation, key, schedule, asked_at=len(head), detail=detail)
        self.told.append(told)
        call = Call(tenant=TENANT, actor=f"client:{self.name}", idempotency_key=key, digest=digest_of([operation, key]))
        while told.result is None and self.house.loop.time() < self.until_s * 1.5:
            try:
                told.answer = await self.front.ask(lambda services: request(services, call), 20.0 + self.house.pace)
                told.result = "ok"
            except (OSError, TimeoutError, Unavailable, Busy, asyncpg.PostgresError):
                await asyncio.sleep(self.random.uniform(0.1, 3.0))
            except HoraeError as error:
                told.result = error.code
        told.answered_at = len(head)
        self.house.note(f"{operation} by {self.name} [{key}]: {told.result}")
        return told


def a_wish(random: Random, now: datetime, pace: float, recurring: bool | None = None) -> Wish:
    """Some timing whose slots come within the history."""
    zone = random.choice(("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"))
    kinds = ("interval", "minutes", "interval", "minutes", "daily") if recurring is not False else ()
    once = ("once", "once") if not recurring else ()
    kind = random.choice((*kinds, *once))
    policy: Any = random.choice(("skip", "once", "once", "all"))
    within = timedelta(seconds=random.choice((10, 30, 60, 86_400)) * pace)
    minutes = random.choice((1, 2, 3, 5)) if pace < 10 else random.choice((10, 15, 20, 30))
    common: dict[str, Any] = {"zone": zone, "policy": policy, "within": within}
    local = now.astimezone(ZoneInfo(zone)).replace(tzinfo=None, second=0, microsecond=0)
    match kind:
        case "interval":
            start = local + timedelta(minutes=random.randint(-30, 5))
            return Wish(kind="interval", minutes=minutes, start=start, **common)
        case "minutes":
            return Wish(kind="minutes", minutes=minutes, **common)
        case "daily":
            soon = local + timedelta(minutes=random.randint(1, max(2, int(20 * pace))))
            gap: Any = random.choice(("shift", "skip"))
            overlap: Any = random.choice(("first", "second", "both"))
            return Wish(kind="daily", at=soon.time(), gap=gap, overlap=overlap, **common)
        case _:
            ahead_s = random.choice((0.5, 30.0, 300.0, 600.0)) * pace * random.uniform(0.2, 1.0)
            instant = (now + timedelta(seconds=ahead_s)).replace(microsecond=0) + timedelta(seconds=1)
            return Wish(kind="once", instant=instant)


def a_draft(random: Random, wish: Wish, name: str, pace: float) -> Draft:
    """A schedule with that timing."""
    retry = Retry(
        strategy=random.choice(tuple(Strategy)),
        retries=random.randint(0, 3),
        delay=timedelta(seconds=random.choice((1, 5, 20)) * pace),
        max_delay=timedelta(seconds=60 * pace),
    )
    return Draft(
        recipient=f"recipient of {name}",
        channel=random.choice(("log:", "webhook:https://one.example/hook")),
        content={"text": name},
        timing=wish.timing(),
        priority=random.randint(1, 5),
        delivery=Delivery(mode=random.choice(tuple(Mode)), timeout=timedelta(seconds=5 + 5 * pace), retry=retry),
        expires_after=random.choice((None, None, timedelta(seconds=40 * pace))),
    )
