"""Parts of pages that are made from the code when the documentation is built, so that they cannot drift from it.

A page asks for one with a block that names it:

    ```{generated} settings
    ```
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError

import models_page
import settings_page
import transforms_page
import transforms_pictures

BLOCK = re.compile(r"^```\{generated\} (\S+)\n```$", flags=re.MULTILINE)

PARTS: Mapping[str, Callable[[], str]] = {
    "settings": settings_page.settings,
    "model-packages": models_page.packages,
    "model-examples": models_page.examples,
    "model-list": models_page.every_model,
    "transform-defaults": transforms_page.defaults,
    "transform-models": transforms_page.of_models,
    "transform-pictures": transforms_page.gallery,
}


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to the build; called by Sphinx."""
    app.connect("builder-inited", draw)
    app.connect("env-get-outdated", pages_with_parts)
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def draw(app: Sphinx) -> None:
    """Draw the pictures, before any page asks for them."""
    transforms_pictures.draw(Path(app.srcdir) / transforms_page.PICTURES)


def pages_with_parts(app: Sphinx, env: BuildEnvironment, *changes: set[str]) -> list[str]:
    """Pages that are read anew in each build: their parts may have changed though they have not."""
    return [page for page in env.found_docs if BLOCK.search(Path(env.doc2path(page)).read_text(encoding="utf-8"))]


def fill(app: Sphinx, page: str, source: list[str]) -> None:
    """Put each part in the place of its block.

    Raises:
        ExtensionError: There is no such part.
    """
    source[0] = BLOCK.sub(lambda found: part(page, found[1]), source[0])


def part(page: str, name: str) -> str:
    """The Markdown of a part."""
    if name not in PARTS:
        raise ExtensionError(f"{page}: no part is called {name!r}; there are {', '.join(PARTS)}")
    return PARTS[name]()
