"""The alert rules as Prometheus itself evaluates them: each is silent on good days, and wakes somebody on its bad one.

`test_deploy_monitoring.py` holds the rules against what the code exports; here their numbers are tried.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.packaging.alert_cases import CASES, Case

RULES: Final = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules.yaml"
ALERTS: Final[dict[str, dict[str, Any]]] = {
    rule["alert"]: rule
    for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
}


# The first run of all builds the tool.
pytestmark = [pytest.mark.timeout(1800), pytest.mark.xdist_group("packaging")]


def trial(name: str, series: dict[str, str], expected: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """One test as the tool reads it; `expected`: what is told at which moment."""
    return {
        "interval": "10s",
        "input_series": [{"series": told, "values": values} for told, values in series.items()],
        "alert_rule_test": [
            {"eval_time": moment, "alertname": name, "exp_alerts": alerts} for moment, alerts in expected.items()
        ],
    }


def trials(name: str, case: Case) -> list[dict[str, Any]]:
    """The bad day of an alert, and its good ones."""
    told = {
        "exp_labels": {"severity": ALERTS[name]["labels"]["severity"], **case.labels},
        "exp_annotations": {"summary": case.summary, "runbook": f"docs/operations.md#{name.lower()}"},
    }
    found = [trial(name, case.ill, {case.silent_at: [], case.fires_at: [told]})]
    return found + [trial(name, series, {case.silent_at: [], case.fires_at: []}) for series in case.well]


def judged(promtool: Path, folder: Path, tests: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    """What Prometheus's tool says of them."""
    file = folder / "trials.yaml"
    document = {"rule_files": [str(RULES)], "evaluation_interval": "10s", "tests": tests}
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    return subprocess.run(
        [str(promtool), "test", "rules", str(file)], capture_output=True, text=True, timeout=60, check=False
    )


def test_every_alert_has_its_bad_day() -> None:
    """A new one cannot be forgotten here, nor an old one stay."""
    assert CASES.keys() == ALERTS.keys()


@pytest.mark.covers("OBS-20", "EXT-47")
@pytest.mark.parametrize("name", CASES)
def test_an_alert_wakes_on_its_bad_day_alone(promtool: Path, tmp_path: Path, name: str) -> None:
    """At the stated moment and not before, with its severity, its words and its runbook; and on no good day."""
    done = judged(promtool, tmp_path, trials(name, CASES[name]))
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_rules(promtool: Path) -> None:
    """As it checks them when it starts."""
    command = [str(promtool), "check", "rules", str(RULES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ALERTS)} rules found" in done.stdout


def test_the_trial_finds_an_alert_that_sleeps(promtool: Path, tmp_path: Path) -> None:
    """The bad day of one alert leaves another silent, and the tool says so."""
    done = judged(promtool, tmp_path, trials("HoraeKafkaDown", CASES["HoraeParkedEvents"]))
    assert done.returncode != 0
