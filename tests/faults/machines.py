"""The servers that faults are tried on, and how coord is set up to notice a fault soon."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any

import pytest
import redis
from backends import found, wanted
from live import SOON, until
from redis.backoff import NoBackoff
from redis.retry import Retry

import coord
from coord.testing.servers import Server

ENGINES = [name for name in found() if name in wanted()]
"""The real servers that this run covers."""

LONG = bool(os.environ.get("COORD_LONG"))
"""Whether there is time for the long variants: ``COORD_LONG=1``."""

QUICK: dict[str, Any] = {"timeout": 3.0, "patience": 8.0, "remember": 30.0}
"""Short patience; long enough that a machine that stalls for a moment does not lose a reply."""


def dialled(dial: Callable[..., Any], url: str, **settings: Any) -> Any:
    """Connect with a time-out that a busy machine may exceed: then connect again."""
    end = monotonic() + SOON
    while True:
        try:
            return dial(url, **settings)
        except coord.Unavailable:
            assert monotonic() < end, "no connection came to be"


async def dialled_async(url: str, **settings: Any) -> coord.AsyncCoordinator:
    """The same, awaited."""
    end = monotonic() + SOON
    while True:
        try:
            return await coord.connect_async(url, **settings)
        except coord.Unavailable:
            assert monotonic() < end, "no connection came to be"


def complaints(stderr: str) -> str:
    """What a program in development mode has said, but for how long the steps of its loop took."""
    return re.sub(r"^Executing <.*> took [\d.]+ seconds\n", "", stderr, flags=re.MULTILINE)


def start(engine: str, *args: str) -> Server:
    """Start a private server of an engine."""
    return Server(found()[engine], *args)


def chosen() -> str:
    """The engine for what depends on the line and not on the server."""
    return "redis-8.2" if "redis-8.2" in ENGINES else ENGINES[0]


def client_of(server: Server, **settings: Any) -> Any:
    """Return a plain client, by which a test looks at the server past coord, and past the bad line."""
    settings = {"decode_responses": True, "protocol": 2, "retry": Retry(NoBackoff(), 0), **settings}
    return redis.Redis.from_url(server.url, **settings)


@contextmanager
def configured(look: Any, **settings: str | int) -> Iterator[None]:
    """Have a server behave otherwise while the ``with`` block runs."""
    names = {name.replace("_", "-"): value for name, value in settings.items()}
    before = {name: look.config_get(name)[name] for name in names}
    for name, value in names.items():
        look.config_set(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            look.config_set(name, value)


@contextmanager
def busy(server: Server, look: Any) -> Iterator[None]:
    """Have a script run for ever, until SCRIPT KILL."""
    slow = "busy-reply-threshold" if look.config_get("busy-reply-threshold") else "lua-time-limit"
    before = look.config_get(slow)[slow]
    look.config_set(slow, 30)

    def spin() -> None:
        with client_of(server, socket_timeout=20) as client, pytest.raises(Exception, match="killed"):
            client.eval("while true do end", 0)

    def is_busy() -> bool:
        try:
            look.ping()
        except redis.ResponseError as error:
            return "BUSY" in str(error)
        return False

    spinning = threading.Thread(target=spin)
    spinning.start()
    try:
        until(is_busy, "the script that runs for ever")
        yield
    finally:
        # It may have been killed already.
        with suppress(redis.ResponseError):
            look.script_kill()
        spinning.join()
        look.config_set(slow, before)
