"""What the checkout holds, as git sees it: the files it tracks and those about to be."""

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
PRODUCT = ("app", "runner", "standin", "demo")
PROGRAMS = (*PRODUCT, "bench", "tests")


@dataclass(frozen=True)
class Module:
    """One Python file."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())


@cache
def texts() -> dict[Path, str]:
    """Every text file by its path in the checkout."""
    command = ("git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout.split("\0")
    return dict(_readable(Path(name) for name in names if name))


def _readable(paths: Iterator[Path]) -> Iterator[tuple[Path, str]]:
    for path in paths:
        try:
            yield path, (CHECKOUT / path).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue


@cache
def modules(*roots: str) -> tuple[Module, ...]:
    """Every Python file below the folders that holds anything."""
    found = (path for path in texts() if path.suffix == ".py" and path.parts[0] in roots)
    return tuple(Module(path, texts()[path], ast.parse(texts()[path])) for path in found if texts()[path])


@dataclass(frozen=True)
class Function:
    """One function or method."""

    path: Path
    node: ast.FunctionDef | ast.AsyncFunctionDef

    @property
    def name(self) -> str:
        return f"{self.path}:{self.node.lineno} {self.node.name}"

    @property
    def lines(self) -> int:
        return (self.node.end_lineno or 0) - self.node.lineno + 1


@cache
def functions(*roots: str) -> tuple[Function, ...]:
    """Every function and method below the folders."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return tuple(
        Function(module.path, node)
        for module in modules(*roots)
        for node in ast.walk(module.tree)
        if isinstance(node, kinds)
    )
