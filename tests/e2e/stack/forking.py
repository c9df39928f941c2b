"""`python -m tests.e2e.stack.forking FD PARENT PROFILE`: forks `horae ARGUMENTS` from a process with all imports done.

A house has eight processes, and what is killed starts again at once: from nothing each would take two to three seconds
of CPU for its imports, which the load under which it is killed would miss. Everything behind the imports is what the
command does: arguments, environment and settings are read by the forked process. None outlives the server, nor the
server the tests.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from setproctitle import setproctitle

from horae.infra.cli.main import main
from horae.infra.processes.forkserver import FAULTY, serve
from horae.infra.processes.lifeline import tie_to_parent

MODULE = "tests.e2e.stack.forking"
#: The commands' own modules, beside what the product's fork server imports.
_AHEAD = ("running", "relaying", "searching")


@dataclass(frozen=True, slots=True)
class Errand:
    """What a forked process is to be: `horae` with these arguments and this environment; what it says goes to `log`."""

    arguments: tuple[str, ...]
    environment: dict[str, str]
    log: str

    def to_line(self) -> str:
        """See `Told`."""
        return json.dumps(asdict(self))


def _become(kind: str, line: str, parent: int, lifeline: int) -> NoReturn:
    code: int | str | None = FAULTY
    try:
        tie_to_parent(parent)
        setproctitle(f"horae {kind}")
        errand = Errand(**json.loads(line))
        log = os.open(errand.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for source, number in ((os.open(os.devnull, os.O_RDONLY), 0), (log, 1), (log, 2)):
            os.dup2(source, number)
        os.close(lifeline)
        os.environ.clear()
        os.environ.update(errand.environment)
        sys.argv[:] = ["horae", *errand.arguments]
        main()
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001  nothing may go back into the server's loop: it is another process's
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    os.chdir(Path(__file__).resolve().parents[3])
    for name in _AHEAD:
        importlib.import_module(f"horae.infra.cli.{name}")
    serve(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], _become)
