"""The permissions of the user: to run scripts and every command in them, and to subscribe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from coord.cli.doctor.findings import Finding, ok, problem, unchecked, warning
from coord.errors import ReplyError
from coord.permissions import PERMITTED
from coord.script import all_scripts

if TYPE_CHECKING:
    from coord.redis.primaries import Node, Primary

__all__ = ["notifications", "scripts"]

_GRANT = "grant what is missing: coord doctor --acl prints the smallest ACL"


def scripts(node: Node, scratch: str, *, sharded: bool) -> Iterator[Finding]:
    """Load every script, and try every command that they use on a key that is deleted afterwards."""
    sources = [("SCRIPT", "LOAD", script.source) for script in all_scripts()]
    refused = [reply for reply in node.ask_many(sources) if isinstance(reply, ReplyError)]
    if refused:
        yield problem("scripts", f"cannot be loaded: {refused[0]}", _GRANT)
    else:
        yield ok("scripts", f"all {len(sources)} can be loaded")
    publish = "SPUBLISH" if sharded else "PUBLISH"
    yield _rights(node.ask("EVALSHA", PERMITTED.sha, 1, scratch, publish), _user(node))


def _user(node: Node) -> str:
    name = node.ask("ACL", "WHOAMI")
    return "this user" if isinstance(name, ReplyError) else f"the user {name}"


def _rights(refused: Any, user: str) -> Finding:
    if isinstance(refused, ReplyError):
        return _no_answer(refused, user)
    if refused:
        return problem("rights", f"{user} may not run {', '.join(refused)}", _GRANT)
    return ok("rights", f"{user} may run every command of every script under this prefix")


def _no_answer(error: ReplyError, user: str) -> Finding:
    from coord.redis.refusals import denied  # noqa: PLC0415  # the other commands run without redis-py

    if denied(error):
        return problem("rights", f"{user} may not run scripts under this prefix: {error}", _GRANT)
    why = next((sentence for code, sentence in _NOT_TRIED.items() if code in str(error)), None)
    if why is not None:
        return unchecked("rights", f"not tried: {why}")
    return problem("rights", f"the server refuses to write: {error}", "see above, and the server's log")


_NOT_TRIED = {
    "NOSCRIPT": "no script could be loaded",
    "READONLY": "nothing can be written here",
    "MOVED": "the key for the test is on another node",
    "LOADING": "the server is still loading its data",
}


def notifications(primary: Primary, *, sharded: bool) -> Finding:
    """Check whether the user may subscribe, so that waiters are notified."""
    command = "SSUBSCRIBE" if sharded else "SUBSCRIBE"
    with primary.look() as node:
        reply = node.ask(command, primary.scratch)
    if isinstance(reply, ReplyError):
        return warning(
            "notifications", f"{command} is refused: waiters poll four times a second instead ({reply})", _GRANT
        )
    return ok("notifications", "waiters can be notified")
