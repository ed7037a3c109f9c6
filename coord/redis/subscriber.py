"""One subscription connection to a server per event loop, shared by all waiters in it.

An async coordinator subscribes in its own loop; all blocking coordinators of a process share the background loop.
A channel is subscribed to while it has waiters. Its waiters are woken when a message arrives and when the subscription
is confirmed: of an earlier change they got no message. A new connection subscribes to all channels again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import threading
from collections.abc import Iterable
from typing import Any

from coord.errors import CoordError, ReplyError
from coord.fork import ForkSafeLock
from coord.loops import Home
from coord.notifier import Notifier
from coord.redis.dialing import LOST, Dialer
from coord.redis.opening import open_by_redis_py
from coord.redis.wire import new_reader, pack

__all__ = ["Subscriber", "release_subscriber", "subscriber", "subscribers"]

PING_SECONDS = 5.0
SILENT_SECONDS = 3 * PING_SECONDS
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 1.0
_LINGER = 0.5
"""Seconds that a connection without channels stays open: the next waiter may come soon."""
_REFUSED_PAUSE = 0.2
"""Seconds after which a refused SUBSCRIBE (BUSY, LOADING) is sent again, doubled up to the next ping."""
_JOIN_SECONDS = 1.0
_PLAIN = "SUBSCRIBE", "UNSUBSCRIBE"
_SHARDED = "SSUBSCRIBE", "SUNSUBSCRIBE"

_log = logging.getLogger("coord")


class _Connection(asyncio.Protocol):
    """A subscription connection: redis-py opened it, this protocol took its transport over."""

    def __init__(self, redis_py: Any, subscriber: Subscriber, loop: asyncio.AbstractEventLoop) -> None:
        self._redis_py = redis_py
        self._subscriber = subscriber
        self._loop = loop
        self._reader = new_reader()
        self._transport: asyncio.Transport = redis_py._writer.transport
        self._before: Any = self._transport.get_protocol()
        self._gone: asyncio.Future[None] = loop.create_future()
        self.error: Exception | None = None
        self.received_at = loop.time()
        self._transport.set_protocol(self)
        if self._transport.is_closing():
            self.error = ConnectionError("the server closed the connection")

    def send(self, *words: str) -> None:
        """Send a command; the subscriber handles the reply."""
        self._transport.write(pack(words))

    def data_received(self, data: bytes) -> None:
        """Hand each message to the subscriber."""
        self.received_at = self._loop.time()
        try:
            self._reader.feed(data)
            while (message := self._reader.gets()) is not False:
                self._subscriber.take(message)
        except Exception as error:
            # After an unreadable reply the rest of the stream cannot be trusted.
            self._fail(error)
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the loss, and release what redis-py keeps."""
        self._fail(exc or ConnectionError("the server closed the connection"))
        self._before.connection_lost(exc)
        self._redis_py._reader = self._redis_py._writer = None
        if not self._gone.done():
            self._gone.set_result(None)

    def _fail(self, error: Exception) -> None:
        if self.error is None:
            self.error = error
        self._subscriber.stir()

    async def close(self) -> None:
        """Close it at once: later messages do not matter."""
        self._transport.abort()
        # The loop may end after this; a transport that is not yet closed would be left open.
        await asyncio.wait([self._gone], timeout=_JOIN_SECONDS)


