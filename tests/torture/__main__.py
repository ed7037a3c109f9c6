"""``python tests/torture --short``: see ``table.py``."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "faults"), str(TESTS / "cluster")]

from torture.table import main  # noqa: E402  # found by the line above

if __name__ == "__main__":
    sys.exit(main())
