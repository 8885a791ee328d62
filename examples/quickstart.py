"""From a folder of images to a model that runs without PyTorch, on scikit-learn's 1,797 handwritten digits.

    python examples/quickstart.py [--out out/quickstart] [--edge-python PATH]

Needs `pip install "lightly-train[onnx]" scikit-learn`; nothing is downloaded. `--edge-python` names the Python of an
environment that holds `lt-export[onnxruntime]` only; without it the edge runtime runs in this environment.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits

import lightly_train

VAL_IMAGES = 360
GOAL = 0.98


def write_digits(root: Path) -> None:
    """Write the digits as PNG files: `root/{train,val}/{0..9}/*.png`."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    for position, sample in enumerate(order):
        split = "val" if position < VAL_IMAGES else "train"
        folder = root / split / str(digits.target[sample])
        folder.mkdir(parents=True, exist_ok=True)
        pixels = (digits.images[sample] * (255 / 16)).round().astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"digit_{sample:04d}.png")


def train(out: Path, data: Path) -> tuple[lightly_train.TrainResult, float]:
    """Train a small network from random weights; returns the result and the seconds it took."""
    began = time.monotonic()
    result = lightly_train.train_image_classification(
        out=out,
        overwrite=True,
        model="timm/test_resnet-notpretrained",
        data={
            "train": data / "train",
            "val": data / "val",
            "classes": {digit: str(digit) for digit in range(10)},
        },
        epochs=15,
        batch_size=64,
        model_args={"lr": 1.5e-3},
        transform_args={
            "image_size": (32, 32),
            "random_crop": {"min_scale": 0.6},
            "random_flip": None,  # a mirrored digit is another sign
            "color_jitter": None,
            "val": {"resize_scale": 1.0},
        },
    )
    return result, time.monotonic() - began


def edge_answers(python: str, onnx: Path, images: list[Path]) -> list[dict[str, Any]]:
    """What the runtime without PyTorch says, run by the interpreter `python`."""
    command = [python, str(Path(__file__).with_name("edge.py")), str(onnx), *map(str, images)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [json.loads(line) for line in printed.splitlines()]


def main() -> int:
    """Run the whole path; returns 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/quickstart"))
    parser.add_argument("--edge-python", default=sys.executable)
    options = parser.parse_args()

    data, run = options.out / "digits", options.out / "run"
    write_digits(data)
    result, seconds = train(run, data)
    assert result.exported_best is not None

    model = lightly_train.load_model(result.exported_best)
    images = sorted((data / "val").glob("*/*.png"))
    predictions = [model.predict(image) for image in images]
    right = sum(int(p["labels"][0]) == int(image.parent.name) for p, image in zip(predictions, images, strict=True))

    onnx = run / "exported_models" / "model.onnx"
    model.export_onnx(onnx)
    edge = edge_answers(options.edge_python, onnx, images)
    same = sum(int(p["labels"][0]) == e["labels"][0] for p, e in zip(predictions, edge, strict=True))
    difference = max(abs(float(p["scores"][0]) - e["scores"][0]) for p, e in zip(predictions, edge, strict=True))

    accuracy = result.best_metrics["val_metric/top1_acc_micro"]
    table = Table(title="Handwritten digits, from folder to edge", show_header=False)
    table.add_row("training", f"{seconds:.0f} s, best at step {result.best_step}")
    table.add_row("validation accuracy", f"{accuracy:.2%} of {len(images)} images")
    table.add_row("accuracy counted from predict", f"{right / len(images):.2%}")
    table.add_row("edge runtime, same label", f"{same} of {len(images)}, largest score difference {difference:.1e}")
    for file in (result.exported_best, onnx, run / "train.log", run / "metrics.jsonl"):
        table.add_row("written", f"{file} ({file.stat().st_size / 1e6:.2f} MB)")
    console = Console(soft_wrap=True)
    console.print(table)
    console.print("Use it, with the Python that has just run:\n")
    print(f"    {sys.executable}")
    print("    import lightly_train")
    print(f'    model = lightly_train.load_model("{result.exported_best}")')
    labels, scores = predictions[0]["labels"].tolist(), predictions[0]["scores"].tolist()
    print(f'    model.predict("{images[0]}")  # labels {labels}, scores {scores}')
    return int(accuracy < GOAL or right / len(images) != accuracy or same != len(images))


if __name__ == "__main__":
    sys.exit(main())
