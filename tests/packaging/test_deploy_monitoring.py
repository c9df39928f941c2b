"""Alerts, dashboard and runbook: parsed, and held against the metrics that the code exports.

An alert on a metric that nobody exports is silent for ever, and looks like health.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import promql_parser
import pytest
import yaml

from horae.streams.metrics import FEED_COUNTS

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
LAYERS: Final = ("commands", "projections", "streams", "api", "infra")
RUNBOOK: Final = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
PROMETHEUS: Final[dict[str, Any]] = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text("utf-8"))
RULES: Final[dict[str, Any]] = yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text("utf-8"))
DASHBOARD: Final[dict[str, Any]] = json.loads((DEPLOY / "grafana" / "dashboards" / "horae.json").read_text("utf-8"))
ALERTS: Final[list[dict[str, Any]]] = [rule for group in RULES["groups"] for rule in group["rules"]]

#: What others export: Prometheus itself, and the probe from outside.
FOREIGN: Final = {"up": {"job", "instance"}, "probe_success": {"job", "instance", "dependency"}}
#: Labels that scraping adds, and those that tell on the API's page which process a sample is of.
SCRAPED: Final = {"job", "instance", "pod", "worker", "relay", "indexer"}
SUFFIXES: Final = {
    "Counter": ("_total",),
    "Gauge": ("",),
    "Histogram": ("_bucket", "_count", "_sum"),
    "Summary": ("_count", "_sum"),
    "CounterMetricFamily": ("_total",),
    "GaugeMetricFamily": ("",),
}


def exported() -> dict[str, set[str]]:
    """Every series that the code exports with its labels, read from where its instruments are made."""
    found: dict[str, set[str]] = dict(FOREIGN)
    for path in (path for layer in LAYERS for path in (ROOT / layer).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SUFFIXES):
                continue
            labels = node.args[2] if len(node.args) > 2 else None
            labels = next((word.value for word in node.keywords if word.arg in ("labelnames", "labels")), labels)
            own = set(ast.literal_eval(labels)) if labels is not None else set()
            for name in names_in(node.args[0]) if node.args else ():
                for suffix in SUFFIXES[node.func.id]:
                    series = f"{name.removesuffix(suffix or ' ')}{suffix}"
                    found[series] = own | SCRAPED | ({"le"} if suffix == "_bucket" else set())
    return found


def names_in(name: ast.expr) -> list[str]:
    """What an instrument is called; one that is made in the loop over what feeds count stands for all of them."""
    if isinstance(name, ast.Constant):
        return [name.value] if isinstance(name.value, str) else []
    if ast.unparse(name) == "f'horae_feed_{name}'":
        return [f"horae_feed_{counted}" for counted in FEED_COUNTS]
    return []


EXPORTED: Final = exported()


def parts(expression: Any) -> Iterator[Any]:
    """The expression and everything in it."""
    yield expression
    for name in ("expr", "lhs", "rhs", "vector_selector", "param"):
        inner = getattr(expression, name, None)
        if inner is not None:
            yield from parts(inner)
    for argument in getattr(expression, "args", None) or ():
        yield from parts(argument)


def series_of(expression: str) -> list[tuple[str, set[str]]]:
    """The series that an expression reads, each with the labels that it asks for; raises when it is no PromQL."""
    parsed = promql_parser.parse(expression.replace("$__rate_interval", "1m"))
    selectors = [part for part in parts(parsed) if isinstance(part, promql_parser.VectorSelector)]
    return [(part.name or "", {matcher.name for matcher in part.matchers.matchers}) for part in selectors]


def grouped_by(expression: str) -> set[str]:
    """The labels that survive in it, and must therefore be exported."""
    return {label.strip() for labels in re.findall(r"\bby \(([^)]*)\)", expression) for label in labels.split(",")}


def wrong_in(expression: str) -> list[str]:
    """What an expression reads that nobody exports."""
    read = series_of(expression)
    unknown = [name for name, _ in read if name not in EXPORTED]
    unknown += [f"{name}{{{label}}}" for name, asked in read for label in asked - EXPORTED.get(name, asked)]
    known = set().union(*(EXPORTED.get(name, set()) for name, _ in read))
    return unknown + sorted(grouped_by(expression) - known)


def panels() -> list[dict[str, Any]]:
    """The dashboard's panels that draw something."""
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def anchors() -> set[str]:
    """Of the runbook's sections about alerts."""
    return set(re.findall(r"^### (Horae\w+)$", RUNBOOK, re.MULTILINE))


