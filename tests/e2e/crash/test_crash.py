"""Nothing acknowledged is lost, nothing is claimed twice, nothing at_most_once is sent twice, whoever is killed when.

The worker, the API and PostgreSQL of a real installation are killed by SIGKILL under load, at random moments (counted
in deliveries, not in time) and at two named points: *claim committed, not sent*, and *sent, not recorded*.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.e2e.conftest import MakeService
from tests.e2e.crash.load import Acknowledged, Load
from tests.e2e.harness import Service, ended
from tests.e2e.receiver import Received, Receiver

RATE = 330.0
SEED = 20261122
#: How often each worker passes a named point before it hangs there: some four seconds of the load.
PASSAGES = 1300
#: Bounds how long the backlog of all those kills may take to go out.
DRAIN_S = 240.0


@dataclass(slots=True)
class Deliveries:
    """What the receiver got: how often each message, and how late."""

    count: Counter[UUID] = field(default_factory=Counter)
    lateness_s: list[float] = field(default_factory=list)
    #: From each kill to the next message, by what was killed.
    silence_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


class CountingReceiver(Receiver):
    """Counts instead of keeping tens of thousands of bodies."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = Deliveries()
        self._more = asyncio.Event()
        self._wanted = 0

    def note(self, received: Received) -> None:
        """One more message."""
        message = received.json
        self.seen.count[UUID(received.occurrence)] += 1
        late_s = (datetime.now(UTC) - datetime.fromisoformat(message["due_at"])).total_seconds()
        self.seen.lateness_s.append(late_s)
        if self.seen.count.total() >= self._wanted:
            self._more.set()

    async def more(self, count: int, within_s: float = 60.0) -> None:
        """Return when `count` further messages have come. Raises `TimeoutError`: then nothing recovers."""
        self._wanted = self.seen.count.total() + count
        self._more.clear()
        async with asyncio.timeout(within_s):
            await self._more.wait()


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


async def _kill_at_random(
    service: Service, receiver: CountingReceiver, times: int, dice: random.Random
) -> Counter[str]:
    """Kill each part `times` times, the next one only when messages come again. How often each was killed."""
    victims = ["worker", "api", "postgres"] * times
    dice.shuffle(victims)
    killed: Counter[str] = Counter()
    for victim in victims:
        while True:
            await receiver.more(dice.randint(100, 2500))
            pid = await service.working() if victim == "worker" else service.family().get(victim)
            if pid is not None:
                break
        began = time.monotonic()
        _kill(pid)
        await ended(pid)
        await receiver.more(1)
        receiver.seen.silence_s[victim].append(time.monotonic() - began)
        killed[victim] += 1
    return killed


class Marker:
    """A named pipe to which a worker writes when it has reached a point; it never has to wait for us."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        path.chmod(0o666)
        # Opened for both, so that a worker's own opening and closing never blocks nor ends the pipe.
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._reached = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._fd, self._reached.set)

    async def reached(self, within_s: float = 120.0) -> int:
        """The pid of a worker that is at the point now. Raises `TimeoutError`."""
        async with asyncio.timeout(within_s):
            while True:
                await self._reached.wait()
                try:
                    return int(os.read(self._fd, 1 << 16).decode().splitlines()[-1].split()[1])
                except BlockingIOError:
                    # The loop had noticed what `forget` has read since.
                    self._reached.clear()

    def forget(self) -> None:
        """Look for the next worker's."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._fd, 1 << 16):
                pass
        self._reached.clear()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)


class Fault:
    """What workers are told to do at a named point; it holds for whoever begins to work next."""

    def __init__(self, service: Service) -> None:
        self._setting = service.data.with_name("fault")
        self.marker = Marker(service.data.with_name("reached"))
        self.set("")
        service.environment = {"HORAE_FAULT": f"@{self._setting}", "HORAE_FAULT_FILE": str(self.marker.path)}

    def set(self, text: str) -> None:
        self._setting.write_text(text)


async def _kill_at(point: str, service: Service, receiver: CountingReceiver, fault: Fault, times: int) -> None:
    """Let each worker hang at `point` after a while of firing, and kill it there, `times` times."""
    fault.set(f"{point}:{PASSAGES}")
    # Who works now does not know of it.
    while (pid := await service.working()) is None:
        await receiver.more(1)
    _kill(pid)
    for number in range(times):
        pid = await fault.marker.reached()
        if number == times - 1:
            fault.set("")
        _kill(pid)
        await ended(pid)
        fault.marker.forget()


_LEDGER = """
SELECT (body->>'schedule')::uuid AS schedule, originator_id AS occurrence,
       count(*) FILTER (WHERE topic = 'occurrence.claimed.v1') AS claims,
       count(*) FILTER (WHERE topic = 'occurrence.ended.v1') AS ends,
       max(body->>'outcome') AS outcome,
       max(body->'slot'->>'local') AS slot
FROM (SELECT originator_id, topic, convert_from(state, 'UTF8')::jsonb->'body' AS body FROM log.events
      WHERE topic LIKE 'occurrence.%') AS events
GROUP BY 1, 2
"""


