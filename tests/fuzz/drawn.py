"""Values and texts: some right, some at an edge, some nonsense."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from random import Random
from typing import Any

__all__ = ["PASSWORD", "bytes_of_garbage", "garbled", "reply", "text", "url", "value"]

PASSWORD = "hunter2-Zq9"  # no message may contain it

_SIGNS = "aZ09_-.:/?#@%{}[]|\\\"'*&=+, \n\r\t\x00\x7f\x85é€\ud83d\u2028\U0001f600"
_TEXTS = ("", "x", "a:b", "{x}", "%41", "é" * 513, "x" * 1024, "x" * 1025, "0", "-1", "nan", "1e3", "None", "true")
_EDGES = (0, 1, -1, 2, 2**31, 2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**30, 10**400)
_FLOATS = (0.0, -0.0, 0.5, 0.0001, 1e-300, 1e300, math.nan, math.inf, -math.inf)
_OTHERS: tuple[Any, ...] = (
    *(None, True, False, b"bytes", bytearray(b"x"), [], ["x"], {}, {"x": 1}, (), ("a", "b"), {"x"}, object(), Ellipsis),
    *(timedelta(0), timedelta(seconds=2), timedelta(days=4000), timedelta(microseconds=1), 1j, int, len),
)
_SCHEMES = (
    *("redis", "rediss", "valkey", "valkeys", "unix", "memory", "http", "", "redis+cluster", "rediss+cluster"),
    *("redis+sentinel", "rediss+sentinel", "REDIS", "memory+cluster", "redis+", "+sentinel"),
)
_HOSTS = ("localhost", "127.0.0.1", "[::1]", "[::1", "h", "", "h,i", "h:1,i:2", "a..b", "é", "h%41", "::1", "h:p", "*")
_PATHS = ("", "/", "/0", "/15", "/x", "/-1", "/svc", "/svc/0", "/svc/x", "//", "/tmp/x.sock", "/%zz", "/0/1", "/٣")
_OPTIONS = (
    *("db", "socket_timeout", "socket_connect_timeout", "health_check_interval", "ssl_cert_reqs", "protocol"),
    *("client_name", "max_connections", "retry_on_timeout", "sentinel_password", "username", "nonsense"),
    *("ssl_ca_certs", "socket_keepalive", "encoding", "decode_responses", "credential_provider", "host"),
)


def text(random: Random) -> str:
    """Return a text."""
    if random.random() < 0.4:
        return random.choice(_TEXTS)
    return "".join(random.choices(_SIGNS, k=random.choice((1, 1, 2, 3, 5, 8, 20))))


def value(random: Random) -> Any:
    """Return a value of any type."""
    dice = random.random()
    if dice < 0.35:
        return text(random)
    if dice < 0.6:
        return random.choice(_EDGES)
    if dice < 0.65:
        return random.randint(-(2**70), 2**70)
    return random.choice(_FLOATS if dice < 0.8 else _OTHERS)


def url(random: Random) -> str:
    """Return a URL of a server or of memory, with a password in most; one in three is broken in a place."""
    user = random.choice(("", "", "u", "u%40", "a:b", "é"))
    login = random.choice(("", f"{user}:{PASSWORD}@", f"{user}:{PASSWORD}@", f":{PASSWORD}/x@", f"{PASSWORD}@"))
    port = random.choice(("", ":6379", ":0", ":65536", ":-1", ":x", ":", ":٣", ":1:2"))
    query = "&".join(
        f"{random.choice(_OPTIONS)}={random.choice((text(random), '1', '0', 'yes', '2.5', '-1', 'none', PASSWORD))}"
        for _ in range(random.choice((0, 0, 1, 2)))
    )
    made = f"{random.choice(_SCHEMES)}://{login}{random.choice(_HOSTS)}{port}{random.choice(_PATHS)}"
    made += f"?{query}" if query else ""
    return garbled(random, made) if random.random() < 0.33 else made


def garbled(random: Random, whole: str, times: Sequence[int] = (1, 1, 2, 4)) -> str:
    """Return a text with some places changed, left out or doubled; a password in it stays whole or goes."""
    for _ in range(random.choice(times)):
        start = random.randrange(len(whole) + 1)
        if PASSWORD in whole[max(0, start - len(PASSWORD)) : start + len(PASSWORD)]:
            continue
        end = min(len(whole), start + random.choice((0, 1, 1, 3, 10)))
        put = random.choice(("", text(random), whole[start:end] * 2, random.choice(_SIGNS)))
        whole = whole[:start] + put + whole[end:]
    return whole


def reply(random: Random, depth: int = 0) -> Any:
    """Return what a client reads of some reply: texts, integers, None, arrays of these."""
    dice = random.random()
    if dice < 0.3 and depth < 3:
        return [reply(random, depth + 1) for _ in range(random.choice((0, 1, 2, 3, 4, 4, 5, 6, 20)))]
    if dice < 0.5:
        return random.choice((0, 1, 2, -1, 2**31, 2**63 - 1, -(2**63)))
    if dice < 0.7:
        return random.choice(
            ("", "0", "1", "x", "||0", "a|b|1", "01", "9" * 19, "9" * 30, "-1", "1.5", "nan", "٣", "{}")
        )
    return text(random) if dice < 0.9 else None


def bytes_of_garbage(random: Random) -> bytes:
    """Return what a broken server may write."""
    dice = random.random()
    if dice < 0.3:
        return random.randbytes(random.choice((1, 2, 10, 200)))
    # hiredis reserves memory for as many items as an array announces: 2^29 of them are 4 GB.
    count = random.choice(("-2", "-1", "0", "1", "3", "x", "", "1.5", "99999999999999999999", "70000"))
    kind = random.choice("+-:$*_#,(!=%~>|.ü")
    body = random.choice(("", "OK", "x", "ERR no", "MOVED 1 h:1", "MOVED x", "ASK 1 :", "NOSCRIPT", "LOADING", "-1"))
    return f"{kind}{count}\r\n{body}\r\n".encode() if dice < 0.7 else f"{kind}{body}\r\n".encode()
