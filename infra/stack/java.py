"""Finds Java and Maven on this machine, or says what is missing and how to get it.

Place in the flow: asked before anything of the stack is fetched or started, and by `make test`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

#: Kafka 4 runs on nothing older.
OLDEST_JAVA: Final = 17

_GET_JAVA: Final = (
    "install one (Debian, Ubuntu: apt install openjdk-17-jre-headless; Fedora: dnf install java-17-openjdk-headless; "
    "macOS: brew install openjdk@17), or set JAVA_HOME"
)
_GET_MAVEN: Final = (
    "install it (Debian, Ubuntu: apt install maven; Fedora: dnf install maven; macOS: brew install maven)"
)


class StackError(Exception):
    """A server of the stack cannot be fetched, started or reached; the message says why and what to do."""


class MissingTool(StackError):
    """Java or Maven is not on this machine; the message says which and how to install it."""


@dataclass(frozen=True, slots=True)
class Java:
    """A Java that is new enough."""

    program: Path
    home: Path
    version: int


def find_java() -> Java:
    """That of JAVA_HOME, else that of the PATH. Raises `MissingTool`."""
    old: list[str] = []
    for program in _candidates():
        java = _ask(program)
        if java is not None and java.version >= OLDEST_JAVA:
            return java
        if java is not None:
            old.append(f"{program} is version {java.version}")
    found = "; ".join(old) or "there is no working `java` in JAVA_HOME or on the PATH"
    raise MissingTool(f"Kafka and Elasticsearch need Java {OLDEST_JAVA} or newer, and {found}: {_GET_JAVA}.")


def find_maven() -> Path:
    """The program `mvn`. Raises `MissingTool`."""
    found = shutil.which("mvn")
    if found is None:
        raise MissingTool(
            f"Kafka and Elasticsearch are fetched with Maven, and there is no `mvn` on the PATH: {_GET_MAVEN}."
        )
    return Path(found)


def _candidates() -> list[Path]:
    home = os.environ.get("JAVA_HOME")
    on_path = shutil.which("java")
    return ([Path(home) / "bin" / "java"] if home else []) + ([Path(on_path)] if on_path else [])


@cache
def _ask(program: Path) -> Java | None:
    """What it says of itself; None when it does not run (macOS has a `java` that only asks to install one)."""
    try:
        done = subprocess.run(  # noqa: S603  the user's own Java
            [str(program), "-XshowSettings:properties", "-version"], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    home = re.search(r"^ *java\.home = (.+)$", done.stderr, re.MULTILINE)
    # Before Java 9 the version was written 1.8.
    version = re.search(r"^ *java\.specification\.version = (?:1\.)?(\d+)$", done.stderr, re.MULTILINE)
    if done.returncode != 0 or home is None or version is None:
        return None
    return Java(program, Path(home[1]), int(version[1]))
