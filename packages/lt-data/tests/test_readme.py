"""The README's first example runs where nothing but lt-data is installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

README = Path(__file__).parent.parent / "README.md"

PYTHON = os.environ.get("LT_DATA_PYTHON", sys.executable)
"""The test session gives the Python of an environment with lt-data and its dependencies only."""


@pytest.fixture
def folder(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in ("cat", "car", "dog"):
            (tmp_path / "my_data_dir" / split / name).mkdir(parents=True)
            for i in range(4):
                pixels = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "my_data_dir" / split / name / f"img{i}.jpg")
    return tmp_path


def examples() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


def run(program: str, folder: Path) -> str:
    done = subprocess.run([PYTHON, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_first_example_runs_as_written_without_pytorch(folder):
    output = run(f"{examples()[0]}\nimport sys\nprint('torch' in sys.modules)", folder)
    assert output.splitlines()[0] == "('car', 'cat', 'dog') 9 3"
    assert output.splitlines()[1].startswith("(3, 224, 224) ")
    assert output.splitlines()[2] == "False"


def test_the_example_of_the_data_check_runs_as_written(folder):
    assert run(examples()[1], folder).splitlines()[-1] == "True"


@pytest.mark.skipif("LT_DATA_PYTHON" not in os.environ, reason="the test session makes the environment for this")
def test_the_environment_of_these_tests_has_only_lt_data(folder):
    modules = "torch pydicom pyarrow tifffile simplejpeg scipy pandas"
    program = f"import importlib.util as u; print([m for m in {modules.split()} if u.find_spec(m)])"
    assert run(program, folder).strip() == "[]"
