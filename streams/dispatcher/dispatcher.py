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
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import structlog

from horae.commands.candidates import Candidate, Rule
from horae.commands.occurrences import Attempt, Occurrences, Settled
from horae.commands.ports import Clock
from horae.domain.errors import Unavailable
from horae.projections.due import ALL_SHARDS, DueRow
from horae.projections.projector import Applied
from horae.streams.channels import Channels, endpoint_of
from horae.streams.dispatcher.config import DispatcherConfig
from horae.streams.dispatcher.endpoints import Endpoints
from horae.streams.dispatcher.horizon import BEGINNING, Edge, Horizon
from horae.streams.dispatcher.ready import Ready
from horae.streams.dispatcher.releasing import address_of, endpoint_in_trouble, send
from horae.streams.dispatcher.source import DueSource
from horae.streams.faults import Faults
from horae.streams.metrics import Metrics

log = structlog.get_logger(__name__)

#: Rows read from the index with one query: more would hold up the loop.
_PAGE = 2_000
_LAST_KEY = UUID(int=(1 << 128) - 1)
_READ_ERRORS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, Unavailable)


@dataclass(frozen=True, slots=True)
class Pass:
    """What one look did: rows taken up, of them started, parked for want of a slot, and out of date."""

    taken: int = 0
    started: int = 0
    parked: int = 0
    stale: int = 0


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
        faults: Faults | None = None,
        may_claim: Callable[[], bool] = lambda: True,
    ) -> None:
        self._config = config.validate()
        self._occurrences, self._clock, self._source, self._channels = occurrences, clock, source, channels
        self._owner, self._metrics, self._rules, self._shards = owner, metrics, tuple(rules), frozenset(shards)
        self._faults, self._may_claim = faults or Faults(), may_claim
        self._horizon = Horizon(config.rows_in_memory)
        self._ready = Ready()
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
        self._swept = self._looked_abroad = time.monotonic()
        #: The last position that this dispatcher appended.
        self.position = 0

    # --- what others tell it --------------------------------------------------------------------------------------

    async def on_applied(self, applied: Applied) -> None:
        """The projection has committed these changes of the due index (a reset: some may have been missed)."""
        if applied.reset:
            self._horizon.rewind()
        changed = self._horizon.changed
        for change in applied.due:
            row = change.due
            if row is not None and row.shard not in self._shards:
                row = None
            changed(change.key, row)
        if applied.due or applied.reset:
            self.wake()

    def wake(self) -> None:
        """Look again: the clock has moved, or something else has changed."""
        self._quiet.clear()
        self._wake.set()

    def look_again(self) -> None:
        """Read the due index anew from its beginning, and look."""
        self._horizon.rewind()
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
                await self._sleep(self._pause_s())

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
        for row in self._horizon.pop_due(self._clock.now()):
            self._ready.add(row)
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
        started = parked = stale = 0
        for row, candidate in zip(rows, candidates, strict=True):
            if candidate is None:
                stale += 1
                continue
            endpoint = self._endpoint(candidate)
            if self._endpoints.admit(endpoint):
                self._start(row, candidate, endpoint)
                started += 1
            else:
                if self._endpoints.may_park(endpoint) and self._horizon.give_back(row):
                    self._endpoints.park(endpoint, row)
                parked += 1
        self._metrics.stale.inc(stale)
        return Pass(len(rows), started, parked, stale)

    def _next_batch(self) -> list[DueRow]:
        """Rows to plan now: those whose endpoint has a slot again, then the most pressing."""
        room = min(self._config.batch, self._config.in_flight - len(self._tasks))
        if room <= 0:
            return []
        take = self._horizon.take
        unparked = self._endpoints.unpark(room if not len(self._ready) else max(1, room // 2), take)
        return unparked + self._ready.take(room - len(unparked), take)

    async def _plan(self, rows: Sequence[DueRow]) -> list[Candidate | None]:
        """What the rows stand on. One that cannot be planned is set aside (the auditor names it), not the others."""
        try:
            return await self._occurrences.candidates(rows)
        except (*_READ_ERRORS, asyncio.CancelledError):
            self._put_back(rows)
            raise
        except Exception:
            if len(rows) == 1:
                log.exception("row_cannot_be_planned", schedule=str(rows[0].schedule), key=str(rows[0].key))
                return [None]
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
        trouble: Exception | None = None
        sent = False
        try:
            claimed = await self._occurrences.claim(candidate, self._owner, self._rules)
            if claimed is None:
                self._metrics.stale.inc()
                return
            decided_on, outcome = claimed
            self.position = max(self.position, outcome.position)
            if isinstance(outcome, Settled):
                self._count_settled(outcome)
                return
            endpoint = self._moved_slot(endpoint, candidate, decided_on)
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
        result = await send(attempt, self._channels, self._clock)
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
        """Move the horizon's edge ahead when half of it is used up; look after overdue work of others."""
        since = time.monotonic() - self._swept
        if since > self._config.sweep_s or (since > self._config.respill_s and self._endpoints.thirsty()):
            self._swept = time.monotonic()
            self._endpoints.spilled.clear()
            self._horizon.rewind()
        until, edge = now + timedelta(seconds=self._config.horizon_s), self._horizon.edge
        if edge[0] < now + timedelta(seconds=self._config.horizon_s / 2):
            while self._horizon.room >= min(self._config.batch, self._horizon.capacity):
                if not await self._read_page(self._horizon.edge, until):
                    break
        if (
            len(self._shards) < len(ALL_SHARDS)
            and time.monotonic() - self._looked_abroad > self._config.foreign_after_s
        ):
            await self._look_abroad(now)

    async def _read_page(self, after: Edge, until: datetime) -> bool:
        """Read one page; False: there is no more up to `until`."""
        limit = min(self._horizon.room, _PAGE)
        self._horizon.begin_load(until)
        try:
            page = await self._source.page(self._shards, after, until, limit)
        except BaseException:
            self._horizon.abandon_load()
            raise
        full = len(page) >= limit
        self._horizon.end_load(page, (page[-1].due_at, page[-1].key) if full else (until, _LAST_KEY))
        return full

    async def _look_abroad(self, now: datetime) -> None:
        """What is overdue in shards of others: their owner may be dead. If it is not, one of the two claims wins."""
        self._looked_abroad = time.monotonic()
        late = now - timedelta(seconds=self._config.foreign_after_s)
        foreign = [shard for shard in ALL_SHARDS if shard not in self._shards]
        for row in await self._source.page(foreign, BEGINNING, late, self._config.batch):
            self._horizon.adopt(row)

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
