"""The store stands through a crash of the server: what it acknowledged is there, once, and callers only wait."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from horae.infra.eventstore import PostgresEventStore
from horae.infra.postgres import Cluster, migrate
from tests.contracts.event_store import events_of


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    """A server of the test's own, to be killed."""
    folder = Path(tempfile.mkdtemp(prefix="horae-test-"))
    folder.chmod(0o755)
    cluster = Cluster(folder, durable=False)
    cluster.start()
    migrate(cluster.dsn())
    yield cluster
    cluster.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.crash
async def test_appends_survive_kill_9_of_postgres(own_cluster: Cluster) -> None:
    """Every command that was under way when the server died returns, is stored once, and the subscription goes on."""
    async with PostgresEventStore(own_cluster.dsn()) as store, store.subscribe() as subscription:
        acknowledged: dict[UUID, int] = {}
        enough = asyncio.Event()
        killed = asyncio.Event()

        async def keep_appending() -> None:
            more = 50
            while more:
                stream = uuid4()
                acknowledged[stream] = await store.append(events_of(stream, [1, 2]))
                if len(acknowledged) > 200:
                    enough.set()
                more -= killed.is_set()

        appending = [asyncio.create_task(keep_appending()) for _ in range(16)]
        await enough.wait()
        os.kill(own_cluster.pid, signal.SIGKILL)
        await asyncio.to_thread(own_cluster.ended.wait)
        killed.set()
        await asyncio.to_thread(own_cluster.start)
        await asyncio.gather(*appending)

        assert await store.head() == 2 * len(acknowledged)
        seen: dict[UUID, int] = {}
        positions: list[int] = []
        async for batch in subscription:
            positions += [event.position for event in batch]
            seen |= {event.stream: event.position for event in batch}
            if positions[-1] == 2 * len(acknowledged):
                break
        assert positions == list(range(1, len(positions) + 1))
        assert seen == acknowledged
