"""Daily times around every clock change, held against Java's java.time: gaps and overlaps as its users know them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable

import pytest

from horae.domain.timing import zones
from tests.domain.timing.oracles.instants import compare, read
from tests.domain.timing.oracles.sample import SAMPLE, ask

_RELEASE = re.compile(r"tzdb (\w+), Java (\S+?);?( |$)")


def _source(first_line: str) -> str:
    match = _RELEASE.search(first_line)
    assert match is not None, first_line
    return f"java.time of Java {match[2]} with tzdata {match[1]}"


@pytest.mark.covers("TZ-29", "TZ-02", "TZ-01")
def test_a_recorded_sample_of_javas_answers_is_ours(record_property: Callable[[str, object], None]) -> None:
    """09:00, 02:30, 01:30 and 00:00 on days around clock changes of ninety zones, under each policy.

    Where newer zone data moves one of them, make the sample again.
    """
    lines = SAMPLE.read_text(encoding="utf-8").splitlines()
    outcome = compare(read(lines))
    record_property("report", outcome.report(f"a recorded sample of {_source(lines[0])}"))
    assert outcome.wrong == []
    assert outcome.cases > 40_000


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.covers("TZ-29", "TZ-02", "TZ-01")
def test_java_agrees_in_every_zone_on_every_change(record_property: Callable[[str, object], None]) -> None:
    """Every zone, every clock change of 2000 to 2037 with the days beside it: more than a million cases."""
    if shutil.which("java") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("java is not on the path: install JDK 17.")
    lines = ask(sorted(zones.zone_names()))
    outcome = compare(read(lines))
    missing = [line.split()[1] for line in lines if line.startswith("missing")]
    report = outcome.report(_source(lines[0]))
    record_property("report", f"{report} Unknown to this JDK: {', '.join(missing) or 'none'}.")
    assert outcome.wrong == []
    assert outcome.cases >= 1_000_000
    assert len(outcome.differing) + len(missing) < 40, "most zones' data agree, or this compares too little"
