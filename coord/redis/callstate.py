"""The state of one call, without any I/O: done, refused or unknown, and whether it may be sent again.

A call that certainly did not run is sent again until ``patience`` ends. A call that may have run is sent again only if
a second run gives the first answer: its script says so, or it carries an operation id that the server remembers.
All other calls raise ``OutcomeUnknown``.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeVar

from coord.clock import SYSTEM
from coord.errors import Closed, ConfigError, CoordError, Corrupt, OutcomeUnknown, ReplyError, Unavailable
from coord.ids import with_id
from coord.names import percent_decode
from coord.observe import CallObserved, Outcome, notify
from coord.options import Options
from coord.redis.refusals import DENIED, LASTING, PASSING, RECONNECT, code_among, reason, redirected_to
from coord.script import Script, script_failed

__all__ = ["MISREAD", "CallState", "misread"]

T = TypeVar("T")

MISREAD = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""The errors that ``read`` raises when a reply does not have the shape that the script promises."""

_FIRST_PAUSE = 0.004
_LONGEST_PAUSE = 0.25
_MOST_LOADS_AT_ONCE = 3
_MOST_REDIRECTS = 5

_NOT_REPEATED_BY_ID = ("forget", "barrier_abort", "request_add", "request_cleanup", "kv_expire")
"""Scripts whose calls carry an id that their callers cannot pass."""


