"""The one folder of fetched weights."""

from __future__ import annotations

import os
from pathlib import Path

from lt_models.weights.published import Published

FOLDER_VARIABLE = "LIGHTLY_TRAIN_MODEL_CACHE_DIR"
OFFLINE_VARIABLES = ("LIGHTLY_TRAIN_OFFLINE", "HF_HUB_OFFLINE")


def cache_folder() -> Path:
    """`LIGHTLY_TRAIN_MODEL_CACHE_DIR`, else `lightly-train/models` in the user's cache folder; may not exist."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    # The XDG specification: a relative path is to be ignored.
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "lightly-train" / "models"


def cached_path(published: Published) -> Path:
    """Where a file of weights is, or is to be put."""
    return cache_folder() / published.name


def is_cached(published: Published) -> bool:
    """Whether the file is on this machine; `fetch` then needs no network."""
    return cached_path(published).is_file()


def offline_variable() -> str | None:
    """The environment variable that forbids the network, None where it is allowed."""
    true = ("1", "true", "yes", "on")
    return next((name for name in OFFLINE_VARIABLES if os.environ.get(name, "").lower() in true), None)
