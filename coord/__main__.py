"""``python -m coord`` is the same as ``coord``."""

import sys

from coord.cli import main

# Worker processes of the demo import this module again, and must not start a demo of their own.
if __name__ == "__main__":
    sys.exit(main())
