"""Recurrence rules with the times that others wrote down: RFC 5545, python-dateutil.

Each source is named in its data file. What Horae answers otherwise, or refuses, is listed here with the reason.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import yaml

from horae.domain import errors
from horae.domain import timing as t
from tests.domain.timing.cases import context, every, walk

FOLDER = Path(__file__).parent / "oracles"
RFC: list[dict[str, Any]] = yaml.load((FOLDER / "rfc5545.yaml").read_text(), Loader=yaml.BaseLoader)

#: What RFC 5545 does not allow, and Horae therefore refuses, in rules that dateutil takes.
REFUSED = {
    "BYWEEKNO": r"BYWEEKNO has no meaning with FREQ=(?!YEARLY)",
    "BYYEARDAY": r"BYYEARDAY has no meaning with FREQ=(MONTHLY|WEEKLY|DAILY)",
    "BYMONTHDAY": r"BYMONTHDAY has no meaning with FREQ=WEEKLY",
    "numbered days": "numbered days such as 2MO need",
    "EXRULE": "has no EXRULE any more",
    "BYWEEKDAY": "'BYWEEKDAY' is not a part of RFC 5545",
}
#: Of dateutil's cases those that Horae answers otherwise.
OTHERWISE = {
    "YearlyIntervalLarge": "every hundred years: a search gives up after fifty, so the series ends after the first",
    "DTStartWithMicroseconds": "slots are whole seconds: the first lies before a start with a fraction",
}


def _before(start: str, days: int) -> t.Context:
    return context(datetime.fromisoformat(start).replace(tzinfo=UTC) - timedelta(days=days))


def _rows(name: str) -> list[list[str]]:
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    return [line.split("|") for line in lines if not line.startswith("#")]


def _dates(case: dict[str, Any]) -> Iterator[str]:
    for part in case["slots"]:
        if part == "...":
            return
        month, days = part.split(": ")
        for item in days.split():
            first, _, last = item.partition("-")
            for day in range(int(first), int(last or first) + 1):
                assert day <= monthrange(int(month[:4]), int(month[5:]))[1]
                for time in case.get("times", "09:00").split():
                    yield f"{month}-{day:02}T{time}"


@pytest.mark.covers("REC-01", "REC-05", "REC-22")
@pytest.mark.parametrize("case", RFC, ids=[case["rule"] for case in RFC])
def test_the_examples_of_rfc_5545(case: dict[str, Any]) -> None:
    """The dates that the RFC prints, at its hours in New York, in summer time as in winter time."""
    start = case.get("start", "1997-09-02T09:00")
    ctx = _before(start, 3)
    wanted = list(_dates(case))
    timing = t.normalise(every(rrule=case["rule"], starts_at=start, zone="America/New_York"), ctx)
    ends = case["slots"][-1] != "..."
    found = [slot.slot.local.isoformat(timespec="minutes") for slot in islice(walk(timing, ctx), len(wanted) + ends)]
    assert found == wanted


@pytest.mark.covers("REC-01", "REC-22")
def test_the_cases_of_python_dateutil(record_property: Callable[[str, object], None]) -> None:
    """All times of every rule in its tests, or the refusal that RFC 5545 asks for."""
    refused: dict[str, int] = {}
    wrong, same = [], 0
    for name, text, start, times in _rows("dateutil.txt"):
        ctx = _before(start, 1)
        wanted = times.split(",")
        try:
            timing = t.normalise(every(rrule=text.replace("\\n", "\n"), starts_at=start, zone="UTC"), ctx)
        except errors.Invalid as refusal:
            reason = next((key for key, said in REFUSED.items() if re.search(said, refusal.message)), None)
            if reason is None:
                wrong.append(f"{name} {text}: {refusal.message}")
            else:
                refused[reason] = refused.get(reason, 0) + 1
            continue
        found = [slot.slot.local.isoformat() for slot in islice(walk(timing, ctx), len(wanted) + 1)]
        if found == wanted:
            same += 1
        elif name not in OTHERWISE:
            wrong.append(f"{name} {text}: {found}, theirs {wanted}")
    told = ", ".join(f"{count} for {reason}" for reason, count in sorted(refused.items()))
    record_property("report", f"python-dateutil: {same} the same; refused {told}.")
    assert wrong == []
    assert same >= 100
