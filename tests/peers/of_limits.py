"""A plugin of pytest: limits' tests use the storage over coord, in place of all that limits has."""

from __future__ import annotations

import importlib
import os
from typing import Any

import pytest

from examples.limits_storage import CoordStorage

_URL = f"coord+{os.environ['PEER_URL']}"


def pytest_sessionstart() -> None:
    pytest.register_assert_rewrite("tests.test_storage")
    utils: Any = importlib.import_module("tests.utils")
    storage = pytest.mark.parametrize(("uri", "args", "fixture"), [pytest.param(_URL, {}, None, id="coord")])
    for name in ("all_storage", "moving_window_storage", "sliding_window_counter_storage"):
        setattr(utils, name, storage)
        setattr(utils, f"async_{name}", storage)
    concrete: Any = importlib.import_module("tests.test_storage").TestConcreteStorages
    concrete.pytestmark = [
        pytest.mark.parametrize(
            ("uri", "args", "expected_instance", "fixture"), [pytest.param(_URL, {}, CoordStorage, None, id="coord")]
        )
    ]
