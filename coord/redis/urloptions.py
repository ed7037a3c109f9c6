"""The options of a URL: errors that name those that it cannot hold, or that redis-py does not know."""

from __future__ import annotations

from collections.abc import Container
from urllib.parse import parse_qsl

from coord.errors import ConfigError

__all__ = ["OF_SENTINELS", "refuse_objects", "unknown_option"]

OF_SENTINELS = "sentinel_"
"""Prefix of the options that are for the sentinels and not for the server."""

_OBJECTS = frozenset(
    (
        "command_packer",
        "connection_class",
        "connection_pool",
        "credential_provider",
        "driver_info",
        "encoder_class",
        "event_dispatcher",
        "himport_registry",
        "maint_notifications_config",
        "maint_notifications_pool_handler",
        "maintenance_state",
        "oss_cluster_maint_notifications_handler",
        "parser",
        "parser_class",
        "redis_connect_func",
        "retry",
        "retry_on_error",
        "socket_keepalive_options",
        "socket_type",
        "ssl_ocsp_context",
        "ssl_ocsp_expected_cert",
    )
)
"""Options of redis-py whose values are Python objects. It takes the text of a URL for one, and fails later."""


def refuse_objects(url: str) -> None:
    """Raise ``ConfigError`` for an option whose value is a Python object."""
    for name in _names(url):
        if name.removeprefix(OF_SENTINELS) in _OBJECTS:
            raise ConfigError(
                f"{name} cannot be set in a URL, its value is a Python object: "
                "give a redis-py client that has it, connect(client=...)"
            )


def unknown_option(url: str, known: Container[str]) -> ConfigError:
    """Return the error for a URL with an option that redis-py does not know."""
    scheme, _, rest = url.partition("://")
    names = [repr(name) for name in _names(url) if name.removeprefix(OF_SENTINELS) not in known]
    # Behind a ? that is part of a password come an @ and the host: then no name may be shown.
    if names and "@" not in rest.partition("?")[2]:
        return ConfigError(f"this {scheme}:// URL has an option that redis-py does not know: {', '.join(names)}")
    return ConfigError(f"this {scheme}:// URL has an option that redis-py does not know")


def _names(url: str) -> list[str]:
    return [name for name, _ in parse_qsl(url.partition("?")[2], keep_blank_values=True)]
