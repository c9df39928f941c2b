"""Asks a running API whether it is ready.

Place in the flow: the supervisor, before it says that everything runs; the CLI, when it wants to know.
"""

from __future__ import annotations

import asyncio
import contextlib

_PAUSE_S = 0.05
_ANSWER_S = 5.0


async def until_ready(host: str, port: int) -> None:
    """Return when `/readyz` answers 200; ask again as long as it does not."""
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    while True:
        with contextlib.suppress(OSError, TimeoutError, ValueError, IndexError):
            if await asyncio.wait_for(_status(target, port), _ANSWER_S) == 200:
                return
        await asyncio.sleep(_PAUSE_S)


async def _status(host: str, port: int) -> int:
    # By hand: an HTTP client library would cost the start a fifth of a second.
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET /readyz HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        return int((await reader.readline()).split()[1])
    finally:
        writer.close()
