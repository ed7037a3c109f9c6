"""``python tests/sim --seeds 5000``: see ``many.py``."""

from __future__ import annotations

import sys

from many import main

if __name__ == "__main__":
    sys.exit(main())
