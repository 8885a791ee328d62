"""Importing and asking for help must be fast, so nothing heavy may be imported on the way."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = [
    *("torch", "torchvision", "timm", "onnx", "pydicom", "tensorboard", "onnxruntime", "lightning_fabric"),
    *("mlflow", "wandb", "numpy"),
]

HELP = """
import contextlib, io, sys
import lightly_train.cli
sys.argv = ["lightly-train", *{arguments}]
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as out:
    lightly_train.cli.main()
assert "Usage" in out.getvalue()
"""


@pytest.mark.parametrize(
    "program",
    [
        "import lightly_train",
        "import lightly_train.errors",
        "import lt_export",
        "import lt_export.terminal",
        "import lt_data",
        "import lt_models",
        "import lt_train",
        HELP.format(arguments=["--help"]),
        HELP.format(arguments=["train", "--help"]),
        HELP.format(arguments=["predict", "--help"]),
    ],
)
def test_nothing_heavy_is_imported(program):
    report = f"{program}\nimport sys; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_check_itself_sees_an_import():
    report = f"import numpy, sys; print(*[name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", report], text=True).strip() == "numpy"
