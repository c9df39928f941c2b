"""The process that keeps a stack: starts it, holds it until it is told to end, and stops it in order.

Place in the flow: `horae stack up` runs it in the foreground, or starts it as a process of its own, which stays when
the command has ended and which `horae stack down` ends. If it is killed, the servers end with it.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from horae.infra.postgres import ClusterError
from horae.infra.stack.identity import ProcessIdentity
from horae.infra.stack.java import StackError
from horae.infra.stack.local import LocalStack
from horae.infra.stopping import stop_requested


async def keep(folder: Path, ready: Callable[[], None]) -> None:
    """Start the stack, tell `ready`, and keep it until SIGTERM or SIGINT. Raises `StackError` or `ClusterError`."""
    stop = stop_requested()
    stack = LocalStack(folder)
    loop = asyncio.get_running_loop()
    started: asyncio.Future[None] = loop.create_future()

    def start() -> None:
        try:
            stack.start()
        except BaseException as error:  # noqa: BLE001  raised again where it is awaited
            _tell(loop, started, error)
        else:
            _tell(loop, started, None)

    # A daemon and not the loop's own thread pool, which would be waited for at the end: a first start may be fetching.
    threading.Thread(target=start, name="start", daemon=True).start()
    asked = asyncio.create_task(stop.wait())
    try:
        either: set[asyncio.Future[Any]] = {started, asked}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if started.done():
            started.result()
            ready()
            await asked
    finally:
        asked.cancel()
        stack.stop()


def detach(folder: Path) -> tuple[ProcessIdentity | None, Path]:
    """Start a keeper that outlives us; returns it (None: it ended at once) and its log."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "keeper.log"
    with log.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603  ourselves
            [sys.executable, "-m", __name__, str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    return ProcessIdentity.of(process.pid), log


def _tell(loop: asyncio.AbstractEventLoop, started: asyncio.Future[None], error: BaseException | None) -> None:
    def tell() -> None:
        if started.cancelled():
            return
        if error is None:
            started.set_result(None)
        else:
            started.set_exception(error)

    try:
        loop.call_soon_threadsafe(tell)
    except RuntimeError:  # asked to end meanwhile, and the loop has
        return


def main() -> None:
    """Keep the stack of the folder that is named."""
    try:
        asyncio.run(keep(Path(sys.argv[1]), lambda: None))
    except (StackError, ClusterError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
