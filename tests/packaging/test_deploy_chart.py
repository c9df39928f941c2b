"""The chart, by helm itself: linted, rendered, compared with golden files, and its rules read from what came out.

No cluster is here: what is shown is what would be applied, not that a cluster runs it. Golden files are written anew by
`HORAE_WRITE_GOLDEN=1 pytest tests/packaging/test_deploy_chart.py`; the change is then read in the diff.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from horae.infra.alive import VARIABLE
from horae.infra.cli.main import GROUPS
from horae.infra.processes import api_process
from horae.infra.setting_sources import named
from horae.infra.settings import Settings
from horae.streams.dispatcher import DispatcherConfig
from tests.fixtures.helm import KUBERNETES

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "deploy" / "helm" / "horae"
GOLDEN: Final = Path(__file__).parent / "charts"
VALUES: Final = sorted(GOLDEN.glob("*.values.yaml"))
COMMANDS: Final = {command for commands in GROUPS.values() for command in commands}
KNOWN: Final = {named(field).env for field in Settings.model_fields.values()} | {VARIABLE}

Manifest = dict[str, Any]
Render = Callable[..., subprocess.CompletedProcess[str]]

# The first run of all builds helm.
pytestmark = [pytest.mark.timeout(1800), pytest.mark.xdist_group("packaging")]


@pytest.fixture(scope="module")
def render(helm: Path) -> Render:
    """`helm template` with a file of values and single ones."""

    def run(values: Path | None = None, *settings: str) -> subprocess.CompletedProcess[str]:
        command = [str(helm), "template", "horae", str(CHART), "--namespace", "horae", "--kube-version", KUBERNETES]
        command += ["--values", str(values)] if values else []
        command += [part for setting in settings for part in ("--set", setting)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="module")
def manifests(render: Render) -> dict[tuple[str, str], Manifest]:
    """What the chart makes with everything on, by kind and name."""
    done = render(GOLDEN / "everything.values.yaml")
    assert done.returncode == 0, done.stderr
    documents = [document for document in yaml.safe_load_all(done.stdout) if document]
    return {(document["kind"], document["metadata"]["name"]): document for document in documents}


def of(manifests: dict[tuple[str, str], Manifest], kind: str) -> dict[str, Manifest]:
    """The manifests of a kind, by their names."""
    return {name: manifest for (found, name), manifest in manifests.items() if found == kind}


def pods(manifests: dict[tuple[str, str], Manifest]) -> dict[str, Manifest]:
    """The pod of each Deployment and Job, by its component."""
    owners = [*of(manifests, "Deployment").values(), *of(manifests, "Job").values()]
    templates = [owner["spec"]["template"] for owner in owners]
    return {t["metadata"]["labels"]["app.kubernetes.io/component"]: t["spec"] for t in templates}


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.name.partition(".")[0])
def test_the_chart_lints(helm: Path, values: Path) -> None:
    """`helm lint --strict` finds nothing in it."""
    command = [str(helm), "lint", str(CHART), "--strict", "--kube-version", KUBERNETES, "--values", str(values)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 chart(s) linted, 0 chart(s) failed" in done.stdout


@pytest.mark.covers("OPS-06", "EXT-43")
@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.name.partition(".")[0])
def test_the_chart_renders_as_before(render: Render, values: Path) -> None:
    """Whatever a change of the chart does to an installation is seen in the golden file's diff."""
    done = render(values)
    assert done.returncode == 0, done.stderr
    golden = values.with_name(values.name.replace(".values.yaml", ".golden.yaml"))
    if os.environ.get("HORAE_WRITE_GOLDEN"):
        golden.write_text(done.stdout, encoding="utf-8")
    assert done.stdout == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.name.partition(".")[0])
