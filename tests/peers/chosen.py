"""Which tests of which release of each peer run over coord, and why the others do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["PEERS", "Peer"]


@dataclass(frozen=True)
class Peer:
    """A library: its release, the test files that run, and those of their tests that are left out, with the reason."""

    name: str
    version: str
    files: tuple[str, ...]
    left_out: Mapping[str, str]
    """By the name of a test, or of a class of tests."""
    in_memory: Mapping[str, str] = field(default_factory=dict)
    """What else is left out on ``memory://``."""
    timed: frozenset[str] = frozenset()
    """Tests that demand a time, which a busy machine does not always keep."""
    plugin: str = ""
    """A module of this package that makes the tests use the driver."""
    adds: Mapping[str, str] = field(default_factory=dict)
    """Files that the source distribution lacks."""

    def reasons(self, engine: str) -> dict[str, str]:
        """Return what is left out on an engine, with the reason."""
        return {**self.left_out, **(self.in_memory if engine == "memory" else {})}


_NO_DRIVER = "does not use the driver under test"

TOOZ = Peer(
    "tooz",
    "9.1.0",
    ("tooz/tests/test_coordination.py", "tooz/tests/test_partitioner.py"),
    {
        "TestHook": _NO_DRIVER,
        "IPCTestPartitioner": _NO_DRIVER,
        "test_heartbeat": "coord renews by itself, so the driver has no heartbeat to call",
        "test_heartbeat_loop": "coord renews by itself, so the driver has no heartbeat to call",
        "test_timeout": "expects that a living process times out because it calls no heartbeat",
        "test_watch_join_group_disappear": "tooz runs it for its own Redis, memcached and etcd drivers alone",
    },
    {
        "test_connection_error_bad_host": "memory:// has no host",
        "test_get_lock_concurrency_locking_two_lock_process": "memory:// is one process",
    },
)

DRAMATIQ = Peer(
    "dramatiq",
    "2.2.1",
    (
        "tests/test_barrier.py",
        "tests/test_bucket_rate_limiter.py",
        "tests/test_concurrent_rate_limiter.py",
        "tests/test_window_rate_limiter.py",
    ),
    {},
    timed=frozenset(
        {
            "test_barriers_can_block",  # two waiters wake within 10 ms
            "test_bucket_rate_limiter_limits_per_bucket",  # eight calls fall into one second of the test's clock
            "test_concurrent_rate_limiter_can_act_as_a_mutex",  # eight threads start within 0.3 s
            "test_concurrent_rate_limiter_limits_concurrency",  # 32 threads start within 0.3 s
        }
    ),
    plugin="of_dramatiq",
    adds={"tests/__init__.py": "", "tests/common.py": "def skip_in_ci(test):\n    return test\n"},
)

_ESTIMATE = "limits' sliding window counter estimates the moving window, which coord counts exactly"

LIMITS = Peer(
    "limits",
    "5.8.0",
    ("tests/test_strategy.py", "tests/test_storage.py", "tests/integration/test_concurrency.py"),
    {
        "TestBaseStorage": _NO_DRIVER,
        "TestStorageErrors": _NO_DRIVER,
        "TestSlidingWindow": _ESTIMATE,
        "test_sliding_window_counter": _ESTIMATE,
        "test_expiry_acquire_sliding_window_entry": _ESTIMATE,
        "test_storage_reset": "coord searches no server for keys, as limits' memcached storage does not",
        "TestAsyncConcurrency": "the driver is blocking",
    },
    plugin="of_limits",
)

PEERS = {peer.name: peer for peer in (DRAMATIQ, LIMITS, TOOZ)}
