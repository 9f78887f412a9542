"""Imports go in the directions the contracts in pyproject.toml allow, and in no other."""

from importlinter.cli import lint_imports

from tests.architecture.sources import CHECKOUT


def test_every_import_contract_is_kept(capsys, monkeypatch):
    monkeypatch.chdir(CHECKOUT)
    failed = lint_imports(cache_dir=".cache/imports", no_logo=True)
    assert not failed, capsys.readouterr().out
