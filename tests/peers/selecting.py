"""A plugin of pytest for the tests of a peer: leaves out what ``chosen.py`` names, and prints the reasons."""

from __future__ import annotations

import inspect
import os
from collections import Counter
from typing import Any

import pytest
import redis

from coord.memory import keyspace
from peers.chosen import PEERS

_PEER = PEERS[os.environ["PEER"]]
_REASONS = _PEER.reasons(os.environ["PEER_ENGINE"])
_left_out: Counter[str] = Counter()


def _names(item: pytest.Item) -> set[str]:
    kind: Any = getattr(item, "cls", None)
    return {getattr(item, "originalname", item.name) or item.name, item.name, *([kind.__name__] if kind else [])}


def _remove_all_keys() -> None:
    url = os.environ["PEER_URL"]
    if url.startswith("memory://"):
        keyspace(url.removeprefix("memory://")).flush()
    else:
        redis.Redis.from_url(url).flushall()


@pytest.fixture(autouse=True)
def empty() -> None:
    """Begin each test without keys."""
    _remove_all_keys()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: Any) -> bool | None:
    """Run a test that demands a time up to five times: the machine may be busy."""
    if pyfuncitem.originalname not in _PEER.timed:
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    for _ in range(4):
        try:
            pyfuncitem.obj(**arguments)
        except AssertionError:
            _remove_all_keys()
        else:
            return True
    pyfuncitem.obj(**arguments)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    out = {item: name for item in items for name in _REASONS if name in _names(item)}
    _left_out.update(out.values())
    config.hook.pytest_deselected(items=list(out))
    items[:] = [item for item in items if item not in out]
    unknown = set(_REASONS) - set(_left_out)
    if unknown:
        raise pytest.UsageError(f"{_PEER.name} {_PEER.version} has no such tests: {', '.join(sorted(unknown))}")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for name, count in sorted(_left_out.items()):
        terminalreporter.write_line(f"left out: {count} {name}: {_REASONS[name]}")
