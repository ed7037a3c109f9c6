"""The libraries that coord is measured beside, and which of them are installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as _version

PEERS = (
    "redis",
    "fakeredis",
    "coredis",
    "valkey-glide",
    "python-redis-lock",
    "pottery",
    "limits",
    "burner-redis",
    "py-redis-semaphore",
    "throttled-py",
    "pyrate-limiter",
)


def version(package: str) -> str | None:
    """The version that is installed, or None."""
    try:
        return _version(package)
    except PackageNotFoundError:
        return None


def installed(package: str) -> bool:
    """Whether a peer can be measured here."""
    return version(package) is not None


def present() -> dict[str, str]:
    """Each peer that is here, with its version."""
    return {peer: found for peer in PEERS if (found := version(peer)) is not None}


def missing() -> list[str]:
    """Each peer that is left out."""
    return [peer for peer in PEERS if not installed(peer)]
