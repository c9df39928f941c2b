"""Everything that may go wrong around workers, relays, Kafka and Elasticsearch, one fault after the other, under load.

Each fault waits for messages before it strikes, so that its predecessor's damage is half repaired or not at all; how
often each strikes, and in which order, is a plan and a seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from horae.domain.ids import shard_of
from tests.e2e.crash.judge import CountingReceiver
from tests.e2e.crash.marker import Marker
from tests.e2e.stack import broker
from tests.e2e.stack.house import House
from tests.e2e.stack.part import Part

#: What the relay loses and doubles all the time.
RELAY_FAULT = "drop=0.01,duplicate=0.02"
TENANT = "default"
#: Within that the next messages must come, whatever happened; only what never recovers takes so long.
PATIENCE_S = 300.0


class HandOver:
    """From the moment when a worker fell silent to messages of its shards that became due afterwards."""

    def __init__(self, shards: frozenset[int]) -> None:
        self._missing = set(shards)
        self._at = datetime.now(UTC)
        #: To the first of them, and to one of each shard; None: not yet.
        self.first_s: float | None = None
        self.each_s: float | None = None

    def __call__(self, message: Any, now: datetime) -> None:
        """See `CountingReceiver.watchers`."""
        if self._missing and datetime.fromisoformat(message["due_at"]) >= self._at:
            shard = shard_of(TENANT, message["recipient"])
            if shard in self._missing:
                passed_s = (now - self._at).total_seconds()
                self._missing.discard(shard)
                self.first_s = passed_s if self.first_s is None else self.first_s
                self.each_s = None if self._missing else passed_s


@dataclass(slots=True)
class Chaos:
    """Strikes `house`, whose messages come to `receiver`, at about `rate` a second."""

    house: House
    receiver: CountingReceiver
    rate: float
    dice: random.Random
    marker: Marker
    struck: Counter[str] = field(default_factory=Counter)
    #: From each fault to the next message, by fault.
    silence_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    #: The fault, and how many messages had come when it struck.
    strikes: list[tuple[str, int]] = field(default_factory=list)
    handovers: dict[str, list[HandOver]] = field(default_factory=lambda: defaultdict(list))
    records_lost: int = 0
    #: Incarnation -> its instruments' last word.
    figures: dict[int, dict[str, float]] = field(default_factory=dict)

    @staticmethod
    def relay_environment(marker: Marker, hang_after_send: int = 0) -> dict[str, str]:
        """Of every relay; with a number it also hangs after so many batches."""
        hanging = f",hang_after_send={hang_after_send}" if hang_after_send else ""
        return {"HORAE_RELAY_FAULT": RELAY_FAULT + hanging, "HORAE_FAULT_FILE": str(marker.path)}

    async def strike(self, plan: Mapping[str, int], search_away_s: float) -> None:
        """Every fault as often as `plan` says, in an order of the dice; Elasticsearch is away meanwhile, once."""
        faults = [name for name, times in plan.items() for _ in range(times)]
        self.dice.shuffle(faults)
        away = asyncio.create_task(self._search_away(search_away_s))
        try:
            for name in faults:
                await self._messages(0.5, 4.0)
                await self.look()
                began = time.monotonic()
                self.strikes.append((name, len(self.receiver.seen.lateness_s)))
                # Seen when the test fails, beside the processes' own words.
                print(f"{datetime.now(UTC):%H:%M:%S} {name}, after {self.receiver.seen.count.total()} messages")
                await getattr(self, name)()
                # Of what lasts, the last moment counts.
                await self.receiver.more(1, PATIENCE_S)
                self.silence_s[name].append(time.monotonic() - began)
                self.struck[name] += 1
            await away
        finally:
            away.cancel()
        await self._messages(4.0, 6.0)
        await self.look()

    async def look(self) -> None:
        """Remember what the instruments say before their worker is gone."""
        self.figures |= await self.house.figures()

    def worst_s(self) -> dict[str, float]:
        """By fault the latest message that came after it and before the next one, in seconds."""
        late, ends = self.receiver.seen.lateness_s, [index for _, index in self.strikes[1:]]
        worst: dict[str, float] = defaultdict(float)
        for (name, begin), end in zip(self.strikes, [*ends, len(late)], strict=True):
            worst[name] = max(worst[name], *late[begin:end], 0.0)
        return worst

    def total(self, sample: str) -> int:
        """The sum of an instrument over all lives."""
        return int(sum(told.get(sample, 0.0) for told in self.figures.values()))

    # --- the faults, by the names that a plan uses ---

    async def kill_worker(self) -> None:
        """SIGKILL, and a new one at once."""
        worker = self.dice.choice(self.house.of("worker"))
        shards = await self._shards(worker)
        await worker.kill()
        self._watch("kill", shards)

    async def stop_worker(self) -> None:
        """SIGTERM: it hands over what it has; a new one starts."""
        worker = self.dice.choice(self.house.of("worker"))
        self._watch("stop", await self._shards(worker))
        await worker.end()

    async def freeze_worker(self) -> None:
        """SIGSTOP for a while, often longer than its group waits for it; then it goes on with what it believed."""
        worker = self.dice.choice(self.house.of("worker"))
        shards = await self._shards(worker)
        worker.freeze()
        self._watch("freeze", shards)
        try:
            await self._messages(1.0, 10.0)
        finally:
            worker.thaw()

    async def restart_broker(self) -> None:
        """SIGKILL of Kafka, and a new start."""
        await broker.restart(self.house)

    async def lose_tails(self) -> None:
        """The broker dies and forgets what came last."""
        lost = await broker.lose_tails(self.house, int(2 * self.rate))
        assert lost > 0, "nothing was lost: the fault did not strike"
        self.records_lost += lost

    async def read_again(self) -> None:
        """Workers and indexer find themselves at the beginning of the topic."""
        await self._forget("start")

    async def skip_to_end(self) -> None:
        """Workers and indexer find themselves at the end of the topic, having read nothing of what came meanwhile."""
        await self._forget("end")

    async def widen(self) -> None:
        """Four more partitions: from now on most shards come by another one."""
        await broker.widen(self.house, self.house.partitions + 4)

    async def kill_relay(self) -> None:
        """SIGKILL of one relay, active or not."""
        await self.dice.choice(self.house.of("relay")).kill()

    async def freeze_relays(self) -> None:
        """No relay says anything, for longer than the workers wait for its word."""
        for relay in self.house.of("relay"):
            relay.freeze()
        try:
            await self._messages(7.0, 9.0)
        finally:
            for relay in self.house.of("relay"):
                relay.thaw()

    async def kill_relay_after_send(self) -> None:
        """The active relay has sent a batch and not moved its position: it dies there, and so does the next one."""
        relays = self.house.of("relay")
        for relay in relays:
            relay.environment = self.relay_environment(self.marker, self.dice.randint(20, 100))
            await relay.kill()
        for number in range(2):
            pid = await self.marker.reached()
            if number == 1:
                for relay in relays:
                    relay.environment = self.relay_environment(self.marker)
            for relay in relays:
                if relay.pid == pid or number == 1:
                    await relay.kill()
            self.marker.forget()

    # --- their parts ---

    async def _search_away(self, for_s: float) -> None:
        """For so many seconds, and for as many messages as they bring when all is well."""
        await self._messages(2.0, 3.0)
        await asyncio.to_thread(self.house.stack.elasticsearch.kill)
        back = time.monotonic() + for_s
        await self._messages(for_s, for_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + max(0.0, back - time.monotonic())):
                await asyncio.Event().wait()
        await asyncio.to_thread(self.house.stack.elasticsearch.start)
        self.struck["stop_search"] += 1

    async def _forget(self, to: Any) -> None:
        await asyncio.gather(broker.forget(self.house, "worker", to), broker.forget(self.house, "indexer", to))

    async def _messages(self, least_s: float, most_s: float) -> None:
        """As many as come in so many seconds, when all is well."""
        await self.receiver.more(max(1, int(self.rate * self.dice.uniform(least_s, most_s))), PATIENCE_S)

    async def _shards(self, worker: Part) -> frozenset[int]:
        return (await self.house.owners()).get(worker.pid, frozenset())

    def _watch(self, what: str, shards: frozenset[int]) -> None:
        if shards:
            watching = HandOver(shards)
            self.handovers[what].append(watching)
            self.receiver.watchers.append(watching)
