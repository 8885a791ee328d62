"""How fast and how small the index of a class folder is: `python3 tools/dev.py bench`.

Makes 100,000 empty files in a temporary folder; the reference of the ratio is a bare recursive `os.scandir` in the
same run. Prints medians of five.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lt_data import DatasetIndex, build_index, load_data_config

CLASSES, IMAGES, ROUNDS = 100, 1000, 5


def make_files(root: Path) -> None:
    """Write `CLASSES` folders with `IMAGES` empty files each."""
    for number in range(CLASSES):
        folder = root / f"class_{number}"
        folder.mkdir()
        for image in range(IMAGES):
            (folder / f"image_with_a_usual_name_{image:06d}.jpg").touch()


def bare_scan(root: Path) -> int:
    """Count files, and nothing else."""
    with os.scandir(root) as entries:
        return sum(bare_scan(Path(entry.path)) if entry.is_dir() else 1 for entry in entries)


def seconds(call: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        root, empty = Path(folder, "train"), Path(folder, "val")
        root.mkdir()
        make_files(root)
        (empty / "class_0").mkdir(parents=True)
        (empty / "class_0" / "one.jpg").touch()
        config = load_data_config({"train": root, "val": empty})
        index: DatasetIndex = build_index(config)
        pairs = [(seconds(lambda: build_index(config)), seconds(lambda: bare_scan(root))) for _ in range(ROUNDS)]
    ours = statistics.median(one for one, _ in pairs)
    size = index.train.nbytes / len(index.train)
    ratio = statistics.median(one / other for one, other in pairs)
    print(f"{len(index.train)} files: {ours:.2f} s, {ratio:.1f} x a bare scan, {size:.0f} bytes a sample")


if __name__ == "__main__":
    main()
