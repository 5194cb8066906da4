"""Runs commands one after another, started as the console script is: by the path of a file."""

import json
import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # this folder; the console script's holds programs only

    from luban.cli.main import main

    for command in json.loads(sys.argv[1]):
        code = main(command)
        if code:
            sys.exit(code)
