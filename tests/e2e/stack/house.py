"""An installation of the stack profile, put together from its parts as on many machines: each a process of its own.

A house has PostgreSQL, Kafka and Elasticsearch (`house.stack`, see `infra/stack/local.py`: each may be killed, stopped
and started on its own) and the parts `api-1`, `worker-1` ..., `relay-1` ..., `indexer-1` ... (`house.parts`, see
`part.py`), which find each other by nothing but their settings. What dies is started again at once; `Part.stop` ends it
for good. `await house.start()` returns when the API is ready and the workers have shared the partitions.

    async with House(folder, workers=3) as house:
        async with house.client() as client:
            await house.create(client, channel=receiver.channel)
        await house.parts["worker-1"].kill()
        await asyncio.to_thread(house.stack.kafka.kill)
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self, TypeVar

import asyncpg
import httpx
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from horae.infra.postgres import API_ROLE
from horae.infra.processes.forks import Forks
from horae.infra.settings import Settings
from horae.infra.stack.local import LocalStack
from horae.projections.away import DATABASE_AWAY
from tests.e2e.harness import free_port
from tests.e2e.stack.forking import MODULE
from tests.e2e.stack.part import ROOT, Part, command
from tests.e2e.talking import KEY, PATIENCE_S, Talking

#: A first start on a busy machine: three servers, and the imports.
START_S = 240.0
_LOOK_EVERY_S = 0.2

#: What looking raises while a server is away.
AWAY = (*DATABASE_AWAY, httpx.HTTPError)

T = TypeVar("T")


class House(Talking):
    """Give it a folder that everybody may enter. `environment` is added to every part's; change it before a restart."""

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 3,
        relays: int = 2,
        indexers: int = 1,
        apis: int = 1,
        partitions: int = 16,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.folder = folder
        # On two cores the compiler of Java's last tier would take a third of one for minutes.
        self.stack = LocalStack(folder / "servers", quick_start=True)
        self.partitions = partitions
        self.environment = environment or {}
        self._secret = secrets.token_hex(32)
        self._forks = Forks("stack", module=MODULE)
        self._ports = [free_port() for _ in range(apis)]
        numbers = {"api": apis, "relay": relays, "worker": workers, "indexer": indexers}
        self.parts = {
            part.name: part for kind, count in numbers.items() for part in (self._part(kind, n) for n in range(count))
        }

    def _part(self, kind: str, number: int) -> Part:
        name = f"{kind}-{number + 1}"
        arguments = (kind, "--port", str(self._ports[number])) if kind == "api" else (kind,)
        return Part(name, arguments, self._forks, self._environment, self.folder / f"{name}.log")

    # --- life ---

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> Self:
        """Start everything; returns when the API is ready and every shard has one worker by Kafka's assignment."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        try:
            await asyncio.to_thread(self.stack.start)
            await self.run("migrate")
            await asyncio.gather(*(part.start() for part in self.parts.values()))
            await self.ready()
            await self.shared()
        except BaseException:
            await self.stop()
            raise
        return self

    async def stop(self) -> None:
        """End the parts in the order in which one would, then the servers."""
        for kind in ("api", "worker", "relay", "indexer"):
            await asyncio.gather(*(part.stop() for part in self.of(kind)))
        await self._forks.close()
        await asyncio.to_thread(self.stack.stop)

    async def ready(self, within_s: float = START_S) -> None:
        """Return when every API answers 200 at /readyz."""

        async def look() -> bool:
            async with self.client() as client:
                answers = [await client.get(f"http://127.0.0.1:{port}/readyz") for port in self._ports]
            return all(answer.status_code == 200 for answer in answers)

        await self.until_seen(look, within_s, "the API is ready")

    async def shared(self, within_s: float = START_S) -> None:
        """Return when the workers that live have shared all shards among them by Kafka's assignment."""

        async def look() -> bool:
            owned = {pid: shards for pid, shards in (await self.owners()).items() if shards}
            # The last word of one that was killed a moment ago does not count.
            alive = {part.pid for part in self.of("worker") if part.running}
            shared = sorted(shard for shards in owned.values() for shard in shards)
            return owned.keys() == alive and shared == list(range(64))

        await self.until_seen(look, within_s, "the workers share the shards")

    # --- parts ---

    def of(self, kind: str) -> list[Part]:
        """The parts of a kind: api, worker, relay, indexer."""
        return [part for name, part in self.parts.items() if name.rpartition("-")[0] == kind]

    async def run(self, *arguments: str, **environment: str) -> str:
        """`horae ARGUMENTS` to its end; what it printed. Raises `AssertionError` when it fails."""
        process = await asyncio.create_subprocess_exec(
            *command(arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | self._environment() | environment,
            cwd=ROOT,
        )
        out, err = await process.communicate()
        assert process.returncode == 0, f"horae {' '.join(arguments)}: {err.decode()[-4000:]}"
        return out.decode()

    def _environment(self) -> dict[str, str]:
        """What every part is told, as of now; holds passwords."""
        return {
            "HORAE_PROFILE": "stack",
            "HORAE_DATA": str(self.folder / "data"),
            "HORAE_DSN": self.stack.postgres.dsn(),
            "HORAE_API_DSN": self.stack.postgres.dsn(API_ROLE),
            "HORAE_API_KEY": KEY,
            "ENCRYPTION_KEY": self._secret,
            "HORAE_ALLOW_PRIVATE_TARGETS": "true",
            "KAFKA_BROKERS": self.stack.kafka.bootstrap,
            "HORAE_KAFKA_PARTITIONS": str(self.partitions),
            "ELASTICSEARCH_URL": self.stack.elasticsearch.url,
            "HORAE_LOG_FORMAT": "json",
        } | self.environment

    def settings(self) -> Settings:
        """As the parts have them, for the code that tests use themselves."""
        return Settings(
            profile="stack",
            data=self.folder / "data",
            dsn=SecretStr(self.stack.postgres.dsn()),
            kafka_brokers=self.stack.kafka.bootstrap,
            kafka_partitions=self.partitions,
            elasticsearch_url=self.stack.elasticsearch.url,
            encryption_key=SecretStr(self._secret),
        )

    # --- looking ---

    @property
    def url(self) -> str:
        """The first API's."""
        return f"http://127.0.0.1:{self._ports[0]}"

    def tail(self, lines: int = 30) -> str:
        """The end of what each part said."""
        return "\n".join(part.tail(lines) for part in self.parts.values())

    async def connect(self) -> asyncpg.Connection[asyncpg.Record]:
        """To the database, as its owner."""
        return await asyncpg.connect(self.stack.postgres.dsn())

    async def ask(self, query: str, *arguments: object) -> list[Any]:
        """The rows of one query, as the owner."""
        conn = await self.connect()
        try:
            return list(await conn.fetch(query, *arguments))
        finally:
            await conn.close()

    async def owners(self) -> dict[int, frozenset[int]]:
        """Process id -> the shards that Kafka's assignment gives to that worker, by heartbeats (3 s at most)."""
        rows = await self.ask(
            "SELECT pid, shards FROM sys.heartbeats AS b JOIN sys.incarnations AS i ON i.id = b.incarnation "
            "WHERE b.kind = 'worker' AND beat_at > clock_timestamp() - interval '3 seconds'"
        )
        return {row["pid"]: frozenset(row["shards"]) for row in rows}

    async def figures(self) -> dict[int, dict[str, float]]:
        """Incarnation -> what its instruments say, by sample name, summed over labels; the last minute's dead too."""
        found: dict[int, dict[str, float]] = {}
        for row in await self.ask("SELECT incarnation, metrics FROM sys.heartbeats"):
            sums = found[row["incarnation"]] = {}
            for family in text_string_to_metric_families(row["metrics"]):
                for sample in family.samples:
                    sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
        return found

    async def until_seen(
        self, look: Callable[[], Awaitable[T | None]], within_s: float = PATIENCE_S, what: str = "what was expected"
    ) -> T:
        """What `look` gives, once that is true; for what nothing announces. Being away is no answer yet.

        Raises `AssertionError` with the end of all logs.
        """
        never = asyncio.Event()
        last = ""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    try:
                        if found := await look():
                            return found
                    except AWAY as error:
                        last = f" (last: {error!r})"
                    else:
                        last = ""
                    try:
                        async with asyncio.timeout(_LOOK_EVERY_S):
                            await never.wait()
                    except TimeoutError:
                        continue
        except TimeoutError:
            raise AssertionError(f"not within {within_s:g} s: {what}{last}\n{self.tail()}") from None
