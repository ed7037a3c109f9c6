"""The backend that needs no server: keyspaces of this process, and the twins that run on them."""

from __future__ import annotations

from coord.memory.keyspace import Keyspace
from coord.memory.runner import AsyncMemory, Memory, keyspace, shared_keyspace

__all__ = ["AsyncMemory", "Keyspace", "Memory", "keyspace", "shared_keyspace"]
