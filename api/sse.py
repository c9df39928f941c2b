"""The tenant's events as server-sent events, by position, with resume.

Each stream reads the log itself, page by page, only as fast as its client takes them (at most a page is buffered),
and sleeps until the read models' progress says that something new is in the log: an event that arrives here can be read
everywhere else, too.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

from horae.api.auth import Caller
from horae.api.errors import TooManyStreams
from horae.api.services import Services
from horae.domain.envelope import Recorded
from horae.domain.key import KeyEvent
from horae.domain.key import Scope as KeyScope

PAGE = 200


class OpenStreams:
    """How many streams each key has open at this process, which bounds what a client that forgets to close can hold."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: Counter[UUID] = Counter()

    def open(self, caller: Caller) -> Callable[[], None]:
        """Take a place; gives what gives it back. Raises `TooManyStreams`."""
        if self._open[caller.key] >= self._limit:
            raise TooManyStreams(
                f"The key has {self._limit} event streams open, which is as many as one may have.",
                field="Authorization",
                value=self._limit,
                hint="Close one, share one among your readers, or let HORAE_EVENT_STREAMS_PER_KEY be raised.",
            )
        self._open[caller.key] += 1

        def close() -> None:
            self._open[caller.key] -= 1
            if not self._open[caller.key]:
                del self._open[caller.key]

        return close


async def events(
    services: Services,
    caller: Caller,
    position: int,
    wanted: tuple[str, ...],
    limit: int | None,
    admitted: Callable[[], Awaitable[bool]],
) -> AsyncIterator[bytes]:
    """Frames of the caller's events later than `position`; endless unless `limit` events are asked for.

    Ends when the caller is not `admitted` any more, asked before each page and at least once per heartbeat.
    """
    reader = services.store.scoped(caller.tenant)
    yield b"retry: 1000\n\n"
    sent = 0
    while True:
        # Before reading: what is applied meanwhile ends the sleep below at once.
        seen = services.progress.applied
        page = await reader.after(position, PAGE)
        if not await admitted():
            return
        # The log is ahead of the read models: whoever hears of an event may read it.
        while page and not await services.progress.wait(page[-1].position, services.settings.heartbeat_s):
            yield b": the read models are behind\n\n"
        for event in page:
            position = event.position
            if not _is_for(event, caller, wanted):
                continue
            yield frame(event)
            sent += 1
            if limit is not None and sent >= limit:
                return
        if len(page) < PAGE and not await services.progress.wait(seen + 1, services.settings.heartbeat_s):
            # The position of a stream without matching events moves on, too: a resume need not read them again.
            yield f"id: {position}\n: nothing new\n\n".encode()


def _is_for(event: Recorded, caller: Caller, wanted: tuple[str, ...]) -> bool:
    if isinstance(event.body, KeyEvent) and caller.scope is not KeyScope.ADMIN:
        return False
    name = event.body.name
    return not wanted or any(name == want or name.startswith(f"{want}.") for want in wanted)


def frame(event: Recorded) -> bytes:
    """One event: its position as id, its stored name, and its envelope with its body as JSON."""
    body: dict[str, Any] = event.body.model_dump(mode="json", exclude_none=True)
    body.pop("sha256", None)
    data = {
        "position": event.position,
        "event": event.body.name,
        "stream": str(event.stream),
        "version": event.version,
        "at": event.meta.recorded_at.isoformat().replace("+00:00", "Z"),
        "actor": event.meta.actor,
        "request_id": event.meta.request_id,
        "data": body,
    }
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    return f"id: {event.position}\nevent: {event.body.name}\ndata: {text}\n\n".encode()
