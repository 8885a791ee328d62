"""A trained model on a device without PyTorch: exported, run there, the same scores, and how long an image takes.

    python examples/edge.py [--out out/edge] [--edge-python PATH]    the whole way, on a machine that trains
    python edge.py model.onnx image.png [image.png ...]                what runs on the device

The whole way needs `pip install "lightly-train[onnx]" scikit-learn`; nothing is downloaded. The device needs this file,
the model and `pip install "lt-export[onnxruntime]"`. Here another process stands in for it: `--edge-python` names the
Python of an environment that holds no more than that; without it this environment is used, and PyTorch left alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SAME = 1e-5
"""Scores are probabilities; the two runtimes add up in different orders."""


def on_the_device(model: str, images: list[str]) -> int:
    """Print a JSON object an image: class IDs, names and scores of the three best. Times go to the error output."""
    import lt_export  # not at the top, since the other half of this file is for machines that train

    classifier = lt_export.load(model)
    print("self-test:", classifier.selftest(), file=sys.stderr)
    began = time.monotonic()
    results = [classifier.predict(image, topk=3) for image in images]
    print(f"device: {spent(began, len(images))}; of 480 x 640: {classifier.benchmark(runs=50)}", file=sys.stderr)
    for image, result in zip(images, results, strict=True):
        labels, scores = result["labels"].tolist(), result["scores"].tolist()
        names = [classifier.classes[label] for label in labels]
        print(json.dumps({"path": image, "labels": labels, "names": names, "scores": scores}))
    if "torch" in sys.modules:
        print("error: PyTorch was imported", file=sys.stderr)
        return 1
    return 0


def spent(began: float, images: int) -> str:
    """Time an image since `began`."""
    return f"{(time.monotonic() - began) / max(images, 1) * 1e3:.2f} ms an image, file to scores"


def answers_of(python: str, model: Path, images: list[Path]) -> list[dict[str, Any]]:
    """What `on_the_device` prints, run by the interpreter `python`."""
    command = [python, __file__, str(model), *map(str, images)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [json.loads(line) for line in printed.splitlines()]


def the_whole_way(out: Path, python: str) -> int:
    """Train, export, run on the device; returns 1 if its labels or scores are others than PyTorch's."""
    import lightly_train  # not at the top, since a device has no such package

    data = out / "digits"
    write_digits(data)
    result = lightly_train.train_image_classification(
        out=out / "run",
        overwrite=True,
        model="timm/test_resnet-notpretrained",
        data={"train": data / "train", "val": data / "val"},
        epochs=5,
        batch_size=32,
        model_args={"lr": 1.5e-3},
        transform_args={"image_size": (32, 32), "random_crop": {"min_scale": 0.6}, "random_flip": None},
    )
    assert result.exported_best is not None
    model = lightly_train.load_model(result.exported_best, device="cpu")
    onnx = out / "model.onnx"
    print(f"\nexported: {onnx}, {model.export_onnx(onnx).verification}")

    images = sorted((data / "val").glob("*/*.png"))
    began = time.monotonic()
    expected = [model.predict(image, topk=3) for image in images]
    print(f"PyTorch: {spent(began, len(images))}", flush=True)

    answers = answers_of(python, onnx, images)
    same = sum(a["labels"][0] == int(e["labels"][0]) for a, e in zip(answers, expected, strict=True))
    difference = max(
        abs(ours - theirs)
        for answer, one in zip(answers, expected, strict=True)
        for ours, theirs in zip(answer["scores"], one["scores"].tolist(), strict=True)
    )
    print(f"same label: {same} of {len(images)} images; largest difference of a score: {difference:.1e}")
    return int(same != len(images) or difference > SAME)


def write_digits(root: Path) -> None:
    """Write 700 of scikit-learn's handwritten digits as PNG files: `root/{train,val}/{0..9}/*.png`."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for i in range(700):
        folder = root / ("val" if i < 100 else "train") / str(digits.target[i])
        folder.mkdir(parents=True, exist_ok=True)
        pixels = (digits.images[i] * (255 / 16)).round().astype("uint8")
        Image.fromarray(pixels).save(folder / f"digit_{i:04d}.png")


def main() -> int:
    """With a model, the part of the device; else the whole way."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="?")
    parser.add_argument("images", nargs="*")
    parser.add_argument("--out", type=Path, default=Path("out/edge"))
    parser.add_argument("--edge-python", default=sys.executable)
    options = parser.parse_args()
    if options.model is not None:
        return on_the_device(options.model, options.images)
    return the_whole_way(options.out, options.edge_python)


if __name__ == "__main__":
    sys.exit(main())
