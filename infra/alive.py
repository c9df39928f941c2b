"""A process's sign of life for the container that it runs in: a file, younger than its owner's last turn of the loop.

Place in the flow: `watchdog.watch_loop` touches it -> a probe asks `python -m horae.infra.alive`. The processes without
a port (worker, relay, indexer, migrate) are asked this way; where there is no such file, the API of this container is
asked over HTTP. Imports next to nothing, because an orchestrator runs it every few seconds.

A sign of life says that the process's loop turns, not that its work is done: what lags or is silent is told by /readyz
and /metrics, and a worker that makes no progress ends by itself.
"""

from __future__ import annotations

import http.client
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

#: Names the file; unset, no sign is given.
VARIABLE = "HORAE_ALIVE_FILE"
#: Older than this, the process counts as dead: many missed turns, so that a busy machine kills nobody.
WITHIN_S = 30.0

_ANSWER_S = 3.0


def file_from(environment: Mapping[str, str]) -> Path | None:
    """Where to give the sign; None where nobody asks for it."""
    name = environment.get(VARIABLE)
    return Path(name) if name else None


def give_sign(file: Path) -> None:
    """Touch the file. A disk that refuses it is told by the probe, which finds the file old."""
    try:
        file.touch()
    except OSError as error:
        sys.stderr.write(f'{{"event": "no_sign_of_life", "level": "warning", "error": "{error.strerror}"}}\n')


def fault(file: Path | None, url: tuple[str, int], within_s: float = WITHIN_S) -> str | None:
    """What is wrong with this container's process; None: it lives. `url` is host and port of an API."""
    if file is not None and file.exists():
        age_s = time.time() - file.stat().st_mtime
        return None if age_s <= within_s else f"the last sign of life is {age_s:.0f} s old"
    host, port = url
    connection = http.client.HTTPConnection(host, port, timeout=_ANSWER_S)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"no sign of life in {file or VARIABLE}, and no API on port {port}: {error}"
    finally:
        connection.close()
    return None if status == 200 else f"/healthz answers {status}"


def main() -> int:
    """Exit code 0 while the process lives, else 1 with the reason on standard error."""
    port = int(os.environ.get("SCHEDULING_ENGINE_PORT") or 8080)
    found = fault(file_from(os.environ), ("127.0.0.1", port))
    if found is not None:
        sys.stderr.write(found + "\n")
    return 0 if found is None else 1


if __name__ == "__main__":
    sys.exit(main())
