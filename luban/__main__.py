"""``python -m luban``, and what ``torchrun -m luban`` starts."""

import sys

from luban.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
