"""The scripts of groups, as calls and as twins."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from coord.extend import Call, Calls, Keyspace, ReplyError, all_whole, as_count, load, percent_encode, reads
from coord.lualib import answer_once, later, now_ms

__all__ = ["LAPSED", "LIVES", "TAKEN", "Joined", "Member", "beat", "join", "leave", "members", "metadata_json"]

LAPSED, LIVES, TAKEN = 0, 1, 2
"""The result of a heartbeat: the membership had lapsed, is alive, or another process has taken over the name."""

_MOST_METADATA = 64 * 1024
_EXACT = 1 << 53
_entry = re.compile(r"(0|[1-9][0-9]{0,15})\|(0|[1-9][0-9]{0,15})\|(.*)", re.DOTALL).fullmatch


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A member that is alive: its name, metadata and incarnation, and the seconds until it lapses."""

    member: str
    metadata: Any
    incarnation: int
    expires_in: float


class Joined(NamedTuple):
    """The answer to joining: whether it is a member now, and its incarnation."""

    joined: bool
    incarnation: int


def metadata_json(metadata: Any) -> str:
    """Return metadata as JSON text, "" for None; ``ValueError`` above 64 KiB, ``TypeError`` for what JSON lacks."""
    if metadata is None:
        return ""
    text = json.dumps(metadata, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    size = len(text.encode())
    if size > _MOST_METADATA:
        raise ValueError(f"metadata is {size:,} bytes of JSON: at most {_MOST_METADATA:,} fit")
    return text


def join(
    ops: Calls, key: str, member: str, nonce: str, metadata: str, ttl_ms: int, *, rejoins: int = 0
) -> Call[Joined]:
    """Become a member, also in place of a living member of that name.

    ``rejoins``: an incarnation that has lapsed, which comes back only if no other process has taken its name over; 0:
    a new membership.
    """
    taken = f"{key}:taken:{percent_encode(member, 'a member')}"
    keys = key, f"{key}:tombstone:{nonce}", f"{key}:answered:{ops.nonce()}", taken
    argv = (member, nonce, metadata, ttl_ms, rejoins, ops.tombstone_ms, ops.publish, "0")
    return ops.call(JOIN, keys, argv, _read_joined)


def leave(ops: Calls, key: str, member: str, nonce: str) -> Call[bool]:
    """End a membership; False when it was not alive, or another has taken over its name."""
    argv = (member, nonce, ops.tombstone_ms, ops.publish)
    return ops.call(LEAVE, (key, f"{key}:tombstone:{nonce}"), argv, bool)


def beat(ops: Calls, key: str, ttl_ms: int, memberships: list[tuple[str, str]]) -> Call[list[int]]:
    """Keep memberships alive, each given as member and nonce; return ``LIVES``, ``LAPSED`` or ``TAKEN`` for each."""
    return ops.call(BEAT, (key,), (ttl_ms, *(word for each in memberships for word in each)), _read_states)


def members(ops: Calls, key: str) -> Call[list[Member]]:
    """Return the members that are alive, sorted by name."""
    return ops.call(MEMBERS, (key,), (), _read_members)


@reads
def _read_joined(reply: list[int | str]) -> Joined:
    joined, incarnation = reply
    return Joined(joined == 1, as_count(incarnation))


@reads
def _read_states(reply: list[int]) -> list[int]:
    return [as_count(state) for state in reply]


@reads
def _read_members(reply: list[str]) -> list[Member]:
    return [_member(name, state) for name, state in sorted(zip(reply[::2], reply[1::2], strict=True))]


def _member(name: str, state: str) -> Member:
    # The script has checked the digits; looking again would take a third of the time of reading.
    incarnation, left_ms, metadata = state.split("|", 2)
    return Member(
        member=name,
        metadata=json.loads(metadata) if metadata else None,
        incarnation=int(incarnation),
        expires_in=int(left_ms) / 1000,
    )


# --- twins ---------------------------------------------------------------------------------------


def _membership(held: str) -> tuple[int, str, str]:
    """Return deadline, incarnation and nonce of a member."""
    found = _entry(held)
    if found is None or int(found[1]) >= _EXACT or int(found[2]) >= _EXACT:
        raise ReplyError("COORD_CORRUPT this group was not written by coord")
    return int(found[1]), found[2], found[3]


def _sweep(space: Keyspace, group: str, now: int) -> int:
    """Remove the members whose time is over; return the last deadline of the others, 0 when there are none."""
    last = 0
    for field in space.hkeys(group):
        if not field.startswith("d:"):
            continue
        digits = (space.hget(group, field) or "").partition("|")
        deadline = int(digits[0]) if digits[1] and digits[0].isascii() and digits[0].isdigit() else 0
        if deadline < now:
            space.hdel(group, field, f"m:{field[2:]}")
        else:
            last = max(last, deadline)
    return last


def _join(
    space: Keyspace,
    group: str,
    tombstone: str,
    answered: str,
    taken: str,
    member: str,
    nonce: str,
    metadata: str,
    ttl_ms: int,
    rejoins: int,
    tombstone_ms: int,
    publish: str,
    repeated: str,
) -> list[int | str]:
    held = space.hget(group, f"d:{member}")
    deadline, before, attempt = (0, None, None) if held is None else _membership(held)
    now = now_ms(space)
    lives = held is not None and deadline >= now
    if lives and before is not None and attempt == nonce:
        answer_once(space, answered, repeated, tombstone_ms, "1")
        return [1, before]
    if space.exists(tombstone, answered):
        return [0, "0"]
    if rejoins != 0:
        taker = space.get(taken) or "0"
        if not all_whole(taker, str(rejoins)):
            raise ReplyError("COORD_CORRUPT this group was not written by coord")
        if lives or int(taker) > rejoins:
            answer_once(space, answered, repeated, tombstone_ms, "0")
            return [0, "0"]
    incarnation = later(space, before)
    ends = now + ttl_ms
    last = _sweep(space, group, now)
    space.hset(group, f"d:{member}", f"{ends}|{incarnation}|{nonce}", f"m:{member}", metadata)
    space.pexpireat(group, max(last, ends))
    if lives:
        space.set(taken, incarnation, px=max(tombstone_ms, deadline - now + 1))
    answer_once(space, answered, repeated, tombstone_ms, "1")
    space.publish(group, "joined")
    return [1, incarnation]


def _leave(
    space: Keyspace, group: str, tombstone: str, member: str, nonce: str, tombstone_ms: int, publish: str
) -> int:
    held = space.hget(group, f"d:{member}")
    deadline, _, attempt = (0, "", None) if held is None else _membership(held)
    now = now_ms(space)
    if attempt == nonce and deadline >= now:
        space.hdel(group, f"d:{member}", f"m:{member}")
        last = _sweep(space, group, now)
        if last > 0:
            space.pexpireat(group, last)
        space.set(tombstone, "1", px=tombstone_ms)
        space.publish(group, "left")
        return 1
    answer = space.get(tombstone)
    if answer is not None:
        return int(answer)
    space.set(tombstone, "0", px=tombstone_ms)
    return 0


def _beat(space: Keyspace, group: str, ttl_ms: int, *memberships: str) -> list[int]:
    fields = [f"d:{member}" for member in memberships[::2]]
    now = now_ms(space)
    states: list[int] = []
    alive: list[str] = []
    for field, nonce, held in zip(fields, memberships[1::2], space.hmget(group, *fields), strict=True):
        state = 0
        if held is not None:
            deadline, incarnation, attempt = _membership(held)
            if deadline >= now:
                state = 1 if attempt == nonce else 2
            if state == 1:
                alive += field, f"{now + ttl_ms}|{incarnation}|{nonce}"
        states.append(state)
    if alive:
        space.pexpire(group, max(space.pttl(group), ttl_ms))
        space.hset(group, *alive)
    return states


def _members(space: Keyspace, group: str) -> list[str]:
    now = now_ms(space)
    stored = space.hgetall(group)
    fields = dict(zip(stored[::2], stored[1::2], strict=True))
    reply: list[str] = []
    for field, held in fields.items():
        if field.startswith("d:"):
            deadline, incarnation, _ = _membership(held)
            if deadline >= now:
                reply += field[2:], f"{incarnation}|{deadline - now}|{fields.get(f'm:{field[2:]}', '')}"
    return reply


JOIN = load("group_join", _join)
LEAVE = load("group_leave", _leave)
BEAT = load("group_beat", _beat)
MEMBERS = load("group_members", _members)
