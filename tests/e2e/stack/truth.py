"""Whether everything that is derived says what the log says: the read models, the search index, the claims.

Place in the flow: a test disturbs a house, lets it catch up, and asks here. The commands are those of an operator, so
that what they print is tested by the way.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from horae.infra.elasticsearch.reindex import Comparison
from horae.infra.indexing import open_reindex
from horae.projections.search.ports import KINDS
from tests.e2e.stack.house import House

_CLAIMS = """
SELECT count(*) AS claims, count(DISTINCT originator_id) AS claimed FROM log.events
WHERE topic = 'occurrence.claimed.v1'
"""


async def rebuilt(house: House) -> str:
    """Replay the whole log by `horae rebuild` and say how it compares. Raises `AssertionError` where tables differ."""
    return told(json.loads(await house.run("rebuild", "--json")))


def told(report: dict[str, object]) -> str:
    """What `horae rebuild --json` printed, in a line. Raises `AssertionError` where tables differ."""
    tables = report["tables"]
    assert isinstance(tables, list)
    differing = [table for table in tables if table["same"] is not True]
    assert not differing, f"not what a replay gives: {differing}"
    assert report["parked"] == 0
    rows = sum(table["rows"] for table in tables)
    return f"replay of {report['events']} events: {len(tables)} tables, {rows} rows, all the same"


async def searched(house: House) -> str:
    """Compare the search index with the read models, once it has caught up. Raises `AssertionError` at last."""

    async def look() -> Sequence[Comparison]:
        async with open_reindex(house.settings()) as reindex:
            found = [await reindex.compare(kind) for kind in KINDS]
        return found if all(each.same and not each.moving for each in found) else []

    found = await house.until_seen(look, what="the search index says what the read models say")
    return "search index: " + ", ".join(f"{each.rows.documents} of kind {each.kind}" for each in found) + ", all alike"


async def claimed_once(house: House) -> None:
    """No occurrence has two claims."""
    (row,) = await house.ask(_CLAIMS)
    assert row["claims"] == row["claimed"]
