"""Train, use and ship image classifiers.

Importing this package is fast: PyTorch is imported when something is trained or loaded.
"""

from typing import Any

import lazy_loader

# The public names are those of __init__.pyi; each is imported when it is first used.
_public, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("lightly-train")
    return _public(name)
