"""``python -m coord`` is the same as ``coord``."""

import sys

from coord.cli import main

if __name__ == "__main__":
    sys.exit(main())
