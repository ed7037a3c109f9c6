"""The events of ``coord.connect(url, observe=callback)``: one for each call, wait and lost lease.

The callback gets one of the classes below and returns nothing. It runs where the call ran, so it must be quick and
must not call coord; an exception it raises is logged and changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

__all__ = ["CallObserved", "LossObserved", "Observe", "Observed", "WaitObserved", "notify"]

_log = logging.getLogger("coord")

Outcome = Literal["done", "refused", "unavailable", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallObserved:
    """A call has ended.

    ``script``: its name. ``node``: the server's address, or ``memory``. ``outcome``: "done"; "refused", an error of the
    script or of its arguments; "unavailable", it did not run; "unknown", it may have run. ``seconds``: from its start
    to its end, pauses and repetitions included. ``tries``: how often it was sent.
    """

    script: str
    node: str
    outcome: Outcome
    seconds: float
    tries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitObserved:
    """A wait has ended. ``channel``: the key that was waited for. ``woken``: by a notification, not by the clock."""

    channel: str
    seconds: float
    woken: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LossObserved:
    """A lease was lost. ``name``, ``owner`` and ``fence`` are those of the lease."""

    name: str
    owner: str
    fence: int


Observed = CallObserved | WaitObserved | LossObserved
Observe = Callable[[Observed], object]


def notify(observe: Observe, event: Observed) -> None:
    """Call an observer; log what it raises."""
    try:
        observe(event)
    except Exception:
        _log.exception("coord: the observer failed for %r", event)
