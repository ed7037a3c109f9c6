"""The one subscription connection of this process to a server, however many wait and in whichever world.

A thread owns the connection: it subscribes to a channel when the first waiter comes and leaves it with the last, and it
rings the waiters of a channel when a notice arrives and when the subscription is confirmed. When the connection
breaks it makes another, subscribes anew, and rings everybody: notices may have been missed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import selectors
import socket
import threading
from collections import deque
from time import monotonic
from typing import Any, cast

from coord.errors import CoordError, ReplyError
from coord.fork import ForkSafeLock
from coord.notifier import Notifier
from coord.redis.connection import Connection
from coord.redis.dialing import LOST, Dialer
from coord.redis.wire import pack

__all__ = ["Subscriber", "release_subscriber", "subscriber"]

_PING_SECONDS = 5.0
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 1.0
_LINGER = 0.5
_PLAIN = "SUBSCRIBE", "UNSUBSCRIBE"
_SHARDED = "SSUBSCRIBE", "SUNSUBSCRIBE"

_log = logging.getLogger("coord")


class Subscriber(Notifier):
    """Waiters of this process on the notices of one server."""

    def __init__(self, dialer: Dialer, *, sharded: bool = False) -> None:
        super().__init__(subscribed_at_once=False)
        self._dialer = dialer
        self._subscribe, self._unsubscribe = _SHARDED if sharded else _PLAIN
        # A cluster takes sharded channels of one slot at a time.
        self._at_once = 1 if sharded else 500
        self._wanted: deque[tuple[str, str]] = deque()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._awake, self._waker = socket.socketpair()
        self._awake.setblocking(False)
        self._waker.setblocking(False)

    def __repr__(self) -> str:
        return f"<Hub {self._dialer.where}, {len(self._channels)} channels>"

    # --- called with the lock held ---------------------------------------------------------------

    def _begin(self, channel: str) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._work, name="coord-subscriptions", daemon=True)
            thread.start()
            self._thread = thread
        self._wanted.append((self._subscribe, channel))
        self._wake()

    def _end(self, channel: str) -> None:
        self._wanted.append((self._unsubscribe, channel))
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            self._waker.send(b"\0")

    def close(self) -> threading.Thread | None:
        """End the connection; return the thread that is ending, to be joined by who may block."""
        with self._lock:
            self._closed = True
            thread = self._thread
            left = [waiter for channel in self._channels.values() for waiter in (*channel.all, *channel.turns)]
        for waiter in left:
            # Who still waits finds the coordinator closed.
            waiter.wake()
        self._wake()
        if thread is None:
            self._hang_up()
        return thread

    def _hang_up(self) -> None:
        self._awake.close()
        self._waker.close()

    # --- on the thread ---------------------------------------------------------------------------

    def _work(self) -> None:
        self._serve()
        if self._closed:
            self._hang_up()

    def _serve(self) -> None:
        pause = _FIRST_PAUSE
        while not self._idle():
            connection = None
            try:
                connection = Connection(self._dialer)
                self._listen_on(connection)
                pause = _FIRST_PAUSE
            except (CoordError, *LOST) as error:
                _log.debug("coord: the subscription connection to %s broke: %s", self._dialer.where, error)
            except Exception:
                # Whatever it is, the waiters need the next connection.
                _log.exception("coord: the subscription connection to %s failed", self._dialer.where)
            finally:
                self.mark_unsubscribed()
                if connection is not None:
                    connection.close()
            if not self._closed and self._channels:
                self._rest(random.uniform(pause / 2, pause))
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _rest(self, seconds: float) -> None:
        """Let a while pass, unless the hub is closed meanwhile; a waiter that comes does not cut it short."""
        end = monotonic() + seconds
        with selectors.DefaultSelector() as watch:
            watch.register(self._awake, selectors.EVENT_READ)
            while not self._closed and (left := end - monotonic()) > 0:
                if watch.select(left):
                    self._drain()

    def _idle(self) -> bool:
        """Whether there is nothing to listen for; then the thread is about to end."""
        with self._lock:
            if self._thread is not threading.current_thread():
                # Who started it was interrupted before he knew.
                return True
            if self._closed or not self._channels:
                self._thread = None
                return True
            return False

    def _listen_on(self, connection: Connection) -> None:
        """Subscribe to what is wanted, and ring, until the connection breaks or nobody waits."""
        with self._lock:
            self._wanted.clear()
            channels = list(self._channels)
        self._send(connection, self._subscribe, channels)
        with selectors.DefaultSelector() as watch:
            watch.register(connection.socket, selectors.EVENT_READ)
            watch.register(self._awake, selectors.EVENT_READ)
            self._serve_waiters(connection, watch)

    def _serve_waiters(self, connection: Connection, watch: selectors.BaseSelector) -> None:
        heard_at = pinged_at = monotonic()
        idle_since: float | None = None
        while not self._closed:
            readable = [key.fileobj for key, _ in watch.select(0 if connection.has_more else _PING_SECONDS / 5)]
            now = monotonic()
            if self._awake in readable:
                self._drain()
                self._send_wanted(connection)
            if connection.socket in readable or connection.has_more:
                heard_at = now
                for message in connection.receive_some():
                    self._take(message)
            if now - heard_at > 3 * _PING_SECONDS:
                raise ConnectionError("no sign of life")
            if now - max(heard_at, pinged_at) > _PING_SECONDS:
                connection.socket.sendall(pack(("PING",)))
                pinged_at = now
            idle_since = None if self._channels else idle_since or now
            if idle_since is not None and now - idle_since > _LINGER:
                return

    def _take(self, message: Any) -> None:
        if isinstance(message, ReplyError):
            _log.warning("coord hears no notices of %s, and looks more often: %s", self._dialer.where, message)
        if isinstance(message, list):
            kind, channel = cast("list[str]", message)[:2]
            if kind in ("message", "smessage"):
                self.notify(channel)
            elif kind in ("subscribe", "ssubscribe"):
                self.mark_subscribed(channel)
            elif kind == "sunsubscribe":
                # Not asked for when its slot has moved to another node: those that wait look by themselves.
                self.mark_unsubscribed(channel)

    def _send_wanted(self, connection: Connection) -> None:
        """Send what waiters asked for since, in the order in which they did."""
        run: list[str] = []
        command = ""
        while self._wanted:
            wanted, channel = self._wanted.popleft()
            if wanted != command and run:
                self._send(connection, command, run)
                run = []
            command = wanted
            run.append(channel)
        if run:
            self._send(connection, command, run)

    def _send(self, connection: Connection, command: str, channels: list[str]) -> None:
        for start in range(0, len(channels), self._at_once):
            connection.socket.sendall(pack((command, *channels[start : start + self._at_once])))

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._awake.recv(4096):
                pass


_subscribers: dict[tuple[int, object], tuple[Subscriber, set[Dialer]]] = {}
_entering = ForkSafeLock()


def subscriber(dialer: Dialer) -> Notifier:
    """Return the subscriber of this process for a server; every dialer that took it calls ``release_subscriber``.

    What is no socket, such as fakeredis, has no notices: its waiters look by themselves.
    """
    if not dialer.is_socket:
        return Notifier(subscribed_at_once=False)
    waiter = os.getpid(), dialer.identity
    with _entering.lock:
        if waiter not in _subscribers:
            _subscribers[waiter] = Subscriber(dialer.blocking()), set()
        found, users = _subscribers[waiter]
        users.add(dialer)
        return found


def release_subscriber(dialer: Dialer) -> threading.Thread | None:
    """Give a hub back; with its last user it is closed, and the thread returned that is ending."""
    waiter = os.getpid(), dialer.identity
    with _entering.lock:
        found, users = _subscribers.get(waiter, (None, {dialer}))
        users.discard(dialer)
        if found is None or users:
            return None
        del _subscribers[waiter]
    return found.close()
