"""`EdgeClassifier.predict` of a file against bare ONNX Runtime and Pillow, in one process; edge_runtime.py calls this.

    python tools/bench/edge_latency.py PHOTO MODEL [MODEL ...] [--rounds 15]

Needs nothing but `lt-export[onnxruntime]`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import PIL
from PIL import Image

import lt_export
from lt_data import usable_processors
from lt_data.preprocessing import center_box

CALLS = 20
"""In a round, each way in turn."""


def bare(model: Path, spec_of: lt_export.EdgeClassifier) -> Callable[[Path], int]:
    """The shortest program that does the same work: decode, crop, resize, normalise, run, choose."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_processors()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    spec = spec_of.task.preprocessing
    height, width = spec.image_size
    mean = np.asarray(spec.mean, np.float32) * 255
    scale = 1 / (np.asarray(spec.std, np.float32) * 255)

    def predict(path: Path) -> int:
        image = Image.open(path).convert("RGB")
        box = center_box(image.height, image.width, spec)
        part = image.crop((box.left, box.top, box.left + box.width, box.top + box.height))
        pixels = np.asarray(part.resize((width, height), Image.Resampling.BILINEAR), np.float32)
        images = np.ascontiguousarray(((pixels - mean) * scale).transpose(2, 0, 1)[np.newaxis])
        return int(session.run(None, {"images": images})[0][0].argmax())

    return predict


def seconds(work: Callable[[], object]) -> float:
    """Of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compare(photo: Path, model: Path, rounds: int) -> None:
    """Print medians of single calls, and of the ratios of rounds."""
    classifier = lt_export.load(model)
    theirs = bare(model, classifier)
    if int(classifier.predict(photo)["labels"][0]) != theirs(photo):
        raise SystemExit(f"{model}: the bare loop gives another class")
    ours_taken, theirs_taken, ratios = [], [], []
    for _ in range(rounds):
        pairs = [(seconds(lambda: classifier.predict(photo)), seconds(lambda: theirs(photo))) for _ in range(CALLS)]
        ours, bare_loop = (statistics.median(column) for column in zip(*pairs, strict=True))
        ours_taken.append(ours)
        theirs_taken.append(bare_loop)
        ratios.append(ours / bare_loop)
    print(
        f"{model.stem}, predict of a JPEG file: {1e3 * statistics.median(ours_taken):.1f} ms, "
        f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}) x bare ONNX Runtime and Pillow, "
        f"{1e3 * statistics.median(theirs_taken):.1f} ms (goal: 1.05)"
    )


def main() -> None:
    """Print the figures of every model."""
    parser = argparse.ArgumentParser()
    parser.add_argument("photo", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    width, height = Image.open(arguments.photo).size
    print(f"NumPy {np.__version__}, Pillow {PIL.__version__}, ONNX Runtime {onnxruntime.__version__}, ", end="")
    print(f"{usable_processors()} threads, a photograph of {width} x {height} pixels")
    for model in arguments.models:
        compare(arguments.photo, model, arguments.rounds)


if __name__ == "__main__":
    main()
