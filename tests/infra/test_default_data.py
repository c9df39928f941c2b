"""Where the data lies when nobody says."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from horae.infra.default_data import default_data_folder

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory that only its owner may enter."""
    folder = Path(tempfile.mkdtemp(prefix="horae-place-"))
    monkeypatch.chdir(folder)
    yield folder
    shutil.rmtree(folder)


def test_it_lies_here_where_the_server_can_go(place: Path, tmp_path: Path) -> None:
    """The ordinary case: one folder in the project."""
    place.chmod(0o755)
    assert default_data_folder(tmp_path) == Path(".horae")


@as_root
def test_from_a_private_place_root_is_served_elsewhere_and_always_there(place: Path, tmp_path: Path) -> None:
    """The second start finds what the first one made."""
    assert oct(place.stat().st_mode).endswith("700")
    folder = default_data_folder(tmp_path)
    assert folder.parent == tmp_path
    assert folder.name.startswith(f"{place.name}-")
    assert default_data_folder(tmp_path) == folder


@as_root
def test_an_installation_that_is_here_already_stays_here(place: Path, tmp_path: Path) -> None:
    """Closing a folder later must not make the service start empty somewhere else."""
    (place / ".horae" / "postgres").mkdir(parents=True)
    assert default_data_folder(tmp_path) == Path(".horae")
