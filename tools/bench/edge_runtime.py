"""The edge runtime in an environment of its own: start-up, size, and latency against a bare loop.

    python tools/bench/edge_runtime.py [--rounds 15]

Exports a resnet18 and a ViT-S/16 with random weights, installs `lt-export[onnxruntime]` with uv into an empty
environment, and measures there. Files and byte code are in the page cache. Goals are printed behind the figures.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image

from lt_data import Classes, Preprocessing, TaskSpec
from lt_export import export_onnx

ROOT = Path(__file__).resolve().parents[2]
MODELS = ("resnet18", "vit_small_patch16_224")
CLASSES, SIDE, PHOTO = 1000, 224, (500, 375)

NUMPY = "import numpy"
IMPORT = "import lt_export"
IMPORT_ALL = "import lt_export, onnxruntime; lt_export.load"
LOAD = "import lt_export; lt_export.load({model!r})"
PREDICT = "import lt_export; lt_export.load({model!r}).predict({photo!r})"


def install(folder: Path) -> Path:
    """An environment with the packages of this checkout as an edge device has them; returns its Python."""
    subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    wanted = [str(ROOT / "packages" / "lt-data"), f"{ROOT / 'packages' / 'lt-export'}[onnxruntime]"]
    command = ["uv", "pip", "install", "--quiet", "--no-sources", "--compile-bytecode", "--python", str(python)]
    subprocess.run([*command, "--constraint", str(ROOT / "constraints.txt"), *wanted], check=True)
    return python


def size_without_byte_code(folder: Path) -> int:
    """Bytes of all files; compiled ones come with the first start."""
    return sum(file.stat().st_size for file in folder.rglob("*.*") if file.is_file() and file.suffix != ".pyc")


def export(name: str, root: Path) -> Path:
    """A model of timm with random weights as an ONNX file."""
    torch.manual_seed(0)
    classes = Classes.from_mapping({i: f"class {i}" for i in range(CLASSES)})
    task = TaskSpec(task="multiclass", classes=classes, preprocessing=Preprocessing(image_size=(SIDE, SIDE)))
    return export_onnx(timm.create_model(name, num_classes=CLASSES), task, root / f"{name}.onnx").path


def photograph(path: Path) -> Path:
    """A JPEG file as a camera writes it: smooth, with some noise."""
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(PHOTO, Image.Resampling.BICUBIC)
    noisy = np.asarray(smooth, dtype=np.int16) + rng.integers(-8, 9, (PHOTO[1], PHOTO[0], 3))
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(path, quality=90)
    return path


def seconds(python: Path, program: str) -> float:
    """A program in a process of its own, from its start to its end."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    began = time.perf_counter()
    subprocess.run([str(python), "-c", program], check=True, env=environment)
    return time.perf_counter() - began


def print_starts(python: Path, model: Path, photo: Path, rounds: int) -> None:
    """Medians of programs that take turns, and medians of what each takes beyond NumPy."""
    programs = [text.format(model=str(model), photo=str(photo)) for text in (NUMPY, IMPORT, IMPORT_ALL, LOAD, PREDICT)]
    for program in programs:
        seconds(python, program)
    taken = [[seconds(python, program) for program in programs] for _ in range(rounds)]
    _, _, _, _, predict = (statistics.median(column) for column in zip(*taken, strict=True))
    alone, everything, loading = (statistics.median(row[i] - row[0] for row in taken) for i in (1, 2, 3))
    print(f"import numpy: {statistics.median(row[0] for row in taken):.2f} s with the start of Python")
    print(f"import lt_export, which imports nothing yet: {alone:+.2f} s to that")
    print(f"import of all that loading needs, onnxruntime too: {everything:+.2f} s to that (goal: 0.3)")
    print(f"loading {model.stem} of {model.stat().st_size / 1e6:.0f} MB too: {loading:+.2f} s to that")
    print(f"from the start of the process to the end of the first prediction and itself: {predict:.2f} s (goal: 1.5)")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        python, photo = install(root / "bare"), photograph(root / "photo.jpg")
        models = [export(name, root) for name in MODELS]
        print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; medians of {rounds}")
        size = size_without_byte_code(root / "bare") / 1e6
        print(f"lt-export[onnxruntime] and all that it brings: {size:.0f} MB (goal: 200)")
        print_starts(python, models[0], photo, rounds)
        latency = Path(__file__).with_name("edge_latency.py")
        command = [str(python), str(latency), str(photo), *map(str, models), "--rounds", str(rounds)]
        subprocess.run(command, check=True, env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"})


if __name__ == "__main__":
    main()
