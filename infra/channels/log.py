"""The `log:` channel: a JSON line per release in DIR/releases.ndjson, on disk before the release counts as taken.

Place in the flow: dispatcher -> *channel*. Lines that come together are written and synced together, by one writer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from pathlib import Path

from horae.domain.delivery import Failure
from horae.streams.channels import Receipt, Release, ReleaseFailed

FILE_NAME = "releases.ndjson"
_LINES_PER_SYNC = 2_000


class LogChannel:
    """Appends to `directory/releases.ndjson`, which it makes if needed. One per file and process.

    After a crash in the middle of a line, that line is closed off, so that every later one can be read: whoever reads
    the file skips lines that are no JSON.
    """

    def __init__(self, directory: Path) -> None:
        """Raises `OSError` when the file cannot be opened."""
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / FILE_NAME
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        self._queue: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._closed = False
        _close_torn_line(self._file)

    async def release(self, release: Release) -> Receipt:
        """See `Channel.release`: the line is on disk."""
        if self._closed:
            raise ReleaseFailed(Failure(kind="io", message="the release log is closed", nothing_arrived=True))
        line = json.dumps(release.document(), ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((line, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write(), name="release-log")
        await done
        return Receipt()

    async def aclose(self) -> None:
        """See `Channel.aclose`."""
        if self._closed:
            return
        self._closed = True
        if self._writer is not None:
            await self._writer
        os.close(self._file)

    async def _write(self) -> None:
        """Write what is queued, a batch per sync; what comes meanwhile is the next batch."""
        while self._queue:
            batch, self._queue = self._queue[:_LINES_PER_SYNC], self._queue[_LINES_PER_SYNC:]
            # Whoever gave up before it was written does not want it any more.
            batch = [(line, done) for line, done in batch if not done.cancelled()]
            error: OSError | None = None
            try:
                await asyncio.to_thread(_append, self._file, b"".join(line for line, _ in batch))
            except OSError as caught:
                error = caught
            for _, done in batch:
                if done.cancelled():
                    continue
                if error is None:
                    done.set_result(None)
                else:
                    # Part of the batch may stand in the file.
                    done.set_exception(ReleaseFailed(Failure(kind="io", message=str(error))))


def _append(file: int, data: bytes) -> None:
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(file, view) :]
        os.fdatasync(file)
    except OSError:
        with contextlib.suppress(OSError):
            _close_torn_line(file)
        raise


def _close_torn_line(file: int) -> None:
    size = os.fstat(file).st_size
    if size and os.pread(file, 1, size - 1) != b"\n":
        os.write(file, b"\n")
