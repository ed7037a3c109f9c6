"""Ids: of attempts, of owners without a name, and of operations whose answers a server remembers."""

from __future__ import annotations

import os
import random
import re
import secrets
import socket
from collections.abc import Callable
from itertools import count

from coord.fork import register
from coord.names import percent_encode
from coord.script import Script

__all__ = [
    "call_id",
    "is_call_id",
    "new_owner_id",
    "nonce",
    "repeats",
    "restart_ids",
    "slot_and_sequence",
    "wants_id",
    "with_id",
]

_SLOT_ID = re.compile(r"(slot-[\w.-]{1,64})~(\d{1,18})").fullmatch
_CALL_ID = re.compile(r"call-[\w-]{16}\d+").fullmatch
"""Operation ids that coord gave to a call; the caller finds them in ``OutcomeUnknown.op_id``."""

_LONGEST_HOST = 32


class _Ids:
    """The ids of this process: a random start and a count, unique everywhere; a child of a fork takes a new start."""

    nonce: Callable[[], str]
    new_owner_id: Callable[[], str]

    def __init__(self) -> None:
        self.reset_after_fork()
        register(self)

    def reset_after_fork(self) -> None:
        """Take a new start that no other process has."""
        host = socket.gethostname()[:_LONGEST_HOST] or "host"
        self.restart(f"{host}-{os.getpid()}")

    def restart(self, process: str) -> None:
        """Take a new random start; owner ids begin with ``process``."""
        # ``map`` runs no Python code for an id: a tenth of the cost of fresh random bytes for each.
        self.nonce = map(f"{secrets.token_urlsafe(12)}%d".__mod__, count(1)).__next__
        # The process id alone is not unique: containers of one image share host name and process id.
        start = f"{process.replace('%', '%%')}-{secrets.token_hex(3)}-%d"
        self.new_owner_id = map(start.__mod__, count(1)).__next__


_ids = _Ids()


def nonce() -> str:
    """Return an id for one attempt, which no other process can guess."""
    return _ids.nonce()


def new_owner_id() -> str:
    """Return a name for an owner that gave none: host, process, a random part and a number. It is not secret."""
    return _ids.new_owner_id()


def restart_ids(process: str | None = None) -> None:
    """Take a new random start for all ids; owner ids begin with ``process`` (None: host and process id).

    Simulations call it, so that a run that is replayed has the same ids.
    """
    if process is None:
        _ids.reset_after_fork()
    else:
        _ids.restart(process)


def wants_id(script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...]) -> bool:
    """Return whether the operation id was left open for the connection to fill in."""
    return script.sequence_at >= 0 and bool(argv[script.sequence_at + 1]) and keys[1][-1] == ":"


def with_id(script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...]) -> tuple[str, ...]:
    """Return the keys of a call, with an id for this call alone where it was left open."""
    return (keys[0], f"{keys[1]}slot-{nonce()}", *keys[2:]) if wants_id(script, keys, argv) else keys


def slot_and_sequence(op_id: str) -> tuple[str, int]:
    """Return the part of a key that stands for an operation id, and the sequence number of the call.

    Ids of the caller get a negative number, new for each call: scripts keep a refusal for copies of that call alone.
    """
    found = _SLOT_ID(op_id) if isinstance(op_id, str) else None
    return (found[1], int(found[2])) if found else (percent_encode(op_id, "op_id"), -1 - random.getrandbits(62))


def call_id() -> str:
    """Return the id of one call: after ``OutcomeUnknown``, the caller may repeat the call with it."""
    return f"call-{nonce()}"


def repeats(op_id: str | None) -> str:
    """Return what a call says of itself: "1" when its caller repeats a call of unknown outcome by that call's id."""
    return "1" if op_id is not None and is_call_id(op_id) else "0"


def is_call_id(op_id: str) -> bool:
    """Return whether coord gave this operation id to a call, so that the caller repeats that call."""
    return _CALL_ID(op_id) is not None or _SLOT_ID(op_id) is not None
