"""The parts of a family of operations. coord's own families use the same.

    from coord.extend import Call, Family, M, Runs, Script, op

    TAKE = Script("take", SOURCE, twin)

    class Tokens(Family[M]):
        def __init__(self, c: Runs[M], name: str) -> None:
            super().__init__(c)
            self.key = self.ops.key("tokens", name)

        @op
        def take(self, n: int = 1) -> Call[bool]:
            # Take n tokens; return whether there were enough.
            return self.ops.call(TAKE, (self.key,), (n,), bool)

``Tokens(c, "api").take()`` blocks, ``await Tokens(ac, "api").take()`` is awaited, and ``Tokens(c.calls, "api").take()``
is a ``Call`` for ``run_many``; type checkers know all three.

A method that waits for its turn is a plan that names the channel on which a script publishes::

    @planned
    def take_in_turn(self, n: int = 1, timeout: Seconds | None = None) -> Plan[bool]:
        # Take n tokens, as soon as there are enough; raises WaitTimeout.
        tokens = Tokens(self.ops.calls, self.name)
        return in_turn(self.ops, self.key, lambda: tokens.take(n), timeout)

Leases of your own (a TTL, renewal, ``with`` blocks) are made with ``coord.leases``; the Python twins of coord's Lua
libraries are in ``coord.lualib``, its errors in ``coord.errors``.
"""

from __future__ import annotations

from coord.changes import AsyncChangesIterator, Changes, ChangesIterator
from coord.errors import CoordError, Corrupt, OutcomeUnknown, ReplyError, Unavailable, WaitTimeout, WrongType
from coord.family import Calls, Family, Runs
from coord.fork import ForkSafeLock
from coord.functions import check_function
from coord.ids import call_id, new_owner_id, nonce, repeats
from coord.keys import lifetime_ms, window_ms
from coord.lualib import all_whole, now_ms, now_us, recall, refuse, remember, whole
from coord.memory.keyspace import Keyspace
from coord.modes import Async, Build, M, Sync, op
from coord.names import (
    INT64_MAX,
    INT64_MIN,
    Seconds,
    check_name,
    exact_str,
    int64,
    milliseconds,
    percent_decode,
    percent_encode,
)
from coord.plan import (
    Compensate,
    Event,
    Invoke,
    Job,
    Plan,
    Run,
    Sleep,
    Spawn,
    Wait,
    ask,
    ask_together,
    ask_within,
    compensating,
    planned,
    report,
    subscribe,
)
from coord.replies import as_count, as_nothing, as_text, reads
from coord.script import Call, Script, Scripts, load
from coord.waiting import (
    LAST_LOOK,
    Deadline,
    ask_by,
    in_time,
    in_turn,
    just_after,
    look_together,
    with_its_reply,
)

__all__ = [
    "INT64_MAX",
    "INT64_MIN",
    "LAST_LOOK",
    "Async",
    "AsyncChangesIterator",
    "Build",
    "Call",
    "Calls",
    "Changes",
    "ChangesIterator",
    "Compensate",
    "CoordError",
    "Corrupt",
    "Deadline",
    "Event",
    "Family",
    "ForkSafeLock",
    "Invoke",
    "Job",
    "Keyspace",
    "M",
    "OutcomeUnknown",
    "Plan",
    "ReplyError",
    "Run",
    "Runs",
    "Script",
    "Scripts",
    "Seconds",
    "Sleep",
    "Spawn",
    "Sync",
    "Unavailable",
    "Wait",
    "WaitTimeout",
    "WrongType",
    "all_whole",
    "as_count",
    "as_nothing",
    "as_text",
    "ask",
    "ask_by",
    "ask_together",
    "ask_within",
    "call_id",
    "check_function",
    "check_name",
    "compensating",
    "exact_str",
    "in_time",
    "in_turn",
    "int64",
    "just_after",
    "lifetime_ms",
    "load",
    "look_together",
    "milliseconds",
    "new_owner_id",
    "nonce",
    "now_ms",
    "now_us",
    "op",
    "percent_decode",
    "percent_encode",
    "planned",
    "reads",
    "recall",
    "refuse",
    "remember",
    "repeats",
    "report",
    "subscribe",
    "whole",
    "window_ms",
    "with_its_reply",
]
