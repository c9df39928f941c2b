"""How many connections to PostgreSQL each process holds at most, and so how many our own server must take.

Place in the flow: API and worker size their pools by this, and the supervisor the server that it starts.
"""

from __future__ import annotations

from typing import Final

from horae.infra.settings import Settings

#: What a process holds besides its pool of the read models: the store's writer and readers, what listens, locks, the
#: feed, the virtual clock, and what audits and learns. A test counts.
_API_BESIDES: Final = 12
_WORKER_BESIDES: Final = 19
#: A relay that works, or an indexer, in all.
_FOLLOWER: Final = 12
_FOLLOWERS: Final = 3
#: For commands beside the service (rebuild, record, psql), and what PostgreSQL keeps for its superuser.
_BESIDES: Final = 20


def api_pool(settings: Settings) -> int:
    """The most that the API's pool of the read models may hold: a fifth of what was granted."""
    return max(4, settings.postgres_max_connections // 5)


def worker_pool(settings: Settings) -> int:
    """The same of one worker: a fifth for all workers together, as long as that is enough to work with."""
    return max(4, settings.postgres_max_connections // (5 * max(2, settings.workers)))


def of_api(settings: Settings) -> int:
    """The most that one API process holds."""
    return api_pool(settings) + _API_BESIDES


def of_worker(settings: Settings) -> int:
    """The most that one worker holds."""
    return worker_pool(settings) + _WORKER_BESIDES


def needed(settings: Settings) -> int:
    """What the server of `horae run` must take: every process at its most, and whoever looks in besides."""
    processes = of_api(settings) + settings.workers * of_worker(settings) + _FOLLOWERS * _FOLLOWER
    return max(settings.postgres_max_connections, processes + _BESIDES)
