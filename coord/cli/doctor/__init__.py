"""``coord doctor``: check whether a server can keep coord's promises, and say what to change.

``line``, ``server``, ``replication``, ``rights``, ``keys`` and ``topology`` each check one thing and return
``findings``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from coord.cli.arguments import add_prefix, add_url, at_least
from coord.cli.doctor.findings import Finding, Report, unchecked
from coord.cli.doctor.keys import lifetimes
from coord.cli.doctor.line import clock, parser, reached, unreachable
from coord.cli.doctor.replication import replication
from coord.cli.doctor.rights import notifications, scripts
from coord.cli.doctor.server import CONFIGURED, Info, memory, persistence, role, version, version_of
from coord.cli.doctor.topology import sentinels, slots
from coord.cli.servers import find_primaries, server_url
from coord.errors import CoordError, ReplyError
from coord.permissions import acl_line

if TYPE_CHECKING:
    from coord.redis.primaries import Node, Primary

__all__ = ["declare"]


def declare(commands: Any) -> None:
    """Add this command to the parser's commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "doctor",
        help="check a server, and say what to change",
        description="Check a server, a Sentinel service or every primary of a cluster. Each line is ok, a warning "
        "(it works, and may cost something later) or a problem, with what to do. The scripts of coord are loaded, and "
        "their commands are tried on a key that is deleted afterwards.",
        epilog="Exit code: 0 if all is well, 1 with a warning, 2 with a problem. A check without permission is "
        "'unchecked' and does not change the exit code: grant +scan, +config|get, +acl|whoami and +cluster|info to "
        "check everything. No password is shown.",
    )
    add_url(parser)
    add_prefix(parser)
    parser.add_argument(
        "--keys",
        type=at_least(0),
        default=10_000,
        metavar="N",
        help="check at most N keys of each server for a TTL (default: 10000)",
    )
    parser.add_argument(
        "--acl", action="store_true", help="also print, as the last line, the smallest ACL of a user for coord"
    )
    parser.set_defaults(run=_doctor)


def _doctor(args: argparse.Namespace) -> int:
    url = server_url(args.url or args.url_option, args.prefix)
    report, seen = Report(), Seen()
    report.add(_examined(url, args.prefix, args.keys, seen))
    report.add([parser()])
    print(f"\n{report.summary}")
    if args.acl:
        print(f"\n{acl_line(args.prefix, sharded=seen.sharded, clustered=seen.clustered)}")
    return report.code


class Seen:
    """The facts found about the servers so far; they decide which checks follow."""

    def __init__(self) -> None:
        self.sharded = True
        self.clustered = self.fails_over = self.slots = False


def _examined(url: str, prefix: str, sample: int, seen: Seen) -> Iterator[Finding]:
    scheme = url.partition("://")[0]
    seen.clustered = scheme.endswith("+cluster")
    seen.fails_over = "+" in scheme
    try:
        found = find_primaries(url, prefix)
    except CoordError as error:
        yield unreachable(error)
        return
    if scheme.endswith("+sentinel"):
        yield from sentinels(found[0].dialer)
    for primary in found:
        try:
            with primary.look() as node:
                yield from _one_primary(primary, node, seen)
                yield lifetimes(node, prefix, sample)
        except CoordError as error:
            yield unreachable(error)


def _one_primary(primary: Primary, node: Node, seen: Seen) -> Iterator[Finding]:
    yield reached(node)
    if seen.clustered and not seen.slots:
        seen.slots = True
        yield from slots(node)
    info = _info(node)
    if info:
        seen.sharded = version_of(info)[1] >= (7,)
        yield version(info)
        yield role(info, clustered=seen.clustered)
        yield from memory(info)
        configured = _configured(node)
        yield persistence(info, configured)
        yield from replication(info, configured, fails_over=seen.fails_over)
    else:
        yield unchecked(
            "version", "INFO is refused: version, role, memory, persistence and replicas are unknown", "grant +info"
        )
    sharded = seen.clustered and seen.sharded
    yield from scripts(node, primary.scratch, sharded=sharded)
    yield notifications(primary, sharded=sharded)
    yield clock(node)


def _info(node: Node) -> Info:
    reply = node.ask("INFO")
    if isinstance(reply, ReplyError):
        return {}
    return dict(line.split(":", 1) for line in str(reply).splitlines() if ":" in line)


def _configured(node: Node) -> Info:
    replies = node.ask_many([("CONFIG", "GET", name) for name in CONFIGURED])
    return {reply[0]: reply[1] for reply in replies if not isinstance(reply, ReplyError) and reply}
