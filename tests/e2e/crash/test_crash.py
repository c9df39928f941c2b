"""Nothing acknowledged is lost, nothing is claimed twice, nothing at_most_once is sent twice, whoever is killed when.

The worker, the API and PostgreSQL of a real installation are killed by SIGKILL under load, at random moments (counted
in deliveries, not in time) and, all three at once, when a worker is at two named points: *claim committed, not sent*,
and *sent, not recorded*.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.e2e.conftest import MakeService
from tests.e2e.crash.judge import CountingReceiver, drained, judge, percentile
from tests.e2e.crash.load import Load
from tests.e2e.crash.marker import Marker
from tests.e2e.harness import Service, ended
from tests.e2e.talking import PATIENCE_S

#: Creations a second that are offered, and what is to be carried of creations and of messages.
RATE, CARRIED = 312.0, 300.0
SEED = 20261122
#: Messages between two kills at random: up to ten seconds of the load, as each kill costs seconds of what two
#: processors do, and the load is to be carried meanwhile.
BETWEEN = (100, 3500)
#: How often each worker passes a named point before it hangs there, and everything is killed at once: some thirteen
#: seconds of the load.
PASSAGES = 4000
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run came to."""

    created_per_s: float
    fired_per_s: float
    report: str

    def __str__(self) -> str:
        """For people."""
        return self.report


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
            await receiver.more(dice.randint(*BETWEEN))
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


class Fault:
    """What workers are told to do at a named point; it holds for whoever begins to work next."""

    def __init__(self, service: Service) -> None:
        self._setting = service.data.with_name("fault")
        self.marker = Marker(service.data.with_name("reached"))
        self.set("")
        service.environment = {"HORAE_FAULT": f"@{self._setting}", "HORAE_FAULT_FILE": str(self.marker.path)}

    def set(self, text: str) -> None:
        self._setting.write_text(text)


async def _others(service: Service) -> dict[str, int]:
    """API and PostgreSQL, once both are there."""
    never = asyncio.Event()
    async with asyncio.timeout(PATIENCE_S):
        while not {"api", "postgres"} <= (family := service.family()).keys():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await never.wait()
    return {name: family[name] for name in ("api", "postgres")}


async def _kill_at(
    point: str, service: Service, receiver: CountingReceiver, fault: Fault, times: int, killed: Counter[str]
) -> None:
    """Let each worker hang at `point` after a while of firing, and kill everything there, `times` times."""
    fault.set(f"{point}:{PASSAGES}")
    # Who works now does not know of it.
    while (pid := await service.working()) is None:
        await receiver.more(1)
    _kill(pid)
    for number in range(times):
        pid = await fault.marker.reached()
        if number == times - 1:
            fault.set("")
        victims = {"worker": pid} | await _others(service)
        for victim in victims.values():
            _kill(victim)
        for name, victim in victims.items():
            await ended(victim)
            killed[name] += 1
        fault.marker.forget()


@contextlib.contextmanager
def _told(service: Service, receiver: CountingReceiver, load: Load) -> Iterator[None]:
    """When it fails: how far everything was, and the end of the log, before the folder is swept away."""
    try:
        yield
    except BaseException:
        acked = load.acknowledged
        print(f"after {time.monotonic() - load.began:.0f} s: {len(acked.once)} acknowledged, {acked.retries} retries")
        print(f"{receiver.seen.count.total()} deliveries; running: {service.family()}; log:\n{service.tail(400)}")
        raise


async def _run(make_service: MakeService, *, kills: int, kills_at_points: int) -> Ran:
    """Kill, drain, judge; what was seen."""
    dice = random.Random(SEED)
    async with CountingReceiver() as receiver:
        service = make_service(workers=2)
        fault = Fault(service)
        await service.start()
        async with Load(service.url, receiver.channel, rate=RATE) as load:
            with _told(service, receiver, load):
                killed = await _kill_at_random(service, receiver, kills, dice)
                there: dict[str, Counter[str]] = {point: Counter() for point in ("claim_committed", "sent")}
                for point, counts in there.items():
                    await _kill_at(point, service, receiver, fault, kills_at_points, counts)
                await receiver.more(1)
        fired = receiver.seen.count.total()
        fault.marker.close()
        records = await drained(service, load.acknowledged)
        outcomes = judge(records, load.acknowledged, receiver.seen)
    for counts in (killed, *there.values()):
        assert min(counts[name] for name in ("worker", "api", "postgres")) >= (
            kills if counts is killed else kills_at_points
        ), counts
    seen = receiver.seen
    repeats = sum(count - 1 for count in seen.count.values())
    silences = ", ".join(
        f"{victim} {percentile(values, 0.5):.2f} s (at most {max(values):.2f})"
        for victim, values in sorted(seen.silence_s.items())
    )
    acked = len(load.acknowledged.once)
    report = (
        f"seed {SEED}: {load.seconds:.0f} s under load; creates: {RATE:g}/s offered, {acked} acknowledged "
        f"({acked / load.seconds:.0f}/s), "
        f"{load.acknowledged.retries} requests repeated; deliveries: {fired} under load "
        f"({fired / load.seconds:.0f}/s), {seen.count.total()} in all, of them {repeats} repeats "
        f"under the same id; killed at random {dict(killed)}, at the named points "
        f"{ {point: dict(counts) for point, counts in there.items()} }; "
        f"outcomes {dict(outcomes)}; lateness p50 {percentile(seen.lateness_s, 0.5):.3f} s, "
        f"p99 {percentile(seen.lateness_s, 0.99):.2f} s, max {max(seen.lateness_s):.2f} s; "
        f"from a kill to the next message: {silences}"
    )
    return Ran(acked / load.seconds, fired / load.seconds, report)


@pytest.mark.crash
@pytest.mark.timeout(2700)
@pytest.mark.covers("REL-18", "REL-08", "DSP-39")
async def test_nothing_is_lost_or_doubled_whoever_is_killed(
    make_service: MakeService, record_property: Callable[[str, object], None]
) -> None:
    """Each part killed ten times at random, and five times at each named point of the worker, under load."""
    record_property("report", str(await _run(make_service, kills=10, kills_at_points=5)))


@pytest.mark.soak
@pytest.mark.timeout(7200)
async def test_nothing_is_lost_or_doubled_for_long(
    make_service: MakeService, record_property: Callable[[str, object], None]
) -> None:
    """The same, three times as long."""
    ran = await _run(make_service, kills=30, kills_at_points=15)
    record_property("report", str(ran))
    assert min(ran.created_per_s, ran.fired_per_s) >= CARRIED, str(ran)
