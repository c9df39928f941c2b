"""Whether everything that is derived says what the log says: the read models, the search index, the claims.

Place in the flow: a test disturbs a service, lets it catch up, and asks here.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg
import httpx
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from horae.domain.errors import Unavailable
from horae.infra.elasticsearch.reindex import Comparison
from horae.infra.indexing import open_reindex
from horae.infra.postgres import dsn_of
from horae.infra.processes.installation import Installation
from horae.infra.rebuild import RebuildReport, rebuild
from horae.infra.settings import Settings
from horae.projections.search.ports import KINDS
from tests.e2e.harness import Service

#: A broker that comes back gives the group its partitions anew, and a client that backed off asks again.
PATIENCE_S = 180.0
_LOOK_EVERY_S = 0.2
_AWAY = (OSError, httpx.HTTPError, asyncpg.PostgresError, Unavailable)

_CLAIMS = """
SELECT count(*) AS claims, count(DISTINCT originator_id) AS claimed FROM log.events
WHERE topic = 'occurrence.claimed.v1'
"""


async def seen(look: Callable[[], Awaitable[Any]], what: str, service: Service) -> Any:
    """What `look` gives, once that is true; for what nothing announces. Raises `AssertionError` with all logs."""
    never, last = asyncio.Event(), ""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    if found := await look():
                        return found
                    last = ""
                except _AWAY as error:
                    last = f" (last: {error!r})"
                try:
                    async with asyncio.timeout(_LOOK_EVERY_S):
                        await never.wait()
                except TimeoutError:
                    continue
    except TimeoutError:
        raise AssertionError(f"not within {PATIENCE_S:g} s: {what}{last}\n{service.tail()}") from None


async def horae(service: Service, *arguments: str) -> str:
    """`horae ARGUMENTS --data FOLDER` as an operator calls it, beside the running service; what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "horae.infra.cli.main", *arguments, "--data", str(service.data)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | service.environment | {"COLUMNS": "200"},
    )
    said, complained = await process.communicate()
    assert process.returncode == 0, f"horae {' '.join(arguments)}: {said.decode()}{complained.decode()[-4000:]}"
    return said.decode()


async def replayed(service: Service) -> str:
    """Replay the whole log and say how the read models compare. Raises `AssertionError` where tables differ."""
    report: RebuildReport = await rebuild(dsn(service))
    assert [table for table in report.tables if table.same is not True] == []
    assert report.parked == 0
    rows = sum(table.rows for table in report.tables)
    return f"replay of {report.events} events: {len(report.tables)} tables, {rows} rows, all the same"


async def searched(service: Service) -> str:
    """Compare the search index with the read models once it has caught up. Raises `AssertionError` at last."""
    settings = Settings(
        data=service.data,
        dsn=SecretStr(dsn(service)),
        elasticsearch_url=service.environment["ELASTICSEARCH_URL"],
        elasticsearch_prefix=service.environment["HORAE_ELASTICSEARCH_PREFIX"],
    )

    async def look() -> Sequence[Comparison]:
        async with open_reindex(settings) as reindex:
            found = [await reindex.compare(kind) for kind in KINDS]
        return found if all(each.same and not each.moving for each in found) else []

    found = await seen(look, "the search index says what the read models say", service)
    return "index: " + ", ".join(f"{each.rows.documents} of kind {each.kind}" for each in found) + ", all alike"


async def claimed_once(service: Service) -> None:
    """No occurrence has two claims."""
    conn = await service.connect()
    try:
        row = await conn.fetchrow(_CLAIMS)
    finally:
        await conn.close()
    assert row is not None
    assert row["claims"] == row["claimed"]


async def figures(client: httpx.AsyncClient) -> dict[str, float]:
    """What /metrics says, by name, summed over labels; `component_health` by component."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families((await client.get("/metrics")).text):
        for sample in family.samples:
            name = sample.labels.get("component") if sample.name == "component_health" else sample.name
            found[name or sample.name] = found.get(name or sample.name, 0.0) + sample.value
    return found


def dsn(service: Service) -> str:
    """The owner's URI of its database."""
    found = dsn_of(Installation(service.data).postgres)
    assert found is not None
    return found
