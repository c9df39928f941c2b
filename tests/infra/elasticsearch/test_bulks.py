"""How documents go out: in requests of a bounded size, each of which counts as soon as it is answered.

A server of our own takes the requests of the real client; what a real one makes of them is tried in `test_engine.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from horae.infra.elasticsearch.connection import connect
from horae.infra.elasticsearch.documents import ElasticsearchDocuments
from horae.infra.elasticsearch.indices import Indices
from horae.projections.search.documents import Document


class SlowServer:
    """Answers one bulk for each that is let through."""

    def __init__(self) -> None:
        self.let = asyncio.Semaphore(0)
        #: Lines of each request that has come.
        self.came: asyncio.Queue[int] = asyncio.Queue()

    async def bulk(self, request: web.Request) -> web.Response:
        body = await request.text()
        self.came.put_nowait(body.count("\n"))
        await self.let.acquire()
        return web.json_response({"errors": False, "items": []}, headers={"X-Elastic-Product": "Elasticsearch"})


@asynccontextmanager
async def serving(server: SlowServer) -> AsyncIterator[str]:
    """Its address."""
    app = web.Application()
    app.router.add_route("*", "/{index}/_bulk", server.bulk)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def test_each_request_counts_as_soon_as_it_is_answered() -> None:
    """Whoever watches sees that a slow server goes on, long before all documents are there."""
    server = SlowServer()
    documents = [Document("audit", f"{number:04d}", "acme", 1, deleted=True) for number in range(1_200)]
    async with serving(server) as url:
        client = connect(url)
        try:
            store = ElasticsearchDocuments(client, Indices(client, "t"))
            putting = asyncio.create_task(store.put_into("t-audit-000001", documents))
            assert await server.came.get() == 2 * 500
            assert store.answered == 0
            server.let.release()
            assert await server.came.get() == 2 * 500
            assert store.answered == 1
            server.let.release()
            assert await server.came.get() == 2 * 200
            assert (store.answered, putting.done()) == (2, False)
            server.let.release()
            await putting
            assert store.answered == 3
        finally:
            await client.close()
