"""A webhook's other side, as a process: answers 204 at once, and says on demand when each message arrived.

Prints `{"port": …}`; for each line on standard input it prints what arrived since the last one, as lines of
`releases.ndjson` would tell it (`occurrence_id`, `due_at`, `attempt`, `content`, and `released_at`: here the instant
of arrival), in one list.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from datetime import UTC, datetime
from typing import cast

import uvloop

_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Receiver(asyncio.Protocol):
    """One connection of the service's."""

    #: When, and what, of all connections.
    arrived: list[tuple[float, bytes]] = []  # noqa: RUF012 - one list for all of them is what is wanted

    def __init__(self) -> None:
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def data_received(self, data: bytes) -> None:
        self._got += data
        while True:
            head, blank, rest = self._got.partition(b"\r\n\r\n")
            if not blank:
                return
            length = _LENGTH.search(head)
            size = int(length[1]) if length is not None else 0
            if len(rest) < size:
                return
            self.arrived.append((time.time(), rest[:size]))
            self._got = rest[size:]
            self._transport.write(_ANSWER)


def told() -> list[dict[str, object]]:
    """What has arrived; it is forgotten then."""
    arrived, Receiver.arrived = Receiver.arrived, []
    found = []
    for at, body in arrived:
        message = json.loads(body)
        facts = {name: message[name] for name in ("occurrence_id", "due_at", "attempt", "content")}
        found.append({**facts, "released_at": datetime.fromtimestamp(at, UTC).isoformat()})
    return found


async def main() -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Receiver, "127.0.0.1", 0, backlog=1024)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while order := await orders.readline():
        answer = {"count": len(Receiver.arrived)} if order == b"count\n" else {"releases": told()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
