"""What a family of operations is made of: coord's own use nothing else, and so can yours.

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
"""

from __future__ import annotations

from coord.errors import CoordError, Corrupt, OutcomeUnknown, ReplyError, Unavailable, WaitTimeout, WrongType
from coord.family import Calls, Family, Runs
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
    Sleep,
    Spawn,
    Wait,
    ask,
    ask_together,
    ask_within,
    compensating,
    planned,
    subscribe,
)
from coord.replies import as_count, as_nothing, as_text, reads
from coord.script import Call, Script, Scripts, load
from coord.waiting import LAST_LOOK, Deadline, ask_by, in_time

__all__ = [
    "INT64_MAX",
    "INT64_MIN",
    "LAST_LOOK",
    "Async",
    "Build",
    "Call",
    "Calls",
    "Compensate",
    "CoordError",
    "Corrupt",
    "Deadline",
    "Event",
    "Family",
    "Invoke",
    "Job",
    "Keyspace",
    "M",
    "OutcomeUnknown",
    "Plan",
    "ReplyError",
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
    "check_name",
    "compensating",
    "exact_str",
    "in_time",
    "int64",
    "lifetime_ms",
    "load",
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
    "subscribe",
    "whole",
    "window_ms",
]
