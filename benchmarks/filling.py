"""Asks for many schedules by the service's own bulk command, without HTTP in between, as a process of its own.

What it stores are the events that `POST /v1/schedules/bulk` stores, through the same handler, decider and event store,
on the API's restricted role; the running worker applies them to the read models. Prints `{"asked": …}` first, every few
seconds, and at the end, then also `seconds` and `position`.

Without `--first-in` half are one-offs at a wall time and half are daily series, all due years from now, spread over a
year. With it they are one-offs, `--rate` a second from so many seconds after the first word, which names that instant
as `first`; 0: all at that instant.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvloop
from pydantic import SecretStr

from horae.commands.bulk import CHUNK, BulkItem
from horae.commands.context import Call
from horae.domain import timing as t
from horae.domain.draft import Draft
from horae.domain.ids import shard_of
from horae.infra import logging
from horae.infra.postgres import API_ROLE, OWNER_ROLE, dsn_of
from horae.infra.secrets import master_key
from horae.infra.settings import Settings, load
from horae.infra.wiring import open_services

TENANT = "default"
_ZONE = "Europe/Berlin"
_FAR = datetime(2029, 1, 1, 9)  # noqa: DTZ001 - a wall time
_MINUTES = 365 * 24 * 60
_TELL_EVERY_S = 5.0
_CONTENT = "Track it in the app, any time."


def settings_of(data: Path) -> Settings:
    """Those of a running installation, as its API process has them."""
    owner, api = (dsn_of(data / "postgres", role) for role in (OWNER_ROLE, API_ROLE))
    if owner is None or api is None:
        raise SystemExit(f"no installation runs on {data}")
    found = load({"data": data}).settings
    secrets = {"dsn": owner, "api_dsn": api, "encryption_key": master_key(None, data).hex()}
    return found.model_copy(update={name: SecretStr(text) for name, text in secrets.items()})


def recipients(prefix: str, shards: int) -> Iterator[str]:
    """One name after the other; all of them in the first so many shards."""
    for number in itertools.count():
        name = f"{prefix}-{number}"
        if shards == 64 or shard_of(TENANT, name) < shards:
            yield name


def drafts(args: argparse.Namespace, first: datetime | None) -> Iterator[Draft]:
    """What is asked for, in order; `first`: the instant of the first, None: years from now."""
    content = {"subject": args.subject, "body": _CONTENT}
    at = t.At(at=datetime.now(UTC))
    series = t.Every(cron="0 9 * * *", zone=_ZONE, starts_at=_FAR)
    model = Draft(recipient="nobody", channel=args.channel, content=content, timing=at)
    for number, recipient in zip(range(args.count), recipients(args.prefix, args.shards), strict=False):
        timing: t.Timing
        if first is not None:
            gap = timedelta(seconds=number / args.rate) if args.rate else timedelta()
            timing = at.model_copy(update={"at": first + gap})
        else:
            local = _FAR + timedelta(minutes=number * 7919 % _MINUTES)
            if number % 2:
                timing = series.model_copy(update={"cron": f"{local.minute} {local.hour} * * *", "starts_at": local})
            else:
                timing = at.model_copy(update={"at": None, "local": local, "zone": _ZONE})
        yield model.model_copy(update={"recipient": recipient, "timing": timing})


async def main(args: argparse.Namespace) -> None:
    """Ask for all of them, some chunks at a time."""
    call = Call(tenant=TENANT, actor="key:benchmark")
    asked = position = 0
    async with open_services(settings_of(args.data)) as services:
        first = None if args.first_in is None else datetime.now(UTC) + timedelta(seconds=args.first_in)
        print(json.dumps({"asked": 0, "first": first and first.isoformat()}), flush=True)
        wanted = drafts(args, first)
        begin = told = time.monotonic()

        async def work() -> None:
            nonlocal asked, position, told
            while chunk := list(itertools.islice(wanted, CHUNK)):
                items = [BulkItem(index=n, draft=draft) for n, draft in enumerate(chunk)]
                for result in await services.schedules.bulk_create(call, items):
                    if result.answer is None:
                        raise SystemExit(f"not stored: {result.error}")
                    position = max(position, result.answer.position)
                asked += len(chunk)
                if time.monotonic() - told > _TELL_EVERY_S:
                    told = time.monotonic()
                    print(json.dumps({"asked": asked}), flush=True)

        await asyncio.gather(*(work() for _ in range(3)))
    seconds = time.monotonic() - begin
    print(json.dumps({"asked": asked, "seconds": round(seconds, 2), "position": position}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--first-in", type=float, help="seconds until the first is due; absent: years")
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--channel", default="log:")
    parser.add_argument("--subject", default="Your order has shipped")
    parser.add_argument("--prefix", default="user")
    parser.add_argument("--shards", type=int, default=64)
    logging.configure("warning", "json", "filling")
    uvloop.run(main(parser.parse_args()))
