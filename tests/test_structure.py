from __future__ import annotations

import importlib
import pkgutil

import pytest

PACKAGES = ["lightly_train", "lt_data", "lt_data.torch", "lt_export", "lt_models", "lt_train"]


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
