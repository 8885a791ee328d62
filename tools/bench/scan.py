"""How fast and how small the index of class folders and CSV files is.

Makes 100,000 empty files in a temporary folder, and a CSV file of 1,000,000 rows that name them; the references of the
ratios are a bare recursive `os.scandir` and a bare `csv.reader` in the same run. Prints medians of five.
"""

from __future__ import annotations

import csv
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lt_data import DatasetIndex, build_index, load_data_config

CLASSES, IMAGES, ROUNDS = 100, 1000, 5
ROWS_PER_IMAGE = 10


def make_files(root: Path) -> None:
    """Write `CLASSES` folders with `IMAGES` empty files each, and the CSV file beside them."""
    rows = []
    for number in range(CLASSES):
        folder = root / "train" / f"class_{number}"
        folder.mkdir(parents=True)
        for image in range(IMAGES):
            name = f"image_with_a_usual_name_{image:06d}.jpg"
            (folder / name).touch()
            rows.append([f"train/class_{number}/{name}", f"class_{number}"])
    (root / "val" / "class_0").mkdir(parents=True)
    (root / "val" / "class_0" / "one.jpg").touch()
    for file, content in (("train.csv", rows * ROWS_PER_IMAGE), ("val.csv", rows[:1])):
        with open(root / file, "w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([["image_path", "label"], *content])


def bare_scan(root: Path) -> int:
    """Count files, and nothing else."""
    with os.scandir(root) as entries:
        return sum(bare_scan(Path(entry.path)) if entry.is_dir() else 1 for entry in entries)


def bare_read(file: Path) -> int:
    """Count rows, and nothing else."""
    with open(file, encoding="utf-8", newline="") as stream:
        return sum(1 for _ in csv.reader(stream))


def seconds(call: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def report(what: str, reference: str, build: Callable[[], DatasetIndex], bare: Callable[[], object]) -> None:
    """Both in turn, and the median of the ratios."""
    samples = build().train
    pairs = [(seconds(build), seconds(bare)) for _ in range(ROUNDS)]
    ours, ratio = statistics.median(one for one, _ in pairs), statistics.median(one / other for one, other in pairs)
    size = samples.nbytes / len(samples)
    print(f"{len(samples)} {what}: {ours:.2f} s, {ratio:.1f} x {reference}, {size:.0f} bytes a sample")


def main() -> None:
    """Print the figures."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_files(root)
        folders = load_data_config({"train": root / "train", "val": root / "val"})
        report("files", "a bare scan", lambda: build_index(folders), lambda: bare_scan(root / "train"))
        tables = load_data_config({"train_csv": root / "train.csv", "val_csv": root / "val.csv"})
        report("CSV rows", "a bare csv.reader", lambda: build_index(tables), lambda: bare_read(root / "train.csv"))


if __name__ == "__main__":
    main()
