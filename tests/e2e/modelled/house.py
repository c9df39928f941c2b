"""The real processes that the model is played against: one installation on virtual time, two tenants, one receiver.

Everything runs on an event loop of its own that turns only while something is asked, because the machine that asks is
not a coroutine. What came out is read where it went: the file of `log:`, and the receiver of webhooks.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Coroutine
from datetime import datetime
from typing import Any, Self, TypeVar

import httpx

from tests.e2e.harness import Service
from tests.e2e.live import ADVANCE_S, command, open_folder
from tests.e2e.modelled.model import Release
from tests.e2e.profiles import Profile
from tests.e2e.receiver import Answer, Receiver

T = TypeVar("T")

#: How often time is asked to move where the machine is too busy: the same again is harmless.
_TRIES = 5


class House:
    """A context: everything is up inside, and stopped cleanly after."""

    def __init__(self, clock: str) -> None:
        self._parent = open_folder()
        self._loop = asyncio.new_event_loop()
        profile = Profile()
        self.service = Service(self._parent / "data", clock=f"virtual={clock}", environment=profile.environment())
        self.receiver = Receiver()
        self._read = 0
        self.ours: httpx.AsyncClient
        self.theirs: httpx.AsyncClient

    def run(self, asked: Coroutine[Any, Any, T]) -> T:
        """Turn the loop until it is answered."""
        return self._loop.run_until_complete(asked)

    def __enter__(self) -> Self:
        self.run(self._start())
        return self

    async def _start(self) -> None:
        await self.service.start()
        await self.receiver.__aenter__()
        # None is kept: the loop stands still between two requests, and would not see that one was closed.
        unkept = httpx.Limits(max_keepalive_connections=0)
        self.ours = self.service.client(limits=unkept)
        issued = await command(self.service, "keys", "issue", "globex", "--tenant", "globex", "--scope", "admin")
        self.theirs = self.service.client(issued["key"], limits=unkept)

    def __exit__(self, *_: object) -> None:
        try:
            self.run(self._stop())
        finally:
            self._loop.close()
            shutil.rmtree(self._parent, ignore_errors=True)

    async def _stop(self) -> None:
        await self.ours.aclose()
        await self.theirs.aclose()
        await self.receiver.__aexit__()
        assert await self.service.stop() == 0, self.service.tail()

    # --- asking ---

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        theirs: bool = False,
        **params: Any,
    ) -> httpx.Response:
        """One request, by our tenant's key or another's."""
        client = self.theirs if theirs else self.ours
        return self.run(client.request(method, path, json=body, headers=headers, params=params, timeout=ADVANCE_S))

    def now(self) -> datetime:
        """The service's clock."""
        return datetime.fromisoformat(self.ask("GET", "/v1/clock").json()["now"])

    def advance(self, to: datetime) -> None:
        """Move time, and return when everything due on the way is done."""
        for _ in range(_TRIES):
            answer = self.ask("POST", "/v1/clock/advance", {"to": to.isoformat()})
            if answer.status_code != 503:
                break
        assert answer.status_code == 200, f"{answer.text}\n{self.service.tail()}"

    def answers(self, status: int) -> None:
        """What the receiver answers from now on."""
        self.receiver.default = Answer(status=status)

    def releases(self) -> list[Release]:
        """What has come out since this was asked last."""
        path = self.service.data / "releases.ndjson"
        written = self.service.releases()[self._read :] if path.exists() else []
        self._read += len(written)
        received = [request.json for request in self.receiver.requests]
        self.receiver.requests.clear()
        return sorted(map(_release, [*written, *received]))


def _release(said: dict[str, Any]) -> Release:
    return Release(
        schedule=said["schedule_id"],
        slot=said["slot"],
        due_at=datetime.fromisoformat(said["due_at"]),
        attempt=said["attempt"],
        released_at=datetime.fromisoformat(said["released_at"]),
        content=said["content"]["n"],
    )
