"""Fixtures for tests of ``hold``."""

from __future__ import annotations

import pytest
from holding import renew_every


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases are renewed long before they have to be: the test is quick, though they last long."""
    renew_every(0.05, monkeypatch)