class CallState:
    """One call, from its first attempt until it is settled.

    ``settled``: ``outcome`` is known: the raw reply, or the error for the caller.
    ``needs_script``: the server asked for the source. ``reconnect``: the server is no longer the primary.
    ``redirect``: the node of a cluster to send it to; ``asking``: for the next attempt only (ASK).
    ``topology_changed``: another node may serve its keys now.
    ``trouble``: why the last attempt failed; None if it was answered. ``repeated``: it is counted in the node's outage.
    """

    __slots__ = (
        "_began",
        "_end",
        "_loads",
        "_maybe_ran",
        "_now",
        "_observe",
        "_redirects",
        "_repeatable",
        "_why",
        "asking",
        "keys",
        "needs_script",
        "node",
        "outcome",
        "pause",
        "reconnect",
        "redirect",
        "repeated",
        "script",
        "settled",
        "topology_changed",
        "tries",
        "trouble",
        "words",
    )

    def __init__(
        self,
        script: Script,
        keys: tuple[str, ...],
        argv: tuple[str | int, ...],
        options: Options,
        within: float | None = None,
    ) -> None:
        self.script = script
        self.keys = with_id(script, keys, argv)
        self.words = ("EVALSHA", script.sha, len(keys), *self.keys, *argv)
        self.settled = self.needs_script = self.reconnect = self.asking = self.topology_changed = self.repeated = False
        self.outcome: Any = None
        self.redirect: tuple[str, int] | None = None
        self.trouble: object = None
        self.node = ""
        self.tries = 0
        self.pause = 0.0
        """Seconds to wait before the next attempt."""
        self._repeatable = script.repeats == "safe" or (
            script.repeats == "remembered" and bool(argv[script.remember_at])
        )
        self._maybe_ran = False
        self._loads = self._redirects = 0
        self._why: object = "its time ended before it could be sent"
        self._observe = options.observe
        self._now = (options.clock or SYSTEM).monotonic
        self._began = self._now()
        self._end = self._began + (options.patience if within is None else min(options.patience, within))

    def result(self, read: Callable[[Any], T]) -> T:
        """Return the result of a settled call, or raise its error."""
        if isinstance(self.outcome, CoordError):
            raise self.outcome
        try:
            return read(self.outcome)
        except MISREAD as error:
            raise misread(self.script, error)  # noqa: B904  # it has its cause

    # --- what happened ---------------------------------------------------------------------------

    def answered(self, reply: Any) -> None:
        """Process a reply; after an error reply, the call may need another attempt."""
        self.needs_script = self.reconnect = self.topology_changed = False
        self.trouble = None
        if isinstance(reply, ReplyError) and reply.code == "NOSCRIPT":
            # Sent again to the same node: one that keys are moving to may never have seen the script.
            self._unknown_script(str(reply))
            return
        self.redirect, self.asking = None, False
        if isinstance(reply, ReplyError):
            self._refused(str(reply))
        else:
            self._settle(reply)

    def unreached(self, error: BaseException) -> None:
        """Note that the call was not sent."""
        self._connection_failed(error)
        if isinstance(error, Closed):
            self._give_up()
        elif isinstance(error, CoordError) and not isinstance(error, Unavailable):
            self._denied(error)
        else:
            self._again(error)

    def lost(self, error: BaseException) -> None:
        """Note that the call was sent, and no reply came."""
        self._connection_failed(error)
        first, self._maybe_ran = not self._maybe_ran, True
        if not self._repeatable:
            self._give_up()
            return
        at = self.script.repeated_at
        if at >= 0:
            at += 3 + len(self.keys)
            self.words = (*self.words[:at], 1, *self.words[at + 1 :])
        # The connection was at fault and is replaced: a pause would only cost time.
        self._again(error, pause=not first)

    def expire(self) -> None:
        """Note that its time ended before it could be sent."""
        self._give_up()

    def _connection_failed(self, error: BaseException) -> None:
        self.redirect, self.asking, self.topology_changed = None, False, True
        self.trouble = self._why = error

    # --- what follows ----------------------------------------------------------------------------

    def _unknown_script(self, text: str) -> None:
        # Nothing ran.
        self._loads += 1
        self.needs_script = True
        self.pause = 0.0
        self._why = text
        if self._loads > _MOST_LOADS_AT_ONCE:
            self._again(text)

    def _refused(self, text: str) -> None:
        code = text.partition(" ")[0]
        if code in ("MOVED", "ASK"):
            self._redirected(text, once=code == "ASK")
        elif passing := code_among(text, PASSING):
            self.reconnect = passing in RECONNECT
            self.topology_changed = True
            self.trouble = f"{passing}: {PASSING[passing]}"
            self._again(self.trouble)
        elif (lasting := code_among(text, LASTING)) or text.startswith("ERR max number of clients"):
            self._why = f"{lasting}: {LASTING[lasting]}" if lasting else text
            self._give_up()
        elif why := code_among(text, DENIED):
            self._denied(ConfigError(f"{self.script.name}: {why}: {DENIED[why]} ({text})"))
        else:
            self._settle(script_failed(self.script, text))

    def _denied(self, error: CoordError) -> None:
        if self._maybe_ran:
            # A denied repetition says nothing about the first run, and the permission may come back.
            self._again(error)
        else:
            self._settle(error)

    def _redirected(self, text: str, *, once: bool) -> None:
        # Nothing ran: the keys are on another node, or on their way to it.
        self.redirect, self.asking, self.topology_changed = redirected_to(text), once, not once
        self.pause = 0.0
        self._redirects += 1
        if self.redirect is None:
            self.asking, self.topology_changed, self.trouble = False, True, f"an unreadable redirection: {text}"
            self._again(self.trouble)
        elif self._redirects > _MOST_REDIRECTS:
            self._again(f"the nodes of the cluster redirect it in a circle: {text}")

    def _again(self, why: object, *, pause: bool = True) -> None:
        self._why = why
        left = self._end - self._now()
        if left <= 0:
            self._give_up()
            return
        # Full jitter, so that callers that failed together do not come back together.
        longest = min(_LONGEST_PAUSE, self.pause * 2 or _FIRST_PAUSE)
        # The last attempt is at the very end: an outage shorter than ``patience`` is outlasted.
        self.pause = min(random.uniform(longest / 2, longest), left) if pause else 0.0

    def _give_up(self) -> None:
        error = self._unknown() if self._maybe_ran else self._refusal()
        error.__cause__ = self._why if isinstance(self._why, BaseException) else None
        self._settle(error)

    def _refusal(self) -> CoordError:
        kind = Closed if isinstance(self._why, Closed) else Unavailable
        return kind(f"{self.script.name} did not run: {reason(self._why)}")

    def _unknown(self) -> CoordError:
        op_id = self._op_id()
        how = "read the state to find out"
        if not op_id:
            how = f"it carried no operation id: {how}"
        elif self.script.name not in _NOT_REPEATED_BY_ID:
            how = f"repeat it with op_id={op_id!r}, which does not count twice while the server remembers it"
        return OutcomeUnknown(
            f"{self.script.name} may have run, but no reply arrived: {reason(self._why)}; {how}", op_id
        )

    def _op_id(self) -> str | None:
        for key in self.keys:
            for mark in (":op:", ":batch:", ":answered:call-"):
                # After the hash tag: a prefix may contain anything.
                _, found, op_id = key.rpartition("}")[2].rpartition(mark)
                if found and op_id:
                    if mark == ":answered:call-":
                        return f"call-{op_id}"
                    at = self.script.sequence_at
                    sequence = self.words[3 + len(self.keys) + at] if at >= 0 else 0
                    return f"{op_id}~{sequence}" if int(sequence) > 0 else percent_decode(op_id)
        return None

    def _settle(self, outcome: Any) -> None:
        self.settled, self.outcome = True, outcome
        if self._observe is not None:
            seconds = self._now() - self._began
            event = CallObserved(
                script=self.script.name, node=self.node, outcome=_kind(outcome), seconds=seconds, tries=self.tries
            )
            notify(self._observe, event)


def _kind(outcome: Any) -> Outcome:
    if isinstance(outcome, OutcomeUnknown):
        return "unknown"
    if isinstance(outcome, Unavailable):
        return "unavailable"
    return "refused" if isinstance(outcome, CoordError) else "done"


def misread(script: Script, error: Exception) -> Exception:
    """Return the error to raise when ``read`` failed; that of a user's own script is returned unchanged."""
    if not script.file.startswith("lua/"):
        return error
    failed = Corrupt(f"{script.name}: cannot read the reply ({reason(error)})")
    failed.__cause__ = error
    return failed
