"""URLs: which backend one names, and what is wrong with it. No error quotes a part where a password may stand."""

from __future__ import annotations

import os

from coord.errors import ConfigError

__all__ = ["ENVIRONMENT", "given_url", "is_url", "memory_name"]

ENVIRONMENT = "COORD_DSN"
"""The environment variable that says where to connect when no URL is given."""

_TCP = ("redis", "rediss", "valkey", "valkeys")
_SERVERS = (*_TCP, "unix", *(f"{each}+{many}" for many in ("cluster", "sentinel") for each in _TCP))
_SCHEMES = ("memory", *_SERVERS)
_ENCODE = "percent-encode / ? # and @ in user and password"


def is_url(text: str) -> bool:
    """Return whether a text starts as the URLs of ``connect`` do."""
    scheme, separator, _ = text.partition("://")
    return bool(separator) and scheme in _SCHEMES


def given_url(url: str | None) -> str:
    """Return the URL, or without one that of the environment, or ``memory://``."""
    return os.environ.get(ENVIRONMENT) or "memory://" if url is None else url


def memory_name(url: str | None) -> str | None:
    """Return the name of the keyspace in a ``memory://`` URL; None for a server. ``ConfigError`` for other URLs."""
    url = given_url(url)
    if not isinstance(url, str):
        raise TypeError(f"a URL must be a str, not {type(url).__name__}")
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _SCHEMES:
        raise _unknown_scheme(scheme, bool(separator))
    if scheme != "memory":
        _check_server_url(scheme, rest)
        return None
    if set(rest) & set("?#@"):
        raise ConfigError("a memory:// URL is a name and nothing else, such as memory://jobs")
    return rest.strip("/")


def _unknown_scheme(scheme: str, separator: bool) -> ConfigError:
    known = ", ".join(f"{each}://" for each in _SCHEMES)
    if separator and scheme.replace("+", "").isalnum():
        return ConfigError(f"unknown URL scheme {scheme[:20]}://; known are {known}")
    return ConfigError(f"this URL has no scheme; write redis://host:port, or one of {known}")


def _check_server_url(scheme: str, rest: str) -> None:
    """Refuse what would be read as another host, path or option than was meant."""
    rest, _, query = rest.partition("?")
    authority, _, path = rest.partition("/")
    if "@" in path and (scheme != "unix" or authority):
        raise ConfigError(f"this {scheme}:// URL has an @ after its host: {_ENCODE}")
    if any("=" not in option for option in query.split("&") if option):
        raise ConfigError(f"this {scheme}:// URL has an option without a value: write ?name=value, and {_ENCODE}")
