"""Keeps a Faust app running while Kafka comes and goes: waits for the cluster, starts one, replaces it when it crashed.

Place in the flow: worker and indexer -> *road* -> `app`. Faust gives up for good at the first commit that fails; a road
does not. Whoever needs the records in the meantime reads the event store.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import faust
import structlog
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from horae.infra.kafka.security import PLAIN, Security, told

_log = structlog.get_logger(__name__)

_ASK_EVERY_S = 0.5
_ASK_AT_MOST_S = 5.0
_ANSWER_S = 5.0
#: An app that has not joined its group by then is given up: joining takes a session's timeout when a member is dead.
_JOIN_S = 60.0
#: How long leaving the group may take.
_LEAVE_S = 1.5
#: After so long a life a crash counts as the first one again.
_HEALTHY_S = 30.0


@dataclass(frozen=True, slots=True)
class Partitions:
    """What of a topic is ours since the group was last rearranged: these partitions of so many."""

    owned: frozenset[int]
    count: int


OnPartitions = Callable[[Partitions], Awaitable[None]]
"""Awaited before the first record of a new assignment is taken. Must be quick: the group waits for it."""


class Road:
    """Runs the apps that `make` gives, one after the other; `topic` is the one whose partitions are told."""

    def __init__(
        self,
        make: Callable[[], faust.App],
        brokers: str,
        topic: str,
        on_partitions: OnPartitions,
        security: Security = PLAIN,
    ) -> None:
        self._security = security
        self._make, self._brokers, self._topic, self._on_partitions = make, brokers, topic, on_partitions
        #: How often the group was rearranged.
        self.rebalances = 0
        #: Whether an app has joined, as far as is known.
        self.joined = False

    async def run(self) -> None:
        """Until cancelled; then leave the group, within a bound."""
        wait_s = _ASK_EVERY_S
        loop = asyncio.get_running_loop()
        while True:
            await self._until_there()
            began = loop.time()
            app = self._make()
            rearranged: Any = self._rearranged
            app.on_rebalance_complete.connect(rearranged)
            starting = asyncio.create_task(app.start(), name="faust")
            try:
                await self._until_crashed(app, starting)
            finally:
                self.joined = False
                await _end(app, starting)
            if loop.time() - began > _HEALTHY_S:
                wait_s = _ASK_EVERY_S
            _log.warning("road_lost", restart_in_s=wait_s)
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _ASK_AT_MOST_S)

    async def _until_there(self) -> None:
        """Return when the cluster answers and has the topic."""
        wait_s, said = _ASK_EVERY_S, False
        while True:
            client = AIOKafkaClient(
                bootstrap_servers=self._brokers,
                request_timeout_ms=int(_ANSWER_S * 1000),
                **self._security.options(),
            )
            reason = f"there is no topic {self._topic}"
            try:
                async with asyncio.timeout(2 * _ANSWER_S):
                    await client.bootstrap()
                    known = await client.fetch_all_metadata()
                if self._topic in known.topics():
                    return
            except (KafkaError, OSError, TimeoutError) as error:
                reason = await told(error, self._brokers, self._security)
            finally:
                with contextlib.suppress(Exception):
                    await client.close()
            (_log.debug if said else _log.warning)("road_waits", brokers=self._brokers, reason=reason)
            said = True
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _ASK_AT_MOST_S)

    async def _until_crashed(self, app: faust.App, starting: asyncio.Task[Any]) -> None:
        crashed = asyncio.create_task(app._crashed.wait(), name="faust-crashed")
        try:
            done, _ = await asyncio.wait({starting, crashed}, timeout=_JOIN_S, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                _log.warning("road_not_joined", after_s=_JOIN_S)
                return
            if starting in done and starting.exception() is None:
                await crashed
            reason = starting.exception() if starting.done() else None
            _log.warning("faust_crashed", error=str(reason or app._crash_reason))
        finally:
            crashed.cancel()

    async def _rearranged(self, app: Any, *_: Any, **__: Any) -> None:
        self.rebalances += 1
        self.joined = True
        consumer = app.consumer
        mine = [tp.partition for tp in consumer.assignment() if tp.topic == self._topic]
        # The coordinator's own count may be older than the assignment.
        known = consumer._thread._ensure_consumer().partitions_for_topic(self._topic) or ()
        count = max(len(known), max(mine, default=0) + 1)
        _log.info("partitions_assigned", topic=self._topic, partitions=sorted(mine), of=count)
        await self._on_partitions(Partitions(frozenset(mine), count))


async def _end(app: faust.App, starting: asyncio.Task[Any]) -> None:
    """Leave the group; what is not done after a while is left to its own devices, and harms nobody."""

    async def stop() -> None:
        starting.cancel()
        await app.stop()

    stopping = asyncio.create_task(stop(), name="faust-stop")
    _, pending = await asyncio.wait({stopping}, timeout=_LEAVE_S)
    if pending:
        _log.warning("road_left_behind", after_s=_LEAVE_S)
        stopping.cancel()
    elif stopping.exception() is not None:
        _log.warning("faust_stop_failed", error=repr(stopping.exception()))
