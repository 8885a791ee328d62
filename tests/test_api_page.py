"""docs/api.md names what is public, and nothing else."""

from __future__ import annotations

import importlib
import re

import pytest
from documents import ROOT

PACKAGES = sorted(
    ".".join(stub.parent.relative_to(source).parts)
    for source in ROOT.glob("packages/*/src")
    for stub in source.rglob("__init__.pyi")
)
"""Their public names are those of their `__init__.pyi`."""

PAGE = (ROOT / "docs/api.md").read_text(encoding="utf-8")
NAMED = re.findall(r"^\.\. (?:auto[a-z]+|py:data):: (\S+)$", PAGE, flags=re.MULTILINE)


def value_of(name: str) -> object:
    package, _, last = name.rpartition(".")
    return getattr(importlib.import_module(package), last, None)


def test_the_packages_are_found():
    assert {"lightly_train", "lt_data", "lt_data.torch", "lt_models", "lt_train", "lt_export"} <= set(PACKAGES)


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_is_on_the_page(name):
    package = importlib.import_module(name)
    described = [value_of(one) for one in NAMED]
    missing = [
        public
        for public in package.__all__
        if f"{name}.{public}" not in NAMED
        # A name of another package's may be told to be that.
        and not (f"`{name}.{public}`" in PAGE and any(getattr(package, public) is one for one in described))
    ]
    assert missing == []


def test_every_name_on_the_page_is_public_and_there_once():
    public = {f"{name}.{one}" for name in PACKAGES for one in importlib.import_module(name).__all__}
    assert [name for name in NAMED if name not in public] == []
    assert len(NAMED) == len(set(NAMED))
