"""The machine of a run: a figure without it means nothing."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import redis

from benchmarks.peers import missing, present, version


def machine(url: str) -> dict[str, str]:
    """Return what belongs beside every result."""
    return {
        "cpu": _cpu(),
        "cores": str(_cores()),
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "redis-py": version("redis") or "",
        "hiredis": version("hiredis") or "not installed",
        "server": _server(url),
        "peers": ", ".join(f"{peer} {found}" for peer, found in present().items()),
        "not installed": ", ".join(missing()) or "none",
    }


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _server(url: str) -> str:
    with redis.Redis.from_url(url, decode_responses=True) as client:
        info: dict[str, Any] = client.info("server")
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info['redis_version']}"
