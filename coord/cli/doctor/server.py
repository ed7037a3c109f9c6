"""A server's INFO: version, role, memory and persistence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from coord.cli.doctor.findings import Finding, ok, problem, unchecked, warning

__all__ = ["CONFIGURED", "Info", "memory", "persistence", "role", "version", "version_of"]

Info = Mapping[str, str]
"""The fields of INFO or CONFIG GET that the user may see."""

CONFIGURED = ("save", "appendfsync", "min-replicas-to-write", "min-replicas-max-lag")
"""Settings that INFO does not contain."""

_OLDEST = {"Redis": (6, 2), "Valkey": (8, 0)}

_MENDED = {
    "Redis": ((6, 2, 20), (7, 2, 11), (7, 4, 6), (8, 0, 4), (8, 2, 2)),
    "Valkey": ((8, 0, 6), (8, 1, 4)),
}
"""The first release of each line without CVE-2025-49844: a script can take over the server."""


def version_of(info: Info) -> tuple[str, tuple[int, ...]]:
    """Return the name and the version of the server."""
    name = "Valkey" if "valkey_version" in info else "Redis"
    number = info.get("valkey_version") or info.get("redis_version", "")
    return name, tuple(int(part) for part in re.findall(r"\d+", number)[:3])


def version(info: Info) -> Finding:
    """Check the version."""
    name, number = version_of(info)
    seen = f"{name} {_dotted(number)}"
    if number < _OLDEST[name]:
        return problem("version", f"{seen} is not supported", "use Redis 6.2, Valkey 8, or newer")
    mended = next((each for each in _MENDED[name] if number[:2] <= each[:2]), None)
    if mended and number < mended:
        return warning(
            "version",
            f"{seen}: a user who may run scripts can take it over (CVE-2025-49844), unless the package has a fix",
            f"upgrade to {_dotted(mended)} or newer",
        )
    return ok("version", seen)


def _dotted(number: tuple[int, ...]) -> str:
    return ".".join(map(str, number))


def role(info: Info, *, clustered: bool) -> Finding:
    """Check that it accepts writes, and is of the kind that the URL names."""
    if info.get("redis_mode") == "sentinel":
        advice = "connect with redis+sentinel://host:port/SERVICE"
        return problem("role", "this is a sentinel, which stores no data", advice)
    if info.get("loading") == "1":
        seconds = info.get("loading_eta_seconds", "some")
        return problem("role", "it is still loading its data", f"wait {seconds} seconds and try again")
    if info.get("role") == "slave":
        advice = "connect to the primary, or through redis+sentinel:// or redis+cluster://, which find it"
        return problem("role", "this is a replica: it accepts no writes", advice)
    if info.get("cluster_enabled") == "1" and not clustered:
        return problem("role", "this is one node of a cluster", "connect with redis+cluster://host:port")
    return ok("role", "a primary, accepts writes")


# --- memory --------------------------------------------------------------------------------------

_NEARLY_FULL = 0.9
_MAKE_ROOM = "raise maxmemory, or find out what uses the memory"


def memory(info: Info) -> Iterator[Finding]:
    """Check how full the memory is, and what happens when it is full."""
    policy, limit = info.get("maxmemory_policy"), int(info.get("maxmemory", 0))
    if policy is None:
        yield unchecked("eviction", "INFO does not contain maxmemory-policy")
    elif policy != "noeviction":
        when = "when memory is full" if limit else "when a maxmemory is set and reached,"
        yield problem(
            "eviction",
            f"maxmemory-policy is {policy}: {when} it drops live claims, barriers and counts",
            "CONFIG SET maxmemory-policy noeviction, and the same in its configuration file",
        )
    else:
        yield ok("eviction", "maxmemory-policy is noeviction: no live key is dropped")
    used = int(info.get("used_memory", 0))
    seen = f"{_size(used)} in use" + (f" of {_size(limit)}" if limit else ", no maxmemory")
    if limit and used >= limit:
        yield problem("memory", f"{seen}: writes are refused, or drop other keys", _MAKE_ROOM)
    elif limit and used > _NEARLY_FULL * limit:
        yield warning("memory", f"{seen}: when it is full, writes are refused, or drop other keys", _MAKE_ROOM)
    else:
        yield ok("memory", seen)


def _size(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


# --- persistence ---------------------------------------------------------------------------------

_FSYNC = {
    "always": ok("persistence", "append-only file, fsync always: a crash loses no acknowledged write"),
    "everysec": ok("persistence", "append-only file, fsync every second: a crash loses the last second or two"),
    "no": warning(
        "persistence",
        "append-only file, fsync by the operating system: a crash of the machine loses half a minute",
        "CONFIG SET appendfsync everysec, or always if no count may be lost",
    ),
}


def persistence(info: Info, configured: Info) -> Finding:
    """Check what survives a restart."""
    if "aof_enabled" not in info:
        return unchecked("persistence", "INFO does not contain it")
    for name in ("rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status"):
        if info.get(name, "ok") != "ok":
            advice = "see its log; is the disk full, may it write to its folder?"
            return problem("persistence", f"it cannot write to its disk ({name} is {info[name]})", advice)
    if info["aof_enabled"] == "1":
        unseen = ok("persistence", "append-only file (this user may not see appendfsync)")
        return _FSYNC.get(configured.get("appendfsync", ""), unseen)
    saves = configured.get("save")
    if saves == "":
        return warning(
            "persistence",
            "none: a restart loses all claims, versions, counts and barriers",
            "set appendonly yes. Without it, fences and versions still grow after a restart, but every lease is free",
        )
    how = "no append-only file" if saves is None else f"snapshots only (save {saves})"
    changes = info.get("rdb_changes_since_last_save", "?")
    return warning(
        "persistence",
        f"{how}: a crash loses every change since the last one, now {changes}",
        "set appendonly yes",
    )
