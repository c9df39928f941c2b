"""The image and compose.yaml, read and checked: there is no container engine here, so nothing of them is run.

What can be run is: the wheel is built from exactly the files that the Dockerfile copies.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from packaging.requirements import Requirement

from horae.infra.alive import VARIABLE
from horae.infra.cli.main import GROUPS
from horae.infra.processes import api_process
from horae.infra.setting_sources import named
from horae.infra.settings import Settings
from horae.infra.stack import maven
from horae.streams.dispatcher import DispatcherConfig

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
DOCKERFILE: Final = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: Final[dict[str, Any]] = COMPOSE["services"]
OURS: Final = {name: service for name, service in SERVICES.items() if service.get("image", "").startswith("horae:")}
COMMANDS: Final = {command for commands in GROUPS.values() for command in commands}
KNOWN: Final = {named(field).env for field in Settings.model_fields.values()} | {VARIABLE}

pytestmark = pytest.mark.xdist_group("packaging")


def stage(name: str) -> str:
    """The instructions of one stage of the Dockerfile, without its comments and with broken lines joined."""
    stages = re.split(r"^(?=FROM )", DOCKERFILE, flags=re.MULTILINE)
    [found] = [text for text in stages if re.match(rf"FROM \S+ AS {name}\n", text)]
    return re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", found, flags=re.MULTILINE))


def copied(text: str) -> list[tuple[list[str], str]]:
    """What the stage copies from the context: sources and target."""
    lines = [line.split()[1:] for line in text.splitlines() if line.startswith("COPY ") and "--from" not in line]
    return [(words[:-1], words[-1]) for words in lines]


def blocks(lock: Path) -> dict[str, str]:
    """Each pin of a lock file with its hashes."""
    pins = re.split(r"^(?=[a-z0-9])", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.split(r"[=\s]", pin)[0]: pin for pin in pins if pin.strip()}


def seconds(duration: str) -> float:
    """Compose's durations, as far as they are used here."""
    return float(duration.removesuffix("s"))


@pytest.mark.covers("OPS-01", "EXT-40")
def test_the_wheel_can_be_built_from_what_the_image_copies(tmp_path: Path) -> None:
    """Only the named files are there, without tests and the tree's symlinks, and a wheel with everything comes out."""
    for sources, target in copied(stage("build")):
        for source in sources:
            place = tmp_path / target / (Path(source).name if target.endswith("/") else "")
            place.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, place)
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(tmp_path / "out"), "."]
    done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [wheel] = (tmp_path / "out").glob("*.whl")
    listed = subprocess.run([sys.executable, "-m", "zipfile", "-l", str(wheel)], capture_output=True, check=True).stdout
    for shipped in (b"horae/domain/", b"horae/infra/cli/main.py", b"horae/infra/migrations/0001", b"horae/py.typed"):
        assert shipped in listed


def test_the_context_lets_in_what_is_copied_and_no_more() -> None:
    """The ignore file keeps everything out and names the rest, which is what the Dockerfile copies."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_in = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert let_in == {source for sources, _ in copied(stage("build")) for source in sources}
    assert [path for path in let_in if not (ROOT / path).exists()] == []


def test_the_image_runs_pinned_unprivileged_and_without_compilers() -> None:
    """Bases are named by a full version, the user is a number, and the last stage installs nothing."""
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", bases[0])
    run = stage("run")
    user = re.search(r"^USER (\d+):(\d+)$", run, re.MULTILINE)
    assert user is not None
    assert int(user[1]) > 0
    assert not re.search(r"apt|pip install|gcc|build-essential", run)
    assert "HEALTHCHECK" in run
    assert '"horae.infra.alive"' in run
    assert 'ENTRYPOINT ["horae"]' in run
    assert (
        set(re.findall(r"\b(HORAE_\w+|[A-Z]+_[A-Z_]+)=", run)) - {"PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}
        <= KNOWN
    )


def test_every_package_of_the_image_is_pinned_with_its_hashes() -> None:
    """The image's lock is the part of the tested one that running needs: same versions, same hashes, no test tools."""
    tested, image = blocks(ROOT / "requirements.lock"), blocks(DEPLOY / "requirements.lock")
    assert all("--hash=sha256:" in pin for pin in image.values())

    def content(pin: str) -> tuple[str, frozenset[str]]:
        return pin.split()[0], frozenset(re.findall(r"--hash=\S+", pin))

    assert {name: content(pin) for name, pin in image.items()} == {name: content(tested[name]) for name in image}
    assert {"pytest", "mypy", "ruff", "hypothesis", "build"} & image.keys() == set()
    assert "--require-hashes -r deploy/requirements.lock" in stage("build")