_ENDED = """
SELECT DISTINCT (body->>'schedule')::uuid
FROM (SELECT convert_from(state, 'UTF8')::jsonb->'body' AS body FROM log.events
      WHERE topic = 'occurrence.ended.v1' AND notification_id <= $1) AS ended
"""


async def _drained(service: Service, acknowledged: Acknowledged) -> list[Any]:
    """The record of every occurrence, once each acknowledged schedule's has ended."""
    conn = await service.connect()
    try:
        head = await conn.fetchval("SELECT max(notification_id) FROM log.events")
        done = {schedule for (schedule,) in await conn.fetch(_ENDED, head)}
        waiting = {str(schedule) for schedule in acknowledged.once if schedule not in done}

        def is_last(event: dict[str, Any]) -> bool:
            if event["event"].startswith("occurrence.ended"):
                waiting.discard(str(event["data"]["schedule"]))
            return not waiting

        if waiting:
            await service.until(is_last, after=head, within_s=DRAIN_S)
        return list(await conn.fetch(_LEDGER))
    finally:
        await conn.close()


def _judge(records: list[Any], acknowledged: Acknowledged, seen: Deliveries) -> Counter[str]:
    assert acknowledged.refused == []
    by_schedule: dict[UUID, list[Any]] = {}
    for record in records:
        by_schedule.setdefault(record["schedule"], []).append(record)
    lost = [schedule for schedule in acknowledged.once if schedule not in by_schedule]
    assert lost == [], f"{len(lost)} acknowledged schedules were never claimed"
    outcomes: Counter[str] = Counter()
    for schedule, once in acknowledged.once.items():
        (record,) = by_schedule[schedule]
        occurrence = record["occurrence"]
        assert (record["claims"], record["ends"]) == (1, 1), dict(record)
        outcomes[record["outcome"]] += 1
        if once:
            assert seen.count[occurrence] <= 1, f"at_most_once {occurrence} came {seen.count[occurrence]} times"
            assert record["outcome"] in ("delivered", "unknown"), dict(record)
        else:
            assert record["outcome"] == "delivered", dict(record)
        if record["outcome"] == "delivered":
            assert seen.count[occurrence] >= 1, f"{occurrence} is recorded as delivered, but nobody got it"
    claimed = {record["occurrence"] for record in records}
    assert set(seen.count) <= claimed, "something was sent without a claim"
    return outcomes


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0


async def _run(make_service: MakeService, *, kills: int, kills_at_points: int) -> str:
    """Kill, drain, judge; what was seen, in a sentence."""
    dice = random.Random(SEED)
    async with CountingReceiver() as receiver:
        service = make_service(workers=2)
        fault = Fault(service)
        await service.start()
        async with Load(service, receiver.channel, rate=RATE) as load:
            killed = await _kill_at_random(service, receiver, kills, dice)
            for point in ("claim_committed", "sent"):
                await _kill_at(point, service, receiver, fault, kills_at_points)
            await receiver.more(1)
        fired = receiver.seen.count.total()
        fault.marker.close()
        records = await _drained(service, load.acknowledged)
        outcomes = _judge(records, load.acknowledged, receiver.seen)
    seen = receiver.seen
    repeats = sum(count - 1 for count in seen.count.values())
    silences = ", ".join(
        f"{victim} {_percentile(values, 0.5):.2f} s (at most {max(values):.2f})"
        for victim, values in sorted(seen.silence_s.items())
    )
    acked = len(load.acknowledged.once)
    return (
        f"seed {SEED}: {load.seconds:.0f} s under load; creates: {RATE:g}/s offered, {acked} acknowledged "
        f"({acked / load.seconds:.0f}/s), "
        f"{load.acknowledged.retries} requests repeated; deliveries: {fired} under load "
        f"({fired / load.seconds:.0f}/s), {seen.count.total()} in all, of them {repeats} repeats "
        f"under the same id; killed at random {dict(killed)}, at each named point {kills_at_points} workers; "
        f"outcomes {dict(outcomes)}; lateness p50 {_percentile(seen.lateness_s, 0.5):.3f} s, "
        f"p99 {_percentile(seen.lateness_s, 0.99):.2f} s, max {max(seen.lateness_s):.2f} s; "
        f"from a kill to the next message: {silences}"
    )


@pytest.mark.crash
@pytest.mark.timeout(900)
@pytest.mark.covers("REL-18", "REL-08", "DSP-39")
async def test_nothing_is_lost_or_doubled_whoever_is_killed(
    make_service: MakeService, record_property: Callable[[str, object], None]
) -> None:
    """Each part killed ten times at random and the worker five times at each named point, under load."""
    record_property("report", await _run(make_service, kills=10, kills_at_points=5))


@pytest.mark.soak
@pytest.mark.timeout(7200)
async def test_nothing_is_lost_or_doubled_for_long(
    make_service: MakeService, record_property: Callable[[str, object], None]
) -> None:
    """The same, five times as long."""
    record_property("report", await _run(make_service, kills=50, kills_at_points=25))
