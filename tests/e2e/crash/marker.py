"""A named pipe by which processes that hang at a named point say so."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path


class Marker:
    """A named pipe to which a worker writes when it has reached a point; it never has to wait for us."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        path.chmod(0o666)
        # Opened for both, so that a worker's own opening and closing never blocks nor ends the pipe.
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._reached = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._fd, self._reached.set)

    async def reached(self, within_s: float = 120.0) -> int:
        """The pid of a worker that is at the point now. Raises `TimeoutError`."""
        async with asyncio.timeout(within_s):
            while True:
                await self._reached.wait()
                try:
                    return int(os.read(self._fd, 1 << 16).decode().splitlines()[-1].split()[1])
                except BlockingIOError:
                    # The loop had noticed what `forget` has read since.
                    self._reached.clear()

    def forget(self) -> None:
        """Look for the next worker's."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._fd, 1 << 16):
                pass
        self._reached.clear()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)
