"""The scripts of quotas, and their twins: windows, what is held in them, and reservations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from coord.extend import Keyspace, ReplyError, all_whole, load, now_ms, recall, refuse, remember, whole
from coord.limiter.judging import keep_until

__all__ = ["HELD", "RENEW", "RESERVE", "SETTLE", "SPEND", "STATUS"]

_MOST = 10**15
_EXACT = (1 << 53) - 1
_member = re.compile(r"([0-9]+)\|([0-9]+:[0-9]+[0-9:,]*)\|").match
_window = re.compile(r"([0-9]+)\|([0-9]+)\|([0-9]+)").fullmatch
_names = re.compile(r"([0-9]+):([0-9]+)").findall


@dataclass(slots=True)
class _Row:
    """A window: its length, number, what is spent and held in it, and when it ends."""

    per: str
    number: int
    spent: int
    held: int
    ends: int

    @property
    def name(self) -> str:
        return f"{self.per}:{self.number}"


def _corrupt(what: str) -> ReplyError:
    return ReplyError(f"COORD_CORRUPT this {what} was not written by coord")


def _lapsed(space: Keyspace, held: str, now: int) -> dict[str, int]:
    freed: dict[str, int] = {}
    for member in space.zrangebyscore(held, "-inf", now):
        found = _member(member)
        if found is None or not whole(found[1]):
            raise ReplyError("COORD_CORRUPT a member was not written by coord")
        for per, number in _names(found[2]):
            freed[f"{per}:{number}"] = freed.get(f"{per}:{number}", 0) + int(found[1])
    return freed


def _windows(space: Keyspace, quota: str, pers: list[str], now: int, freed: dict[str, int]) -> list[_Row]:
    rows: list[_Row] = []
    for per, kept in zip(pers, space.hmget(quota, *pers), strict=True):
        length = int(per)
        _check_range(length if length > 0 else _MOST + 1)
        number, spent, held = now // length, 0, 0
        if kept is not None:
            found = _window(kept)
            if found is None or not all_whole(*found.groups()):
                raise ReplyError("COORD_CORRUPT a window was not written by coord")
            if int(found[1]) >= number:
                number, spent, held = map(int, found.groups())
        row = _Row(per, number, spent, held, (number + 1) * length)
        if freed:
            row.held = max(0, held - freed.get(row.name, 0))
        rows.append(row)
    return rows


def _present(
    space: Keyspace, quota: str, held: str, pers: tuple[str | int, ...], now: int
) -> tuple[list[_Row], dict[str, int]]:
    freed = _lapsed(space, held, now)
    return _windows(space, quota, list(map(str, pers)), now, freed), freed


def _fit(rows: list[_Row], amount: int, limits: tuple[str | int, ...]) -> list[bool]:
    """Return of each window whether it has room for an amount."""
    fit: list[bool] = []
    for row, most in zip(rows, map(int, limits[1::2]), strict=True):
        _check_range(most)
        fit.append(row.spent + row.held + amount <= most)
    return fit


def _check_range(number: int) -> None:
    if number > _MOST:
        raise ReplyError("COORD_RANGE a limit's numbers are at most 10^15")


def _put(space: Keyspace, quota: str, rows: list[_Row], now: int) -> None:
    words = [word for row in rows for word in (row.per, f"{row.number}|{row.spent}|{row.held}")]
    space.hset(quota, *words)
    keep_until(space, quota, max(row.ends for row in rows) * 1000, now * 1000)


def _reclaim(space: Keyspace, quota: str, held: str, freed: dict[str, int], now: int) -> None:
    if not freed:
        return
    for name, amount in freed.items():
        per, _, number = name.partition(":")
        found = _window(space.hget(quota, per) or "")
        if found and found[1] == number and whole(found[3]):
            space.hset(quota, per, f"{number}|{found[2]}|{max(0, int(found[3]) - amount)}")
    space.zremrangebyscore(held, "-inf", now)


def _check_amount(amount: int) -> None:
    if not 1 <= amount <= _MOST:
        raise ReplyError("COORD_RANGE an amount is from 1 to 10^15")


def _reserve(
    space: Keyspace,
    quota: str,
    reservation: str,
    held: str,
    nonce: str,
    amount: int,
    ttl_ms: int,
    grace_ms: int,
    named: str,
    tombstone_ms: int,
    repeated: str,
    *limits: str | int,
) -> list[int | str]:
    now = now_ms(space)
    fields = "state", "nonce", "member", "deadline", "keep", "refusing", "retry_ms"
    state, maker, kept, deadline, keep, refused, retry = space.hmget(reservation, *fields)
    if state == "refused" and maker == nonce:
        return [0, "", 0, 0, int(refused or 0), int(retry or 0)]
    found = re.match(r"([0-9]+)\|", kept or "")
    if found and not all_whole(found[1], deadline, keep):
        raise _corrupt("reservation")
    is_held = bool(found and state == "held" and int(deadline or 0) > now)
    if is_held and int(deadline or 0) < now + ttl_ms:
        _extend(space, reservation, held, kept or "", int(keep or 0), now, ttl_ms, grace_ms)
    if found and (is_held or maker == nonce or state == "settled"):
        return [1, maker or "", int(found[1]), int(state == "settled"), 0, 0]
    _check_amount(amount)
    rows, freed = _present(space, quota, held, limits[::2], now)
    refusing = retry_ms = 0
    for number, (row, fits) in enumerate(zip(rows, _fit(rows, amount, limits), strict=True), 1):
        if not fits and row.ends - now > retry_ms:
            refusing, retry_ms = number, row.ends - now
    _reclaim(space, quota, held, freed, now)
    if refusing:
        if repeated == "1":
            space.delete(reservation)
            words = "state", "refused", "nonce", nonce, "refusing", str(refusing), "retry_ms", str(retry_ms)
            space.hset(reservation, *words)
            space.pexpire(reservation, tombstone_ms)
        return [0, "", 0, 0, refusing, retry_ms]
    last = max(row.ends for row in rows)
    member = f"{amount}|{','.join(row.name for row in rows)}|{nonce}"
    space.zadd(held, str(now + ttl_ms), member)
    keep_until(space, held, last * 1000, now * 1000)
    state_now = {"state": "held", "nonce": nonce, "member": member, "deadline": str(now + ttl_ms)}
    state_now |= {"keep": str(last) if named == "1" else "0", "until": str(now + ttl_ms + grace_ms)}
    space.hset(reservation, *(word for pair in state_now.items() for word in pair))
    space.pexpire(reservation, max(ttl_ms + grace_ms, last - now + 1 if named == "1" else 0))
    for row in rows:
        row.held += amount
    _put(space, quota, rows, now)
    return [1, nonce, amount, 0, 0, 0]


def _settle(
    space: Keyspace,
    quota: str,
    reservation: str,
    held: str,
    nonce: str,
    call: str,
    verdict: str,
    actual: int,
    tombstone_ms: int,
) -> int:
    now = now_ms(space)
    fields = "state", "nonce", "member", "until", "keep", "call"
    state, maker, member, until, keep, settler = space.hmget(reservation, *fields)
    if state is None and verdict == "cancelled":
        space.hset(reservation, "state", "refused", "nonce", nonce)
        space.pexpire(reservation, tombstone_ms)
        return 0
    if maker != nonce:
        return 0
    if state != "held":
        return int(state == verdict and settler == call)
    found = _member(member or "")
    if member is None or found is None or not all_whole(found[1], until, keep):
        raise _corrupt("reservation")
    if int(until or 0) < now:
        return 0
    if actual > _MOST:
        raise ReplyError("COORD_RANGE an amount is at most 10^15")
    more = 0 if verdict == "cancelled" else int(found[1]) if actual < 0 else actual
    freed = int(found[1]) if space.zscore(held, member) is not None else 0
    rows = list(_booked(space, quota, found[2], now, more, freed))
    space.zrem(held, member)
    space.hset(reservation, "state", verdict, "call", call)
    space.pexpire(reservation, max(tombstone_ms, int(keep or 0) - now + 1))
    if rows:
        _put(space, quota, rows, now)
    return 1


def _booked(space: Keyspace, quota: str, windows: str, now: int, more: int, freed: int) -> Iterator[_Row]:
    """Yield those of some windows that have not turned, with more spent and less held in them."""
    names = _names(windows)
    rows = _windows(space, quota, [per for per, _ in names], now, {})
    for row, (_, number) in zip(rows, names, strict=True):
        if str(row.number) == number:
            row.spent += more
            if row.spent > _EXACT:
                raise ReplyError("COORD_OVERFLOW the amount spent would pass 2^53")
            row.held = max(0, row.held - freed)
            yield row


def _renew(space: Keyspace, reservation: str, held: str, nonce: str, ttl_ms: int, grace_ms: int) -> int:
    now = now_ms(space)
    state, maker, member, deadline, keep = space.hmget(reservation, "state", "nonce", "member", "deadline", "keep")
    if state != "held" or maker != nonce:
        return 0
    if member is None or not all_whole(deadline, keep):
        raise _corrupt("reservation")
    if int(deadline or 0) <= now:
        return 0
    _extend(space, reservation, held, member, int(keep or 0), now, ttl_ms, grace_ms)
    return 1


def _extend(
    space: Keyspace, reservation: str, held: str, member: str, keep: int, now: int, ttl_ms: int, grace_ms: int
) -> None:
    space.zadd(held, str(now + ttl_ms), member)
    space.pexpire(held, max(ttl_ms, space.pttl(held)))
    space.hset(reservation, "deadline", str(now + ttl_ms), "until", str(now + ttl_ms + grace_ms))
    space.pexpire(reservation, max(ttl_ms + grace_ms, keep - now + 1))


def _held(space: Keyspace, reservation: str, nonce: str) -> int:
    now = now_ms(space)
    state, maker, deadline = space.hmget(reservation, "state", "nonce", "deadline")
    if state != "held" or maker != nonce:
        return 0
    if not all_whole(deadline):
        raise _corrupt("reservation")
    return int(int(deadline or 0) > now)


def _spend(
    space: Keyspace,
    quota: str,
    op: str,
    held: str,
    amount: int,
    sequence: int,
    remember_ms: int,
    repeated: str,
    *limits: str | int,
) -> str:
    answered = recall(space, op, sequence, remember_ms)
    if answered is not None:
        return answered
    now = now_ms(space)
    _check_amount(amount)
    rows, freed = _present(space, quota, held, limits[::2], now)
    fits = all(_fit(rows, amount, limits))
    _reclaim(space, quota, held, freed, now)
    if not fits:
        refuse(space, op, sequence, remember_ms, repeated, "0")
        return "0"
    for row in rows:
        row.spent += amount
    _put(space, quota, rows, now)
    remember(space, op, sequence, remember_ms, "1")
    return "1"


def _status(space: Keyspace, quota: str, held: str, *pers: str | int) -> list[int]:
    now = now_ms(space)
    rows, _ = _present(space, quota, held, pers, now)
    reply: list[int] = []
    for row in rows:
        reply += row.spent, row.held, row.ends - now
    return reply


RESERVE = load("quota_reserve", _reserve)
SETTLE = load("quota_settle", _settle)
RENEW = load("quota_renew", _renew)
HELD = load("quota_held", _held)
SPEND = load("quota_spend", _spend)
STATUS = load("quota_status", _status)
