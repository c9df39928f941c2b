"""Lets go of a producer without waiting for brokers that may be away, and without leaving anything for nobody to hear.

Place in the flow: publisher and `kafka:` channel -> *here*. aiokafka's own `stop` flushes first, which ends only when
the brokers answer; and of a future that failed while nobody waited for it the loop complains as of a bug.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

from aiokafka.errors import KafkaError, ProducerClosed


async def let_go(producer: Any, within_s: float) -> None:
    """Fail whatever the producer has not got rid of, then stop it, within a bound."""
    accumulator = producer._message_accumulator
    queued = [batch for batches in accumulator._batches.values() for batch in batches]
    for batch in [*queued, *accumulator._pending_batches]:
        # What became of it, of its messages, and whether it was taken for sending; whoever waited has given up.
        unheard([batch.future, batch._drain_waiter, *(future for future, _ in batch._msg_futures)])
    # A batch that was sent and is to be sent again is in the queue only, and would look in vain for itself among these.
    accumulator._pending_batches.update(queued)
    accumulator.fail_all(ProducerClosed())
    if (sender := producer._sender.sender_task) is not None:
        sender.cancel()
    with contextlib.suppress(KafkaError, OSError, TimeoutError, asyncio.CancelledError):
        async with asyncio.timeout(within_s):
            await producer.stop()


def unheard(futures: Iterable[asyncio.Future[Any]]) -> None:
    """Nobody will ask these what became of them: let the loop not complain."""
    for future in futures:
        future.add_done_callback(_look_at)


def _look_at(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()
