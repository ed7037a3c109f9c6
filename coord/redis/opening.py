"""Opening an asyncio connection by redis-py, so that a failure leaves no socket open."""

from __future__ import annotations

import asyncio
from typing import Any

from coord.redis.dialing import Dialer
from coord.redis.refusals import refuse

__all__ = ["open_by_redis_py"]

_CANCELLED_SECONDS = 0.25
"""Seconds that a cancelled connection still has to be made: then it can be aborted. asyncio ends one that is cancelled
just after the TLS handshake by an exchange with the server, and the loop may not last until the answer."""


async def open_by_redis_py(dialer: Dialer) -> Any:
    """Return a redis-py connection, connected; a ``CoordError`` when it cannot be."""
    redis_py = dialer.dial()
    connect, transports = redis_py._connect, list[Any]()

    async def connect_and_keep() -> None:
        await connect()
        transports.append(getattr(getattr(redis_py, "_writer", None), "transport", None))

    # redis-py forgets its transport before TLS has ended.
    redis_py._connect = connect_and_keep
    connecting = asyncio.get_running_loop().create_task(redis_py.connect())
    try:
        try:
            await asyncio.wait([connecting])
        except asyncio.CancelledError:
            await asyncio.wait([connecting], timeout=_CANCELLED_SECONDS)
            raise
        connecting.result()
    except BaseException as error:
        connecting.cancel()
        await asyncio.wait([connecting])
        for transport in transports:
            if transport is not None:
                transport.abort()
        redis_py._reader = redis_py._writer = None
        if isinstance(error, Exception):
            # redis-py does not check the replies to its first commands, so any exception is possible.
            refuse(error, dialer.where)
        raise
    finally:
        del redis_py._connect
    return redis_py
