"""Keys: prefix, kind and name, and their TTL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from coord.ids import call_id, is_call_id, nonce, slot_and_sequence
from coord.names import Seconds, check_name, milliseconds, needs_no_escape, percent_encode

__all__ = ["Keys", "checked_prefix", "lifetime_ms", "window_ms"]

_KNOWN_AT_MOST = 1_024
"""Keys of one kind that are cached."""

_FOREVER_WINDOW_MS = 24 * 3600 * 1000


class Keys:
    """The keys of a coordinator, and the lifetimes of what they hold.

    Every key starts with ``prefix``. ``ttl`` is the lifetime in seconds of entities without one of their own; None:
    they never expire. ``remember_ms`` is how long a server remembers the operation id that coord gives to a call whose
    reply may be lost; 0: it gives none. ``has_slots``: the connection fills in that id. ``sends_once``: a call is never
    sent again, as on ``memory://``, so no copy of it can be late.
    """

    nonce: Callable[[], str]
    remember_ms = 0
    has_slots = False
    sends_once = False
    tombstone_ms = 60_000
    """For how many milliseconds a released claim's nonce is refused: far longer than any repetition of a call."""

    def __init__(self, prefix: str = "coord:", ttl: Seconds | None = 3600) -> None:
        self.prefix = checked_prefix(prefix)
        self.ttl_ms = lifetime_ms(ttl)
        # Most names are used more than once, and checking a name costs as much as a call in memory.
        self._known: defaultdict[str, dict[str, str]] = defaultdict(dict)

    def key(self, kind: str, name: str) -> str:
        """Return the key of an entity: prefix, kind, and the name as hash tag."""
        known = self._known[kind]
        try:
            key = known.get(name)
        except TypeError:
            # An unhashable name is not a str: ``percent_encode`` raises for it.
            key = None
        if key is None:
            if name.__class__ is str and needs_no_escape(name):
                # As ``percent_encode``, without the call.
                key = f"{self.prefix}{kind}:{{{name.replace(':', '%3A')}}}"
            else:
                key = f"{self.prefix}{kind}:{{{percent_encode(name)}}}"
            if len(known) >= _KNOWN_AT_MOST:
                known.clear()
            known[name] = key
        return key

    def lifetime(self, ttl: Seconds | None) -> int:
        """Return a TTL in milliseconds, the default when it is None; 0: it never expires."""
        return self.ttl_ms if ttl is None else milliseconds(ttl)

    def remembered(self, key: str, op_id: str | None = None, window_ms: int = 0) -> tuple[str, int, int]:
        """Return the key under which an operation's answer is remembered, its sequence number there, and for how long.

        An id given by the caller is remembered for ``window_ms``. Otherwise a server whose reply may be lost gets an
        id for ``remember_ms``; 0: nothing is remembered. That id is new, for this call alone, or left open for the
        slots of the connection (``coord.redis.slots``).
        """
        if op_id is not None:
            slot, sequence = slot_and_sequence(op_id)
            return f"{key}:op:{slot}", sequence, window_ms
        if self.remember_ms and not self.has_slots:
            return f"{key}:op:slot-{nonce()}", 1, self.remember_ms
        return f"{key}:op:", 1, self.remember_ms

    def identified(self, op_id: str | None) -> tuple[str, str, str]:
        """Return the operation id of a call that is safe by its id, the id of this call alone, and ``repeated``."""
        if op_id is None:
            own = f"call-{self.nonce()}"
            return own, own, "0"
        op_id = check_name(op_id, "op_id")
        return (op_id, op_id, "1") if is_call_id(op_id) else (op_id, call_id(), "0")


def window_ms(ttl_ms: int) -> int:
    """Return for how long a caller's operation id is remembered with an entity: its TTL, 24 h if it never expires."""
    return ttl_ms or _FOREVER_WINDOW_MS


def checked_prefix(prefix: str) -> str:
    """Return ``prefix`` if a key can start with it: text of at most 1,024 bytes, without braces."""
    if not isinstance(prefix, str):
        raise TypeError(f"prefix must be a str, not {type(prefix).__name__}")
    if "{" in prefix or "}" in prefix:
        raise ValueError(f"prefix has no braces, which would move the hash tag of every key: {prefix!r}")
    return check_name(prefix, "prefix") if prefix else prefix


def lifetime_ms(ttl: Seconds | None) -> int:
    """Return a TTL in milliseconds; 0 when it is None: it never expires."""
    return 0 if ttl is None else milliseconds(ttl)
