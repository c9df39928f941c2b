"""What `horae rebuild --search` does: finds the running database and Elasticsearch, and makes the search index anew.

Place in the flow: CLI -> *here* -> `infra/elasticsearch/reindex.py`.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import SecretStr

from horae.infra.elasticsearch.reindex import Comparison
from horae.infra.indexing import open_reindex
from horae.infra.postgres import dsn_of
from horae.infra.processes.installation import Installation
from horae.infra.settings import Settings


async def rebuild_search(settings: Settings) -> list[Comparison]:
    """Make every kind's index anew, while everything runs; gives how each compares with the read models.

    The settings name database and Elasticsearch, or the data folder of a running `horae run` does. Raises `Invalid`
    where search is PostgreSQL's, `Unavailable`, and asyncpg's errors.
    """
    found: dict[str, object] = {}
    running = dsn_of(Installation(settings.data).postgres)
    if running is not None and settings.dsn is None:
        found["dsn"] = SecretStr(running)
    if settings.elasticsearch_url is None and (url := _own_elasticsearch(settings.data)) is not None:
        found["elasticsearch_url"] = url
    async with open_reindex(settings.model_copy(update=found)) as reindex:
        return await reindex.run()


def _own_elasticsearch(data: Path) -> str | None:
    """Where the server of `horae run --profile stack` on this folder listens, or listened."""
    try:
        return f"http://127.0.0.1:{json.loads((data / 'elasticsearch' / 'ports').read_text())['http']}"
    except (OSError, ValueError, KeyError):
        return None
