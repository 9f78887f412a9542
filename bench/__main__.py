"""`python -m bench [NAME …]`: measures, and prints each figure beside its floor and what it is to reach."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from bench import crowd, demo, first_token, sse
from bench.figures import Figure, table

BENCHES: dict[str, Callable[[int], Coroutine[Any, Any, list[Figure]]]] = {
    "first_token": first_token.measure,
    "sse": sse.measure,
    "crowd": crowd.measure,
    "demo": demo.measure,
}
ROUNDS = {"first_token": 30, "sse": 7, "crowd": 20, "demo": 1}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure: {', '.join(BENCHES)}; without: all")
    parser.add_argument("--rounds", type=int, help="how often (crowd: how many conversations)")
    parser.add_argument("--check", action="store_true", help="end with 1 when a figure misses what it is to reach")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(BENCHES)
    if unknown:
        parser.error(f"nothing is called {', '.join(sorted(unknown))}")
    return arguments


def main() -> int:
    """Measure what is asked for."""
    arguments = _arguments()
    missed = False
    for name in arguments.names or BENCHES:
        figures = asyncio.run(BENCHES[name](arguments.rounds or ROUNDS[name]))
        print(f"\n{name}: medians, and between what the middle 80 % lie\n", table(figures), sep="\n")
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        missed = missed or any(figure.met is False for figure in figures)
    return 1 if arguments.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
