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
    """One server, started again whenever it ends. `moved` is told when it answers at another port than before."""

    def __init__(self, server: JvmServer, moved: Callable[[], None]) -> None:
        self._server, self._moved = server, moved
        #: Set when it has answered once: its address is known from then on.
        self.up = asyncio.Event()

    async def run(self) -> None:
        """Keep it running until cancelled; then it is stopped. Raises `StackError` when it does not start at first."""
        try:
            await _in_thread(self._server.start, self._server.title)
            port = self._server.port
            _log.info("server_started", server=self._server.title, pid=self._server.pid, port=port)
            self.up.set()
            while True:
                await _in_thread(self._server.ended.wait, self._server.title)
                _log.warning("server_ended", server=self._server.title)
                await self._restart()
                if self._server.port != port:
                    port = self._server.port
                    self._moved()
        finally:
            await _in_thread(lambda: self._server.stop(_STOP_S), self._server.title)

    async def _restart(self) -> None:
        backoff_s = _BACKOFF_S
        while True:
            await asyncio.sleep(backoff_s)
            try:
                await _in_thread(self._server.start, self._server.title)
            except StackError as error:
                _log.error("server_does_not_start", server=self._server.title, error=str(error))
                backoff_s = min(2 * backoff_s, _LONGEST_BACKOFF_S)
            else:
                _log.info("server_started", server=self._server.title, pid=self._server.pid, port=self._server.port)
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
        self._kept = [KeptServer(server, moved) for server in (self._kafka, self._elasticsearch) if server is not None]

    async def run(self) -> None:
        """Keep them until cancelled; then stop them side by side. Raises `StackError` when one does not start."""
        if self._kept and (lacks := missing()):
            raise StackError(" ".join(lacks))
        keeping = [asyncio.create_task(kept.run(), name="keep-server") for kept in self._kept]
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
        """Return when each has answered once, and so has an address."""
        for kept in self._kept:
            await kept.up.wait()

    def addresses(self) -> dict[str, Any]:
        """The settings that lead to them."""
        found: dict[str, Any] = {}
        if self._kafka is not None:
            found["kafka_brokers"] = self._kafka.bootstrap
        if self._elasticsearch is not None:
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
