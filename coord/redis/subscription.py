"""The notifier of a coordinator and of its views: made when the first waiter needs it, and released once."""

from __future__ import annotations

import os
from typing import Any

from coord.fork import ForkSafeLock
from coord.notifier import Notifier
from coord.redis.router import Router
from coord.redis.subscriber import Subscriber

__all__ = ["Subscription"]

_making = ForkSafeLock()


class Subscription:
    """A coordinator's share in the subscription connection of its process or loop. A child of a fork has its own."""

    def __init__(self, router: Router[Any]) -> None:
        self._router = router
        self._notifier: Notifier | None = None
        self._process = 0
        self._is_closed = False

    @property
    def notifier(self) -> Notifier:
        """Return the notifier; after ``close`` one that never subscribes, as nothing would release it."""
        notifier = self._notifier
        if notifier is None or self._process != os.getpid():
            # Two threads that come first together must not subscribe twice: each subscription is released once.
            with _making.lock:
                notifier = self._notifier
                if notifier is None or self._process != os.getpid():
                    notifier = Notifier(subscribed_at_once=False) if self._is_closed else self._router.subscribe()
                    self._notifier, self._process = notifier, os.getpid()
        return notifier

    def close(self) -> list[Subscriber]:
        """Release it; return the subscribers to join. May be called again."""
        with _making.lock:
            is_subscribed = self._notifier is not None and self._process == os.getpid() and not self._is_closed
            self._is_closed, self._notifier = True, None
        return self._router.unsubscribe() if is_subscribed else []
