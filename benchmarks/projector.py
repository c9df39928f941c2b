"""How many events a second the projector applies: creates, then claims and outcomes, in batches of several sizes.

Run: .venv/bin/python benchmarks/projector.py [EVENTS]. Starts a durable PostgreSQL of its own; prints a line per size.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from horae.domain import ids
from horae.domain import occurrence as o
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.delivery import Delivery
from horae.domain.envelope import Event, Meta, Recorded
from horae.domain.personal import Personal
from horae.infra.postgres import OWNER_ROLE, Cluster, migrate
from horae.projections import schema
from horae.projections.projector import Projector

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
PLAN = t.Plan(zone="Europe/Berlin", zone_source="timing", tzdata="2026f", branch="normal")


def at(due_at: datetime) -> t.Next:
    """The slot due then."""
    return t.Next(slot=t.Slot(local=due_at.replace(tzinfo=None)), due_at=due_at, plan=PLAN)


def history(schedules: int) -> list[list[Recorded]]:
    """Three stretches of one log: all are created, all are claimed, all end."""
    position = 0

    def recorded(stream: UUID, version: int, body: Event, shard: int) -> Recorded:
        nonlocal position
        position += 1
        meta = Meta(event_id=UUID(int=position), tenant="acme", shard=shard, actor="key:1", recorded_at=NOW)
        return Recorded(stream, version, meta, body, position)

    names = [ids.uuid7(int(NOW.timestamp() * 1000) + n, n.to_bytes(10, "big")) for n in range(schedules)]
    timing = t.Every(cron="0 9 * * *", zone="Europe/Berlin")
    stretches: list[list[Recorded]] = [[], [], []]
    for n, name in enumerate(names):
        personal = Personal(
            recipient=f"user-{n}",
            channel="webhook:https://example.com/hook",
            content={"subject": "Hi"},
            tags=("a", "b"),
        )
        definition = s.Definition(timing=timing, priority=2, delivery=Delivery())
        created = s.ScheduleCreated(
            recipient_ref=f"{n:032x}", personal=personal, definition=definition, next=at(NOW + timedelta(seconds=n))
        )
        stretches[0].append(recorded(name, 1, created, n % 64))
    for n, name in enumerate(names):
        slot = at(NOW + timedelta(seconds=n))
        claimed = o.OccurrenceClaimed(
            schedule=name,
            recipient_ref=f"{n:032x}",
            priority=2,
            schedule_version=1,
            origin="slot",
            slot=slot.slot,
            due_at=slot.due_at,
            plan=PLAN,
            owner=1,
            moves=True,
            next=at(slot.due_at + timedelta(days=1)),
        )
        stretches[1].append(recorded(ids.occurrence_id(name, slot.slot.local, 0), 1, claimed, n % 64))
    for n, name in enumerate(names):
        slot = at(NOW + timedelta(seconds=n))
        ended = o.OccurrenceEnded(
            schedule=name,
            recipient_ref=f"{n:032x}",
            priority=2,
            outcome=o.Outcome.DELIVERED,
            reason="the channel accepted it",
            attempt=1,
            started_at=slot.due_at,
            duration_ms=10.0,
            response={"status_code": 204},
        )
        stretches[2].append(recorded(ids.occurrence_id(name, slot.slot.local, 0), 2, ended, n % 64))
    return stretches


async def measure(dsn: str, stretches: list[list[Recorded]], size: int) -> None:
    """Apply everything to fresh tables in batches of `size`, and print the rates."""
    conn = await schema.connect(dsn)
    await conn.execute("DROP SCHEMA read CASCADE")
    await schema.install(conn)
    projector = Projector()
    await projector.load(conn)
    rates = []
    for stretch in stretches:
        cpu, begin = time.process_time(), time.perf_counter()
        for first in range(0, len(stretch), size):
            await projector.apply(conn, stretch[first : first + size])
        wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
        rates.append(f"{len(stretch) / wall:8,.0f}/s ({cpu / len(stretch) * 1e6:4.0f} us CPU)")
    print(f"{size:5}  {rates[0]}  {rates[1]}  {rates[2]}", flush=True)
    await conn.close()


def main() -> None:
    """Measure batches from one event to the largest that a feed gives."""
    schedules = (int(sys.argv[1]) if len(sys.argv) > 1 else 30_000) // 3
    folder = Path(tempfile.mkdtemp(prefix="horae-bench-"))
    folder.chmod(0o755)
    cluster = Cluster(folder)
    cluster.start()
    try:
        migrate(cluster.dsn(OWNER_ROLE))
        print("batch   created                   claimed                   ended")
        for size in (1, 10, 50, 200, 500):
            stretches = history(min(schedules, 60 * size) if size < 200 else schedules)
            asyncio.run(measure(cluster.dsn(OWNER_ROLE), stretches, size))
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
