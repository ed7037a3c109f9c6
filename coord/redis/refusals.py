"""The meaning of a server's errors: passing, lasting, a lack of rights, a redirection; and why connecting failed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NoReturn

from coord.errors import ConfigError, CoordError, ReplyError, Unavailable

__all__ = [
    "DENIED",
    "LASTING",
    "PASSING",
    "RECONNECT",
    "code_among",
    "could_not_connect",
    "denied",
    "reason",
    "redirected_to",
    "refuse",
]

# How 6.2 reports the error of a command inside a script.
_INNER = re.compile(r"@user_script: \d+: -([A-Z]+) ")
_REDIRECTION = re.compile(r"(?:MOVED|ASK) \d+ (\S*):(\d{1,5})(?: |$)")

PASSING = {
    "BUSY": "a script has been running for long; SCRIPT KILL ends one that has not written yet",
    "LOADING": "the server is still loading its data",
    "MASTERDOWN": "this replica has no link to its primary",
    "READONLY": "this server is a replica now: connect to the primary, or through Sentinel or a cluster",
    "TRYAGAIN": "the keys of the call are being moved to another node",
    "CLUSTERDOWN": "the cluster does not serve this slot: see CLUSTER INFO",
    "NOREPLICAS": "too few replicas are in reach for min-replicas-to-write",
}
"""Refusals before anything ran that end by themselves, and an explanation for the operator."""
RECONNECT = ("READONLY", "MASTERDOWN")
"""Refusals of a server that is no longer the primary."""
LASTING = {
    "OOM": "the server is out of memory: raise maxmemory, or find what fills it",
    "MISCONF": "the server cannot save to its disk and refuses writes: see its log",
}
"""Refusals that repeating the call does not change."""
DENIED = {
    "NOAUTH": "the server requires a password: put it into the URL",
    "WRONGPASS": "the server does not accept this user and password",
    "NOPERM": "the user may not do this: grant it what docs/guarantees.md lists under ACL",
}
"""Refusals for lack of rights."""


def code_among(text: str, codes: Mapping[str, str]) -> str | None:
    """Return which of the codes an error reply carries; 6.2 wraps the code of an inner command into a sentence."""
    inner = _INNER.search(text)
    code = inner[1] if inner else text.partition(" ")[0]
    if code in codes:
        return code
    if "OOM" in codes and "OOM command not allowed" in text:
        return "OOM"
    if "NOPERM" in codes and ("NOPERM" in text or "can't run this command" in text or "ACL failure" in text):
        return "NOPERM"
    return None


def denied(reply: Any) -> bool:
    """Return whether a reply says that the user lacks the right."""
    return isinstance(reply, ReplyError) and code_among(str(reply), DENIED) is not None


def redirected_to(text: str) -> tuple[str, int] | None:
    """Return the node in ``MOVED slot host:port``, None if it names none; an empty host means the sender's."""
    found = _REDIRECTION.match(text)
    if found is None or not 0 < int(found[2]) < 65_536:
        return None
    return found[1] if found[1] != "?" else "", int(found[2])


def could_not_connect(error: BaseException, where: str) -> CoordError:
    """Return the error for a caller when redis-py could not connect."""
    text = str(error)
    if type(error).__name__ == "MasterNotFoundError":
        # The text goes on with the settings of every sentinel that was asked, passwords among them.
        text, _, troubles = text.partition(" : ")
        if "AuthenticationError" in troubles:
            return ConfigError(f"{where}: the sentinels refuse the login: set sentinel_password in the URL")
        return Unavailable(f"cannot reach {where}: {text}")
    why = code_among(text, DENIED)
    if "Authentication required" in text:
        why = "NOAUTH"
    if why or type(error).__name__ in ("AuthenticationError", "AuthenticationWrongNumberOfArgsError"):
        return ConfigError(f"{where} refuses the login: {DENIED[why or 'WRONGPASS']}")
    if "DB index is out of range" in text:
        setting = "the setting `databases` (in a cluster of Valkey 9: `cluster-databases`) says how many there are"
        return ConfigError(f"{where}: {text}: {setting}")
    if "SELECT is not allowed in cluster mode" in text:
        return ConfigError(f"{where}: a cluster of this server has only database 0: leave the number out of the URL")
    return Unavailable(f"cannot reach {where}: {reason(error)}")


def refuse(error: BaseException, where: str) -> NoReturn:
    """Raise the error for a caller when redis-py could not connect."""
    # MasterNotFoundError has the settings of sentinels in its text, passwords among them: it must not be shown.
    cause = None if type(error).__name__ == "MasterNotFoundError" else error
    raise could_not_connect(error, where) from cause


def reason(why: object) -> str:
    """Return what went wrong in words: the text of some exceptions is empty."""
    return str(why) or type(why).__name__