@pytest.mark.covers("OBS-20", "EXT-47")
@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_reads_what_is_exported(alert: dict[str, Any]) -> None:
    """Its expression is PromQL, compares, and names only series and labels that the code exports."""
    assert wrong_in(alert["expr"]) == []
    compares = [part for part in parts(promql_parser.parse(alert["expr"])) if hasattr(part, "op")]
    assert compares or alert["expr"].startswith("absent("), "an expression without a comparison always fires"
    assert alert["labels"]["severity"] in {"page", "warn"}
    assert set(alert["annotations"]) == {"summary", "runbook"}
    for label in re.findall(r"\$labels\.(\w+)", alert["annotations"]["summary"]):
        assert label in grouped_by(alert["expr"]), f"{label} is aggregated away"


@pytest.mark.covers("REL-05")
def test_every_alert_has_its_section_and_every_section_its_alert() -> None:
    """Whoever is woken finds what it means, where to look and what to do; and reads of no alert that there is not."""
    names = [alert["alert"] for alert in ALERTS]
    assert len(set(names)) == len(names)
    assert set(names) == anchors()
    for alert in ALERTS:
        assert alert["annotations"]["runbook"] == f"docs/operations.md#{alert['alert'].lower()}"
        section = RUNBOOK.partition(f"### {alert['alert']}\n")[2].partition("\n#")[0]
        assert re.findall(r"\*\*(Means|Look|Do)\.\*\*", section) == ["Means", "Look", "Do"], alert["alert"]


def test_a_silent_slot_wakes_somebody_at_once() -> None:
    """The one promise that has no good reason to be broken: no waiting whether it stays so."""
    [silent] = [alert for alert in ALERTS if alert["alert"] == "HoraeSilentSlots"]
    assert "for" not in silent
    assert silent["labels"]["severity"] == "page"


def test_what_prometheus_asks_is_what_the_rules_know() -> None:
    """Jobs and dependencies named in expressions are those of the scrape configuration, and the rules are loaded."""
    jobs = {job["job_name"] for job in PROMETHEUS["scrape_configs"]}
    expressions = [alert["expr"] for alert in ALERTS] + [
        target["expr"] for panel in panels() for target in panel["targets"]
    ]
    assert {job for text in expressions for job in re.findall(r'job="(\w+)"', text)} <= jobs
    [dependencies] = [job for job in PROMETHEUS["scrape_configs"] if job["job_name"] == "dependencies"]
    told = {target["labels"]["dependency"] for target in dependencies["static_configs"]}
    assert {name for text in expressions for name in re.findall(r'dependency="(\w+)"', text)} == told
    assert PROMETHEUS["rule_files"] == ["rules.yaml"]


@pytest.mark.covers("OBS-21", "EXT-48")
def test_the_dashboard_reads_what_is_exported() -> None:
    """Every panel has a title, a place of its own and the provisioned source, and each expression is sound."""
    [source, *_] = yaml.safe_load(
        (DEPLOY / "grafana" / "provisioning" / "datasources" / "horae.yaml").read_text(encoding="utf-8")
    )["datasources"]
    identifiers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(identifiers)) == len(identifiers)
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        assert panel["title"]
        assert panel["datasource"]["uid"] == source["uid"]
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
        for target in panel["targets"]:
            assert wrong_in(target["expr"]) == [], panel["title"]


def test_the_dashboard_shows_whatever_can_alarm() -> None:
    """Who comes by an alert finds its figure drawn."""
    drawn = {name for panel in panels() for target in panel["targets"] for name, _ in series_of(target["expr"])}
    alarming = {name for alert in ALERTS for name, _ in series_of(alert["expr"])}
    assert alarming - drawn - {"horae_auditor_alarms_total"} == set()


def test_the_check_finds_what_it_forbids() -> None:
    """A series that there is not, a label that it lacks, and what is no PromQL."""
    assert wrong_in("max(horae_silent_slotz) > 0") == ["horae_silent_slotz"]
    assert wrong_in('sum(horae_breakers_open{endpoint="x"})') == ["horae_breakers_open{endpoint}"]
    assert wrong_in("sum by (tenant) (rate(horae_missed_slots_total[5m]))") == ["tenant"]
    with pytest.raises(ValueError, match="unclosed"):
        series_of("sum(rate(x[5m])")
