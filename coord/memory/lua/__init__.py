"""Lua on a Keyspace: what runs scripts that have no twin, and the shipped ones beside their twins."""

from __future__ import annotations

from coord.memory.lua.engine import LuaEngine

__all__ = ["LuaEngine"]
