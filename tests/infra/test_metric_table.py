"""The figures: documented as they are, and named as monitoring uses them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from horae.infra.metric_table import families, table
from horae.streams.feed import FeedCounts
from horae.streams.metrics import FEED_COUNTS, Metrics
from horae.streams.shardfeed import ShardCounts

ROOT = Path(__file__).parents[2]

#: Rows of the catalogue -> the labels that they ask for.
OF_THE_CATALOGUE = {
    "schedules_created": {"type", "priority", "timezone"},
    "schedule_execution_duration_seconds": {"status", "type"},
    "active_schedules_count": {"status", "priority"},
}


def test_the_document_is_as_the_code() -> None:
    """`python -m horae.infra.metric_table > docs/metrics.md` after a change."""
    assert (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8") == table()


@pytest.mark.covers("OBS-01", "OBS-02", "OBS-03")
def test_the_catalogues_figures_are_there_under_their_names_and_labels() -> None:
    """Each is told, with the labels that are asked for."""
    labels = {family.name: set(names) for _, family, names in families()}
    assert {name: labels.get(name) for name in OF_THE_CATALOGUE} == OF_THE_CATALOGUE


@pytest.mark.covers("OBS-21", "OBS-26")
def test_rules_and_dashboard_ask_for_figures_that_there_are() -> None:
    """An alert on a name that nobody tells never fires."""
    known = {family.name for _, family, _ in families()}
    rules = (ROOT / "deploy" / "prometheus" / "rules.yaml").read_text(encoding="utf-8")
    dashboards = [json.loads(path.read_text()) for path in (ROOT / "deploy" / "grafana").rglob("*.json")]
    text = rules + json.dumps(dashboards)
    asked = set(re.findall(r"\b((?:horae|schedule|schedules|projection|due|active|http_request)_[a-z_]+)", text))
    names = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in asked}
    suspects = {name for name in names if name not in known and f"{name}_count" not in known}
    # The indexer's figures are its own: they are told only where search has a cluster.
    ours = {name for name in suspects if not name.startswith("horae_search_")}
    # Names of labels and rule groups never begin like these.
    assert {name for name in ours if name.startswith(("horae_", "projection_", "due_"))} == set()


@dataclass
class CountingFeed:
    """What a feed tells of itself."""

    counts: object
    parked: frozenset[UUID] = frozenset({UUID(int=1)})
    position: int = field(default=41)


@pytest.mark.parametrize("counts", [FeedCounts(restarts=3, events=7), ShardCounts(gaps_healed=2, duplicates=5)])
def test_what_a_feed_counts_is_told(counts: FeedCounts | ShardCounts) -> None:
    """Restarts, gaps healed, duplicates, parked: by the road that the events came; what it does not count is absent."""
    registry = CollectorRegistry()
    Metrics(registry).feeds.watch("log", CountingFeed(counts))
    text = generate_latest(registry).decode()
    for name in FEED_COUNTS:
        value = getattr(counts, name, None)
        line = f'horae_feed_{name}_total{{road="log"}}'
        assert (f"{line} {float(value)}" in text) if value is not None else (line not in text)
    assert 'horae_parked_families{road="log"} 1.0' in text
    assert 'horae_feed_position{road="log"} 41.0' in text
