"""Lets a known number of messages come due on a running service, and sees what becomes of each.

Place in the flow: `filling` asks for them -> the service releases them (`log:`, or a webhook to `hook`) -> what was
released is compared with what was due, and with the claims and ends in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from benchmarks.children import Child
from benchmarks.figures import Fired, fired_of, lead_s
from benchmarks.service import Service

_LOOK_EVERY_S = 0.25
#: Before the first look the service is assumed to store and apply so many schedules a second.
_FIRST_GUESS = 1_200.0
#: What has not come so long after the last was due is lost.
PATIENCE_S = 90.0

_STANDING = """
SELECT count(*) FILTER (WHERE topic = 'occurrence.claimed.v1') AS claimed,
    count(*) FILTER (WHERE topic = 'occurrence.ended.v1') AS ended, max(notification_id) AS head
FROM log.events WHERE notification_id > $1
"""


class Arrivals(Protocol):
    """Where messages come out."""

    @property
    def channel(self) -> str:
        """Their address."""
        ...

    def count(self) -> int:
        """How many came since `take`."""
        ...

    def take(self) -> list[dict[str, Any]]:
        """What came since the last time, as lines of `releases.ndjson`."""
        ...


class LogFile:
    """The channel `log:`: only counted while messages come, and read when they have."""

    channel = "log:"

    def __init__(self, service: Service) -> None:
        self._path = service.releases
        self._from = self._path.stat().st_size if self._path.exists() else 0
        self._chunks: list[bytes] = []
        self._lines = 0

    def count(self) -> int:
        """See `Arrivals.count`."""
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._from)
            chunk = file.read()
            self._from += len(chunk)
            self._lines += chunk.count(b"\n")
            self._chunks.append(chunk)
        return self._lines

    def take(self) -> list[dict[str, Any]]:
        """See `Arrivals.take`. A line that is half written is for the next time."""
        self.count()
        whole, newline, rest = b"".join(self._chunks).rpartition(b"\n")
        found = [json.loads(line) for line in (whole + newline).splitlines()]
        self._chunks, self._lines = [rest] if rest else [], 0
        return found


class Hook:
    """The channel `webhook:`, to a receiver in a process of its own."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self.channel = f"webhook:http://127.0.0.1:{child.ask()['port']}/hook"

    def count(self) -> int:
        """See `Arrivals.count`."""
        return int(self._child.ask("count")["count"])

    def take(self) -> list[dict[str, Any]]:
        """See `Arrivals.take`."""
        found: list[dict[str, Any]] = self._child.ask("take")["releases"]
        return found


@dataclass
class Filled:
    """What was asked for."""

    count: int
    #: Of storing, and until the read models had all of it.
    stored_s: float
    applied_s: float
    position: int
    #: When the first of them is due; None: years from now.
    first: datetime | None


def fill(service: Service, count: int, told: Callable[[int], None] = lambda _: None, **options: object) -> Filled:
    """Ask for so many schedules (`benchmarks.filling` has the options), and wait until the read models have them."""
    patience_s = 120 + count / 100
    flags = [text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", value)]
    last: dict[str, Any] = {}
    with Child("benchmarks.filling", "--data", service.data, "--count", count, *flags) as child:
        said = child.ask(within_s=patience_s)
        begin = time.monotonic()
        for last in child.lines(patience_s):
            told(last["asked"])
    stored_s = last["seconds"]
    service.settle(last["position"], patience_s)
    first = datetime.fromisoformat(said["first"]) if said["first"] else None
    return Filled(count, stored_s, time.monotonic() - begin, last["position"], first)


@dataclass
class Firing:
    """Rounds on one service; it learns how long the asking takes."""

    service: Service
    #: Schedules a second that are stored and applied.
    pace: float = _FIRST_GUESS
    _numbers: Iterator[int] = field(default_factory=lambda: iter(range(1_000_000)))

    def run(self, arrivals: Arrivals, total: int, rate: float, *, shards: int = 64) -> Fired:
        """Ask for `total` one-offs, due `rate` a second (0: all at one instant), and see what becomes of each."""
        with self.asked(arrivals, total, rate, shards=shards) as asked:
            return asked.result()

    @contextlib.contextmanager
    def asked(self, arrivals: Arrivals, total: int, rate: float, *, shards: int = 64) -> Iterator[Asked]:
        """The same in two steps, so that something else can be done meanwhile."""
        arrivals.take()
        subject = f"round {time.time():.0f}.{next(self._numbers)}"
        before = self.service.position()
        filled = fill(
            self.service,
            total,
            first_in=lead_s(total, self.pace),
            rate=rate,
            channel=arrivals.channel,
            subject=subject,
            prefix=subject.replace(" ", "-"),
            shards=shards,
        )
        assert filled.first is not None
        first, in_time = filled.first, datetime.now(UTC) < filled.first
        if total >= 1_000:
            # The slower of the two, so that one lucky round makes no next one late.
            self.pace = min(total / filled.applied_s, 2 * self.pace)
        last = first + timedelta(seconds=total / rate if rate else 0)
        yield Asked(self.service, arrivals, total, subject, before, first, last, in_time)


@dataclass
class Asked:
    """Messages that are going to be due."""

    service: Service
    arrivals: Arrivals
    total: int
    subject: str
    #: The log's head before they were asked for.
    before: int
    first: datetime
    last: datetime
    in_time: bool

    def until_first(self) -> None:
        """Wait for the first one's instant."""
        time.sleep(max(0.0, (self.first - datetime.now(UTC)).total_seconds()))

    def result(self) -> Fired:
        """Wait until all have come, or patience ends; and until their ends are in the log and in the read models."""
        deadline = self.last + timedelta(seconds=PATIENCE_S)
        while self.arrivals.count() < self.total and datetime.now(UTC) < deadline:
            time.sleep(_LOOK_EVERY_S)
        came = time.monotonic()
        claimed, ended, head = asyncio.run(_standing(self.service, self.before))
        while ended < self.total and time.monotonic() - came < 15:
            time.sleep(_LOOK_EVERY_S)
            claimed, ended, head = asyncio.run(_standing(self.service, self.before))
        self.service.settle(head)
        behind_s = time.monotonic() - came
        fired = fired_of(self.arrivals.take(), self.total, self.subject)
        fired.claimed, fired.ended, fired.behind_s, fired.in_time = claimed, ended, behind_s, self.in_time
        return fired


def described(fired: Fired) -> str:
    """In a line, for progress."""
    late = "" if fired.in_time else ", ASKED FOR TOO LATE"
    return (
        f"p50 {fired.ms(0.5):.1f} ms, p99 {fired.ms(0.99):.1f} ms, last {fired.ms(1):.0f} ms, within 1 s "
        f"{fired.within_1s:.3%}, lost {fired.lost}, double {fired.double} ({fired.again} as a further attempt), "
        f"claimed {fired.claimed}, ended {fired.ended}, "
        f"all in the read models {fired.behind_s:.2f} s after the last{late}"
    )


async def _standing(service: Service, before: int) -> tuple[int, int, int]:
    conn = await service.connect()
    try:
        row = await conn.fetchrow(_STANDING, before)
        assert row is not None
        return row["claimed"], row["ended"], row["head"] or before
    finally:
        await conn.close()
