"""Small functions in small modules; complexity, nesting, arguments and annotations are left to ruff."""

import ast
import tomllib
from collections.abc import Iterator
from statistics import median, quantiles

from tests.architecture.sources import CHECKOUT, PRODUCT, PROGRAMS, Module, functions, modules

IMPORTS_LATE = {"app/core/providers.py"}


def test_functions_are_short():
    lengths = [function.lines for function in functions(*PRODUCT)]
    assert median(lengths) <= 8
    assert quantiles(lengths, n=10)[-1] <= 25


def test_no_function_is_long():
    assert [function.name for function in functions(*PROGRAMS) if function.lines > 50] == []


def test_modules_are_short():
    assert median(module.lines for module in modules(*PRODUCT)) <= 100


def test_no_module_is_long():
    assert [str(module.path) for module in modules(*PROGRAMS) if module.lines > 400] == []


def test_every_module_says_what_it_is():
    assert [str(module.path) for module in modules(*PROGRAMS) if not ast.get_docstring(module.tree)] == []


def test_imports_stand_at_the_top():
    late = [
        function.name
        for function in functions(*PROGRAMS)
        if str(function.path) not in IMPORTS_LATE
        and any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(function.node))
    ]
    assert late == []


def test_few_clauses_swallow_everything():
    broad = [clause for module in modules(*PRODUCT) for clause in _broad_clauses(module)]
    assert len(broad) <= 5, broad


def test_a_clause_that_swallows_everything_gives_its_reason():
    silent = [clause for module in modules(*PRODUCT) for clause in _broad_clauses(module) if "#" not in clause]
    assert silent == []


def _broad_clauses(module: Module) -> Iterator[str]:
    """Clauses that catch every exception and do not pass it on."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler) and _catches_all(node) and not _passes_on(node):
            yield f"{module.path}:{node.lineno} {module.text.splitlines()[node.lineno - 1].strip()}"


def _catches_all(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or ast.unparse(handler.type) in {"Exception", "BaseException"}


def _passes_on(handler: ast.ExceptHandler) -> bool:
    return any(isinstance(node, ast.Raise) for node in ast.walk(handler))


def test_ruff_keeps_the_other_numbers():
    lint = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert lint["mccabe"]["max-complexity"] <= 8
    assert lint["pylint"]["max-args"] <= 6
    assert lint["pylint"]["max-nested-blocks"] <= 3
    assert {"ANN", "BLE", "C90", "PL", "FIX", "TD"} <= set(lint["select"])
