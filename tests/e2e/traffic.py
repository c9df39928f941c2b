"""A service in use without a pause: schedules are created and fire, and readers look whether anything is missing.

What a reader has seen once, or what was acknowledged before it asked for that position, it must see ever after;
whatever it misses ends `flowing` with an `AssertionError`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.e2e.harness import Service
from tests.e2e.receiver import Receiver

WORD = "tireless"
#: Creators at work at once.
CREATORS = 8
#: Schedules that one pass looks up by their id, the newest and then the next of all others: a pass that looks at each
#: takes the longer the more there are, and more are made meanwhile than it looks at.
_LOOKED_UP = 40
#: How far a one-off has come.
_ORDER = ("pending", "executing", "completed")


class Traffic:
    """Some creators, whose every schedule fires at once, and one reader of each kind."""

    def __init__(self, service: Service, client: httpx.AsyncClient, receiver: Receiver) -> None:
        self._service, self._client, self._receiver = service, client, receiver
        #: Acknowledged, with the position of the acknowledgement, in order.
        self.made: list[tuple[str, int]] = []
        #: Whole passes of each reader.
        self.passes = dict.fromkeys(("get", "list", "search"), 0)
        #: How many each engine found last; Elasticsearch shows what is new a second later than PostgreSQL.
        self.found: dict[str, int] = {}
        #: How often a reader was told to ask again.
        self.busy = 0
        self._status: dict[str, int] = {}
        self._turn = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """All of it goes on until the block ends. Raises what a reader missed, also in the midst of the block."""
        async with asyncio.TaskGroup() as group:
            works = [*[self._create] * CREATORS, self._get, self._list, self._search]
            tasks = [group.create_task(_for_ever(work)) for work in works]
            yield
            for task in tasks:
                task.cancel()

    async def passed(self, more: int = 2) -> None:
        """Return when each reader has looked through everything so often again, and as many have fired."""
        wanted = {reader: passes + more for reader, passes in self.passes.items()}
        made = len(self.made) + more
        async with self._changed:
            await self._changed.wait_for(
                lambda: len(self.made) >= made and all(self.passes[reader] >= wanted[reader] for reader in wanted)
            )

    async def _create(self) -> None:
        answer = await self._service.create(
            self._client, channel=self._receiver.channel, content={"subject": WORD}, tags=[WORD]
        )
        self.made.append((answer["id"], answer["position"]))
        # Never further ahead of what fires than all of them with one each.
        await self._receiver.received(len(self.made) - CREATORS + 1)
        await self._tell()

    async def _get(self) -> None:
        """Each by its id: it is there, and never further from its end than before."""
        made = list(self.made)
        old = made[:-_LOOKED_UP]
        turn = self._turn % len(old) if old else 0
        self._turn += _LOOKED_UP
        for schedule, _ in [*made[-_LOOKED_UP:], *old[turn : turn + _LOOKED_UP]]:
            shown = await self._ask(f"/v1/schedules/{schedule}")
            standing = _ORDER.index(shown["status"])
            assert standing >= self._status.get(schedule, 0), f"{schedule} was further: {shown}"
            self._status[schedule] = standing
        await self._tell("get")

    async def _list(self) -> None:
        """All pages of the list: everything that was acknowledged before."""
        made = list(self.made)
        listed: set[str] = set()
        cursor = None
        while made:
            newest = max(position for _, position in made)
            asked = {"tag": WORD, "limit": 500, "min_position": newest} | ({"cursor": cursor} if cursor else {})
            page = await self._ask("/v1/schedules", **asked)
            listed |= {item["id"] for item in page["items"]}
            cursor = page["next"]
            if cursor is None:
                break
        missing = [schedule for schedule, _ in made if schedule not in listed]
        assert not missing, f"the list lacks {missing}, of {len(made)}"
        await self._tell("list")

    async def _search(self) -> None:
        """As many as the same engine found before, or more."""
        found = await self._ask("/v1/search", q=WORD, limit=1)
        engine, total, before = found["served_by"], found["total"], self.found.get(found["served_by"], 0)
        assert total >= before, f"{engine} found {before}, then {total}"
        self.found[engine] = total
        await self._tell("search")

    async def _ask(self, path: str, **params: Any) -> dict[str, Any]:
        answer = await self._client.get(path, params=params)
        while answer.status_code == 503 and answer.json()["code"] == "busy":
            # The read models are not there yet and say so: that is no gap.
            self.busy += 1
            answer = await self._client.get(path, params=params)
        assert answer.status_code == 200, f"{path} {params}: {answer.text}"
        shown: dict[str, Any] = answer.json()
        return shown

    async def _tell(self, reader: str | None = None) -> None:
        async with self._changed:
            if reader is not None:
                self.passes[reader] += 1
            self._changed.notify_all()


async def _for_ever(work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await work()
        await asyncio.sleep(0)
