"""A plugin of pytest for the tests of a peer: leaves out what ``chosen.py`` names, and prints the reasons."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest

from peers.chosen import PEERS

_PEER = PEERS[os.environ["PEER"]]
_REASONS = _PEER.reasons(os.environ["PEER_ENGINE"])
_left_out: Counter[str] = Counter()


def _names(item: pytest.Item) -> set[str]:
    kind: Any = getattr(item, "cls", None)
    return {getattr(item, "originalname", item.name) or item.name, item.name, *([kind.__name__] if kind else [])}


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
