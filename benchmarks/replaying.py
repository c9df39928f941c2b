"""Replays an installation's log into fresh read models, as `horae rebuild` does, and says how long the filling took.

The comparison with the live copy and the swap come after it, and are told apart. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path

from horae.infra import logging
from horae.infra.postgres import dsn_of
from horae.infra.rebuild import rebuild


async def main(data: Path) -> None:
    """Rebuild while the service stands idle."""
    dsn = dsn_of(data / "postgres")
    if dsn is None:
        raise SystemExit(f"no installation runs on {data}")
    begin = time.monotonic()
    seen: list[tuple[float, int]] = []
    report = await rebuild(dsn, lambda position, _: seen.append((time.monotonic(), position)))
    whole_s = time.monotonic() - begin
    # Up to the last batch: what follows it is comparing and swapping.
    filling_s = seen[-1][0] - begin
    print(
        json.dumps(
            {
                "events": report.events,
                "parked": report.parked,
                "differing": len(report.differing),
                "filling_s": round(filling_s, 2),
                "whole_s": round(whole_s, 2),
                "per_second": round(report.events / filling_s),
            }
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    logging.configure("warning", "json", "rebuild")
    asyncio.run(main(parser.parse_args().data))
