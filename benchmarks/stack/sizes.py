"""Bytes for each event and schedule, where they lie, after all the rest was measured."""

from __future__ import annotations

import httpx

from benchmarks.stack.lines import Connection
from benchmarks.stack.world import World

_TABLES = """
SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relkind = 'r' AND ($2::text IS NULL OR c.relname LIKE $2)
"""


async def measure_sizes(world: World, conn: Connection) -> list[tuple[str, str]]:
    """What, and how much in words."""
    events = await conn.fetchval("SELECT count(*) FROM log.events")
    schedules = await conn.fetchval("SELECT count(*) FROM read.schedules")
    occurrences = await conn.fetchval("SELECT count(*) FROM read.occurrences")
    log = await conn.fetchval(_TABLES, "log", None)
    read = await conn.fetchval(_TABLES, "read", None)
    state = await conn.fetchval("SELECT avg(length(state)) FROM log.events")
    found = [
        (
            "log.events",
            f"{log / events:,.0f} B an event with indices, {state:,.0f} B of it its state; {events:,} events",
        ),
        (
            "read models",
            f"{read / events:,.0f} B an event, {read / schedules:,.0f} B a schedule with its history "
            f"({schedules:,} schedules, {occurrences:,} occurrences)",
        ),
    ]
    topics: dict[str, int] = {}
    for path in world.stack.folder.glob("kafka/**/*.log"):
        topic, _, number = path.parent.name.rpartition("-")
        if number.isdigit():
            topics[topic] = topics.get(topic, 0) + path.stat().st_size
    found += [
        (f"topic {topic}", f"{size / events:,.0f} B for each event of the log, one replica")
        for topic, size in sorted(topics.items())
        if not topic.startswith("__") and size
    ]
    if any(process.kind == "indexer" for process in world.processes):
        url = world.environment["ELASTICSEARCH_URL"]
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            await client.post("/_refresh")
            indices = (await client.get("/_stats/store,docs")).json()["indices"]
        found += [
            (
                f"index {name}",
                f"{one['primaries']['store']['size_in_bytes'] / max(1, one['primaries']['docs']['count']):,.0f} B a "
                f"document; {one['primaries']['docs']['count']:,}",
            )
            for name, one in sorted(indices.items())
        ]
    return found
