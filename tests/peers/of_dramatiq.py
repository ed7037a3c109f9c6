"""A plugin of pytest: dramatiq's tests use the rate limiters and the barrier over coord."""

from __future__ import annotations

import os
from collections.abc import Iterator

import dramatiq.rate_limits
import pytest

import coord
from examples import dramatiq_rate_limits

for _name in dramatiq_rate_limits.__all__:
    setattr(dramatiq.rate_limits, _name, getattr(dramatiq_rate_limits, _name))


@pytest.fixture
def rate_limiter_backend() -> Iterator[coord.Coordinator]:
    with coord.connect(os.environ["PEER_URL"]) as c:
        yield c
