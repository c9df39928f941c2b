"""The wheel: folders at the top of the repository, one name where it is installed.

hatch drops a folder that it cannot find without a word, so the wheel is built and compared with the tree, file by file.
"""

import configparser
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("domain", "commands", "projections", "streams", "api", "infra")
SHIPPED = {".py", ".sql", ".html", ".css", ".js", ".json", ".lua", ".typed"}

pytestmark = pytest.mark.xdist_group("packaging")


def build(what: str, source: Path, target: Path) -> Path:
    """Builds with what the environment has (no network), as ``python -m build`` does for a release."""
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", f"--{what}", "--outdir", str(target), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [built] = target.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def on_disk() -> dict[str, bytes]:
    """What must be shipped, by its path in the wheel."""
    files = {f"horae/{name}": ROOT / "src" / "horae" / name for name in ("__init__.py", "py.typed")}
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in SHIPPED and "__pycache__" not in path.parts:
                files[f"horae/{path.relative_to(ROOT).as_posix()}"] = path
    return {name: path.read_bytes() for name, path in files.items()}


def test_the_wheel_installs_one_name(wheel: Path) -> None:
    """Nothing called `domain` or `api` may land beside other people's packages."""
    tops = {name.partition("/")[0] for name in contents(wheel)}
    assert tops == {"horae", f"{wheel.name.partition('-py3')[0]}.dist-info"}


def test_the_wheel_holds_the_tree(wheel: Path) -> None:
    """Every module, SQL file and the typing mark is in it, byte for byte, and no folder is missing."""
    shipped, expected = contents(wheel), on_disk()
    assert {name: shipped.get(name) for name in expected} == expected
    assert "horae/py.typed" in shipped
    for folder in FOLDERS:
        assert f"horae/{folder}/__init__.py" in shipped
    assert [name for name in shipped if name.startswith("horae/") and name not in expected] == []


def test_the_wheel_brings_the_command(wheel: Path) -> None:
    """Installing it gives the `horae` command, and the metadata names the licence."""
    shipped = contents(wheel)
    [entry_points] = [text for name, text in shipped.items() if name.endswith(".dist-info/entry_points.txt")]
    parsed = configparser.ConfigParser()
    parsed.read_string(entry_points.decode())
    assert dict(parsed["console_scripts"]) == {"horae": "horae.infra.cli.main:main"}
    assert any(name.endswith("licenses/LICENSE") for name in shipped)


def test_the_source_archive_gives_the_same_wheel(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    """Who builds from the source archive gets what we ship, though the archive may lack the tree's symlinks."""
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    [source] = (tmp_path / "source").iterdir()
    assert contents(build("wheel", source, tmp_path / "wheel")) == contents(wheel)


def test_the_wheel_imports_where_the_tree_is_not(wheel: Path, tmp_path: Path) -> None:
    """Unpacked as an installer does it, every module of the wheel imports, and from there alone."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    program = (
        "import sys, pkgutil, importlib; sys.path.insert(0, sys.argv[1])\n"
        "import horae\n"
        "for module in pkgutil.walk_packages(horae.__path__, 'horae.'):\n"
        "    if not module.name.endswith('.__main__'):\n"
        "        print(importlib.import_module(module.name).__file__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    strangers = [line for line in done.stdout.splitlines() if not line.startswith(str(tmp_path))]
    assert strangers == []
