"""``python -m sb3_efficient``: the same as the command ``sb3-efficient``."""

import sys

from sb3_efficient.cli import main

if __name__ == "__main__":
    sys.exit(main())
