"""Whether what lies outside of us answers: Kafka, the relay before it, and Elasticsearch; and what takes its place.

Place in the flow: the API's /readyz -> *here* -> Kafka, Elasticsearch. Creating and firing go on without any of them,
so that none makes the service unhealthy: it is degraded, and says what does the work meanwhile.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from horae.api.services import Check, Health
from horae.domain.errors import HoraeError, Unavailable
from horae.infra.lag import LagWatch
from horae.infra.readiness import SILENCE_S, absent_check, relay_check
from horae.infra.settings import Settings

if TYPE_CHECKING:
    import asyncpg

    Pool = asyncpg.Pool[asyncpg.Record]

#: Less than what the report waits for all of its checks.
_ANSWER_S = 2.0
#: Probes come every few seconds from several places: nobody outside is asked more often than this.
_REMEMBERED_S = 5.0

#: An event that cannot be found for so long is missed by those who search.
SEARCH_LAG_S = 30.0
_FAILING = re.compile(r"^horae_search_failing(?:\{[^}]*\})? 1(?:\.0)?$", re.MULTILINE)

_LOG_INSTEAD = "workers read the log from PostgreSQL"
_SEARCH_INSTEAD = "PostgreSQL searches"

_INDEXERS = (
    "SELECT applied, metrics FROM sys.heartbeats "
    "WHERE kind = 'indexer' AND beat_at > clock_timestamp() - make_interval(secs => $1)"
)


class Old(Exception):
    """What is found is older than it should be; the message says why, and nothing takes its place."""

    def __init__(self, why: str, details: dict[str, Any]) -> None:
        super().__init__(why)
        self.details = details


def outside_checks(settings: Settings, pool: Pool, head: Callable[[], Awaitable[int]]) -> Mapping[str, Check]:
    """The checks of this installation's profile; what others have and it has not is `absent`, with the reason."""
    checks: dict[str, Check] = {
        "redis": absent_check("PostgreSQL keeps what Redis would"),
        "kafka": absent_check(_LOG_INSTEAD),
        "search": absent_check(_SEARCH_INSTEAD),
    }
    if settings.profile == "stack":
        checks["kafka"] = degrading(lambda: ask_kafka(settings), _LOG_INSTEAD)
        checks["relay"] = relay_check(pool, head)
    if settings.elasticsearch_url is not None:
        url, lag = settings.elasticsearch_url, LagWatch(head, time.monotonic)
        checks["search"] = degrading(lambda: ask_search(url, pool, lag), _SEARCH_INSTEAD)
    return checks


def degrading(
    ask: Callable[[], Awaitable[dict[str, Any]]], meanwhile: str, *, monotonic: Callable[[], float] = time.monotonic
) -> Check:
    """A check of something that we can do without: whatever is wrong with it, we are degraded and say what happens.

    `ask` gives details, or raises `Old`; its answer holds for a few seconds.
    """
    known: tuple[float, Health] | None = None
    asking = asyncio.Lock()

    async def check() -> Health:
        nonlocal known
        async with asking:
            if known is None or monotonic() - known[0] > _REMEMBERED_S:
                began = time.perf_counter()
                try:
                    async with asyncio.timeout(_ANSWER_S):
                        details = await ask()
                    health = Health("healthy", round((time.perf_counter() - began) * 1000, 3), details)
                except Old as old:
                    health = Health("degraded", None, old.details, str(old))
                except TimeoutError:
                    health = Health("degraded", error=f"no answer within {_ANSWER_S:g} s; meanwhile {meanwhile}")
                except Exception as error:  # noqa: BLE001  every client has its own kinds of trouble
                    reason = str(error) if isinstance(error, HoraeError) else f"{type(error).__name__}: {error}"
                    health = Health("degraded", error=f"{reason}; meanwhile {meanwhile}")
                known = monotonic(), health
            return known[1]

    return check


async def ask_kafka(settings: Settings) -> dict[str, Any]:
    """Connect and ask who is in the cluster; for no topic, because that might make it. Raises `Unavailable`."""
    # Imported by installations that have a Kafka only.
    from aiokafka.client import AIOKafkaClient
    from aiokafka.errors import KafkaError

    from horae.infra.kafka.security import security_of, told

    brokers, security = settings.kafka_brokers, security_of(settings)
    client = AIOKafkaClient(
        bootstrap_servers=brokers,
        client_id="horae-health",
        request_timeout_ms=round(_ANSWER_S * 1000),
        **security.options(),
    )
    try:
        await client.bootstrap()
        return {"brokers": len(client.cluster.brokers())}
    except KafkaError as error:
        raise Unavailable(f"Kafka at {brokers} does not answer: {await told(error, brokers, security)}") from error
    finally:
        await client.close()


async def ask_search(url: str, pool: Pool, lag: LagWatch) -> dict[str, Any]:
    """How the cluster says that it is, and how far the indexer is behind the log.

    Raises `Unavailable`, `RuntimeError` for a cluster that answers and cannot serve, and `Old` for an indexer that is
    silent, cannot write, or lacks an event that has been seen in the log for more than `SEARCH_LAG_S`.
    """
    from horae.infra.elasticsearch.connection import connect, told

    client = connect(url)
    try:
        with told():
            status = (await client.cluster.health()).body["status"]
    finally:
        await client.close()
    details: dict[str, Any] = {"cluster": status}
    if status == "red":
        raise RuntimeError("the cluster is red: an index cannot be read")
    rows = await pool.fetch(_INDEXERS, SILENCE_S)
    if not rows:
        raise Old("the indexer gives no sign of life, so what is found gets old", details)
    applied = max(row["applied"] for row in rows)
    behind = max(0, await lag.look() - applied)
    behind_s = round(lag.seconds(applied), 1)
    details |= {"lag": behind, "lagSeconds": behind_s}
    failing = sum(bool(_FAILING.search(row["metrics"])) for row in rows)
    if failing:
        raise Old(f"{failing} of {len(rows)} indexers cannot write or read, so what is found gets old", details)
    if behind_s > SEARCH_LAG_S:
        raise Old(f"{behind} events cannot be found yet, one of them for {behind_s:.0f} s", details)
    return details
