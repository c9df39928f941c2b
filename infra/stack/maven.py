"""Fetches the programs of Kafka and Elasticsearch with Maven, once per version, into a cache that all data folders use.

Place in the flow: *fetch* -> a server on a data folder (`kafka.py`, `elasticsearch.py`). Maven knows where the
programs come from (the central repository, or the mirror in its own settings); nothing here names a host.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from horae.infra.postgres.programs import SHARED
from horae.infra.postgres.server_user import UnreachableError, server_user
from horae.infra.stack.java import MissingTool, StackError, find_java, find_maven

#: Names a cache folder; wins over the user's own.
CACHE_VARIABLE: Final = "HORAE_STACK_CACHE"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Artifact:
    """One thing that Maven fetches, with all that it needs."""

    group: str
    name: str
    version: str
    kind: str = "jar"


@dataclass(frozen=True, slots=True)
class Bundle:
    """The programs of one server: a folder of jars, or one zip unpacked."""

    #: Of its folder in the cache; holds the version, so that another version is fetched anew.
    name: str
    #: For people, with its size.
    title: str
    artifacts: tuple[Artifact, ...]


KAFKA: Final = Bundle(
    "kafka-4.1.1",
    "Kafka 4.1.1 (46 MB)",
    (
        Artifact("org.apache.kafka", "kafka_2.13", "4.1.1"),
        Artifact("org.slf4j", "slf4j-simple", "1.7.36"),
    ),
)
#: The server without its modules, as published for tests: what we ask of it works in the whole one too.
ELASTICSEARCH: Final = Bundle(
    "elasticsearch-8.19.21",
    "Elasticsearch 8.19.21 (107 MB)",
    (Artifact("org.elasticsearch.distribution.integ-test-zip", "elasticsearch", "8.19.21", "zip"),),
)


def silent(_: str) -> None:
    """Tell nobody."""


def cache_folder() -> Path:
    """Where programs are kept: $HORAE_STACK_CACHE, else the user's cache, else (as root) where other users can go.

    Started as root the servers run as another user, who cannot enter root's home.
    """
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named).absolute()
    own = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "horae"
    if os.geteuid() == 0:
        try:
            reachable = server_user(own).may_enter(_nearest(own))
        except UnreachableError:
            reachable = True  # the start will say what is wrong
        if not reachable:
            return SHARED / "stack"
    return own


def fetch(bundle: Bundle, say: Say = silent) -> Path:
    """The folder of the bundle's programs, fetched now if it is not there; `say` is told when that takes time.

    Safe for several processes at once: one fetches, the others wait for it; the folder appears whole or not at all.
    Raises `MissingTool`; `StackError` with Maven's own words when it fails.
    """
    cache = cache_folder()
    folder = cache / bundle.name
    if folder.exists():
        return folder
    maven = find_maven()
    try:
        cache.mkdir(mode=0o755, parents=True, exist_ok=True)
        with _alone(cache / f".{bundle.name}.lock", lambda: say(f"{bundle.title} is being fetched by another process")):
            if not folder.exists():
                say(f"Fetching {bundle.title}, once")
                _fetch(bundle, folder, maven)
                say(f"{bundle.title} is fetched")
    except OSError as error:
        raise StackError(
            f"{bundle.title} cannot be kept in {cache} ({error.strerror or error}): name another folder with "
            f"{CACHE_VARIABLE}."
        ) from None
    return folder


def missing() -> list[str]:
    """What stands between this machine and the stack, each with what to do; Maven counts until all is fetched."""
    lacks = []
    try:
        find_java()
    except MissingTool as error:
        lacks.append(str(error))
    if not all((cache_folder() / bundle.name).exists() for bundle in (KAFKA, ELASTICSEARCH)):
        try:
            find_maven()
        except MissingTool as error:
            lacks.append(str(error))
    return lacks


def _fetch(bundle: Bundle, folder: Path, maven: Path) -> None:
    prefix = f".{bundle.name}-"
    for unfinished in folder.parent.glob(f"{prefix}*"):  # by one that was killed; we hold the lock
        shutil.rmtree(unfinished, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
    try:
        (work / "pom.xml").write_text(_pom(bundle))
        _run(maven, work, bundle)
        archive = next((work / "files").glob("*.zip"), None)
        whole = work / "files" if archive is None else _unpacked(archive, work / "unpacked")
        _let_all_read(whole)
        whole.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _run(maven: Path, work: Path, bundle: Bundle) -> None:
    command = [str(maven), "-q", "-B", "-Dstyle.color=never", "-f", str(work / "pom.xml")]
    command += ["dependency:copy-dependencies", f"-DoutputDirectory={work / 'files'}"]
    done = subprocess.run(  # noqa: S603  the user's own Maven
        command,
        cwd=work,
        env={**os.environ, "JAVA_HOME": str(find_java().home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        said = [line for line in done.stdout.splitlines() if "ERROR" in line][:3] or done.stdout.splitlines()[-3:]
        raise StackError(
            f"Maven could not fetch {bundle.title}: {' '.join(said).strip() or 'it said nothing'}. It needs a way to "
            "the central repository, or a mirror of it in its settings.xml; then try again."
        )


def _pom(bundle: Bundle) -> str:
    wanted = "".join(
        f"<dependency><groupId>{one.group}</groupId><artifactId>{one.name}</artifactId>"
        f"<version>{one.version}</version><type>{one.kind}</type></dependency>"
        for one in bundle.artifacts
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>horae</groupId>'
        f"<artifactId>{bundle.name}</artifactId><version>1</version><packaging>pom</packaging>"
        f"<dependencies>{wanted}</dependencies></project>\n"
    )


def _unpacked(archive: Path, target: Path) -> Path:
    """The one folder in the archive, with the files' modes, which `ZipFile.extractall` drops."""
    with zipfile.ZipFile(archive) as content:
        for entry in content.infolist():
            place = Path(content.extract(entry, target))
            if mode := (entry.external_attr >> 16) & 0o777:
                place.chmod(mode)
    return next(target.iterdir())


def _let_all_read(folder: Path) -> None:
    """Whatever our umask is: another user runs these."""
    for path in (folder, *folder.rglob("*")):
        mode = path.stat().st_mode
        path.chmod(mode | (0o755 if path.is_dir() or mode & 0o100 else 0o644))


@contextlib.contextmanager
def _alone(lock: Path, waiting: Callable[[], None]) -> Iterator[None]:
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _nearest(path: Path) -> Path:
    """The path, or the nearest folder on the way to it that exists."""
    return next(step for step in (path, *path.parents) if step.exists())
