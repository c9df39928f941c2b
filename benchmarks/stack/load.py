"""The load, a process of its own: asks for schedules by the commands that the API calls, without HTTP in between.

Reads orders as lines of JSON on standard input, answers each with a line of JSON. `horae.infra.wiring` puts together
the very services that an API process has. It also is the receiver of webhooks, which answers 204 and notes when.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from datetime import datetime, timedelta
from typing import Any

from horae.api.services import Services
from horae.commands.bulk import BulkItem
from horae.commands.context import Call
from horae.domain import timing as t
from horae.domain.draft import Draft
from horae.domain.ids import shard_of
from horae.infra.processes.alone import _with_key
from horae.infra.settings import load
from horae.infra.wiring import open_services

TENANT = "default"
_CALL = Call(tenant=TENANT, actor="key:1")
_TICK_S = 0.03
_ENDPOINTS = 8
_ANSWER = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"

_numbers = itertools.count()


class Receiver:
    """Takes webhooks."""

    def __init__(self) -> None:
        self.at: list[float] = []

    async def serve(self) -> list[int]:
        """Listen on some ports, each of which counts as an endpoint of its own; returns them."""
        servers = [await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=1024) for _ in range(_ENDPOINTS)]
        return [int(server.sockets[0].getsockname()[1]) for server in servers]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
                )
                await reader.readexactly(length)
                self.at.append(time.time())
                writer.write(_ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def _draft(channel: str, at: datetime | None) -> Draft:
    timing: t.Timing = t.At(at=at) if at is not None else t.At(local=datetime(2029, 6, 1, 9), zone="Europe/Berlin")  # noqa: DTZ001
    return Draft(
        recipient=f"load-{next(_numbers)}",
        channel=channel,
        content={"subject": "Your order has shipped", "body": "Track it in the app, any time."},
        timing=timing,
    )


async def due(services: Services, order: dict[str, Any]) -> dict[str, Any]:
    """So many one-offs, due from `at` on, `spread_s` seconds long; in bulk."""
    count, first = order["count"], datetime.fromisoformat(order["at"])
    gap = timedelta(seconds=order["spread_s"] / count)
    items = [
        BulkItem(index=n, draft=_draft(order["channels"][n % len(order["channels"])], first + n * gap))
        for n in range(count)
    ]
    results = await services.schedules.bulk_create(_CALL, items)
    answers = [result.answer for result in results if result.answer is not None]
    return {"created": len(answers), "position": max(answer.position for answer in answers)}


async def pace(services: Services, order: dict[str, Any]) -> dict[str, Any]:
    """Creates at a rate for some seconds, whether or not they are answered; in bulks of a tick's share."""
    rate, seconds = order["rate"], order["seconds"]
    acked: list[tuple[float, int, int]] = []
    pending: set[asyncio.Task[None]] = set()

    async def create(count: int) -> None:
        items = [BulkItem(index=n, draft=_draft("log:", None)) for n in range(count)]
        results = await services.schedules.bulk_create(_CALL, items)
        now = time.monotonic()
        for item, result in zip(items, results, strict=True):
            if result.answer is not None:
                acked.append((now, result.answer.position, shard_of(TENANT, item.draft.recipient)))

    cpu, begin, sent = time.process_time(), time.monotonic(), 0
    while (elapsed := time.monotonic() - begin) < seconds:
        wanted = int(elapsed * rate) - sent
        if wanted:
            sent += wanted
            task = asyncio.create_task(create(wanted))
            pending.add(task)
            task.add_done_callback(pending.discard)
        await asyncio.sleep(_TICK_S)
    await asyncio.gather(*pending)
    took = time.monotonic() - begin
    return {"sent": sent, "per_second": len(acked) / took, "cpu_s": time.process_time() - cpu, "acked": acked}


async def main() -> None:
    """Carry out orders until standard input ends."""
    receiver = Receiver()
    ports = await receiver.serve()
    lines = asyncio.StreamReader(limit=2**24)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with open_services(_with_key(load().settings)) as services:
        print(json.dumps({"ports": ports}), flush=True)
        while line := await lines.readline():
            order = json.loads(line)
            if order["do"] == "due":
                answer = await due(services, order)
            elif order["do"] == "pace":
                answer = await pace(services, order)
            else:
                answer, receiver.at = {"at": receiver.at}, []
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