def test_the_image_has_all_that_running_needs() -> None:
    """Every dependency of the project and of its dependencies, as installed here, is in the image's lock."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    image, seen = blocks(DEPLOY / "requirements.lock"), set[str]()
    left = [Requirement(line) for line in project["dependencies"]]
    while left:
        requirement = left.pop()
        extras = requirement.extras or {""}
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        name = requirement.name.lower().replace("_", "-").replace(".", "-")
        if (key := f"{name}[{','.join(sorted(requirement.extras))}]") in seen:
            continue
        seen.add(key)
        assert name in image, f"{name} is missing: make lock"
        try:
            inner = [Requirement(line) for line in requires(name) or ()]
        except PackageNotFoundError:  # for another system
            continue
        left += [r for r in inner if not r.marker or any(r.marker.evaluate({"extra": extra}) for extra in extras)]


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_ours_runs_a_command_that_exists_with_settings_that_exist(name: str) -> None:
    """A misspelt command or variable would be found in production only."""
    service = OURS[name]
    assert service["command"][0] in COMMANDS
    assert set(service["environment"]) <= KNOWN
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_bounded_and_pinned(name: str) -> None:
    """Memory and CPU have a limit, the image a full version, and what it waits for is waited for by its health."""
    service = SERVICES[name]
    limits = service["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory"}
    assert re.search(r":(v?\d+(\.\d+)+|\$\{HORAE_VERSION:-[\d.]+\})", service["image"])
    for other, wait in service.get("depends_on", {}).items():
        assert other in SERVICES
        if wait["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other] or other in OURS


def test_the_composition_is_the_one_that_was_asked_for() -> None:
    """Two APIs behind nginx, three workers, two relays, an indexer, and everything that watches them."""
    replicas = {name: service["deploy"].get("replicas", 1) for name, service in OURS.items()}
    assert replicas == {"migrate": 1, "api": 2, "worker": 3, "relay": 2, "indexer": 1}
    assert set(SERVICES) - set(OURS) == {
        "nginx", "postgres", "kafka", "elasticsearch", "blackbox", "prometheus", "grafana", "jaeger",
    }  # fmt: skip
    assert [name for name, service in OURS.items() if "ports" in service] == []
    for name in set(OURS) - {"migrate"}:
        assert OURS[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


@pytest.mark.covers("OPS-04")
def test_nginx_spreads_requests_over_the_apis() -> None:
    """It asks for the API's containers anew, repeats nothing that may have been stored, and hides the metrics."""
    text = (DEPLOY / "nginx" / "nginx.conf").read_text(encoding="utf-8")
    assert text.count("{") == text.count("}")
    assert "server api:8080 resolve" in text
    assert "least_conn;" in text
    assert "proxy_next_upstream error timeout;" in text
    assert "non_idempotent" not in text
    assert re.search(r"location = /metrics\s*{ return 404; }", text)


def test_a_stop_has_the_time_that_a_process_takes() -> None:
    """Killed before it has handed over, a worker would leave attempts behind."""
    assert seconds(OURS["api"]["stop_grace_period"]) > 2 * api_process._DRAIN_S
    assert seconds(OURS["worker"]["stop_grace_period"]) > 5 * DispatcherConfig().stop_s
    assert all("stop_grace_period" in service for name, service in OURS.items() if name != "migrate")


def test_the_servers_are_those_that_the_tests_run() -> None:
    """Kafka's and Elasticsearch's versions here are the ones that our tests fetch."""
    assert SERVICES["kafka"]["image"].rpartition(":")[2] == maven.KAFKA.name.rpartition("-")[2]
    assert SERVICES["elasticsearch"]["image"].rpartition(":")[2] == maven.ELASTICSEARCH.name.rpartition("-")[2]


def test_no_secret_is_written_down() -> None:
    """Every password, key and connection string comes from the environment file; only an empty form of it is kept."""
    example = (DEPLOY / "horae.env.example").read_text(encoding="utf-8")
    assert re.findall(r"^(\w+)=(.+)$", example, re.MULTILINE) == []
    asked = set(re.findall(r"\$\{(\w+):\?", (DEPLOY / "compose.yaml").read_text(encoding="utf-8")))
    assert asked == set(re.findall(r"^(\w+)=", example, re.MULTILINE))
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert any(fnmatch("deploy/horae.env", pattern.lstrip("/")) for pattern in ignored)


@pytest.mark.timeout(1800)  # the first run of all builds the checker
def test_compose_reads_it_as_it_is_meant(deploy_checker: Path) -> None:
    """By Compose's own library, with every variable of the environment file; without one of them it is refused."""
    names = re.findall(r"^(\w+)=", (DEPLOY / "horae.env.example").read_text(encoding="utf-8"), re.MULTILINE)

    def load(given: list[str]) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], **dict.fromkeys(given, "x")}
        command = [str(deploy_checker), "compose", str(DEPLOY / "compose.yaml")]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    loaded = load(names)
    assert loaded.returncode == 0, loaded.stderr
    assert set(loaded.stdout.split()) == set(SERVICES)
    for missing in names:
        refused = load([name for name in names if name != missing])
        assert (refused.returncode, missing in refused.stderr) == (1, True), missing


def test_mounted_files_are_there() -> None:
    """A missing one would be made as an empty folder by the engine."""
    mounts = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())]
    assert [mount for mount in mounts if mount.startswith("./") and not (DEPLOY / mount).exists()] == []
