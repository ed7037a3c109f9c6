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
from coord.forks import Guard
from coord.notices import Notices
from coord.redis.dialing import LOST, Dialer
from coord.redis.links import Link
from coord.redis.wire import pack

__all__ = ["Hub", "hub", "leave_hub"]

_PING_SECONDS = 5.0
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 1.0
_LINGER = 0.5
_PLAIN = "SUBSCRIBE", "UNSUBSCRIBE"
_SHARDED = "SSUBSCRIBE", "SUNSUBSCRIBE"

_log = logging.getLogger("coord")


class Hub(Notices):
    """Waiters of this process on the notices of one server."""

    def __init__(self, dialer: Dialer, *, sharded: bool = False) -> None:
        super().__init__(heard_at_once=False)
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
            left = [place for channel in self._channels.values() for place in (*channel.all, *channel.turns)]
        for place in left:
            # Who still waits finds the coordinator closed.
            place.ring()
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
            link = None
            try:
                link = Link(self._dialer)
                self._listen_on(link)
                pause = _FIRST_PAUSE
            except (CoordError, *LOST) as error:
                _log.debug("coord: the subscription connection to %s broke: %s", self._dialer.where, error)
            except Exception:
                # Whatever it is, the waiters need the next connection.
                _log.exception("coord: the subscription connection to %s failed", self._dialer.where)
            finally:
                self.stop_hearing()
                if link is not None:
                    link.close()
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

    def _listen_on(self, link: Link) -> None:
        """Subscribe to what is wanted, and ring, until the connection breaks or nobody waits."""
        with self._lock:
            self._wanted.clear()
            channels = list(self._channels)
        self._send(link, self._subscribe, channels)
        with selectors.DefaultSelector() as watch:
            watch.register(link.socket, selectors.EVENT_READ)
            watch.register(self._awake, selectors.EVENT_READ)
            self._serve_waiters(link, watch)

    def _serve_waiters(self, link: Link, watch: selectors.BaseSelector) -> None:
        heard_at = pinged_at = monotonic()
        idle_since: float | None = None
        while not self._closed:
            readable = [key.fileobj for key, _ in watch.select(0 if link.has_more else _PING_SECONDS / 5)]
            now = monotonic()
            if self._awake in readable:
                self._drain()
                self._send_wanted(link)
            if link.socket in readable or link.has_more:
                heard_at = now
                for message in link.receive_some():
                    self._take(message)
            if now - heard_at > 3 * _PING_SECONDS:
                raise ConnectionError("no sign of life")
            if now - max(heard_at, pinged_at) > _PING_SECONDS:
                link.socket.sendall(pack(("PING",)))
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
                self.heard(channel)
            elif kind in ("subscribe", "ssubscribe"):
                self.begin_to_hear(channel)
            elif kind == "sunsubscribe":
                # Not asked for when its slot has moved to another node: those that wait look by themselves.
                self.stop_hearing(channel)

    def _send_wanted(self, link: Link) -> None:
        """Send what waiters asked for since, in the order in which they did."""
        run: list[str] = []
        command = ""
        while self._wanted:
            wanted, channel = self._wanted.popleft()
            if wanted != command and run:
                self._send(link, command, run)
                run = []
            command = wanted
            run.append(channel)
        if run:
            self._send(link, command, run)

    def _send(self, link: Link, command: str, channels: list[str]) -> None:
        for start in range(0, len(channels), self._at_once):
            link.socket.sendall(pack((command, *channels[start : start + self._at_once])))

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._awake.recv(4096):
                pass


_hubs: dict[tuple[int, object], tuple[Hub, set[Dialer]]] = {}
_entering = Guard()


def hub(dialer: Dialer) -> Notices:
    """Return this process's hub for a server; a dialer that took it, however often, gives it back by ``leave_hub``.

    What is no socket, such as fakeredis, has no notices: its waiters look by themselves.
    """
    if not dialer.is_socket:
        return Notices(heard_at_once=False)
    place = os.getpid(), dialer.identity
    with _entering.lock:
        if place not in _hubs:
            _hubs[place] = Hub(dialer.blocking()), set()
        found, users = _hubs[place]
        users.add(dialer)
        return found


def leave_hub(dialer: Dialer) -> threading.Thread | None:
    """Give a hub back; with its last user it is closed, and the thread returned that is ending."""
    place = os.getpid(), dialer.identity
    with _entering.lock:
        found, users = _hubs.get(place, (None, {dialer}))
        users.discard(dialer)
        if found is None or users:
            return None
        del _hubs[place]
    return found.close()
