"""The table of backends itself: it is complete, and its checks can fail."""

from __future__ import annotations

from typing import Any

import pytest
from backends import Backend, assert_all_expire, found, missing


def test_every_engine_is_here() -> None:
    """An engine that is wanted and missing fails here, by name."""
    assert not missing(), (
        f"missing: {', '.join(missing())}; found: {', '.join(found()) or 'no server'}. "
        "Install coord[servers], or name in COORD_ENGINES those that this run is to cover."
    )


def test_time_is_in_the_test_s_hands(backend: Backend, c: Any) -> None:
    """No test sleeps: 45 seconds pass at once, for the keys of every backend."""
    c.once("job", ttl=45)
    backend.later(44)
    assert backend.left("coord:once:{job}") == pytest.approx(1, abs=0.2)
    backend.later(2)
    assert backend.stored == {}


def test_a_key_without_a_ttl_is_caught(backend: Backend) -> None:
    """The check that runs after each test can fail."""
    backend.plant("coord:once:{job}", "x")
    assert_all_expire(backend)
    backend.place.do("PERSIST", "coord:once:{job}")
    with pytest.raises(AssertionError, match="without a TTL"):
        assert_all_expire(backend)
    backend.lose("coord:once:{job}")
