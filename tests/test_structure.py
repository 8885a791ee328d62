from __future__ import annotations

import ast
import importlib
import pkgutil

import pytest
from documents import ROOT

PACKAGES = ["lightly_train", "lt_data", "lt_data.torch", "lt_export", "lt_models", "lt_train", "lt_train.metrics"]
SOURCES = sorted(ROOT.glob("packages/*/src/*"))


def imports_of(file):
    """The modules that a file names in its imports, wherever they stand."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("name", PACKAGES)
def test_no_public_function_or_class_has_the_name_of_a_module(name):
    """Importing the module would put it in the function's place."""
    package = importlib.import_module(name)
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    values = {public for public in package.__all__ if not hasattr(getattr(package, public), "__path__")}
    shadowed = {public for public in values & modules if callable(getattr(package, public))}
    assert shadowed == set()


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_can_be_imported(name):
    package = importlib.import_module(name)
    assert all(getattr(package, public) is not None for public in package.__all__)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_a_package_takes_only_public_names_of_the_others(source):
    others = {name.name for name in SOURCES} - {source.name}
    inside = [
        f"{file.relative_to(source)}: {module}"
        for file in sorted(source.rglob("*.py"))
        for module in imports_of(file)
        if module.split(".")[0] in others and module not in PACKAGES
    ]
    assert inside == []
