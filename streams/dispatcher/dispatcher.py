"""The dispatcher's loop: due rows -> plan -> free slot -> claim -> release -> result.

Place in the flow: due index (read ahead, and kept fresh by the projection's changes) -> *dispatcher* -> channels, log.
Nothing is polled: it sleeps until the next due instant, and wakes for changes, freed slots and a look at the clock.
Two dispatchers on the same rows do no harm: the claim is one append at the occurrence's version, and one of them wins.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

import structlog

from horae.commands import tracing
from horae.commands.candidates import Candidate, Rule
from horae.commands.occurrences import Attempt, Occurrences, Settled
from horae.commands.ports import Clock
from horae.domain.errors import Unavailable
from horae.projections.away import DATABASE_AWAY
from horae.projections.due import ALL_SHARDS, DueRow
from horae.projections.projector import Applied
from horae.streams.channels import Channels, endpoint_of
from horae.streams.dispatcher.config import DispatcherConfig
from horae.streams.dispatcher.endpoints import Endpoints
from horae.streams.dispatcher.horizon import Horizon
from horae.streams.dispatcher.reading import Alone, Peers, Reading
from horae.streams.dispatcher.ready import Ready
from horae.streams.dispatcher.releasing import address_of, endpoint_in_trouble, send
from horae.streams.dispatcher.source import DueSource
from horae.streams.dispatcher.tracing import describe, execution, release
from horae.streams.faults import Faults
from horae.streams.metrics import Metrics

log = structlog.get_logger(__name__)

_READ_ERRORS = (*DATABASE_AWAY, Unavailable)


@dataclass(frozen=True, slots=True)
class Pass:
    """What one look did: rows taken up, of them started, parked for want of a slot, out of date, and set aside."""

    taken: int = 0
    started: int = 0
    parked: int = 0
    stale: int = 0
    unplannable: int = 0


class Dispatcher:
    """One worker's dispatcher. `owner`: this process's incarnation, named in every claim.

    `may_claim` says whether the incarnation still holds its lock: without it nothing new is started.
    """

    def __init__(
        self,
        config: DispatcherConfig,
        occurrences: Occurrences,
        clock: Clock,
        source: DueSource,
        channels: Channels,
        owner: int,
        *,
        metrics: Metrics,
        rules: Sequence[Rule] = (),
        shards: Collection[int] = ALL_SHARDS,
        peers: Peers | None = None,
        faults: Faults | None = None,
        may_claim: Callable[[], bool] = lambda: True,
    ) -> None:
        self._config = config.validate()
        self._occurrences, self._clock, self._channels = occurrences, clock, channels
        self._owner, self._metrics, self._rules = owner, metrics, tuple(rules)
        self._faults, self._may_claim = faults or Faults(), may_claim
        self._horizon = Horizon(config.rows_in_memory)
        self._ready = Ready()
        self._reading = Reading(
            self._config, source, self._horizon, shards, peers or Alone(), waiting=self._ready.waiting
        )
        self._endpoints = Endpoints(
            config.per_endpoint,
            config.breaker_failures,
            config.breaker_reset_s,
            self._breaker_changed,
            parked_each=max(1, config.rows_in_memory // 10),
            parked_in_all=max(1, config.rows_in_memory // 2),
        )
        #: What is under way, by the occurrence that it is about.
        self._tasks: dict[asyncio.Task[None], UUID] = {}
        self._wake, self._quiet, self._stopping = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._swept = self._respilled = time.monotonic()
        #: The last position that this dispatcher appended.
        self.position = 0

    # --- what others tell it --------------------------------------------------------------------------------------

    async def on_applied(self, applied: Applied) -> None:
        """The projection has committed these changes of the due index (a reset: some may have been missed)."""
        if applied.reset:
            self._reading.begin_anew()
        changed = self._horizon.changed
        for change in applied.due:
            row = change.due
            if row is not None and row.shard not in self._reading.shards:
                row = None
            changed(change.key, row)
        if applied.due or applied.reset:
            self.wake()

    def own(self, shards: Collection[int]) -> None:
        """From now on these shards are ours: others leave the horizon, and new ones are read from the index."""
        if self._reading.own(shards):
            self.wake()

    @property
    def shards(self) -> frozenset[int]:
        """The shards that are ours."""
        return self._reading.shards

    def wake(self) -> None:
        """Look again: the clock has moved, or something else has changed."""
        self._quiet.clear()
        self._wake.set()

    def look_again(self) -> None:
        """Read the due index anew from its beginning, and look."""
        self._reading.begin_anew()
        self.wake()

    async def quiet(self) -> int:
        """Return when nothing that is due now waits or is under way; the last position that was appended."""
        await self._quiet.wait()
        return self.position

    @property
    def in_flight(self) -> int:
        """Attempts under way, from before their claim until their result is stored."""
        return len(self._tasks)

    def under_way(self) -> set[UUID]:
        """The occurrences of these attempts. What is claimed by us and not among them, nobody works on."""
        return set(self._tasks.values())

    @property
    def queue_size(self) -> int:
        """Due and unclaimed."""
        return len(self._ready) + self._endpoints.parked

    # --- the loop -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Dispatch until `stop`. Survives a due index or a log that is away."""
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                done = await self.run_once()
            except _READ_ERRORS as error:
                log.warning("dispatcher_waits", error=str(error))
                await self._sleep(self._config.max_sleep_s)
                continue
            if not done.taken:
                self._settle()
                await self._sleep(min(self._pause_s(), self._reading.pause_s))

    async def stop(self) -> None:
        """Claim nothing more; let what is under way end, at most `stop_s`. The rest is recovered by the next worker."""
        self._stopping.set()
        self._wake.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._config.stop_s)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            log.warning("attempts_left_behind", count=len(self._tasks))
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def run_once(self) -> Pass:
        """Read ahead if needed, and start what is due and has a free slot: at most one batch."""
        now = self._clock.now()
        await self._read_ahead(now)
        self._pop_due()
        await self._reading.give_turns(now)
        await self._reading.look_abroad(now, busy=len(self._ready) >= self._config.batch)
        self._pop_due()
        self._measure()
        if not self._may_claim():
            return Pass()
        rows = self._next_batch()
        if not rows:
            return Pass()
        self._metrics.batch.observe(len(rows))
        candidates = await self._plan(rows)
        if self._stopping.is_set():
            return Pass()
        started = parked = stale = unplannable = 0
        for row, candidate in zip(rows, candidates, strict=True):
            if candidate is None:
                stale += 1
                continue
            if isinstance(candidate, str):
                unplannable += 1
                continue
            endpoint = self._endpoint(candidate)
            if self._endpoints.admit(endpoint):
                self._start(row, candidate, endpoint)
                started += 1
            else:
                if not self._endpoints.may_park(endpoint):
                    self._endpoints.leave(endpoint, row)
                elif self._horizon.give_back(row):
                    self._endpoints.park(endpoint, row)
                parked += 1
        self._metrics.stale.inc(stale)
        self._metrics.unplannable.inc(unplannable)
        return Pass(len(rows), started, parked, stale, unplannable)

    def _pop_due(self) -> None:
        """Queue what has come due; of what goes to an endpoint that has no room, as much as may wait beside it."""
        for row in self._horizon.pop_due(self._clock.now()):
            endpoint = self._endpoints.known(row)
            if endpoint is None:
                self._ready.add(row)
            elif self._endpoints.may_park(endpoint):
                self._endpoints.park(endpoint, row)
            elif self._horizon.take(row):
                self._endpoints.leave(endpoint, row)

    def _next_batch(self) -> list[DueRow]:
        """Rows to plan now: those whose endpoint has a slot again, then the most pressing."""
        room = min(self._config.batch, self._config.in_flight - len(self._tasks))
        if room <= 0:
            return []
        take = self._horizon.take
        unparked = self._endpoints.unpark(room if not len(self._ready) else max(1, room // 2), take)
        return unparked + self._ready.take(room - len(unparked), take)

    async def _plan(self, rows: Sequence[DueRow]) -> list[Candidate | Literal["unplannable"] | None]:
        """What the rows stand on. One that cannot be planned is set aside (the auditor names it), not the others."""
        try:
            return [*await self._occurrences.candidates(rows)]
        except (*_READ_ERRORS, asyncio.CancelledError):
            self._put_back(rows)
            raise
        except Exception:
            if len(rows) == 1:
                log.exception("row_cannot_be_planned", schedule=str(rows[0].schedule), key=str(rows[0].key))
                return ["unplannable"]
            return [planned for row in rows for planned in await self._plan([row])]

    def _put_back(self, rows: Sequence[DueRow]) -> None:
        for row in rows:
            if self._horizon.give_back(row):
                self._ready.add(row)

    def _endpoint(self, candidate: Candidate) -> str | None:
        address = address_of(candidate.schedule.personal.channel)
        return None if address is None else endpoint_of(address)

    # --- one attempt ----------------------------------------------------------------------------------------------

    def _start(self, row: DueRow, candidate: Candidate, endpoint: str | None) -> None:
        task = asyncio.create_task(self._carry_out(row, candidate, endpoint))
        self._tasks[task] = row.occurrence
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("attempt_crashed", exc_info=error)

    async def _carry_out(self, row: DueRow, candidate: Candidate, endpoint: str | None) -> None:
        structlog.contextvars.bind_contextvars(tenant=row.tenant, occurrence=str(row.occurrence))
        with execution(row, candidate, self._clock.now()) as under_way:
            await self._claim_and_release(row, candidate, endpoint, under_way)

    async def _claim_and_release(
        self, row: DueRow, candidate: Candidate, endpoint: str | None, under_way: tracing.Span
    ) -> None:
        trouble: Exception | None = None
        sent = False
        try:
            claimed = await self._occurrences.claim(candidate, self._owner, self._rules)
            if claimed is None:
                self._metrics.stale.inc()
                under_way.event("stale")
                return
            decided_on, outcome = claimed
            self.position = max(self.position, outcome.position)
            structlog.contextvars.bind_contextvars(position=outcome.position)
            if isinstance(outcome, Settled):
                under_way.event(outcome.kind)
                self._count_settled(outcome)
                return
            endpoint = self._moved_slot(endpoint, candidate, decided_on)
            under_way.event("claimed")
            await self._faults.at("claim_committed")
            if outcome.occurrence.attempt == 1:
                self._metrics.lateness.observe(max(0.0, (self._clock.now() - row.due_at).total_seconds()))
            sent = True
            trouble = await self._release(outcome)
        finally:
            if sent:
                self._endpoints.ended(endpoint, trouble)
            else:
                self._endpoints.give_back(endpoint)

    async def _release(self, attempt: Attempt) -> Exception | None:
        """Send it and record the result; what the endpoint's breaker is to think of it."""
        with release(attempt) as under_way:
            result = await send(attempt, self._channels, self._clock)
            describe(under_way, result)
        await self._faults.at("sent")
        kind = attempt.schedule.timing.kind
        self._metrics.execution.labels(result.status, kind).observe(result.duration_ms / 1000)
        if result.failure is None:
            response = result.receipt.response if result.receipt is not None else None
            position = await self._occurrences.delivered(attempt, result.started_at, result.duration_ms, response)
        else:
            position = await self._occurrences.failed(attempt, result.failure, result.started_at, result.duration_ms)
        self.position = max(self.position, position)
        return endpoint_in_trouble(result.failure)

    def _moved_slot(self, endpoint: str | None, planned: Candidate, decided_on: Candidate) -> str | None:
        """The endpoint whose slot is used: another than planned if the channel changed while it was being claimed."""
        if decided_on is planned:
            return endpoint
        actual = self._endpoint(decided_on)
        if actual != endpoint:
            self._endpoints.give_back(endpoint)
            self._endpoints.force(actual)
        return actual

    def _count_settled(self, settled: Settled) -> None:
        self._metrics.settled.labels(settled.kind).inc()
        if settled.kind == "missed":
            self._metrics.missed.inc(settled.count)
            log.warning("slots_missed", count=settled.count, position=settled.position)

    # --- reading ahead --------------------------------------------------------------------------------------------

    async def _read_ahead(self, now: datetime) -> None:
        """Keep the horizon filled; begin anew from time to time, and when there is room again for what had none."""
        instant = time.monotonic()
        if instant - self._swept > self._config.sweep_s:
            self._swept = self._respilled = instant
            self._endpoints.spilled.clear()
            self._reading.begin_anew()
        elif instant - self._respilled > self._config.respill_s and self._endpoints.thirsty():
            self._respilled = instant
            self._endpoints.spilled.clear()
            # Not the queues: what lies behind those that wait for the endpoint would never have its turn.
            self._horizon.rewind()
        await self._reading.read_ahead(now)

    # --- sleeping -------------------------------------------------------------------------------------------------

    def _pause_s(self) -> float:
        """How long nothing is to be done, as far as is known; at most `max_sleep_s`, for the clock may jump."""
        next_due = self._horizon.next_due()
        if next_due is None:
            return self._config.max_sleep_s
        wait_s = (next_due - self._clock.now()).total_seconds()
        return min(max(wait_s, 0.0), self._config.max_sleep_s)

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    def _settle(self) -> None:
        """Nothing was taken up: if nothing is under way or waits either, all that is due now has been dealt with."""
        waiting = self.queue_size or self._endpoints.spilled
        if not self._tasks and not waiting and not self._wake.is_set() and self._pause_s() > 0:
            self._quiet.set()

    def _measure(self) -> None:
        metrics = self._metrics
        metrics.in_flight.set(len(self._tasks))
        metrics.in_memory.set(len(self._horizon))
        metrics.waiting.labels("endpoint").set(self._endpoints.parked)
        metrics.waiting.labels("queue").set(len(self._ready))

    def _breaker_changed(self, endpoint: str, state: str) -> None:
        self._metrics.breaker_changes.labels(state).inc()
        if state == "opened":
            self._metrics.breakers_open.inc()
            log.warning("breaker_opened", endpoint=endpoint)
        elif state == "half-opened":
            self._metrics.breakers_open.dec()
        log.info("breaker_changed", endpoint=endpoint, state=state)
