"""docs/time.md, row by row: every request of its table is answered as the page has it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.api.world import World

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "time.md").read_text(encoding="utf-8").partition("## Row by row")[2].partition("\n## ")[0]
ROW = re.compile(r"^\| (?P<rows>[A-Z0-9 -]+) \| .+? \| `(?P<request>.+)` \|$", re.MULTILINE)
REQUEST = re.compile(r"(?P<method>GET|POST|PUT|PATCH|DELETE) (?P<path>\S+)(?: (?P<body>.+))?")
CATALOGUE = set(
    re.findall(r"^\| ([A-Z]+-\d+) \|", (ROOT / "docs" / "requirements.md").read_text("utf-8"), re.MULTILINE)
)


def asked(request: str, schedule: str) -> tuple[str, str, Any]:
    """Method, path and body; a timing alone is previewed."""
    found = REQUEST.fullmatch(request)
    if found is None:
        return "POST", "/v1/timings/preview", {"timing": json.loads(request), "count": 3}
    body = found["body"]
    return found["method"], found["path"].replace("ID", schedule), None if body is None else json.loads(body)


async def test_each_row_is_shown_by_its_request(world: World) -> None:
    """In the page's order; every timing has slots to show, and what is created is the schedule of the later rows."""
    rows = list(ROW.finditer(PAGE))
    schedule = ""
    for row in rows:
        method, path, body = asked(row["request"], schedule)
        await world.settled()
        answer = await world.client.request(method, path, json=body)
        assert answer.is_success, f"{row['rows']}: {answer.text}"
        shown = answer.json()
        if path == "/v1/timings/preview":
            assert shown["slots"], row["rows"]
        if path == "/v1/schedules":
            schedule = shown["id"]
        if path == "/v1/schedules/bulk":
            assert (shown["created"], shown["rejected"]) == (2, 0)
    assert len(rows) >= 35


def test_the_table_leaves_no_row_on_time_out() -> None:
    """Each of SCH-01 to 09, of REC and of TZ is there, or named with why there is no request; and no other is."""
    named = set(re.findall(r"\b[A-Z]+-\d+\b", PAGE))
    assert named <= CATALOGUE
    wanted = {row for row in CATALOGUE if re.fullmatch(r"SCH-0\d|REC-\d+|TZ-\d+", row)}
    assert wanted - named == set()