class Subscriber(Notifier):
    """Waiters on the messages of one server."""

    def __init__(self, dialer: Dialer, home: Home, *, sharded: bool = False) -> None:
        super().__init__(subscribed_at_once=False)
        self._dialer = dialer
        self._home = home
        self._subscribe, self._unsubscribe = _SHARDED if sharded else _PLAIN
        # SSUBSCRIBE takes channels of one slot only.
        self._at_once = 1 if sharded else 500
        self._changed: dict[str, None] = {}
        self._is_stirred = False
        self._stirred: asyncio.Event | None = None
        self._connection: _Connection | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.task: asyncio.Task[None] | None = None
        self._closed = False
        self._refusals = 0
        self._over = threading.Event()
        self._over.set()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._dialer.where}, {len(self._channels)} channels>"

    # --- from any thread; the lock is held -------------------------------------------------------

    def _begin(self, channel: str) -> None:
        if self._loop is None:
            self._loop = self._home.enter()
            self._over.clear()
            self._home.call(self._loop, self._start)
        self._note(channel)

    def _end(self, channel: str) -> None:
        self._note(channel)

    def _note(self, channel: str) -> None:
        """Note a channel's first or last waiter; the server gets the change soon, if it is connected."""
        if self._connection is not None:
            self._changed[channel] = None
        if self._loop is not None and not self._is_stirred:
            self._is_stirred = True
            self._home.call(self._loop, self.stir)

    def close(self) -> None:
        """End the connection; ``join`` or ``joined`` waits for it. Waiters are woken, and find it closed."""
        with self._lock:
            self._closed = True
            loop = self._loop
            left = [waiter for channel in self._channels.values() for waiter in channel.waiters]
        for waiter in left:
            waiter.wake()
        if loop is not None:
            self._home.call(loop, self._cancel)

    def join(self) -> None:
        """Block until the connection has ended, for a bounded time."""
        self._over.wait(_JOIN_SECONDS)

    async def joined(self) -> None:
        """Wait until the connection has ended, for a bounded time; in its own loop only."""
        task = self.task
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            await asyncio.wait([task], timeout=_JOIN_SECONDS)

    # --- in the loop -----------------------------------------------------------------------------

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        self.task = task = loop.create_task(self._serve(loop))
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self.task is task:
            self.task = None

    def _cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()

    def stir(self) -> None:
        """Wake the loop: waiters came or left, or the connection broke."""
        self._is_stirred = False
        if self._stirred is not None:
            self._stirred.set()

    async def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        pause = _FIRST_PAUSE
        try:
            while not self._is_idle():
                try:
                    await self._listen(loop)
                except (CoordError, *LOST) as error:
                    _log.debug("coord: the subscription connection to %s broke: %s", self._dialer.where, error)
                except Exception:
                    # The waiters need the next connection after any error.
                    _log.exception("coord: the subscription connection to %s failed", self._dialer.where)
                else:
                    pause = _FIRST_PAUSE
                if not self._closed and self._channels:
                    await asyncio.sleep(random.uniform(pause / 2, pause))
                    pause = min(2 * pause, _LONGEST_PAUSE)
        except BaseException:
            # Otherwise it was released when no waiter was left; the loop may be that of the next waiters by now.
            with self._lock:
                self._release_loop(loop)
            raise

    def _is_idle(self) -> bool:
        """Whether no waiter is left; then the loop is released, and the next waiter starts a new task."""
        with self._lock:
            if self._closed or not self._channels:
                if self._loop is not None:
                    self._release_loop(self._loop)
                return True
            return False

    def _release_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is loop:
            self._loop = self._stirred = None
            self._is_stirred = False
            self._over.set()
            self._home.leave(loop)

    async def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Connect, and subscribe to the channels of waiters, until the connection breaks or no waiter is left."""
        connection = _Connection(await open_by_redis_py(self._dialer), self, loop)
        try:
            with self._lock:
                self._stirred = stirred = asyncio.Event()
                self._connection = connection
                self._changed.clear()
                channels = list(self._channels)
            self._send(self._subscribe, channels)
            await self._keep_listening(loop, connection, stirred)
        finally:
            with self._lock:
                self._connection = None
                self._changed.clear()
            self.mark_unsubscribed()
            # The loop may have been closed with this task in it: then nothing can be closed any more.
            if not loop.is_closed():
                await connection.close()

    async def _keep_listening(
        self, loop: asyncio.AbstractEventLoop, connection: _Connection, stirred: asyncio.Event
    ) -> None:
        ping_at = loop.time() + PING_SECONDS
        idle_since: float | None = None
        while not self._closed:
            if connection.error is not None:
                raise connection.error
            self._send_changes()
            now = loop.time()
            if now - connection.received_at > SILENT_SECONDS:
                raise ConnectionError(f"received nothing for {SILENT_SECONDS:g} s")
            if now >= ping_at:
                ping_at = now + PING_SECONDS
                connection.send("PING")
                self._refusals = 0
                self._subscribe_missing()
            idle_since = None if self._channels else idle_since if idle_since is not None else now
            if idle_since is not None and now - idle_since >= _LINGER:
                return
            until = ping_at if idle_since is None else min(ping_at, idle_since + _LINGER)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await stirred.wait()
            stirred.clear()

    def _send_changes(self) -> None:
        """Subscribe to channels with a first waiter; unsubscribe from those without waiters."""
        with self._lock:
            changed = list(self._changed)
            self._changed.clear()
            wanted = [channel for channel in changed if channel in self._channels]
            left = [channel for channel in changed if channel not in self._channels]
        self._send(self._unsubscribe, left)
        self._send(self._subscribe, wanted)

    def _subscribe_missing(self) -> None:
        """Subscribe to channels without a confirmation: SUBSCRIBE was refused, or its answer never came."""
        with self._lock:
            missing = [name for name, channel in self._channels.items() if not channel.notify]
        self._send(self._subscribe, missing)

    def _send(self, command: str, channels: Iterable[str]) -> None:
        channels = list(channels)
        if self._connection is not None:
            for start in range(0, len(channels), self._at_once):
                self._connection.send(command, *channels[start : start + self._at_once])

    def take(self, message: Any) -> None:
        """Handle one message of the server."""
        if isinstance(message, ReplyError):
            self._refused(message)
        elif message.__class__ is list and len(message) >= 2:
            kind, channel = message[:2]
            if kind in ("message", "smessage"):
                self.notify(channel)
            elif kind in ("subscribe", "ssubscribe"):
                self.mark_subscribed(channel)
            elif kind == "sunsubscribe":
                # Sent by the server when the slot has moved to another node: waiters poll until they subscribe again.
                self.mark_unsubscribed(channel)
        elif message == "PONG":
            self._is_deaf()

    def _refused(self, error: ReplyError) -> None:
        """Log the first refusal in a while, and ask again: BUSY and LOADING pass."""
        if not self._refusals:
            _log.warning("coord: %s refused a subscription, so waiters look more often: %s", self._dialer.where, error)
        pause = _REFUSED_PAUSE * 2**self._refusals
        self._refusals += 1
        if pause < PING_SECONDS:
            asyncio.get_running_loop().call_later(random.uniform(pause / 2, pause), self._subscribe_missing)

    def _is_deaf(self) -> None:
        """Handle a plain PONG: this connection has no subscriptions on the server."""
        with self._lock:
            lost = [name for name, channel in self._channels.items() if channel.notify]
        if lost:
            _log.warning("coord: %s has lost %d subscriptions; subscribing again", self._dialer.where, len(lost))
            self.mark_unsubscribed()
            self._subscribe_missing()


_Key = tuple[int, Any, object]

subscribers: dict[_Key, tuple[Subscriber, set[Dialer]]] = {}
"""Those of this process, each with its users."""

_entering = ForkSafeLock()


def _key(dialer: Dialer, home: Home) -> _Key:
    return os.getpid(), home.place, dialer.identity


def subscriber(dialer: Dialer, home: Home) -> Notifier:
    """Return the subscriber for a server in a loop; each call is matched by one of ``release_subscriber``.

    A fake server sends no messages: its waiters poll.
    """
    awaited = dialer.awaited()
    if awaited is None:
        return Notifier(subscribed_at_once=False)
    key = _key(dialer, home)
    with _entering.lock:
        if key not in subscribers:
            subscribers[key] = Subscriber(awaited, home), set()
        found, users = subscribers[key]
        users.add(dialer)
        return found


def release_subscriber(dialer: Dialer, home: Home) -> Subscriber | None:
    """Release the subscriber; when that was its last user, close it and return it, to be joined."""
    key = _key(dialer, home)
    with _entering.lock:
        found, users = subscribers.get(key, (None, set[Dialer]()))
        users.discard(dialer)
        if found is None or users:
            return None
        del subscribers[key]
    found.close()
    return found
