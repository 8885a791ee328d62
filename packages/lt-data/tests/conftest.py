from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

MakeFolder = Callable[..., Path]


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Write a class folder of small PNGs: `make_folder("train", cat=3, dog=2)`."""

    def make(split: str, **counts: int) -> Path:
        rng = np.random.default_rng(0)
        for name, count in counts.items():
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (8 + i, 12, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / name / f"{i}.png")
        return tmp_path / split

    return make


@pytest.fixture
def sealed_folder() -> Path:
    """A folder that even root cannot write to; skips the test where there is none."""
    folder = Path("/proc/self")
    if not folder.is_dir():
        pytest.skip("there is no folder here that even root cannot write to")
    return folder
