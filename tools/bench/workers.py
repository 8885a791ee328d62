"""What loader workers add to the memory of an index of a million samples, and whether that grows over epochs."""

from __future__ import annotations

import multiprocessing
import re
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from lt_data import Preprocessing, SampleIndex, TransformConfig
from lt_data.torch import Augmentation, StreamSampler, TrainDataset, train_loader

SAMPLES, FILES, WORKERS, BATCH = 1_000_000, 64, 2, 100
EPOCHS, BATCHES_AN_EPOCH = 6, 200


def private_megabytes(process: int) -> float:
    """Memory that a process shares with no other (Linux)."""
    text = Path(f"/proc/{process}/smaps_rollup").read_text()
    return sum(int(kilobytes) for kilobytes in re.findall(r"Private_\w+:\s+(\d+) kB", text)) / 1e3


def main() -> None:
    """Print the private memory of the workers after each of some parts of an epoch."""
    with tempfile.TemporaryDirectory() as folder:
        for i in range(FILES):
            Image.fromarray(np.full((8, 8, 3), i, dtype=np.uint8)).save(Path(folder, f"a_usual_name_{i}.png"))
        names = [f"a_usual_name_{i % FILES}.png" for i in range(SAMPLES)]
        samples = SampleIndex.from_paths(Path(folder), names, np.zeros(SAMPLES, dtype=np.int32), num_classes=1)
        augmentation = Augmentation.from_config(TransformConfig(), Preprocessing(image_size=(8, 8)))
        sampler = StreamSampler(SAMPLES, BATCH, 0, EPOCHS * BATCHES_AN_EPOCH, seed=0)
        loader = train_loader(TrainDataset(samples, augmentation, 0), sampler, num_workers=WORKERS, pin_memory=False)
        found = []
        for i, _ in enumerate(loader, 1):
            if i % BATCHES_AN_EPOCH == 0:
                workers = [private_megabytes(child.pid or 0) for child in multiprocessing.active_children()]
                found.append(sum(workers) / len(workers))
    series = ", ".join(f"{value:.0f}" for value in found)
    print(f"index {samples.nbytes / 1e6:.0f} MB; private memory of a worker after each of {EPOCHS} epochs: {series} MB")


if __name__ == "__main__":
    main()
