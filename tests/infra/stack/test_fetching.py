"""What the stack needs of a machine: said clearly when it is missing, fetched once when it is there."""

import os
import stat
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from horae.infra.postgres.server_user import server_user
from horae.infra.stack import KafkaServer, MissingTool, StackError
from horae.infra.stack.java import find_java, find_maven
from horae.infra.stack.maven import KAFKA, cache_folder, fetch, missing

Program = Callable[[str, str], Path]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Puts a program of the given words alone on the PATH, with an empty cache."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("HORAE_STACK_CACHE", str(tmp_path / "cache"))

    def put(name: str, script: str) -> Path:
        path = folder / name
        path.write_text(f"#!{sys.executable}\n{script}\n")
        path.chmod(0o755)
        return path

    return put


def _java(version: str) -> str:
    told = f"    java.home = /opt/java\n    java.specification.version = {version}\n"
    return f"import sys; sys.stderr.write({told!r})"


#: A Maven that makes what it was asked to fetch, and counts how often it was asked.
_MAVEN = """
import pathlib, sys
target = next(word for word in sys.argv if word.startswith("-DoutputDirectory="))
folder = pathlib.Path(target.partition("=")[2])
folder.mkdir()
(folder / "kafka.jar").write_text("jar")
(folder / "kafka.jar").chmod(0o600)
with open(pathlib.Path(sys.argv[0]).with_name("asked"), "a") as asked:
    asked.write("once\\n")
"""


def test_no_java_is_named_with_how_to_get_it(program: Program) -> None:
    """Neither a stack trace nor a bare `not found`."""
    with pytest.raises(MissingTool, match=r"need Java 17 or newer, and there is no working `java`.*apt install"):
        find_java()


def test_an_old_java_is_named_with_its_version(program: Program) -> None:
    """Java 8 wrote its version as 1.8; both are too old, and the message says what was found where."""
    path = program("java", _java("1.8"))
    with pytest.raises(MissingTool, match=rf"{path} is version 8: install one"):
        find_java()


def test_a_new_java_on_the_path_serves_although_java_home_is_old(
    program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """JAVA_HOME is asked first, but does not hide a better one."""
    old = tmp_path / "old" / "bin"
    old.mkdir(parents=True)
    program("java", _java("11")).rename(old / "java")
    monkeypatch.setenv("JAVA_HOME", str(old.parent))
    good = program("java", _java("21"))
    assert (find_java().program, find_java().version) == (good, 21)


def test_no_maven_is_named_with_how_to_get_it(program: Program) -> None:
    """It is needed until all is fetched."""
    program("java", _java("17"))
    with pytest.raises(MissingTool, match=r"no `mvn` on the PATH.*apt install maven"):
        find_maven()
    with pytest.raises(MissingTool, match="no `mvn`"):
        fetch(KAFKA)
    assert len(missing()) == 1


def test_a_server_does_not_start_without_java(program: Program, tmp_path: Path) -> None:
    """It is refused before anything is made."""
    with pytest.raises(MissingTool, match="need Java"):
        KafkaServer(tmp_path / "kafka").start()
    assert not (tmp_path / "kafka").exists()


def test_two_at_once_fetch_once(program: Program, tmp_path: Path) -> None:
    """The second waits for the first; what they get is whole, for every user to read, and there the next time."""
    program("java", _java("17"))
    maven = program("mvn", _MAVEN)
    with ThreadPoolExecutor(2) as both:
        first, second = both.map(fetch, (KAFKA, KAFKA))
    assert first == second == fetch(KAFKA) == tmp_path / "cache" / KAFKA.name
    assert maven.with_name("asked").read_text() == "once\n"
    assert stat.S_IMODE((first / "kafka.jar").stat().st_mode) == 0o644
    maven.unlink()
    assert fetch(KAFKA) == first


def test_a_failed_fetch_leaves_nothing_and_says_mavens_words(program: Program, tmp_path: Path) -> None:
    """The next try begins anew."""
    program("java", _java("17"))
    program("mvn", "import sys; print('[ERROR] Could not transfer artifact'); sys.exit(1)")
    with pytest.raises(StackError, match=r"could not fetch Kafka .*Could not transfer artifact.*a mirror of it"):
        fetch(KAFKA)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [f".{KAFKA.name}.lock"]


def test_the_cache_lies_where_the_servers_user_can_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The user's own cache; for root in a private home, whom the server's user could not follow, a shared one."""
    monkeypatch.delenv("HORAE_STACK_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    tmp_path.chmod(0o700)
    if os.geteuid() != 0:
        assert cache_folder() == tmp_path / "horae"
        return
    assert not server_user(tmp_path).may_enter(tmp_path)
    assert cache_folder() == Path("/var/lib/horae/stack")
    monkeypatch.setenv("HORAE_STACK_CACHE", str(tmp_path / "named"))
    assert cache_folder() == tmp_path / "named"
