"""What became of a call: done, refused, or unknown; and whether it may be made again.

A call that surely did not run is made again for a while. One that may have run is made again only if a second run
gives the first answer: its script says so, or it carries an operation id that the server remembers. What can be
neither repeated nor known is told to the caller as ``OutcomeUnknown``.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any, NoReturn

from coord.errors import Closed, ConfigError, CoordError, OutcomeUnknown, ReplyError, Unavailable
from coord.names import percent_decode
from coord.script import Script, script_failed

__all__ = ["CallState", "answer", "could_not_connect", "denied", "refuse", "settle_redirected"]

# What a command inside a script was refused with, as 6.2 tells it.
_INNER = re.compile(r"@user_script: \d+: -([A-Z]+) ")

_FIRST_PAUSE = 0.004
_LONGEST_PAUSE = 0.25
_MOST_LOADS_AT_ONCE = 3
_MOST_REDIRECTS = 5

# Refusals before anything ran that end by themselves, and what each asks of whoever runs the server.
_PASSING = {
    "BUSY": "a script has been running for long; SCRIPT KILL ends one that has not written yet",
    "LOADING": "the server is still loading its data",
    "MASTERDOWN": "this replica has no link to its primary",
    "READONLY": "this server is a replica now: connect to the primary, or through Sentinel or a cluster",
    "TRYAGAIN": "the keys of the call are being moved to another node",
    "CLUSTERDOWN": "the cluster does not serve this slot: see CLUSTER INFO",
    "NOREPLICAS": "too few replicas are in reach for min-replicas-to-write",
}
# Refusals that repeating does not mend.
_LASTING = {
    "OOM": "the server is out of memory: raise maxmemory, or find what fills it",
    "MISCONF": "the server cannot save to its disk and refuses writes: see its log",
}
_DENIED = {
    "NOAUTH": "the server wants a password: put it into the URL",
    "WRONGPASS": "the server does not accept this user and password",
    "NOPERM": "the user may not do this: grant it what docs/guarantees.md lists under ACL",
}


_NOT_REPEATED_BY_ID = ("forget", "barrier_abort", "request_add", "request_cleanup", "kv_expire")
"""Scripts with an id whose callers cannot give one."""


class CallState:
    """The story of one call, from its first attempt until it is settled.

    ``settled`` tells whether ``outcome`` is known: the raw reply, or the error that its caller gets.
    ``needs_script`` tells that the server asked for the source first, ``reconnect`` that it asked to be left.
    ``sent_to`` is the node of a cluster that the server sent it to, for once when ``asking``.
    ``topology_changed`` tells that the topology may have changed.
    """

    __slots__ = (
        "_end",
        "_loads",
        "_maybe_ran",
        "_pause",
        "_redirects",
        "_repeatable",
        "_why",
        "asking",
        "keys",
        "needs_script",
        "outcome",
        "reconnect",
        "script",
        "sent_to",
        "settled",
        "topology_changed",
        "words",
    )

    def __init__(self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...], patience: float) -> None:
        self.script = script
        self.words = ("EVALSHA", script.sha, len(keys), *keys, *argv)
        self.settled = False
        self.outcome: Any = None
        self.needs_script = False
        self.reconnect = False
        self.keys = keys
        self.sent_to: tuple[str, int] | None = None
        self.asking = self.topology_changed = False
        self._repeatable = script.repeats == "safe" or (
            script.repeats == "remembered" and bool(argv[script.remember_at])
        )
        self._maybe_ran = False
        self._loads = self._redirects = 0
        self._pause = 0.0
        self._why: object = "its time was over before it could be sent"
        self._end = monotonic() + patience

    def answered(self, reply: Any) -> None:
        """The server answered; an error reply may mean that the call has to be made again."""
        self.needs_script = self.reconnect = self.topology_changed = False
        if isinstance(reply, ReplyError) and reply.code == "NOSCRIPT":
            # Asked again where it was: a node that keys are on their way to may never have seen the script.
            self._unknown_script(str(reply))
            return
        self.sent_to, self.asking = None, False
        if isinstance(reply, ReplyError):
            self._refused(str(reply))
        else:
            self._settle(reply)

    def unreached(self, error: BaseException) -> None:
        """The call was not sent."""
        self._leave()
        if isinstance(error, CoordError) and not isinstance(error, Unavailable):
            self._settle(error)
        elif isinstance(error, Closed):
            self._why = error
            self._give_up()
        else:
            self._again(error)

    def lost(self, error: BaseException) -> None:
        """The call was sent, and no answer came."""
        self._leave()
        self._maybe_ran = True
        if self._repeatable:
            if self.script.repeated_at >= 0:
                # The script then keeps its answer for the first copy, which may arrive late.
                at = 3 + len(self.keys) + self.script.repeated_at
                self.words = (*self.words[:at], "1", *self.words[at + 1 :])
            self._again(error)
        else:
            self._why = error
            self._give_up()

    def timed_out(self) -> None:
        """Nobody waits for it any longer."""
        if not self.settled:
            self._give_up()

    def pause(self) -> float:
        """Return the seconds to wait before the next attempt."""
        return self._pause

    def _leave(self) -> None:
        self.sent_to, self.asking, self.topology_changed = None, False, True

    # --- what follows ----------------------------------------------------------------------------

    def _unknown_script(self, text: str) -> None:
        # Nothing ran.
        self._loads += 1
        self.needs_script = True
        self._why = text
        if self._loads > _MOST_LOADS_AT_ONCE:
            self._again(text)

    def _refused(self, text: str) -> None:
        code = text.partition(" ")[0]
        if code in ("MOVED", "ASK"):
            # Nothing ran: the keys are on another node, or on their way to it.
            self.sent_to, self.asking, self.topology_changed = _address(text), code == "ASK", code == "MOVED"
            self._redirects += 1
            if self._redirects > _MOST_REDIRECTS:
                self._again(f"the cluster sends it round in a circle: {text}")
        elif passing := _named(text, _PASSING):
            self.reconnect = passing in ("READONLY", "MASTERDOWN")
            self.topology_changed = True
            self._again(f"{passing}: {_PASSING[passing]}")
        elif (lasting := _named(text, _LASTING)) or text.startswith("ERR max number of clients"):
            self._why = f"{lasting}: {_LASTING[lasting]}" if lasting else text
            self._give_up()
        elif why := _named(text, _DENIED):
            self._settle(ConfigError(f"{self.script.name}: {why}: {_DENIED[why]} ({text})"))
        else:
            self._settle(script_failed(self.script, text))

    def _again(self, why: object) -> None:
        self._why = why
        # Full jitter: callers that failed together do not come back together.
        longest = min(_LONGEST_PAUSE, self._pause * 2 or _FIRST_PAUSE)
        self._pause = random.uniform(longest / 2, longest)
        if monotonic() + self._pause >= self._end:
            self._give_up()

    def _give_up(self) -> None:
        error = self._unknown() if self._maybe_ran else self._refusal()
        error.__cause__ = self._why if isinstance(self._why, BaseException) else None
        self._settle(error)

    def _refusal(self) -> CoordError:
        return Unavailable(f"{self.script.name} did not run: {_reason(self._why)}")

    def _unknown(self) -> CoordError:
        op_id = self._op_id()
        how = "read the state to find out"
        if not op_id:
            how = f"it carried no operation id: {how}"
        elif self.script.name not in _NOT_REPEATED_BY_ID:
            how = f"repeat it with op_id={op_id!r} to be sure, while the server remembers it"
        return OutcomeUnknown(f"{self.script.name} may have run, no answer came: {_reason(self._why)}; {how}", op_id)

    def _op_id(self) -> str | None:
        for key in self.keys:
            for mark in (":op:", ":batch:", ":answered:call-"):
                # Behind the hash tag: a prefix may say anything.
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


def settle_redirected(states: Iterable[CallState], where: str) -> list[CallState]:
    """Settle the calls that a server sends to other nodes, although it was connected to alone; return the rest."""
    for state in states:
        if state.sent_to:
            state.unreached(ConfigError(f"{where} is a node of a cluster: connect with redis+cluster://"))
    return [state for state in states if not state.settled]


def answer(state: CallState, read: Callable[[Any], Any]) -> Any:
    """What a call of many gives its caller: the result, or the error."""
    if isinstance(state.outcome, CoordError):
        return state.outcome
    try:
        return read(state.outcome)
    except Exception as error:
        # One reader that stumbles does not take the others' answers with it.
        return error


def could_not_connect(error: BaseException, where: str) -> CoordError:
    """Turn what redis-py says when it cannot connect into what the caller gets."""
    text = str(error)
    if type(error).__name__ == "MasterNotFoundError":
        # What follows are the settings of every sentinel that was asked, and what was wrong with it.
        text, _, troubles = text.partition(" : ")
        if "AuthenticationError" in troubles:
            return ConfigError(f"{where}: its sentinels do not let us in: sentinel_password in the URL is for them")
        return Unavailable(f"cannot reach {where}: {text}")
    why = _named(text, _DENIED)
    if "Authentication required" in text:
        why = "NOAUTH"
    if why or type(error).__name__ in ("AuthenticationError", "AuthenticationWrongNumberOfArgsError"):
        return ConfigError(f"{where} does not let us in: {_DENIED[why or 'WRONGPASS']}")
    if "DB index is out of range" in text:
        return ConfigError(f"{where}: {text}")
    return Unavailable(f"cannot reach {where}: {_reason(error)}")


def refuse(error: BaseException, where: str) -> NoReturn:
    """Raise what the caller gets when redis-py cannot connect.

    Not every error may be its cause: one has the settings of sentinels in its text, passwords among them.
    """
    cause = None if type(error).__name__ == "MasterNotFoundError" else error
    raise could_not_connect(error, where) from cause


def denied(reply: Any) -> bool:
    """Whether a reply says that the user may not do it."""
    return isinstance(reply, ReplyError) and _named(str(reply), _DENIED) is not None


def _named(text: str, among: dict[str, str]) -> str | None:
    """Which of the codes an error reply carries; 6.2 wraps the code of an inner command into a sentence."""
    inner = _INNER.search(text)
    code = inner[1] if inner else text.partition(" ")[0]
    if code in among:
        return code
    if "OOM" in among and "OOM command not allowed" in text:
        return "OOM"
    if "NOPERM" in among and ("NOPERM" in text or "can't run this command" in text or "ACL failure" in text):
        return "NOPERM"
    return None


def _address(redirection: str) -> tuple[str, int]:
    """The node in ``MOVED slot host:port``; the host is empty when it is that of the node that answered."""
    host, _, port = redirection.split()[2].rpartition(":")
    return host if host != "?" else "", int(port)


def _reason(why: object) -> str:
    """What went wrong, in words: some exceptions have none."""
    return str(why) or type(why).__name__
