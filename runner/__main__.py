"""`python -m runner`: leaves out what the SDK need not load, then runs the program."""

import os
import sys
from importlib import import_module

from runner.config import Config, clear_own
from runner.lean import leave_out_mcp


def main() -> int:
    try:
        config = Config.read(os.environ)
    except KeyError as missing:
        sys.stderr.write(f"runner: environment variable {missing} is not set\n")
        return 2
    clear_own(os.environ)
    leave_out_mcp()
    program = import_module("runner.program")  # not before `leave_out_mcp`: it imports the SDK
    program.run(config)
    return 0


if __name__ == "__main__":
    sys.exit(main())
