"""A recorded log as a file: one JSON line per event, as it is stored, to be looked at and replayed elsewhere.

Place in the flow: event store -> `record` -> file -> `read` -> replay. It holds what the log holds, personal parts
included.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import UUID

import asyncpg

from horae.domain import codec
from horae.domain.envelope import Recorded
from horae.domain.errors import Invalid
from horae.infra.eventstore.raw import read_rows

_PAGE = 2_000
_HINT = "Write the file with `horae record FILE`."


@contextmanager
def created(path: Path) -> Iterator[IO[str]]:
    """A new file that only its owner can read. It gets its name when it is whole: what fails leaves nothing behind.

    Raises `FileExistsError`.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".unfinished", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            raise FileExistsError(path)
        Path(name).rename(path)
    except BaseException:
        Path(name).unlink()
        raise


async def record(dsn: str, file: IO[str], *, until: int | None = None) -> int:
    """Write the log up to `until` (inclusive; None: as far as it goes now); gives how many events. Owner's role."""
    session = await asyncpg.connect(dsn, server_settings={"application_name": "horae-record"})
    try:
        position = count = 0
        while until is None or position < until:
            rows = await read_rows(session, position, _PAGE)
            if not rows:
                break
            for row in rows:
                if until is not None and row.position > until:
                    return count
                line = {"position": row.position, "stream": str(row.stream), "version": row.version, "event": row.name}
                file.write(f'{json.dumps(line)[:-1]}, "state": {row.state.decode()}}}\n')
                count += 1
            position = rows[-1].position
        return count
    finally:
        await session.close()


def read(lines: Iterable[str], *, until: int | None = None) -> Iterator[Recorded]:
    """The events up to `until` (inclusive), in order. Raises `Invalid` naming the line that is no event."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            said = json.loads(line)
            position = int(said["position"])
            if until is not None and position > until:
                return
            state = json.dumps(said["state"]).encode()
            event = codec.load(said["event"], state, UUID(said["stream"]), int(said["version"]), position)
        except (ValueError, KeyError, TypeError) as error:
            raise Invalid("This line is not an event of the log.", field="line", value=number, hint=_HINT) from error
        yield event
