"""One run of one seed, and what it found."""

from __future__ import annotations

from dataclasses import dataclass

from coord.testing.sim.world import Sim

__all__ = ["Run"]


@dataclass
class Run:
    """One run of one seed. ``error`` is what it found, or None."""

    sim: Sim
    error: BaseException | None

    @property
    def why(self) -> str:
        """The finding, in words."""
        return "" if self.error is None else f"{type(self.error).__name__}: {self.error}"