def test_a_cluster_knows_every_field(deploy_checker: Path, values: Path) -> None:
    """Read strictly into Kubernetes' own types: a misspelt field would be dropped by a cluster without a word."""
    golden = values.with_name(values.name.replace(".values.yaml", ".golden.yaml"))
    done = subprocess.run([deploy_checker, "manifests", golden], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {"Deployment", "Job", "PodDisruptionBudget"} <= set(done.stdout.split())


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("existingSecret=", "existingSecret"),
        ("settings.POSTGRES_PASSWORD=x", "POSTGRES_PASSWORD"),
        ("worker.autoscaling.maxReplicas=17", "kafka.partitions"),
        ("api.replica=2", "replica"),
        ("istio.enabled=maybe", "istio"),
        ("kafka.security=TLS", "/kafka/security"),
        ("kafka.tls.secretName=kafka-tls", "kafka.tls.secretName"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(render: Render, setting: str, complaint: str) -> None:
    """No release without its Secret, no secret among the settings, no idle workers, no misspelt value."""
    done = render(None, *(["existingSecret=horae-secrets"] if "existingSecret" not in setting else []), setting)
    assert done.returncode != 0
    assert complaint in done.stderr


@pytest.mark.covers("OPS-02", "EXT-41")
def test_every_process_is_there_with_settings_that_exist(manifests: dict[tuple[str, str], Manifest]) -> None:
    """Each container runs a command of the image; its variables are settings, and secrets come by reference."""
    found = pods(manifests)
    assert set(found) == {"api", "worker", "relay", "indexer", "migrate"}
    for component, pod in found.items():
        [container] = pod["containers"]
        assert container["args"] == [component]
        assert component in COMMANDS
        variables = {variable["name"]: variable for variable in container["env"]}
        assert set(variables) <= KNOWN
        assert len(variables) == len(container["env"])
        for name in ("HORAE_DSN", "ENCRYPTION_KEY", *(["HORAE_API_DSN"] if component == "api" else [])):
            assert variables[name]["valueFrom"]["secretKeyRef"] == {"name": "horae-secrets", "key": name}
    assert of(manifests, "Secret") == {}


@pytest.mark.covers("SEC-23")
def test_every_process_reaches_kafka_by_tls(manifests: dict[tuple[str, str], Manifest]) -> None:
    """With name and password by reference, and files from a Secret that each container has, read-only."""
    for pod in pods(manifests).values():
        [container] = pod["containers"]
        variables = {variable["name"]: variable for variable in container["env"]}
        assert variables["HORAE_KAFKA_SECURITY"]["value"] == "SASL_SSL"
        for name in ("HORAE_KAFKA_USERNAME", "HORAE_KAFKA_PASSWORD"):
            assert variables[name]["valueFrom"]["secretKeyRef"] == {"name": "horae-secrets", "key": name}
        [mount] = [mount for mount in container["volumeMounts"] if mount["name"] == "kafka-tls"]
        assert mount["readOnly"] is True
        for name in ("CA", "CERTIFICATE", "KEY"):
            assert Path(variables[f"HORAE_KAFKA_{name}_FILE"]["value"]).parent == Path(mount["mountPath"])
        [volume] = [volume for volume in pod["volumes"] if volume["name"] == "kafka-tls"]
        assert volume["secret"]["secretName"] == "kafka-tls"


def test_every_pod_is_restricted(manifests: dict[tuple[str, str], Manifest]) -> None:
    """What the restricted pod security standard asks for, a read-only root, no token, and limits."""
    for pod in pods(manifests).values():
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        [container] = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"]


def test_a_roll_takes_nothing_away_before_its_successor_works(manifests: dict[tuple[str, str], Manifest]) -> None:
    """No pod less at any moment, a migration first, probes that gate, a budget for drains, and time to hand over."""
    [migration] = of(manifests, "Job").values()
    assert migration["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    for name, deployment in of(manifests, "Deployment").items():
        assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        assert {"startupProbe", "livenessProbe"} <= container.keys()
        assert name in of(manifests, "PodDisruptionBudget")
    found = pods(manifests)
    [api] = found["api"]["containers"]
    assert api["readinessProbe"]["httpGet"]["path"].startswith("/readyz?only=")
    before_stop = api["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert found["api"]["terminationGracePeriodSeconds"] > before_stop + 2 * api_process._DRAIN_S
    assert found["worker"]["terminationGracePeriodSeconds"] > 5 * DispatcherConfig().stop_s


@pytest.mark.covers("OPS-05", "EXT-42", "PRF-08")
def test_pods_follow_the_load(manifests: dict[tuple[str, str], Manifest]) -> None:
    """APIs by their CPU; workers by the lag, with the CPU beside it; up soon, down late."""
    scalers, deployments = of(manifests, "HorizontalPodAutoscaler"), of(manifests, "Deployment")
    assert set(scalers) == {"horae-api", "horae-worker"}
    for name, scaler in scalers.items():
        assert scaler["spec"]["scaleTargetRef"]["name"] == name
        assert "replicas" not in deployments[name]["spec"]
        behavior = scaler["spec"]["behavior"]
        assert behavior["scaleUp"]["stabilizationWindowSeconds"] < behavior["scaleDown"]["stabilizationWindowSeconds"]
    assert [metric["type"] for metric in scalers["horae-worker"]["spec"]["metrics"]] == ["External", "Resource"]


def test_the_network_is_closed_but_for_what_is_needed(manifests: dict[tuple[str, str], Manifest]) -> None:
    """A rule that selects every pod closes both ways; only the API takes requests, only workers send out."""
    policies = of(manifests, "NetworkPolicy")
    closing = policies["horae"]["spec"]
    assert closing["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in closing
    assert "app.kubernetes.io/component" not in closing["podSelector"]["matchLabels"]
    assert [name for name, policy in policies.items() if policy["spec"].get("ingress")] == ["horae-api"]
    outside = [name for name, policy in policies.items() if "0.0.0.0/0" in yaml.safe_dump(policy)]
    assert outside == ["horae-worker"]


@pytest.mark.covers("OPS-03")
def test_the_mesh_and_the_ingress_show_only_what_is_public(manifests: dict[tuple[str, str], Manifest]) -> None:
    """Mutual TLS to every pod; neither way in leads to metrics or readiness; the migration gets no sidecar."""
    [peers] = of(manifests, "PeerAuthentication").values()
    assert peers["spec"]["mtls"] == {"mode": "STRICT"}
    [rule] = of(manifests, "DestinationRule").values()
    assert rule["spec"]["trafficPolicy"]["tls"] == {"mode": "ISTIO_MUTUAL"}
    [mesh] = of(manifests, "VirtualService").values()
    uris = [match["uri"] for route in mesh["spec"]["http"] for match in route["match"]]
    [ingress] = of(manifests, "Ingress").values()
    paths = [path["path"] for path in ingress["spec"]["rules"][0]["http"]["paths"]]
    assert paths == ["/v1", "/docs", "/openapi.json"]
    assert {uri.get("prefix") or uri["exact"] for uri in uris} == {*paths, "/v1/events"}
    [migration] = of(manifests, "Job").values()
    assert migration["spec"]["template"]["metadata"]["annotations"] == {"sidecar.istio.io/inject": "false"}


def test_the_operator_gets_the_same_rules(manifests: dict[tuple[str, str], Manifest]) -> None:
    """The chart cannot read outside its folder, so it holds a copy: it is the same, also after rendering."""
    source = (ROOT / "deploy" / "prometheus" / "rules.yaml").read_text(encoding="utf-8")
    assert (CHART / "files" / "rules.yaml").read_text(encoding="utf-8") == source
    [rules] = of(manifests, "PrometheusRule").values()
    assert rules["spec"] == yaml.safe_load(source)
