"""``python -m luban``, and what ``torchrun -m luban`` starts.

``-m`` puts the working directory first among the places to import from. Files of a stranger may lie
there, so it is taken out before anything else is imported; ``python -P -m luban`` never puts it in.
"""

import sys

if not sys.flags.safe_path:
    del sys.path[0]

from luban.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
