"""``python tests/fuzz --inputs 1000000``: see ``command.py``."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    from fuzz.command import main

    sys.exit(main())
