"""Fixtures for tests of waiting."""

from __future__ import annotations

import pytest

from coord import waiting


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks by himself: who is not woken waits for ever."""
    monkeypatch.setattr(waiting, "LOOK_AGAIN", 3600.0)
    monkeypatch.setattr(waiting, "LOOK_AGAIN_UNHEARD", 3600.0)
