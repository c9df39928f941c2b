"""Pages of several processes made one: whatever a label holds, Prometheus' own parser reads it."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from horae.api.exposition import labelled, merged

NASTY = 'a "quoted" {brace} \\ and\na line \u2028 or two'


def page(count: float) -> str:
    registry = CollectorRegistry()
    Counter("made", "How many.\nOn two lines.", ("kind",), registry=registry).labels(NASTY).inc(count)
    Gauge("bare", "Without labels.", registry=registry).set(count)
    Histogram("took", "A histogram.", buckets=(1, 2), registry=registry).observe(count)
    return generate_latest(registry).decode()


@pytest.mark.covers("OBS-20")
def test_each_family_is_there_once_with_the_samples_of_all() -> None:
    """HELP and TYPE once, a sample for each source under its own label, values and other labels untouched."""
    text = merged([page(1), labelled(page(2), "worker", "17"), labelled(page(3), "worker", NASTY)])
    families = list(text_string_to_metric_families(text))
    names = [family.name for family in families]
    assert sorted(names) == ["bare", "made", "took"]
    assert text.count("# TYPE made_total counter") == 1
    by_name = {family.name: family for family in families}
    assert [(sample.labels, sample.value) for sample in by_name["bare"].samples] == [
        ({}, 1),
        ({"worker": "17"}, 2),
        ({"worker": NASTY}, 3),
    ]
    assert [sample.labels["kind"] for sample in by_name["made"].samples] == [NASTY] * 3
    counts = [s for s in by_name["took"].samples if s.name == "took_count"]
    assert [sample.value for sample in counts] == [1, 1, 1]
    assert {(s.labels["le"], s.labels.get("worker")) for s in by_name["took"].samples if s.name == "took_bucket"} >= {
        ("+Inf", "17"),
        ("1.0", None),
    }


def test_nothing_is_nothing() -> None:
    """No process, or one that has said nothing yet."""
    assert merged([]) == merged(["", "\n"]) == ""
    assert labelled("", "worker", "1") == ""


def test_a_page_that_was_cut_off_does_not_run_into_the_next() -> None:
    """The last line of each page ends, whoever wrote it."""
    cut = "# HELP a A.\n# TYPE a gauge\na 1"
    assert merged([cut, labelled(cut, "worker", "2")]).splitlines()[2:] == ["a 1", 'a{worker="2"} 1']
