"""Kafka and Elasticsearch under `horae run --profile stack`: started side by side, kept running, stopped with us.

Place in the flow: supervisor -> *here* -> `KafkaServer`, `ElasticsearchServer`. Their methods block, and a first start
fetches programs, so each works in a thread of its own that the end of the process need not wait for.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import structlog

from horae.infra.settings import Settings
from horae.infra.stack import ElasticsearchServer, KafkaServer, StackError
from horae.infra.stack.maven import Say, missing
from horae.infra.stack.server import JvmServer

_STOP_S = 10.0
_BACKOFF_S = 0.5
_LONGEST_BACKOFF_S = 10.0

T = TypeVar("T")

_log = structlog.get_logger(__name__)


class KeptServer:
    """One server, started again whenever it ends.

    `moved` is told when it answers elsewhere than was known; `needed`: without it there is no start.
    """

    def __init__(self, server: JvmServer, moved: Callable[[], None], *, needed: bool) -> None:
        self._server, self._moved, self._needed = server, moved, needed
        #: Set when it has answered once, or has not and the others can begin without it.
        self.settled = asyncio.Event()
        #: The port at which it answered last; None: it never has.
        self.port: int | None = None

    async def run(self) -> None:
        """Keep it running until cancelled; then it is stopped. Raises `StackError` when it is needed and fails."""
        try:
            try:
                await self._start()
            except StackError as error:
                if self._needed:
                    raise
                _log.error("server_does_not_start", server=self._server.title, error=str(error))
                self.settled.set()
                await self._restart()
            self.settled.set()
            while True:
                await _in_thread(self._server.ended.wait, self._server.title)
                _log.warning("server_ended", server=self._server.title)
                await self._restart()
        finally:
            await _in_thread(lambda: self._server.stop(_STOP_S), self._server.title)

    async def _start(self) -> None:
        await _in_thread(self._server.start, self._server.title)
        port, known = self._server.port, self.port
        _log.info("server_started", server=self._server.title, pid=self._server.pid, port=port)
        self.port = port
        if self.settled.is_set() and port != known:
            self._moved()

    async def _restart(self) -> None:
        backoff_s = _BACKOFF_S
        while True:
            await asyncio.sleep(backoff_s)
            try:
                await self._start()
            except StackError as error:
                _log.error("server_does_not_start", server=self._server.title, error=str(error))
                backoff_s = min(2 * backoff_s, _LONGEST_BACKOFF_S)
            else:
                return


class Servers:
    """The servers that this installation runs itself: in the stack profile those whose address nobody has given.

    `own_kafka`: no address of a cluster is configured. `moved` is told when an address is another than it was; `say`
    when something is fetched, which takes a while.
    """

    def __init__(
        self, settings: Settings, folder: Path, moved: Callable[[], None], say: Say, *, own_kafka: bool
    ) -> None:
        stack = settings.profile == "stack"
        self._kafka = KafkaServer(folder / "kafka", say=say) if stack and own_kafka else None
        own_search = stack and settings.elasticsearch_url is None
        self._elasticsearch = ElasticsearchServer(folder / "elasticsearch", say=say) if own_search else None
        self._kept: dict[str, KeptServer] = {}
        if self._kafka is not None:
            self._kept["kafka"] = KeptServer(self._kafka, moved, needed=True)
        if self._elasticsearch is not None:
            # Search is not worth a start that fails: PostgreSQL searches meanwhile.
            self._kept["elasticsearch"] = KeptServer(self._elasticsearch, moved, needed=False)

    async def run(self) -> None:
        """Keep them until cancelled; then stop them side by side. Raises `StackError` when one does not start."""
        if self._kept and (lacks := missing()):
            raise StackError(" ".join(lacks))
        keeping = [asyncio.create_task(kept.run(), name="keep-server") for kept in self._kept.values()]
        try:
            if keeping:
                await asyncio.wait(keeping, return_when=asyncio.FIRST_EXCEPTION)
            for task in keeping:
                if task.done():
                    task.result()
            await asyncio.Event().wait()
        finally:
            for task in keeping:
                task.cancel()
            await asyncio.gather(*keeping, return_exceptions=True)

    async def up(self) -> None:
        """Return when all that is needed has answered."""
        for kept in self._kept.values():
            await kept.settled.wait()

    def addresses(self) -> dict[str, Any]:
        """The settings that lead to them."""
        found: dict[str, Any] = {}
        if self._kafka is not None:
            found["kafka_brokers"] = self._kafka.bootstrap
        if self._elasticsearch is not None and self._kept["elasticsearch"].port is not None:
            found["elasticsearch_url"] = self._elasticsearch.url
        return found


async def _in_thread(work: Callable[[], T], name: str) -> T:
    """What `work` gives, or raises. When cancelled it goes on without us."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(give: Callable[[], None]) -> None:
        def unless_cancelled() -> None:
            if not done.cancelled():
                give()

        try:
            loop.call_soon_threadsafe(unless_cancelled)
        except RuntimeError:  # the loop has ended meanwhile
            return

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001  raised again where it is awaited
            tell(lambda error=error: done.set_exception(error))  # type: ignore[misc]
        else:
            tell(lambda: done.set_result(result))

    threading.Thread(target=run, name=f"keep-{name}", daemon=True).start()
    return await done
